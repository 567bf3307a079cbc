"""Tables of plain text for a terminal, at the width that it has."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest

CODE = re.compile(r"`([^`]+)`")
"""What texts mark as code."""


def without_marks(text: str) -> str:
    """Return a text as a terminal shows it: code without its marks."""
    return CODE.sub(r"\1", text)


def aligned(rows: Sequence[Sequence[str]], *, wraps: bool) -> Iterator[str]:
    """Return the lines of a table that fits the terminal: what is widest is wrapped or cut.

    A row of fewer cells than the others is a title.
    """
    most = max(map(len, rows), default=0)
    whole = [row for row in rows if len(row) == most]
    widths = [max(map(_columns, column)) for column in zip(*whole, strict=True)]
    while sum(widths) + 2 * len(widths) - 2 > shutil.get_terminal_size().columns and max(widths) > 10:
        widths[widths.index(max(widths))] -= 1
    for row in rows:
        if len(row) < most:
            yield from ("", row[0])
            continue
        fitted = [(_wrapped if wraps else _cut)(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*fitted, fillvalue=""):
            padded = [cell + " " * (width - _columns(cell)) for cell, width in zip(line, widths, strict=True)]
            yield "  ".join(padded).rstrip()


def _columns(text: str) -> int:
    """Return how wide a terminal draws it."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text
    )


def _fitting(text: str, width: int) -> int:
    """Return how many of its characters fit."""
    return next((n for n in range(len(text)) if _columns(text[: n + 1]) > width), len(text))


def _wrapped(text: str, width: int) -> list[str]:
    """Break between words; one that does not fit stays whole, so that a path can be copied."""
    lines = []
    while (end := _fitting(text, width)) < len(text):
        space = max(text.rfind(" ", 1, end + 1), 0) or text.find(" ", end)
        if space < 0:
            break
        lines.append(text[:space])
        text = text[space:].lstrip()
    return [*lines, text]


def _cut(text: str, width: int) -> list[str]:
    """Return one line, cut before what stands in parentheses at the end: it tells threads apart."""
    if _columns(text) <= width:
        return [text]
    end = re.search(r" \([^()]*\)$", text)
    tail = end[0] if end is not None and len(end[0]) < width - 3 else ""
    return [f"{text[: _fitting(text, width - 1 - len(tail))]}…{tail}"]
