"""What a large table costs that a question mentions: 10 million rows of 30 columns, beside one full pass over it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from codex_magic.context.describe import describe
from codex_magic.context.tokens import estimate
from tests.benchmarks.measuring import MS, Row, ratio, row, shown

ROWS = 10_000_000
BAR = 1
"""Of `df.isna().sum()`, one pass over all values, which takes some 300 ms."""
BAR_TOKENS = 900
ROUNDS = 5


def main() -> None:
    for measured in measure(frame()):
        print(json.dumps(measured), flush=True)


def frame() -> Any:
    numpy, pandas = import_module("numpy"), import_module("pandas")
    made = numpy.random.default_rng(0)
    values = made.standard_normal(ROWS)
    words = numpy.array(["Berlin", "Paris", "Rome"])
    columns = {f"measure_{at}": (values + at).astype("float64" if at < 4 else "float32") for at in range(12)}
    columns |= {f"count_{at}": made.integers(0, 1000, ROWS).astype("int32") for at in range(8)}
    columns |= {f"flag_{at}": made.integers(0, 2, ROWS).astype(bool) for at in range(5)}
    for at in range(3):
        codes = made.integers(0, 3, ROWS).astype("int8")
        columns[f"kind_{at}"] = pandas.Categorical.from_codes(codes, list(words))
    columns["when"] = pandas.date_range("2000-01-01", periods=ROWS, freq="s")
    columns["city"] = pandas.Series(words[made.integers(0, 3, ROWS)])
    return pandas.DataFrame(columns)


def measure(df: Any) -> Iterator[Row]:
    mine, types, passes = [], [], []
    for _ in range(ROUNDS):
        types.append(seconds(lambda: df.dtypes))
        mine.append(seconds(lambda: describe(df, name="df", seconds=60)))
        passes.append(seconds(lambda: df.isna().sum()))
    beyond = (sorted(mine)[ROUNDS // 2] - sorted(types)[ROUNDS // 2]) * MS
    size = f"{ROWS:,} rows x {df.shape[1]} columns"
    yield shown(f"describe: {size}, beyond df.dtypes", f"{beyond:.0f} ms")
    yield ratio(f"describe: {size}", "df.isna().sum()", BAR, mine, passes)
    tokens = estimate(describe(df, name="df").text)
    yield row("describe: its tokens", f"<= {BAR_TOKENS}", f"{tokens}", tokens <= BAR_TOKENS)


def seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
