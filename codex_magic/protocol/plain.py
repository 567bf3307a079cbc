"""JSON as it comes, as values that everyone can write, read and send. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

DEEPEST = 100
"""Levels of lists and objects in what is kept: parsers give up at 128 (the agent's program) to some 1,000 (ours)."""


def without_controls(text: str) -> str:
    """`text` without the characters that drive a terminal or turn its direction; line feeds and tabs stay.

    Character by character, so the pieces of a stream give together what the whole gives.
    """
    return text.translate(_CONTROLS)


_CONTROLS: dict[int, str | None] = {
    **dict.fromkeys((*range(9), *range(0xD, 0x1C), *range(0x7F, 0xA0), *range(0x202A, 0x202F))),
    **dict.fromkeys(range(0x2066, 0x206A)),
    **dict.fromkeys((0xB, 0xC, *range(0x1C, 0x20), 0x85), " "),
    0: "\ufffd",
}


def shorten(text: str, longest: int = 1_000) -> str:
    """`text` as one line of at most `longest` characters, none of which drives a terminal."""
    line = without_controls(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def did_you_mean(word: str, words: Iterable[str], *, quote: str = "") -> str:
    """Return ` Did you mean X?` for the closest of the words, else nothing."""
    import difflib  # no part of `%load_ext`

    near = difflib.get_close_matches(word, [*words], n=1)
    return f" Did you mean {quote}{near[0]}{quote}?" if near else ""


def common_beginning(one: str, other: str) -> int:
    """Return how many characters the two have in common at their beginnings."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def utf16_length(text: str) -> int:
    """Return the length of a text as a page counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def encodable(text: str) -> str:
    """`text` with U+FFFD for what UTF-8 can't say."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def map_leaves(value: Any, change: Callable[[Any], Any], levels: int = DEEPEST) -> Any:
    """Return a copy with every name and leaf of it changed; what is nested deeper than `levels` is left empty."""
    if isinstance(value, Mapping):
        inside = value.items() if levels else ()
        return {change(name): map_leaves(each, change, levels - 1) for name, each in inside}
    if isinstance(value, list | tuple):
        items = [map_leaves(each, change, levels - 1) for each in value] if levels else []
        return items if isinstance(value, list) else tuple(items)
    return change(value)


def plain_json(value: Any, levels: int = DEEPEST) -> Any:
    """JSON that a server sent, as values that can be written, read and sent by everyone.

    What can't be said is left empty: numbers too large, and what is nested deeper than `levels`.
    """
    return map_leaves(value, _plain_leaf, levels)


def _plain_leaf(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return None if is_odd or (isinstance(value, int) and not -(2**63) <= value < 2**63) else value


def decode_json(data: bytes | str, kind: type[T] | Any = Any) -> T | Any:
    """Read JSON of others. Raises ValueError for what is none, or does not fit `kind`; depth is no failure.

    What no strict parser reads is read as far as it can be: see `read_json`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError):
        return msgspec.convert(read_json(data), kind)


def read_json(data: bytes | str) -> Any:
    """What a strict parser refuses for half surrogate pairs, bad UTF-8, numbers that are none, or depth.

    Raises ValueError for what is no JSON.
    """
    try:
        text = _shallow(data if isinstance(data, str) else bytes(data).decode(errors="replace"))
        # Nobody counts more digits; Python gives up at 4,300.
        return plain_json(json.loads(text, parse_int=lambda word: int(word) if len(word) <= 20 else None))
    except (ValueError, RecursionError) as error:  # or brackets that are never closed
        raise ValueError(f"This is not JSON ({error}).") from error


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


def read_struct(raw: Mapping[str, Any], kind: type[S]) -> S:
    """Return `raw` as a struct: a field of a wrong type is read as the right one where it can be, else left out.

    Raises msgspec.ValidationError where one without a default is left out.
    """
    with suppress(msgspec.ValidationError):
        return msgspec.convert(raw, kind)
    kept = dict(raw)
    for field in msgspec.structs.fields(kind):
        try:
            msgspec.convert(kept.get(field.encode_name), field.type, strict=False)
        except msgspec.ValidationError:
            kept.pop(field.encode_name, None)
    return msgspec.convert(kept, kind, strict=False)
