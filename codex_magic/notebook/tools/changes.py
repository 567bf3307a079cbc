"""What code has changed in the namespace, in words, and how it is put back.

Before it runs, the names that it binds are remembered, and copies of the values that it may change in place: those
of kinds that can be copied in full, up to a bound. What can't be put back is said before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, NamedTuple

from .effects import Effects, effects

MOST_BYTES = 200_000_000
"""Of all copies that one run may keep."""

MOST_CELLS = 20_000_000
"""Of a table whose missing values are counted."""

_MISSING = object()


class Kept(NamedTuple):
    """A name before a run: its value, and a copy where the value may change in place."""

    value: Any
    copy: Any = _MISSING


def lost(names: Mapping[str, Any], reading: Effects) -> list[str]:
    """Return which of the values that code changes can't be put back, a phrase each: `model (it can't be copied)`."""
    return _copyable(names, reading)[1]


def _copyable(names: Mapping[str, Any], reading: Effects) -> tuple[list[str], list[str]]:
    kept, gone, room = [], [], MOST_BYTES
    for name in reading.changes:
        if name not in names:
            continue
        value = names[name]
        size = _size(value)
        if size is None:
            gone.append(f"{name} (a {type(value).__name__} can't be copied)")
        elif size > room:
            gone.append(f"{name} ({size / 1e6:,.0f} MB, too large to keep)")
        else:
            room -= size
            kept.append(name)
    return kept, gone


class Before:
    """The namespace before a run of `code`."""

    def __init__(self, names: MutableMapping[str, Any], code: str) -> None:
        self._names = names
        self._kept: dict[str, Kept] = {}
        reading = effects(code)
        kept, self.lost = _copyable(names, reading)
        self._all = {name: id(value) for name, value in names.items() if not name.startswith("_")}
        for name in (*reading.changes, *reading.binds):
            value = names.get(name, _MISSING)
            self._kept.setdefault(name, Kept(value, _copied(value) if name in kept else _MISSING))
        self._after: dict[str, int] = {}
        self._looks = {name: look(value) for name, value in names.items() if _is_data(value)}

    def differences(self) -> list[str]:
        """Return what differs now, a line each: `df: 1,000 -> 998 rows, +1 column`."""
        lines = []
        for name, value in list(self._names.items()):
            if name.startswith("_"):
                continue
            before = self._all.get(name)
            if name in self._looks and _is_data(value):
                if differences := self._looks[name].differences(look(value)):
                    lines.append(f"{name}: {', '.join(differences)}")
                elif before != id(value):
                    lines.append(f"{name}: replaced, with the same shape")
            elif before is None and not _is_code(value):
                lines.append(f"{name}: new, {look(value)}")
            elif before is not None and before != id(value) and not _is_code(value):
                old = self._kept.get(name)
                was = f"{_short(old.value)} -> " if old is not None and old.value is not _MISSING else ""
                lines.append(f"{name}: {was}{look(value)}")
        lines += [f"{name}: deleted" for name in self._all if name not in self._names]
        return lines

    def close(self) -> None:
        """Note what the names are right after the run."""
        self._after = {name: id(self._names.get(name, _MISSING)) for name in self._kept}

    def changed_since(self) -> list[str]:
        """Return the names that were bound anew since the run."""
        return [name for name, value in self._after.items() if id(self._names.get(name, _MISSING)) != value]

    def undo(self) -> list[str]:
        """Put back all that was kept; return the names that differ from before no more."""
        back = []
        for name, kept in self._kept.items():
            if kept.value is _MISSING:
                if name in self._names:
                    del self._names[name]
                    back.append(name)
                continue
            value = kept.value
            if kept.copy is not _MISSING:
                value = _restored(value, kept.copy)
            if self._names.get(name, _MISSING) is not value or kept.copy is not _MISSING:
                self._names[name] = value
                back.append(name)
        return back


def facts(code: str, names: dict[str, Any], *, stays: bool) -> list[tuple[str, str]] | None:
    """Return what reading code tells, for who decides; `None` where nobody needs to: it only looks."""
    reading = effects(code)
    if reading.is_quiet and not stays:
        return None
    seen = []
    if reading.acts:
        seen.append(("It seems to", ", ".join(map(_infinitive, reading.acts))))
    if reading.changes:
        seen.append(("Changes in place", ", ".join(reading.changes)))
    if stays and (gone := lost(names, reading)):
        seen.append(("Can’t be undone", ", ".join(gone)))
    return [*seen, ("Afterwards", "its names stay" if stays else "its names are dropped")]


def _infinitive(act: str) -> str:
    verb, _, rest = act.partition(" ")
    return act if verb in ("may", "is") else f"{verb.removesuffix('s')} {rest}"


class Commit(NamedTuple):
    """Code that ran and stays, and what the namespace was before."""

    code: str
    before: Before


class Look(NamedTuple):
    """A value as far as a difference can be told shortly."""

    kind: str
    rows: int | None = None
    columns: Mapping[str, str] | None = None
    """Their types."""
    nulls: Mapping[str, int] | None = None
    text: str = ""

    def __str__(self) -> str:
        if self.rows is None:
            return self.text
        columns = f" x {len(self.columns):,} columns" if self.columns is not None else ""
        return f"{self.kind} of {self.rows:,} rows{columns}"

    def differences(self, new: Look) -> Iterator[str] | list[str]:
        if (self.kind, self.columns is None) != (new.kind, new.columns is None):
            return [f"{self} -> {new}"]
        return list(self._differences(new))

    def _differences(self, new: Look) -> Iterator[str]:
        if self.rows != new.rows:
            yield f"{self.rows:,} -> {new.rows:,} rows"
        elif self.text != new.text:
            yield f"{self.text} -> {new.text}"
        before, after = self.columns or {}, new.columns or {}
        added, gone = [c for c in after if c not in before], [c for c in before if c not in after]
        for sign, names in (("+", added), ("-", gone)):
            if names:
                yield f"{sign}{len(names)} column{'s' * (len(names) > 1)} ({', '.join(names[:3])})"
        for name in before:
            if name in after and before[name] != after[name]:
                yield f"{name} {before[name]} -> {after[name]}"
        if self.nulls is not None and new.nulls is not None:
            for name, count in new.nulls.items():
                if name in before and self.nulls.get(name, 0) != count:
                    yield f"nulls in {name} {self.nulls.get(name, 0):,} -> {count:,}"


def look(value: Any) -> Look:
    """Look at a value without changing or materialising it."""
    kind = type(value).__name__
    with suppress(Exception):  # of a library, of any version
        if _is_table(value):
            columns = {str(name): str(kind) for name, kind in zip(value.columns, value.dtypes, strict=False)}
            rows = int(value.shape[0])
            nulls = None
            if rows * max(1, len(columns)) <= MOST_CELLS:
                nulls = _nulls(value)
            return Look(kind, rows, columns, nulls)
        if _is_array(value):
            return Look(kind, None, None, None, f"{kind} {tuple(value.shape)} {value.dtype}")
        if isinstance(value, list | dict | set | frozenset | tuple):
            return Look(kind, None, None, None, f"{kind} of {len(value):,}")
    return Look(kind, text=_short(value))


def _nulls(table: Any) -> dict[str, int]:
    if hasattr(table, "null_count"):  # polars
        return {name: int(count) for name, count in table.null_count().row(0, named=True).items()}
    return {str(name): int(count) for name, count in table.isna().sum().items()}


def _short(value: Any) -> str:
    if isinstance(value, int | float | complex | bool | str | bytes | None):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return str(look(value)) if _is_data(value) else type(value).__name__


def _root(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_table(value: Any) -> bool:
    return _root(value) in ("pandas", "polars", "geopandas") and type(value).__name__ in (
        "DataFrame",
        "GeoDataFrame",
    )


def _is_array(value: Any) -> bool:
    return (_root(value), type(value).__name__) in (
        ("numpy", "ndarray"),
        ("pandas", "Series"),
        ("polars", "Series"),
        ("torch", "Tensor"),
    )


def _is_data(value: Any) -> bool:
    return _is_table(value) or _is_array(value) or isinstance(value, list | dict | set | tuple | frozenset)


def _is_code(value: Any) -> bool:
    return type(value).__name__ == "module"


def _size(value: Any) -> int | None:
    """Return about how many bytes a copy takes; `None` for what can't be copied in full."""
    with suppress(Exception):
        if _root(value) == "polars":
            return 0  # its values never change; only a frame's list of columns does
        if _is_table(value):
            return int(value.memory_usage(deep=False).sum()) if hasattr(value, "memory_usage") else None
        if _is_array(value):
            return int(value.nbytes)
    if isinstance(value, list | dict | set | bytearray):
        return sys.getsizeof(value)
    if isinstance(value, int | float | complex | bool | str | bytes | tuple | frozenset | None):
        return 0
    return None


def _copied(value: Any) -> Any:
    if _root(value) == "torch":
        return value.detach().clone()
    if _root(value) == "polars":
        return value.clone()
    return value.copy() if hasattr(value, "copy") else value


def _restored(value: Any, copy: Any) -> Any:
    """Return the value with its former content: the same object where that can be, so that other names see it."""
    if isinstance(value, list):
        value[:] = copy
        return value
    if isinstance(value, dict | set):
        value.clear()
        value.update(copy)
        return value
    if isinstance(value, bytearray):
        value[:] = copy
        return value
    with suppress(Exception):
        if (_root(value), type(value).__name__) == ("numpy", "ndarray") and value.shape == copy.shape:
            value[...] = copy
            return value
    return copy
