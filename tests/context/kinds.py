"""Values of every kind that a notebook holds, each with the word `canary` in what it holds if it holds anything.

Libraries that a check can't install for their size are imitated by classes of the same qualified name and the same
attributes: torch, jax, pyspark, ibis, geopandas, modin.
"""

from __future__ import annotations

import array
import collections
import concurrent.futures
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import logging
import math
import operator
import pathlib
import re
import socket
import threading
import types
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from PIL import Image

CANARY = "canary"

attrs = pytest.importorskip("attrs")
dask = pytest.importorskip("dask")
duckdb = pytest.importorskip("duckdb")
np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
scipy_sparse = pytest.importorskip("scipy.sparse")
xarray = pytest.importorskip("xarray")


class Color(enum.Enum):
    RED = CANARY


class Point(NamedTuple):
    x: int
    label: str


@dataclasses.dataclass
class Order:
    number: int
    customer: str


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("customer",)
    customer: str


Item = attrs.make_class("Item", ["price", "title"])


class Person(pydantic.BaseModel):
    name: str
    password: pydantic.SecretStr


class Packed(msgspec.Struct):
    label: str


class Plain:
    """Holds one thing."""

    def __init__(self, held: Any = CANARY) -> None:
        self.held = held

    def method(self) -> str:
        return "one"

    @property
    def computed(self) -> str:
        raise AssertionError("a property was run")


def function(number: int, factor: float = 2.0) -> float:
    """Multiply."""
    return number * factor


def generator() -> Iterator[str]:
    yield CANARY
    yield "second"


async def coroutine() -> str:
    return CANARY


async def async_generator() -> AsyncIterator[str]:
    yield CANARY


def recursive_list() -> list[Any]:
    held: list[Any] = [CANARY]
    held.append(held)
    return held


def recursive_dict() -> dict[str, Any]:
    held: dict[str, Any] = {"text": CANARY}
    held["self"] = held
    return held


def fail() -> None:
    try:
        [][1]
    except IndexError as error:
        raise ValueError(CANARY) from error


def raised() -> BaseException:
    with pytest.raises(ValueError, match=CANARY) as info:
        fail()
    return info.value


def closing_socket() -> socket.socket:
    made = socket.socket()
    made.close()
    return made


KEPT = Plain()


def module_of(name: str, **held: Any) -> types.ModuleType:
    made = types.ModuleType(name, "Tools of one kind.")
    vars(made).update(held, setting=CANARY)
    return made


BUILTIN: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "bool": lambda: True,
    "int": lambda: 7,
    "int of 5,000 digits": lambda: 10**5000,
    "float": lambda: math.pi,
    "nan": lambda: math.nan,
    "complex": lambda: 1 + 2j,
    "str": lambda: CANARY,
    "str of controls": lambda: f"\x1b[31m{CANARY}\x00\u202e\ud800\x07",
    "str of a megabyte": lambda: CANARY + "word " * 200_000 + "the end",
    "bytes": lambda: CANARY.encode() * 1000,
    "bytearray": lambda: bytearray(CANARY.encode()),
    "memoryview": lambda: memoryview(CANARY.encode()),
    "list": lambda: [CANARY, 1, None],
    "list of a million": lambda: [CANARY] * 1_000_000,
    "list of dicts": lambda: [{"name": CANARY, "score": 1.5}] * 50,
    "list in itself": recursive_list,
    "list in lists": lambda: [[[[[[CANARY]]]]]],
    "empty list": list,
    "tuple": lambda: (CANARY, 1),
    "namedtuple": lambda: Point(1, CANARY),
    "set": lambda: {CANARY},
    "frozenset": lambda: frozenset({CANARY}),
    "dict": lambda: {"a": CANARY, "b": [1, 2]},
    "dict of a million": lambda: dict.fromkeys(range(1_000_000), CANARY),
    "dict in itself": recursive_dict,
    "dict by odd keys": lambda: {(1, 2): CANARY, None: 1, 3.5: 2},
    "defaultdict": lambda: collections.defaultdict(list, a=[CANARY]),
    "OrderedDict": lambda: collections.OrderedDict(a=CANARY),
    "Counter": lambda: collections.Counter([CANARY]),
    "ChainMap": lambda: collections.ChainMap({"a": CANARY}),
    "deque": lambda: collections.deque([CANARY] * 100),
    "range": lambda: range(10**12),
    "dict keys": lambda: {CANARY: 1}.keys(),
    "mappingproxy": lambda: types.MappingProxyType({"a": CANARY}),
    "array": lambda: array.array("d", [1.5] * 1000),
    "Decimal": lambda: decimal.Decimal("1.10"),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "datetime": lambda: datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc),
    "date": lambda: datetime.date(2026, 3, 1),
    "timedelta": lambda: datetime.timedelta(hours=3),
    "UUID": lambda: uuid.UUID(int=7),
    "Path": lambda: pathlib.Path("folder") / CANARY,
    "Pattern": lambda: re.compile(CANARY),
    "Match": lambda: re.match("c", "c"),
    "enum": lambda: Color,
    "enum member": lambda: Color.RED,
    "dataclass": lambda: Order(1, CANARY),
    "dataclass with slots": lambda: Slotted(CANARY),
    "attrs": lambda: Item(1.0, CANARY),
    "pydantic": lambda: Person(name=CANARY, password=pydantic.SecretStr("hidden word")),
    "msgspec": lambda: Packed(CANARY),
    "namespace": lambda: types.SimpleNamespace(a=CANARY),
    "object": object,
    "object of a class": Plain,
    "function": lambda: function,
    "lambda": lambda: lambda number: number + 1,
    "method": lambda: Plain("x").method,
    "built-in function": lambda: math.sqrt,
    "partial": lambda: functools.partial(function, factor=3.0),
    "itemgetter": lambda: operator.itemgetter("a"),
    "class": lambda: Plain,
    "built-in class": lambda: dict,
    "module": lambda: module_of("tools", function=function),
    "exception": raised,
    "generator": generator,
    "generator expression": lambda: (each for each in [CANARY]),
    "async generator": async_generator,
    "iterator": lambda: iter([CANARY]),
    "map": lambda: map(str, [CANARY]),
    "StringIO": lambda: io.StringIO(CANARY),
    "lock": threading.Lock,
    "event": threading.Event,
    "socket": closing_socket,
    "future": concurrent.futures.Future,
    "logger": lambda: logging.getLogger("tools"),
    "weak reference": lambda: weakref.ref(KEPT),
    "weak proxy": lambda: weakref.proxy(KEPT),
    "dead reference": lambda: weakref.ref(Plain()),
    "NotImplemented": lambda: NotImplemented,
}


def frame(rows: int = 20) -> Any:
    return pd.DataFrame(
        {
            "number": range(rows),
            "share": [each / 7 for each in range(rows)],
            "city": [CANARY, None] * (rows // 2),
            "kind": pd.Categorical([CANARY, "other"] * (rows // 2)),
            "day": pd.date_range("2026-03-01", periods=rows, tz="Europe/Berlin"),
            "maybe": pd.array([1, None] * (rows // 2), dtype="Int64"),
        }
    )


def two_levels() -> Any:
    made = frame().pivot_table(index="day", columns="kind", values=["number", "share"], observed=False)
    made.columns = pd.MultiIndex.from_tuples([("number", 1), ("number", 2), ("share", 1), ("share", 2)])
    return made


def imitation(name: str, *bases: type, **held: Any) -> Any:
    """An object of a class with the qualified name of a library's class."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, bases, {"__module__": module, **held})()


def fitted(**parameters: Any) -> Any:
    linear = pytest.importorskip("sklearn.linear_model")
    return linear.Ridge(**parameters).fit([[0.0], [1.0]], [0.0, 1.0])


def drawn() -> Any:
    figures = pytest.importorskip("matplotlib.figure")
    made = figures.Figure()
    axes = made.subplots()
    axes.plot([1, 2, 3], label=CANARY)
    axes.set_title("Sales")
    axes.legend()
    return made


def plotted() -> Any:
    graphs = pytest.importorskip("plotly.graph_objects")
    return graphs.Figure([graphs.Scatter(y=[1, 2, 3], name=CANARY)], {"title": {"text": "Sales"}})


def charted() -> Any:
    altair = pytest.importorskip("altair")
    return altair.Chart(frame(), title=CANARY).mark_bar().encode(x="number:Q", y="share:Q")


class Sized(NamedTuple):
    shape: tuple[int, ...]

    def tolist(self) -> list[Any]:
        return [0.5] * 4

    def __getitem__(self, key: Any) -> Any:
        return self


def layer() -> Any:
    class Module:
        __module__ = "torch.nn.modules.module"
        __qualname__ = "Module"

        def __init__(self, **modules: Any) -> None:
            self.training = True
            self._parameters = {} if modules else {"weight": Sized((3, 4))}
            self._modules = modules

    return Module(first=Module(), second=Module())


def lazy_columns(names: str) -> list[tuple[str, str]]:
    return [(name, "string") for name in names.split()]


LIBRARIES: dict[str, Callable[[], Any]] = {
    "pandas frame": frame,
    "pandas frame of no rows": lambda: frame().iloc[:0],
    "pandas frame of no columns": lambda: frame()[[]],
    "pandas frame of nulls": lambda: pd.DataFrame({"a": [None] * 5, "b": [math.nan] * 5}),
    "pandas frame of 1,000 columns": lambda: pd.DataFrame(np.zeros((50, 1000))),
    "pandas frame of two levels": two_levels,
    "pandas frame of equal names": lambda: pd.DataFrame([[1, CANARY]], columns=["a", "a"]),
    "pandas frame of odd names": lambda: pd.DataFrame([[1, 2, CANARY]], columns=[None, 3, (1, "b")]),
    "pandas frame of objects": lambda: pd.DataFrame({"a": [frame(), {"b": CANARY}, [1], Plain()]}),
    "pandas series": lambda: frame()["city"],
    "pandas index": lambda: pd.Index([CANARY, "b"], name="letters"),
    "pandas multiindex": lambda: pd.MultiIndex.from_product([[CANARY, "b"], [1, 2]]),
    "pandas timestamp": lambda: pd.Timestamp("2026-03-01"),
    "pandas groupby": lambda: frame().groupby("number"),
    "pandas dtype": lambda: pd.CategoricalDtype([CANARY]),
    "polars frame": lambda: pl.DataFrame({"a": [1, None, 3], "b": [CANARY, "y", "z"], "c": [[1], [2], None]}),
    "polars enumeration": lambda: pl.DataFrame({"a": pl.Series([CANARY], dtype=pl.Enum([CANARY, "other"]))}),
    "polars series": lambda: pl.Series("a", [1.5, 2.5]),
    "polars lazy frame": lambda: pl.DataFrame({"a": [CANARY]}).lazy(),
    "polars expression": lambda: pl.col("a") + 1,
    "arrow table": lambda: pa.table({"a": [1, None, 3], "b": [CANARY, "y", "z"], "c": [[1], [2], None]}),
    "arrow array": lambda: pa.array([CANARY, None]),
    "duckdb relation": lambda: duckdb.sql("select 1 as a, 'canary' as b"),
    "duckdb connection": duckdb.connect,
    "dask frame": lambda: pytest.importorskip("dask.dataframe").from_pandas(frame(), npartitions=2),
    "dask array": lambda: pytest.importorskip("dask.array").ones((100, 100), chunks=(50, 50)),
    "modin frame": lambda: imitation("modin.pandas.dataframe.DataFrame", pd.DataFrame),
    "geopandas frame": lambda: imitation("geopandas.geodataframe.GeoDataFrame", pd.DataFrame, crs=None),
    "spark frame": lambda: imitation("pyspark.sql.classic.dataframe.DataFrame", dtypes=lazy_columns("a b")),
    "ibis table": lambda: imitation("ibis.expr.types.relations.Table", schema=lambda self: {"a": "int64"}),
    "numpy array": lambda: np.arange(100.0).reshape(10, 10),
    "numpy array of no values": lambda: np.zeros((0, 3)),
    "numpy array of texts": lambda: np.array([CANARY, "b"]),
    "numpy array of fields": lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
    "numpy array of one value": lambda: np.array(3),
    "numpy array of a gigabyte": lambda: np.broadcast_to(np.float64(1), (1000, 1000, 1000)),
    "numpy scalar": lambda: np.float32(0.1),
    "numpy date": lambda: np.datetime64("2026-03-01"),
    "sparse matrix": lambda: scipy_sparse.random_array((1000, 1000), density=0.01),
    "xarray dataset": lambda: xarray.Dataset({"t": ("x", [1.0, 2.0])}, {"x": [10, 20]}, {"source": CANARY}),
    "xarray array": lambda: xarray.DataArray([1.0, 2.0], [("x", [10, 20])], name="t"),
    "estimator": lambda: fitted(alpha=2.0),
    "estimator before its fit": lambda: pytest.importorskip("sklearn.linear_model").Ridge(),
    "pipeline": lambda: pytest.importorskip("sklearn.pipeline").make_pipeline(fitted(), fitted()),
    "torch tensor": lambda: imitation(
        "torch.Tensor", shape=(4,), dtype="torch.float32", device="cuda:0", tolist=0
    ),
    "jax array": lambda: imitation(
        "jaxlib._jax.ArrayImpl", Sized, __new__=lambda cls: Sized.__new__(cls, (4,)), dtype="float32"
    ),
    "torch module": layer,
    "matplotlib figure": drawn,
    "matplotlib axes": lambda: drawn().axes[0],
    "plotly figure": plotted,
    "altair chart": charted,
    "PIL image": lambda: Image.new("RGB", (2000, 1000)),
}
