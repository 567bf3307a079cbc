"""What code has changed in the namespace, in words, and how it is put back.

Before it runs, the names that it binds are remembered, and copies of the values that it may change in place: those
of kinds that can be copied in full, up to a bound. What can't be put back is said before.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
import textwrap
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NamedTuple

from .effects import DATABASE, DELETE, DYNAMIC, PROCESS, SETTINGS, WRITE, Effects, effects, once
from .files import NOT_KEPT, FileChanges

MOST_BYTES = 200_000_000
"""Of all copies that one run may keep."""

MOST_CELLS = 20_000_000
"""Of a table whose missing values are counted."""

MOST_DIGESTED = 20_000_000
"""Bytes of a value that is compared whole before an undo; of larger ones the shape is."""

MOST_LOOKED_AT = 1_000
"""Cells of a column, for what may change in place."""

_MISSING = object()


class Kept(NamedTuple):
    """A name before a run: its value, and copies of what may change in place, in it too, each with its original."""

    value: Any
    copies: Sequence[tuple[Any, Any]] = ()


def read(code: str, names: Mapping[str, Any]) -> Effects:
    """Read code, and the functions of the user's own that it calls, as far as their sources are known."""
    return _with_calls(effects(code), names, set())


def _with_calls(reading: Effects, names: Mapping[str, Any], seen: set[str]) -> Effects:
    acts, changes, binds = [*reading.acts], [*reading.changes], [*reading.binds]
    uses, calls, parts = [*reading.uses], [*reading.calls], [*reading.parts]
    for called, passed in reading.calls:
        function = names.get(called)
        if called in seen or not isinstance(function, FunctionType) or function.__module__ != "__main__":
            continue
        seen.add(called)
        with suppress(OSError, TypeError):
            inner = _with_calls(effects(textwrap.dedent(inspect.getsource(function))), names, seen)
            own = {*function.__code__.co_varnames}
            acts += inner.acts
            changes += (name for name in inner.changes if name not in own)
            changes += passed if own.intersection(inner.changes) else ()
            binds += (name for name in inner.binds if name != called)
            uses += (name for name in inner.uses if name not in own)
            calls += ((name, passed) for name, passed in inner.calls if name not in own)
            parts += (part for part in inner.parts if part.partition(".")[0] not in own)
    return Effects(once(acts), once(changes), once(binds), once(uses), once(calls), once(parts))


_LOOKING = frozenset(
    "abs all any ascii bool callable bytes complex dict dir display divmod enumerate filter float format frozenset "
    "getattr hasattr hash help hex id int isinstance issubclass len list max memoryview min oct ord pow print range "
    "repr reversed round set slice sorted str sum super tuple type zip".split()
)
"""Functions that change nothing of what they are given."""

_SHELLS_OWN = frozenset("In Out exit get_ipython open quit".split())
"""Names that IPython binds in every notebook."""

SETTINGS_STAY, ROWS_STAY = "settings of the process", "rows of a database"


def _copyable(names: Mapping[str, Any], reading: Effects) -> tuple[dict[str, int], list[str]]:
    """Return the names whose values can be kept, with the bytes of each, and what can't be, a phrase each:
    `model (a Model can't be copied)`.

    What reading the code does not show to change may do so in a function or a method: all that it uses is kept.
    """
    kept: dict[str, int] = {}
    room = MOST_BYTES
    gone = [
        phrase for act, phrase in ((SETTINGS, SETTINGS_STAY), (DATABASE, ROWS_STAY)) if act in reading.acts
    ]
    gone += [part for part in reading.parts if _is_definition(names, part) and SETTINGS not in reading.acts]
    handed = [each for name, passed in reading.calls if name not in _LOOKING for each in (name, *passed)]
    handed += [name for name in reading.uses if isinstance(names.get(name), Iterator)]
    changing = {*reading.changes, *handed}
    for name in dict.fromkeys((*reading.changes, *handed, *reading.uses)):
        value = names.get(name)
        if name not in names or name in _SHELLS_OWN:
            continue
        if name not in reading.changes and isinstance(value, type):
            continue
        tree = _tree(value)
        if name in changing and tree.strange:
            part = "a part of it, " if tree.values else ""
            gone.append(f"{name} ({part}a {tree.strange} can't be copied)")
        elif name in changing and tree.bytes > room:
            gone.append(f"{name} ({tree.bytes / 1e6:,.0f} MB, too large to keep)")
        if tree.bytes <= room and tree.values:
            room -= tree.bytes
            kept[name] = tree.bytes
    return kept, gone


def _is_definition(names: Mapping[str, Any], part: str) -> bool:
    """Whether the first of these names is a module, a class or a function, of which no copy is kept."""
    name = part.partition(".")[0]
    value = names.get(name, sys.modules.get(name))
    return isinstance(value, type | FunctionType) or _is_code(value)


class Before:
    """The namespace before a run of `code`."""

    def __init__(self, names: MutableMapping[str, Any], code: str) -> None:
        self._names = names
        self._kept: dict[str, Kept] = {}
        reading = read(code, names)
        kept, self.lost = _copyable(names, reading)
        self.bytes = sum(kept.values())
        self._all = {name: value for name, value in names.items() if not name.startswith("_")}
        for name in (*reading.changes, *reading.binds, *kept):
            value = names.get(name, _MISSING)
            copies = [(each, _copied(each)) for each in _tree(value).values] if name in kept else []
            self._kept.setdefault(name, Kept(value, copies))
        self._after: dict[str, tuple[int, str]] = {}
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
                elif before is not value:
                    lines.append(f"{name}: replaced, with the same shape")
            elif name not in self._all and not _is_code(value):
                lines.append(f"{name}: new, {look(value)}")
            elif before is not value and not _is_code(value):
                old = self._kept.get(name)
                was = f"{_short(old.value)} -> " if old is not None and old.value is not _MISSING else ""
                lines.append(f"{name}: {was}{look(value)}")
        lines += [f"{name}: deleted" for name in self._all if name not in self._names]
        return lines

    def close(self) -> None:
        """Note what the names are right after the run, and let go of what is as before."""
        for name in self._names.keys() | self._all.keys():
            value = self._all.get(name, _MISSING)
            if not name.startswith("_") and self._names.get(name, _MISSING) is not value:
                self._kept.setdefault(name, Kept(value))
        self._all = {}
        for name, kept in [*self._kept.items()]:
            is_bound = self._names.get(name, _MISSING) is kept.value
            if is_bound and all(_is_same(value, copy) for value, copy in kept.copies):
                del self._kept[name]
        if not self._kept:
            self.bytes = 0
        self._after = {name: self._state(name) for name in self._kept}

    def _state(self, name: str) -> tuple[int, str]:
        """Return what differs once a name is bound anew, or its value changes in place where it is kept."""
        value = self._names.get(name, _MISSING)
        return id(value), _digest(value) if self._kept[name].copies else ""

    def changed_since(self) -> list[str]:
        """Return the names that were changed since the run."""
        return [name for name, state in self._after.items() if self._state(name) != state]

    def undo(self) -> list[str]:
        """Put back all that was kept; return the names that differ from before no more."""
        back, replaced = [], dict[int, Any]()
        for kept in self._kept.values():
            for value, copy in reversed(kept.copies):
                if not _restore(value, copy, replaced):
                    replaced[id(value)] = copy
        for name, kept in self._kept.items():
            if kept.value is _MISSING:
                if name in self._names:
                    del self._names[name]
                    back.append(name)
                continue
            value = replaced.get(id(kept.value), kept.value)
            if self._names.get(name, _MISSING) is not value or kept.copies:
                self._names[name] = value
                back.append(name)
        for name, value in [*self._names.items()]:  # other names of the same value see the undo
            if id(value) in replaced and value is not replaced[id(value)]:
                self._names[name] = replaced[id(value)]
        return back


_FILES = frozenset((WRITE, DELETE, PROCESS, DYNAMIC))


def facts(code: str, names: dict[str, Any], *, stays: bool) -> list[tuple[str, str]] | None:
    """Return what reading code tells, for who decides; `None` where nobody needs to: it only looks."""
    reading = read(code, names)
    if reading.is_quiet and not stays:
        return None
    seen = []
    if reading.acts:
        seen.append(("It seems to", ", ".join(map(_infinitive, reading.acts))))
    changes = [name for name in reading.changes if name in names and not _is_code(names[name])]
    if changes:
        seen.append(("Changes in place", ", ".join(changes)))
    gone = _copyable(names, reading)[1] if stays else []
    if not _FILES.isdisjoint(reading.acts):
        gone.append(NOT_KEPT)
    if gone:
        seen.append(("Can’t be undone", ", ".join(gone)))
    return [*seen, ("Afterwards", "its names stay" if stays else "its names are dropped")]


def _infinitive(act: str) -> str:
    verb, _, rest = act.partition(" ")
    return act if verb in ("may", "is") else f"{verb.removesuffix('s')} {rest}"


MOST_COMMITS = 10
"""That can be undone, latest first."""

MOST_KEPT = 2 * MOST_BYTES
"""Bytes of what all of them keep; the latest stays whatever its size."""


class Commit:
    """What code that ran, or a turn of the agent, has changed of the names and the files; all is put back, or nothing."""

    def __init__(self, names: Before | None, files: FileChanges | None) -> None:
        self._names, self._files = names, files

    def __bool__(self) -> bool:
        return self._names is not None or bool(self._files)

    @property
    def bytes(self) -> int:
        return (self._names.bytes if self._names else 0) + (self._files.bytes if self._files else 0)

    def changed_since(self) -> list[str]:
        """Return the names and files that somebody changed since."""
        names = self._names.changed_since() if self._names else []
        return [*names, *(self._files.changed_since() if self._files else [])]

    def conflict(self) -> str:
        """Show as a diff what was changed in files since."""
        return self._files.conflict() if self._files else ""

    def undo(self) -> tuple[list[str], list[str]]:
        """Put back what is kept; return what was, and what could not be."""
        back, left = [], []
        if self._names:
            back, left = self._names.undo(), [*self._names.lost]
        if self._files:
            lost = self._files.lost
            back += self._files.undo()
            named = tuple(self._files.left)
            left += lost + [name for name in named if not any(each.startswith(name) for each in lost)]
        return back, left


def remember(committed: list[Commit], commit: Commit) -> None:
    """Add what can be undone, and forget the oldest beyond the bounds."""
    committed.append(commit)
    del committed[:-MOST_COMMITS]
    while len(committed) > 1 and sum(each.bytes for each in committed) > MOST_KEPT:
        del committed[0]


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
            is_small = rows * max(1, len(columns)) <= MOST_CELLS
            return Look(kind, rows, columns, _nulls(value) if is_small else None)
        if _is_array(value):
            return Look(kind, text=f"{kind} {tuple(value.shape)} {value.dtype}")
        if isinstance(value, list | dict | set | frozenset | tuple):
            return Look(kind, text=f"{kind} of {len(value):,}")
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


_TABLES = ("pandas.DataFrame", "polars.DataFrame", "geopandas.GeoDataFrame")
_ARRAYS = ("numpy.ndarray", "pandas.Series", "polars.Series", "torch.Tensor")


def _is_table(value: Any) -> bool:
    return f"{_root(value)}.{type(value).__name__}" in _TABLES


def _is_array(value: Any) -> bool:
    return f"{_root(value)}.{type(value).__name__}" in _ARRAYS


def _is_data(value: Any) -> bool:
    return _is_table(value) or _is_array(value) or isinstance(value, list | dict | set | tuple | frozenset)


def _is_code(value: Any) -> bool:
    return type(value).__name__ == "module"


class Tree(NamedTuple):
    """A value and what it holds, as far as it can be copied, the outermost first; `strange`: what can't be."""

    values: list[Any]
    bytes: int
    strange: str = ""


_ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None), range, slice, FunctionType, type))
_IMMUTABLE = frozenset(
    "datetime date time timedelta Decimal Fraction UUID WindowsPath Timestamp Timedelta NaTType module "
    "Pattern PosixPath ufunc".split()
)


def _tree(value: Any) -> Tree:
    """Walk through a value, up to a bound."""
    values, size, seen, strange = list[Any](), 0, set[int](), ""
    waiting = [value]
    if isinstance(value, FunctionType):  # which may change what it holds
        waiting = [*(value.__defaults__ or ()), *_held(value)]
    while waiting and size <= MOST_BYTES:
        each = waiting.pop()
        if isinstance(each, BuiltinFunctionType | MethodType):
            waiting.append(each.__self__)
            continue
        if type(each) in _ATOMS or id(each) in seen or _is_fixed(each):
            continue
        seen.add(id(each))
        if (own := _size(each)) is None:
            strange = strange or type(each).__name__
            continue
        size += own
        values.append(each)
        if isinstance(each, Mapping):
            each = each.values()
        elif not isinstance(each, _CONTAINERS):
            each = _objects(each)
        waiting += [part for part in each if type(part) not in _ATOMS]
    return Tree(values, size, strange)


def _held(function: FunctionType) -> Iterator[Any]:
    """Yield what a function has of the one that has made it."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # empty
            yield cell.cell_contents


_CONTAINERS = (list, tuple, set, frozenset, deque)


def _is_fixed(value: Any) -> bool:
    return type(value).__name__ in _IMMUTABLE or (
        _root(value) == "numpy"
        and not hasattr(value, "__setitem__")
        and not hasattr(value, "standard_normal")  # a generator of random numbers, which moves on
    )


def _objects(value: Any) -> list[Any]:
    """Return what stands in the cells of a table or an array that may hold anything."""
    with suppress(Exception):  # of a library, of any version
        if _is_table(value) and _root(value) != "polars":
            columns = [value[name] for name, kind in value.dtypes.items() if str(kind) == "object"]
        else:
            columns = [value] if str(getattr(value, "dtype", "")) == "object" else []
        flat = [column.ravel() if hasattr(column, "ravel") else column for column in columns]
        holds = (any(type(each) not in _ATOMS for each in islice(column, MOST_LOOKED_AT)) for column in flat)
        return [each for column, is_mixed in zip(flat, holds, strict=True) if is_mixed for each in column]
    return []


def _size(value: Any) -> int | None:
    """Return about how many bytes a copy takes, without what it holds; `None` for what can't be copied in full."""
    with suppress(Exception):
        if _root(value) == "polars" and hasattr(value, "clone"):
            return 0  # its values never change; only a frame's list of columns does
        if _is_table(value):
            return int(value.memory_usage(deep=False).sum()) if hasattr(value, "memory_usage") else None
        if _is_array(value):
            return int(value.nbytes)
    is_known = isinstance(value, (*_CONTAINERS, dict, bytearray)) and type(value).__module__ != "__main__"
    return sys.getsizeof(value) if is_known else None


def _copied(value: Any) -> Any:
    if _root(value) == "torch":
        return value.detach().clone()
    if _root(value) == "polars":
        return value.clone()
    if _root(value) == "numpy":
        copy = value.copy()
        copy.flags.writeable = value.flags.writeable
        return copy
    return value.copy() if hasattr(value, "copy") else value


def _is_same(value: Any, copy: Any) -> bool:
    """Whether a value is as it was copied, as far as that is told surely; what it holds is looked at itself."""
    with suppress(Exception):  # of a library, of any version
        if isinstance(value, dict):
            value, copy = [*value.keys(), *value.values()], [*copy.keys(), *copy.values()]
        if isinstance(value, _CONTAINERS) and not isinstance(value, set | frozenset):
            return len(value) == len(copy) and all(a is b for a, b in zip(value, copy, strict=True))
        if _root(value) in ("pandas", "geopandas"):
            axes = zip(value.axes, copy.axes, strict=True)
            is_named = all(a.equals(b) and list(a.names) == list(b.names) for a, b in axes)
            return is_named and bool(value.equals(copy)) and value.attrs == copy.attrs
        if _root(value) == "polars":
            return bool(value.equals(copy, null_equal=True)) and look(value) == look(copy)
        if _root(value) == "numpy":
            about = [(each.dtype, each.shape, each.flags.writeable) for each in (value, copy)]
            if value.dtype.hasobject:
                return about[0] == about[1] and all(
                    a is b for a, b in zip(value.flat, copy.flat, strict=True)
                )
            return about[0] == about[1] and bool(value.tobytes() == copy.tobytes())
        return bool(value == copy)
    return False


def _digest(value: Any) -> str:
    """Return what differs once a value has changed, as far as it is told fast."""
    tree = _tree(value)
    with suppress(Exception):  # of a library, of any version
        if tree.bytes <= MOST_DIGESTED and not tree.strange:
            return hashlib.blake2b(pickle.dumps(value)).hexdigest()
    return str(look(value))


def _restore(value: Any, copy: Any, replaced: Mapping[int, Any]) -> bool:
    """Give a value its former content, where that can be; what it held may be replaced itself."""

    def former(each: Any) -> Any:
        return replaced.get(id(each), each)

    if isinstance(value, list | deque):
        value.clear()
        value.extend(map(former, copy))
    elif isinstance(value, dict):
        value.clear()
        value.update({name: former(each) for name, each in copy.items()})
    elif isinstance(value, set):
        value.clear()
        value.update(copy)
    elif isinstance(value, bytearray):
        value[:] = copy
    elif _root(value) in ("numpy", "pandas", "geopandas", "polars"):
        with suppress(Exception):  # of a library, of any version
            _refill(value, copy)
        return _is_same(value, copy)
    else:
        return isinstance(value, tuple | frozenset)
    return True


def _refill(value: Any, copy: Any) -> None:
    """Give the value of a library its former content, where it stands: others may hold it."""
    if _root(value) == "numpy":
        if value.dtype != copy.dtype:
            value.dtype = copy.dtype
        if value.shape != copy.shape:
            value.shape = copy.shape
        value.flags.writeable = True
        value[...] = copy
        value.flags.writeable = copy.flags.writeable
    elif _root(value) == "polars":
        inner = "_df" if _is_table(value) else "_s"
        setattr(value, inner, getattr(copy, inner))
    else:
        value._update_inplace(copy)
        value.attrs = copy.attrs
        if hasattr(value, "name"):
            value.name = copy.name
