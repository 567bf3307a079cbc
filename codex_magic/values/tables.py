"""Tables of the library that their user has: pandas, polars or pyarrow. None of them is imported here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import msgspec

from ..context.registry import mro, names
from ..protocol.errors import OptionError

LIBRARIES = ("pandas", "polars", "pyarrow")

NO_LIBRARY = "A table needs pandas, polars or pyarrow."
IMPORT_ONE = "Import the one that you use first, e.g. `import pandas as pd`."


def library(namespace: Mapping[str, Any] | None = None) -> str:
    """Return which library makes the tables: one that these variables hold, else one that is loaded.

    Raises OptionError where there is none.
    """
    held = {names(type(value))[1].partition(".")[0] for value in [*(namespace or {}).values()]}
    held |= {str(vars(value).get("__name__")) for value in [*(namespace or {}).values()] if _is_module(value)}
    for found in (held, sys.modules):
        if name := next((each for each in LIBRARIES if each in found), None):
            return name
    raise OptionError(NO_LIBRARY, hint=IMPORT_ONE)


def _is_module(value: object) -> bool:
    return type(value) is type(sys)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, library: str, index: Any = None) -> Any:
    """Return a DataFrame, or a pyarrow Table. `index`: of one for pandas."""
    rows, package = list(rows), sys.modules[library]
    if library == "pandas":
        return package.DataFrame(rows, columns=list(columns), index=index)
    held = {name: [row[n] for row in rows] for n, name in enumerate(columns)}
    if library == "pyarrow":
        return package.table(held)
    return package.DataFrame(held, strict=False)


def records(values: Sequence[Any], *, library: str, index: Any = None) -> Any:
    """Return a table with a column for each field of the records; `None` is a row without any."""
    plain = [_fields(value) for value in values]
    columns = list(dict.fromkeys(name for each in plain for name in each))
    rows = ([each.get(name) for name in columns] for each in plain)
    return table(columns, rows, library=library, index=index)


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a record; what is none is the column `value`."""
    if value is None:
        return {}
    if dump := getattr(value, "model_dump", None):  # pydantic's
        return dict(dump(mode="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    builtins = msgspec.to_builtins(value, enc_hook=str)
    return builtins if isinstance(builtins, dict) else {"value": builtins}


class Column:
    """What `map` is given: an iterable, a column or a table; and what its answers come back as."""

    def __init__(self, values: Any) -> None:
        kind = next((each for each in (names(cls)[1] for cls in mro(values)) if each in _KINDS), "")
        if not kind and (isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable)):
            what = f"map takes a list, a column or a table, not a {type(values).__name__}."
            raise OptionError(what, hint="For one value: `codex_magic.ask(prompt, value)`")
        self.library, self.is_table = kind.partition(".")[0], kind in _TABLES
        self._given: Any = values
        self.rows: list[Any] = _KINDS.get(kind, list)(values)

    def answers(self, values: list[Any], *, are_records: bool) -> Any:
        """Return a value for each row in the shape that was given: a list, a column with its index, a table."""
        if not self.library:
            return values
        index = getattr(self._given, "index", None) if self.library == "pandas" else None
        if are_records:
            return records(values, library=self.library, index=index)
        package = sys.modules[self.library]
        if self.library == "pyarrow":
            return package.chunked_array([package.array(values)])
        name = None if self.is_table else self._given.name
        if self.library == "pandas":
            return package.Series(values, index=index, name=name, dtype=None if values else object)
        return package.Series(name or "", values, strict=False)

    def errors(self, failures: list[dict[str, Any]]) -> Any:
        """Return what went wrong: a table beside a column or a table, else a list."""
        if not self.library:
            return failures
        columns = ["row", "error", "message"]
        return table(columns, ([each[name] for name in columns] for each in failures), library=self.library)


_KINDS: dict[str, Any] = {
    "pandas.Series": list,
    "pandas.Index": list,
    "pandas.DataFrame": lambda frame: frame.to_dict("records"),
    "polars.Series": lambda column: column.to_list(),
    "polars.DataFrame": lambda frame: frame.to_dicts(),
    "pyarrow.ChunkedArray": lambda column: column.to_pylist(),
    "pyarrow.Array": lambda column: column.to_pylist(),
    "pyarrow.Table": lambda table: table.to_pylist(),
}
"""How to read the rows of each kind."""

_TABLES = frozenset({"pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"})
