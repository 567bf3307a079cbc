"""JSON as it comes, as values that everyone can write, read and send. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any


def shorten(text: str, longest: int) -> str:
    """`text` as one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def encodable(text: str) -> str:
    """`text` with U+FFFD for what UTF-8 can't say."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


DEEPEST = 100
"""Levels of lists and objects in what is kept: parsers give up at 128 (the agent's program) to some 1,000 (ours)."""


def plain_json(value: Any, levels: int = DEEPEST) -> Any:
    """JSON that a server sent, as values that can be written, read and sent by everyone.

    What can't be said is left empty: numbers too large, and what is nested deeper than `levels`.
    """
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        inside = value.items() if levels else ()
        return {encodable(str(name)): plain_json(each, levels - 1) for name, each in inside}
    if isinstance(value, (list, tuple)):
        return [plain_json(each, levels - 1) for each in value] if levels else []
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return None if is_odd or (isinstance(value, int) and not -(2**63) <= value < 2**63) else value


def read_json(payload: bytes) -> Any:
    """What a strict parser refuses for half surrogate pairs, bad UTF-8, numbers that are none, or depth.

    Raises ValueError for what is no JSON.
    """
    try:
        text = _shallow(payload.decode(errors="replace"))
        # Nobody counts more digits; Python gives up at 4,300.
        return plain_json(
            json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 20 else None)
        )
    except RecursionError as error:  # brackets that are never closed
        raise ValueError("no JSON") from error


def _shallow(text: str) -> str:
    """JSON without what is nested deeper than any reader goes."""
    kept: list[str] = []
    depth = begin = 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == DEEPEST:
                kept += text[begin : token.start()], "null"
        elif token[0] in ("]", "}"):
            depth -= 1
            if depth == DEEPEST - 1:
                begin = token.end()
    return "".join([*kept, text[begin:]]) if depth == 0 else text


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
