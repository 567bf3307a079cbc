"""Texts, numbers, containers, files, and any object that nothing else here knows: by what it stores."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from types import FunctionType, MappingProxyType, MethodDescriptorType
from typing import Any

from .registry import Look, Part, Picture, attributes, mro, names, namespace, register, static, type_name
from .short import CONTAINERS, NULLS, OWN_TEXT, cut, doc_line, entries_of, headline, short
from .tokens import estimate

WIDTH = 200
"""Characters of one entry or attribute."""

LITTLE = 16
"""Characters of entries that need no line each."""

WHOLE = 240
"""Characters of a container that is shown in one line."""

PROBE = 4000
"""Characters at either end of a text that tell how many tokens its characters take."""

BYTES = 64

REPR = 600
"""Characters of what an object says about itself."""

LISTED = 24
"""Names in a list of attributes or methods."""


@register(type(None), bool, int, float, complex, type(Ellipsis), *OWN_TEXT, *NULLS)
def scalar(value: Any, look: Look) -> str:
    if not look.rows and value is not None:
        return type_name(value)
    return short(value) if value is None else f"{type_name(value)} {short(value, REPR)}"


@register("enum.Enum")
def member(value: Any, look: Look) -> str:
    held = dict(attributes(value)).get("_value_")
    return f"{short(value)} = {short(held)}" if look.rows else type_name(value)


@register(re.Pattern)
def pattern(value: re.Pattern[Any], look: Look) -> str:
    return f"{type_name(value)} {short(value.pattern, REPR)}" if look.rows else type_name(value)


@register(str)
def text(value: str, look: Look) -> Iterator[str]:
    """The whole of it, or its begin and its end."""
    length = str.__len__(value)
    lines = str.count(value, "\n") + 1
    yield f"{type_name(value)} of {length:,} characters" + (f" in {lines:,} lines" if lines > 1 else "")
    if not look.rows or not length:
        return
    begin, end = str.__getitem__(value, slice(PROBE)), str.__getitem__(value, slice(-PROBE, None))
    density = max(estimate(begin) / len(begin), estimate(end) / len(end), 0.05)
    most = int((look.tokens - 60) / density)
    if length <= most:
        yield str.__getitem__(value, slice(None))
        return
    yield str.__getitem__(value, slice(most * 2 // 3))
    yield f"… {length - most:,} characters left out …"
    yield str.__getitem__(value, slice(length - most // 3, None))


@register(bytes, bytearray, memoryview)
def binary(value: Any, look: Look) -> Iterator[str]:
    with memoryview(value) as view:
        size = view.nbytes
        first = view.cast("B")[:BYTES].tobytes() if size and view.c_contiguous else b""
    yield f"{type_name(value)} of {size:,} bytes"
    if look.rows and first:
        yield f"begins: {first!r}"


@register(dict)
def mapping(value: dict[Any, Any], look: Look) -> Iterator[str]:
    length = dict.__len__(value)
    yield f"{type_name(value)} of {length:,} entries{_kinds(list(islice(dict.values(value), 100)))}"
    yield from _entries(value, length, look)


@register(list, tuple, set, frozenset)
def sequence(value: Any, look: Look) -> Iterator[str]:
    base = next(each for each in CONTAINERS if issubclass(type(value), each))
    length = base.__len__(value)  # type: ignore[attr-defined]
    yield f"{type_name(value)} of {length:,} entries{_kinds([held for _, held in entries_of(value, 100)])}"
    yield from _entries(value, length, look)


def _entries(value: Any, length: int, look: Look) -> Iterator[str]:
    """Of a container of Python's own: in one line, if that holds all."""
    if not look.rows or not length:
        return
    whole = short(value, WHOLE)
    if len(whole) < WHOLE and " more" not in whole and "…" not in whole and " entries" not in whole:
        yield whole
        return
    entries = entries_of(value, look.rows * 4)
    ordered = issubclass(type(value), list | tuple)
    texts = [key + short(held, WIDTH) for key, held in entries]
    if max(map(len, texts)) <= LITTLE:
        yield ", ".join(texts)
    else:
        numbered = ordered and not entries[0][0]
        yield from (f"[{at}] {each}" if numbered else each for at, each in enumerate(texts))
    if length > len(entries):
        yield f"… {length - len(entries):,} more entries"


def _kinds(held: list[Any]) -> str:
    kinds = dict.fromkeys(map(type_name, held))
    return f" ({', '.join([*islice(kinds, 4)])}{', …' if len(kinds) > 4 else ''})" if kinds else ""


@register(deque, range, type({}.keys()), type({}.values()), type({}.items()), MappingProxyType, "array.array")
def sized(value: Any, look: Look) -> Iterator[str]:
    """What can be read over and over, by its own class's methods."""
    yield f"{type_name(value)} of {len(value):,} entries"
    if look.rows:
        yield ", ".join(short(each) for each in islice(iter(value), look.rows * 4))


@register("_io._IOBase", "tempfile._TemporaryFileWrapper")
def file(value: Any, look: Look) -> Iterator[str]:
    inner = dict(attributes(value)).get("file", value)
    facts = {name: getattr(inner, name, None) for name in ("name", "mode", "encoding", "closed")}
    known = [f"{name} {short(fact, WIDTH)}" for name, fact in facts.items() if fact is not None and look.rows]
    yield ", ".join([f"{type_name(value)}", *known, "not read"])


@register("weakref.ReferenceType", "builtins.ReferenceType", "weakref.weakref", "builtins.weakref")
def reference(value: Any, look: Look) -> str:
    alive = value()
    return f"weak reference to {'nothing any more' if alive is None else headline(alive, look.rows)}"


@register(object)
def anything(value: object, look: Look) -> Iterator[Part]:
    """An object by its class and what it stores; its own `__repr__` comes last, since it may not end."""
    every = {name for each in mro(value) for name in names(each)}
    marked = (mark for mark in FIELDS if mark in every or static(value, mark) is not None)
    fields = FIELDS.get(next(marked, ""), "")
    iterates = static(value, "__next__") is not None
    kind = fields or ("iterator, nothing was taken from it" if iterates else "object")
    yield f"{type_name(value)} {kind}"
    yield "" if fields else doc_line(static(value, "__doc__"))
    stored = {name: held for name, held in attributes(value) if not name.startswith("_")}
    for name, held in islice(stored.items(), LISTED):
        yield f".{name}: {short(held, WIDTH) if look.rows else type_name(held)}"
    if len(stored) > LISTED:
        yield f"… {len(stored) - LISTED} more attributes"
    yield from _offered(value, fields)
    if look.rows and not fields:
        yield from _shown(value)


FIELDS = {
    "__dataclass_fields__": "dataclass",
    "__attrs_attrs__": "attrs object",
    "pydantic.BaseModel": "pydantic model",
    "__struct_fields__": "msgspec struct",
}
"""What says that an object is no more than its fields: a mark in its class, or a class it derives from."""


def _offered(value: object, fields: str) -> Iterator[str]:
    """The public methods and properties of its class, without those of the library that makes its fields."""
    found: dict[str, dict[str, None]] = {"properties, not run": {}, "methods": {}}
    own = names(type(value))[0].partition(".")[0]
    for cls in mro(value)[:-1]:
        if fields and names(cls)[0].partition(".")[0] != own:
            break
        for name, held in [*namespace(cls).items()]:
            kind = OFFERED.get(id(type(held)))
            if kind and type(name) is str and not name.startswith("_"):
                found[kind][name] = None
    for title, listed in found.items():
        if listed:
            more = ", …" if len(listed) > LISTED else ""
            yield f"{title}: {', '.join([*islice(listed, LISTED)])}{more}"


OFFERED = {
    id(property): "properties, not run",
    **dict.fromkeys(map(id, (FunctionType, MethodDescriptorType, staticmethod, classmethod)), "methods"),
}
"""By identity: a type may have a hash of its own."""


def _shown(value: Any) -> Iterator[Part]:
    """What the object shows of itself. What iterates may fetch all of it for that, as a database query does."""
    if static(value, "_repr_png_") is not None and type(png := value._repr_png_()) is bytes:
        yield Picture(png)
    if static(value, "__iter__") is None and static(value, "__repr__") is not object.__repr__:
        yield cut(f"repr: {repr(value)[: REPR * 2]}", REPR)
