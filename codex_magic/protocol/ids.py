"""Identifiers: UUIDv7, because the prompt cache of the Codex backend keys on one per thread."""

import os
import re
import time


def new_id(*, now_ms: int | None = None) -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = int.from_bytes(stamp.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    digits = f"{value:032x}"  # importing uuid would double the time of `%load_ext`
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_cell_id(text: str) -> bool:
    """Whether a notebook file may call a cell so; VS Code sends an address instead.

    nbformat 4.5: https://nbformat.readthedocs.io/en/latest/format_description.html#cell-ids
    """
    return re.fullmatch("[A-Za-z0-9_-]{1,64}", text) is not None


def is_number(cell_id: str) -> bool:
    """Whether a cell was numbered by its place.

    Filters that keep notebooks small in git (nbstripout, nbwipers) name the cells 0, 1, 2 ... each time anew.
    """
    return re.fullmatch("[0-9]{1,7}", cell_id) is not None


def names_a_cell(cell_id: str) -> bool:
    """Whether a cell is found again by this id in its notebook's file."""
    return is_cell_id(cell_id) and not is_number(cell_id)


def may_be_one_cell(one: str | None, other: str | None) -> bool:
    """Whether two ids, of a cell at two times, do not tell them apart."""
    return one is None or other is None or one == other or not (names_a_cell(one) and names_a_cell(other))
