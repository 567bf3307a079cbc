"""A value in a few words: for a cell of a table, an entry of a list, an attribute of an object.

Numbers, texts, dates and Python's own containers are shown; of anything else only its headline, since its
`__repr__` may be endless. Containers are read by the methods of their base class, which no subclass changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from .registry import Look, attributes, find, mro, names, static, type_name

SHORT = 60
"""Characters of one value among others."""

ENTRIES = 12
"""Of a container inside another value."""

BITS = 256
"""Of an integer that is still written out: Python refuses those of thousands of digits."""

NULLS = {"pandas.NAType", "pandas.NaTType"}

OWN_TEXT = {
    *("datetime.date", "datetime.time", "datetime.timedelta", "datetime.tzinfo", "decimal.Decimal"),
    *("fractions.Fraction", "uuid.UUID", "ipaddress._BaseAddress", "ipaddress._BaseNetwork"),
    *("numpy.generic", "pandas.Interval", "pandas.Period", "pandas.BaseOffset", "pyarrow.Scalar"),
    *("pathlib.PurePath", "numpy.dtype", "pandas.ExtensionDtype", "pyarrow.DataType"),
    *("polars.DataType", "polars.DataTypeClass"),
}
"""Types whose text is short; it is made by them and not by what derives from them."""

CONTAINERS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}


def short(value: object, longest: int = SHORT, *, depth: int = 2, quote: bool = True) -> str:
    """Return `value` in one line of at most `longest` characters."""
    kind = type(value)
    if kind in (bool, type(None), type(Ellipsis), type(NotImplemented)):
        return str(value)
    if names(kind)[1] in NULLS:
        return "null"
    if "enum.Enum" in {name for cls in mro(value) for name in names(cls)}:
        return f"{type_name(value)}.{dict(attributes(value)).get('_name_', '?')}"
    for base, text in _SCALARS.items():
        if issubclass(kind, base):
            return text(value, longest, quote)
    if issubclass(kind, dict):
        return _container(entries_of(value), dict.__len__(value), "{}", longest, depth)  # type: ignore[arg-type]
    for base, (begin, end) in CONTAINERS.items():
        if issubclass(kind, base):
            begin = type_name(value) + begin if static(value, "_fields") else begin
            return _container(entries_of(value), base.__len__(value), begin + end, longest, depth)  # type: ignore[attr-defined]
    own = next((cls for cls in mro(value) if OWN_TEXT.intersection(names(cls))), None)
    if own is not None:
        return _own_text(value, own, longest, quote)
    return cut(f"<{headline(value)}>", longest)


def _own_text(value: Any, own: Any, longest: int, quote: bool) -> str:
    if "numpy.generic" in names(own):
        own = type(value)
        plain = value.item()
        if issubclass(type(plain), bool | int | float | complex | bytes) and "time" not in own.__name__:
            return short(plain, longest, quote=quote)
    return cut(" ".join(own.__str__(value).removesuffix(" 00:00:00").split()), longest)


def is_null(value: object) -> bool:
    """Whether a table shows nothing for it."""
    return value is None or (type(value) is float and value != value) or names(type(value))[1] in NULLS


def number(value: float) -> str:
    """Four digits, and all of those before the point: enough to see a quantity, and half the tokens."""
    if not math.isfinite(value):
        return str(float(value))
    if value == int(value) and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.1f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def _integer(value: int, longest: int, quote: bool) -> str:
    bits = int.bit_length(value)
    return int.__repr__(value) if bits <= BITS else f"an integer of {bits:,} bits"


def _text(value: str, longest: int, quote: bool) -> str:
    begin = str.__getitem__(value, slice(longest + 1))
    return cut(repr(begin), longest) if quote else cut(" ".join(begin.split()), longest)


_SCALARS: dict[type, Callable[[Any, int, bool], str]] = {
    int: _integer,
    float: lambda value, longest, quote: number(float.__float__(value)),
    complex: lambda value, longest, quote: complex.__repr__(value),
    str: _text,
    bytes: lambda value, longest, quote: cut(repr(bytes.__getitem__(value, slice(longest))), longest),
    bytearray: lambda value, longest, quote: cut(
        repr(bytes(bytearray.__getitem__(value, slice(longest)))), longest
    ),
}


def entries_of(value: Any, most: int = ENTRIES) -> list[tuple[str, Any]]:
    """The first entries of a container of Python's own, each with the text of its key, if it has one."""
    if issubclass(type(value), dict):
        return [(f"{short(key, depth=1)}: ", held) for key, held in [*islice(dict.items(value), most)]]
    base = next(each for each in CONTAINERS if issubclass(type(value), each))
    first = list(islice(base.__iter__(value), most))  # type: ignore[attr-defined]
    fields = static(value, "_fields")
    keys = fields if type(fields) is tuple and len(fields) >= len(first) else ()
    return [(f"{short(keys[at], quote=False)}=" if keys else "", held) for at, held in enumerate(first)]


def _container(
    entries: Iterable[tuple[str, Any]], length: int, brackets: str, longest: int, depth: int
) -> str:
    begin, end = brackets[:-1], brackets[-1]
    if depth <= 0 and length:
        return f"{begin}{length:,} entries{end}"
    texts: list[str] = []
    room = longest - len(begin) - 10
    for key, held in entries:
        text = key + short(held, max(room, 8), depth=depth - 1)
        if texts and len(text) > room:
            break
        texts.append(text)
        room -= len(text) + 2
    rest = [f"… {length - len(texts):,} more"] if length > len(texts) else []
    return cut(begin + ", ".join(texts + rest) + end, longest)


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: max(longest - 1, 0)] + "…"


def doc_line(doc: Any) -> str:
    """The first line of a docstring, if it is one."""
    return cut(doc.strip().partition("\n")[0], 200) if type(doc) is str else ""


def headline(value: object, rows: int = 1) -> str:
    """The first line of what the value's describer says; its type where it says nothing."""
    try:
        described = find(value)(value, Look(rows))
        first = described if type(described) is str else next(iter(described), "")
    except Exception:  # noqa: BLE001 - whatever a value does that is seen beside another
        first = ""
    return first.partition("\n")[0] if type(first) is str and first else type_name(value)
