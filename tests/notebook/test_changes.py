"""What a run has changed, in words, and how it is put back."""

from __future__ import annotations

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # it has no stubs here
import polars as pl
import pytest

from codex_magic.notebook.tools.changes import Before

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


def ran(names, code):
    """Run code on the names; return what was remembered before."""
    before = Before(names, code)
    exec(code, names)
    for name in ("__builtins__", "__warningregistry__"):
        names.pop(name, None)
    return before


def frame():
    return pd.DataFrame({"price": [1.0, 2.0, 3.0], "name": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("make", "code", "line"),
    [
        (frame, "x.loc[:1, 'price'] = None", "x: nulls in price 0 -> 2"),
        (frame, "x = x[x.price > 1]", "x: 3 -> 2 rows"),
        (frame, "x['more'] = 1", "x: +1 column (more)"),
        (frame, "x = x.drop(columns=['name', 'price'])", "x: -2 columns (price, name)"),
        (frame, "x['price'] = x.price.astype(int)", "x: price float64 -> int64"),
        (frame, "x = x.sort_values('price')", "x: replaced, with the same shape"),
        (frame, "x = x.price.sum()", "x: DataFrame of 3 rows x 2 columns -> np.float64(6.0)"),
        (lambda: pl.DataFrame({"a": [1, None]}), "x = x.drop_nulls()", "x: 2 -> 1 rows, nulls in a 1 -> 0"),
        (lambda: np.zeros((2, 3)), "x = x.T", "x: ndarray (2, 3) float64 -> ndarray (3, 2) float64"),
        (lambda: [1, 2], "x.append(3)", "x: list of 2 -> list of 3"),
        (lambda: 1, "x = 2", "x: 1 -> 2"),
        (lambda: 1, "y = 'new'", "y: new, 'new'"),
        (lambda: 1, "del x", "x: deleted"),
    ],
)
def test_a_difference_is_one_line(make, code, line):
    names = {"x": make()}
    assert ran(names, code).differences() == [line]


def test_nothing_changed_is_no_line():
    names = {"x": frame(), "y": [1]}
    assert ran(names, "x.head()\nimport math").differences() == []


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (frame, "x['price'] = 0"),
        (frame, "x.drop(columns='name', inplace=True)"),
        (frame, "x.loc[0, 'price'] = 9"),
        (frame, "x = None"),
        (frame, "del x"),
        (frame, "x.columns = ['a', 'b']"),
        (frame, "x.sort_values('price', ascending=False, inplace=True)"),
        (lambda: frame().price, "x[0] = 9"),
        (lambda: pl.DataFrame({"a": [1, 2]}), "x = x.with_columns(b=1)"),
        (lambda: np.arange(4), "x[:] = 7"),
        (lambda: np.arange(4), "x += 1"),
        (lambda: np.arange(4), "x.sort()"),
        (lambda: [3, 1], "x.sort()"),
        (lambda: [3, 1], "x += [4]"),
        (lambda: {"a": 1}, "x['b'] = 2"),
        (lambda: {"a": 1}, "x.clear()"),
        (lambda: {1, 2}, "x.discard(1)"),
        (lambda: bytearray(b"ab"), "x[0] = 99"),
        (lambda: 5, "x += 1"),
        (lambda: 5, "import math as x"),
        (lambda: "text", "for x in 'abc': pass"),
        (lambda: 5, "def x(): pass"),
        (lambda: 5, "x, y = 1, 2"),
        (lambda: 5, "class x: pass"),
    ],
)
def test_undo_brings_back_names_and_values(make, code):
    names = {"x": make()}
    before = ran(names, code)
    assert not before.lost
    before.undo()
    assert set(names) == {"x"}
    assert repr(names["x"]) == repr(make())


@pytest.mark.parametrize("code", ["x.append(3)", "x.clear()", "x[0] = 9"])
def test_other_names_of_the_same_value_see_the_undo(code):
    value = [1, 2]
    names = {"x": value, "alias": value}
    ran(names, code).undo()
    assert names["alias"] is names["x"] is value
    assert value == [1, 2]


def test_what_cannot_be_put_back_is_named_before():
    class Model:
        def fit(self):
            self.is_fitted = True

    before = Before({"model": Model()}, "model.fit()")
    assert before.lost == ["model (a Model can't be copied)"]


def test_what_is_too_large_is_named_before(monkeypatch):
    monkeypatch.setattr("codex_magic.notebook.tools.changes.MOST_BYTES", 1_000)
    before = Before({"x": np.zeros(1_000_000)}, "x[0] = 1")
    assert before.lost == ["x (8 MB, too large to keep)"]
