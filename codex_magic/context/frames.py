"""Tables of every library, by what their objects offer: each column with its type and its statistics, then a few rows.

What would be computed to be seen is not seen: a lazy table is its schema. A table of many cells is sampled, and
what a budget can't hold is left out in the middle, where the text says so.
"""

from __future__ import annotations

import csv
import io
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .registry import Look, mro, names, register, type_name
from .short import cut, is_null, short
from .tokens import estimate

SAMPLE = 10_000
"""Rows that statistics are made of where there are too many of them."""

MOST_ROWS = 1_000_000
MOST_CELLS = 2_000_000
"""Beyond either, a table is sampled: a question waits for what is counted."""

HARMLESS = {*"str int float bool datetime.date datetime.datetime decimal.Decimal uuid.UUID".split()}
"""Types of objects in a column whose hashes are known to end."""

EDGE_COLUMNS = 30
"""At each side of a wide table that get statistics; more never fit."""

STATISTICS_SECONDS = 1.0
"""For all columns; those after it have none."""

COLUMNS_SHARE = 0.65
"""Of the budget for the columns; what they leave is for rows."""

OTHER_TOKENS = 100
"""Of the budget for the lines around the columns and the rows."""

CELL = 40
"""Characters of a value in a row."""

SAMPLES = 3
"""Values of a column without an order."""

ORDERED = re.compile("u?int|float|decimal|double|datetime|timestamp|timedelta|duration|date|period")
"""Types of columns whose values have a least and a greatest one that say more than samples."""

NAMED = 12
"""Columns up to which rows repeat the names; the columns stand right above them."""

TYPES = 100
"""Entries of a column of objects whose types are looked at."""


@dataclass(frozen=True)
class Column:
    nulls: int
    distinct: int | None = None
    ends: Sequence[Any] = ()
    """The least, the median and the greatest value."""
    samples: Sequence[Any] = ()
    kinds: Sequence[str] = ()
    """Of a column of objects: the types of what it holds."""

    def forms(self) -> list[str]:
        """What is said of it where there is room, and where there is less."""
        nulls = [f"{self.nulls:,} null"] if self.nulls else []
        distinct = [f"{self.distinct:,} distinct"] if self.distinct is not None else []
        ends = [short(each, CELL) for each in self.ends if each is not None]
        samples = [short(each, 24) for each in self.samples[:SAMPLES]]
        held = f"holds {' | '.join(self.kinds[:SAMPLES])}" if self.kinds else ""
        long = " .. ".join(ends) or " | ".join(samples) or held
        brief = " .. ".join([*ends[:1], *ends[-1:]]) if ends else " | ".join(samples[:2])
        return [", ".join([*nulls, *distinct, *([long] if long else [])]), ", ".join([*nulls, brief])]


@dataclass(frozen=True)
class Table:
    """A table as its library's adapter hands it over; what costs time are functions."""

    rows: int
    names: list[str]
    types: list[str]
    column: Callable[[int], Column]
    first: Callable[[list[int], int], list[list[Any]]]
    """Rows of some of the columns."""
    sampled: int = 0
    """Rows of the sample, or 0 where the statistics are of all rows."""
    facts: tuple[str, ...] = ()


@register("pandas.DataFrame", "modin.DataFrame", "cudf.DataFrame")
@register("pandas.Series", "modin.Series", "cudf.Series")
def pandas_frame(value: Any, look: Look) -> Iterator[str]:
    yield _title(value)
    yield from _lines(_pandas_table(value if len(value.shape) > 1 else value.to_frame(), look), look)


@register("geopandas.GeoDataFrame", "geopandas.GeoSeries")
def geo_frame(value: Any, look: Look) -> Iterator[str]:
    lines = pandas_frame(value, look)
    yield next(lines)
    yield f"CRS: {short(value.crs.name if value.crs is not None else None)}"
    yield from lines


@register("shapely.BaseGeometry")
def geometry(value: Any, look: Look) -> str:
    return f"{type_name(value)} {cut(value.wkt, 200)}" if look.rows else type_name(value)


@register("pandas.Index", "modin.Index", "cudf.Index", "cudf.BaseIndex")
def pandas_index(value: Any, look: Look) -> Iterator[str]:
    rows = value.shape[0]
    yield f"{type_name(value)}, {rows:,} entries, {_index(value, look)}"
    if look.rows:
        yield f"first: {', '.join(short(each, CELL) for each in value[: look.rows * 2].tolist())}"


def _pandas_table(value: Any, look: Look) -> Table:
    rows, width = value.shape
    step = _step(rows, width)
    sample = value.iloc[::step] if step else value
    return Table(
        rows=rows,
        names=[_column_name(each) for each in value.columns],
        types=[str(each) for each in value.dtypes],
        column=lambda at: _pandas_column(sample.iloc[:, at]),
        first=lambda chosen, count: [
            list(cells)
            for cells in zip(*(value.iloc[:count, at].astype(object) for at in chosen), strict=True)
        ],
        sampled=sample.shape[0] if step else 0,
        facts=(f"index: {_index(value.index, look)}",),
    )


def _index(index: Any, look: Look) -> str:
    name = type_name(index).rpartition(".")[2]
    levels = getattr(index, "nlevels", 1)
    named = [_column_name(each) for each in index.names if each is not None]
    words = [name, *([str(index.dtype)] if levels == 1 else [f"{levels} levels"])]
    words += [f"named {', '.join(named)}"] if named else []
    if look.rows and index.shape[0]:
        words.append(f"{short(index[0], CELL)} .. {short(index[-1], CELL)}")
    return ", ".join(words)


def _pandas_column(series: Any) -> Column:
    nulls = int(series.isna().sum())
    kind = str(series.dtype)
    present = series.dropna() if nulls else series
    if kind == "object" and (mixed := _types(present.iloc[:TYPES].tolist())):
        return Column(nulls, kinds=mixed)
    if not present.shape[0]:
        return Column(nulls)
    unique = _attempt(present.unique)
    distinct = None if unique is None else len(unique)
    if not ORDERED.match(kind.lower()):
        return Column(nulls, distinct, samples=[*(unique if unique is not None else present.iloc)[:SAMPLES]])
    ends = [_attempt(present.min), _attempt(present.median), _attempt(present.max)]
    return Column(nulls, None if "float" in kind.lower() else distinct, ends)


@register("polars.DataFrame", "polars.Series")
def polars_frame(value: Any, look: Look) -> Iterator[str]:
    yield _title(value)
    yield from _lines(_polars_table(value if len(value.shape) > 1 else value.to_frame()), look)


def _polars_table(value: Any) -> Table:
    rows, width = value.shape
    step = _step(rows, width)
    sample = value.gather_every(step) if step else value
    return Table(
        rows=rows,
        names=list(value.columns),
        types=[_dtype(each) for each in value.dtypes],
        column=lambda at: _polars_column(sample.to_series(at)),
        first=lambda chosen, count: [list(each) for each in value[:count, chosen].rows()],
        sampled=sample.height if step else 0,
    )


def _polars_column(series: Any) -> Column:
    nulls = int(series.null_count())
    present = series.drop_nulls()
    if str(series.dtype) == "Object":
        return Column(nulls, kinds=_types(present[:TYPES].to_list()))
    unique = _attempt(lambda: present.unique(maintain_order=True))
    distinct = None if unique is None else unique.len()
    if not (series.dtype.is_numeric() or series.dtype.is_temporal()):
        samples = (present if unique is None else unique)[:SAMPLES].to_list()
        return Column(nulls, distinct, samples=samples)
    ends = [_attempt(present.min), _attempt(present.median), _attempt(present.max)]
    return Column(nulls, None if series.dtype.is_float() else distinct, ends)


@register("pyarrow.Table", "pyarrow.RecordBatch")
def arrow_table(value: Any, look: Look) -> Iterator[str]:
    rows, width = value.shape
    yield _title(value)
    most = min(SAMPLE, MOST_CELLS // 4 // max(min(width, 2 * EDGE_COLUMNS), 1))
    blocks = [(0, rows)] if rows <= most else [(rows * at // 10, most // 10) for at in range(10)]

    def column(at: int) -> Column:
        own = value.column(at)
        held = [each for begin, count in blocks for each in own.slice(begin, count).to_pylist()]
        return _python_column(held, own.null_count)

    table = Table(
        rows=rows,
        names=list(value.schema.names),
        types=[_dtype(each) for each in value.schema.types],
        column=column,
        first=lambda chosen, count: [
            list(cells)
            for cells in zip(*(value.column(at).slice(0, count).to_pylist() for at in chosen), strict=True)
        ],
        sampled=0 if rows <= most else sum(count for _, count in blocks),
    )
    yield from _lines(table, look)


@register("pyarrow.ChunkedArray", "pyarrow.Array")
def arrow_array(value: Any, look: Look) -> Iterator[str]:
    yield f"{type_name(value)}, {len(value):,} entries of {_dtype(value.type)}, {value.null_count:,} null"
    if look.rows:
        yield f"first: {', '.join(short(each, CELL) for each in value.slice(0, look.rows * 2).to_pylist())}"


def _python_column(held: list[Any], nulls: int) -> Column:
    present = [each for each in held if each is not None]
    try:
        unique = dict.fromkeys(present)
    except TypeError:  # lists and dicts
        return Column(nulls, samples=present[:SAMPLES])
    if not unique or type(present[0]) in (str, bool, bytes):
        return Column(nulls, len(unique), samples=[*unique][:SAMPLES])
    ordered = sorted(present)
    numeric = type(ordered[0]) in (int, float)
    middle = statistics.median(ordered) if numeric else ordered[len(ordered) // 2]
    distinct = None if type(ordered[0]) is float else len(unique)
    return Column(nulls, distinct, [ordered[0], middle, ordered[-1]])


SCHEMAS: dict[str, Callable[[Any], Iterable[tuple[Any, Any]]]] = {
    "polars.LazyFrame": lambda value: value.collect_schema().items(),
    "dask.DataFrame": lambda value: value._meta.dtypes.items(),
    "dask_expr.DataFrame": lambda value: value._meta.dtypes.items(),
    "dask_expr.Series": lambda value: [(value._meta.name, value._meta.dtype)],
    "dask.Series": lambda value: [(value._meta.name, value._meta.dtype)],
    "pyspark.DataFrame": lambda value: value.dtypes,
    "ibis.Table": lambda value: value.schema().items(),
    "duckdb.DuckDBPyRelation": lambda value: zip(value.columns, value.types, strict=True),
    "_duckdb.DuckDBPyRelation": lambda value: zip(value.columns, value.types, strict=True),
}
"""Of tables that are not there yet: their columns and types, without computing anything."""


@register(*SCHEMAS)
def lazy(value: Any, look: Look) -> Iterator[str]:
    schema = next(SCHEMAS[name] for cls in mro(value) for name in names(cls) if name in SCHEMAS)
    lines = [f"{_column_name(name)} {cut(_dtype(kind), CELL)}" for name, kind in schema(value)]
    yield f"{type_name(value)}, lazy, {len(lines):,} columns; not computed"
    yield "columns:\n" + "\n".join(_fit([[line] * 3 for line in lines], look.tokens - OTHER_TOKENS)[1])


def _lines(table: Table, look: Look) -> Iterator[str]:
    """The columns as far as they fit, the ones in the middle shorter or left out, then rows of those shown."""
    yield from table.facts
    if table.sampled and look.rows:
        yield f"statistics of {table.sampled:,} sampled rows:"
    shown, lines = _fit(_column_forms(table, look), round(look.tokens * COLUMNS_SHARE))
    text = "columns:\n" + "\n".join(lines) if lines else "no columns"
    yield text
    if look.rows and table.rows and shown:
        yield from _rows(table, shown, look, look.tokens - estimate(text) - OTHER_TOKENS)


def _column_forms(table: Table, look: Look) -> list[list[str]]:
    """Each column in full, in fewer words, and by name and type alone."""
    width = len(table.names)
    deadline = time.monotonic() + STATISTICS_SECONDS
    forms = []
    for at, (name, kind) in enumerate(zip(table.names, table.types, strict=True)):
        brief = f"{cut(name, CELL)} {cut(kind, CELL)}"
        column = None
        edge = at < EDGE_COLUMNS or at >= width - EDGE_COLUMNS
        if look.rows and edge and time.monotonic() < deadline:
            column = _attempt(partial(table.column, at))
        said = column.forms() if column else ["", ""]
        forms.append([f"{brief}: {each}" if each else brief for each in said] + [brief])
    return forms


def _fit(forms: list[list[str]], tokens: int) -> tuple[list[int], list[str]]:
    """Which columns are shown, and their lines within `tokens`: those in the middle give way first."""
    cost = {form: estimate(form + "\n") for each in forms for form in {*each}}
    costs = [[*map(cost.__getitem__, each), 0] for each in forms]
    over = sum(each[0] for each in costs) - tokens
    chosen = [0] * len(forms)
    from_middle = sorted(range(len(forms)), key=lambda at: abs(2 * at - len(forms)))
    for level in (1, 2, 3):
        if level == 3 and over > 0:
            over += 12  # the line about what is left out
        for at in from_middle:
            if over > 0:
                over -= costs[at][level - 1] - costs[at][level]
                chosen[at] = level
    shown = [at for at, level in enumerate(chosen) if level < 3]
    lines = [forms[at][chosen[at]] for at in shown]
    if len(shown) < len(forms):
        lines.insert(chosen.index(3), f"… {len(forms) - len(shown):,} more columns …")
    return shown, lines


def _rows(table: Table, shown: list[int], look: Look, tokens: int) -> Iterator[str]:
    cells = _attempt(lambda: table.first(shown, min(look.rows, table.rows))) or []
    shown_as = partial(short, longest=CELL, depth=1, quote=False)
    texts = [["" if is_null(each) else shown_as(each) for each in row] for row in cells]
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    for row in ([table.names[at] for at in shown], *texts):
        writer.writerow([cell.replace("\0", " ") for cell in row])  # Python 3.10 can't write it
    header, *lines = made.getvalue().splitlines()
    kept = [header] if len(shown) <= NAMED else []
    names = len(kept)
    for line in lines:
        if estimate("\n".join([*kept, line])) > tokens:
            break
        kept.append(line)
    if len(kept) > names:
        yield "\n".join([f"first {len(kept) - names} of {table.rows:,} rows:", *kept])


def _attempt(call: Callable[[], Any]) -> Any:
    """What a library's method returns; None where values have no order, no hash or no median."""
    try:
        return call()
    except Exception:  # noqa: BLE001 - each library raises its own for it
        return None


def _types(held: list[Any]) -> list[str]:
    """The types of what a column of objects holds, if that is more than texts."""
    kinds = [*dict.fromkeys(map(type_name, held))]
    return kinds if {*kinds} - HARMLESS else []


def _column_name(name: Any) -> str:
    if type(name) is str:
        return cut(" ".join(name[: 2 * CELL].split()), CELL)
    return " / ".join(map(_column_name, name)) if type(name) is tuple else short(name, CELL, quote=False)


def _dtype(kind: Any) -> str:
    """The type without the values that it names, as an enumeration does."""
    return re.sub(r"\((categories|ordered)=.*", "", str(kind)[:200], flags=re.DOTALL)


def _title(value: Any) -> str:
    rows, *columns = value.shape
    return f"{type_name(value)}, {rows:,} rows{f' × {columns[0]:,} columns' if columns else ''}"


def _step(rows: int, columns: int) -> int:
    """Every how many rows one is sampled; 0 for all of them."""
    if rows <= MOST_ROWS and rows * min(columns, 2 * EDGE_COLUMNS) <= MOST_CELLS:
        return 0
    return max(rows // SAMPLE, 1)
