"""Values as a model reads them, whatever the values do."""

from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codex_magic
from codex_magic.context.describe import Look, abandoned, describe, headline, headlines, register
from codex_magic.context.tokens import estimate
from tests.context.hostile_values import HANGING, LYING, RAISING, released, touched
from tests.context.kinds import BUILTIN, CANARY, LIBRARIES, Plain, coroutine, frame, generator, np, pa, pd, pl

RAISING_VALUES = {f"value_{n}": make() for n, make in enumerate(RAISING.values())}
ORDINARY = {**BUILTIN, **LIBRARIES}
TOKENS = 800


def check_text(text: str, tokens: int = TOKENS) -> None:
    """It is plain text within its budget."""
    assert text.strip()
    assert estimate(text) <= tokens
    assert [each for each in text if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"] == []


@pytest.fixture(autouse=True)
def nothing_touched() -> Iterator[None]:
    touched.clear()
    released.clear()
    yield
    released.set()
    assert touched == []


@pytest.mark.parametrize("kind", ORDINARY)
def test_a_value_is_described_within_its_budget(kind: str) -> None:
    description = describe(ORDINARY[kind](), name="value")
    check_text(description.text)
    assert description.text.startswith("value: ")
    assert description.note == ""


@pytest.mark.parametrize("kind", ORDINARY)
def test_without_rows_nothing_that_a_value_holds_is_shown(kind: str) -> None:
    description = describe(ORDINARY[kind](), rows=0)
    check_text(description.text)
    assert CANARY not in description.text
    assert description.images == ()
    assert description.note == ""


@pytest.mark.parametrize("tokens", [10, 20, 100])
@pytest.mark.parametrize("kind", ["str of a megabyte", "pandas frame", "list of dicts", "function", "object"])
def test_a_small_budget_is_kept_too(kind: str, tokens: int) -> None:
    check_text(describe(ORDINARY[kind](), tokens=tokens).text, tokens)


@pytest.mark.parametrize("kind", LYING)
def test_a_value_that_lies_is_described_without_being_run(kind: str) -> None:
    description = describe(LYING[kind](), name="value")
    check_text(description.text)
    assert description.note == ""


@pytest.mark.parametrize("kind", RAISING)
def test_a_value_that_raises_is_described_all_the_same_and_says_so(kind: str) -> None:
    description = describe(RAISING[kind](), name="value")
    check_text(description.text)
    assert "raised" in description.note
    assert description.note in description.text


@pytest.mark.parametrize("kind", HANGING)
def test_a_value_that_hangs_is_left_and_what_was_seen_is_kept(kind: str) -> None:
    description = describe(HANGING[kind](), name="value", seconds=0.2)
    check_text(description.text)
    assert "0.2 s" in description.note
    assert abandoned() == 1
    released.set()
    while abandoned():
        threading.Event().wait(0.01)


def test_beside_many_that_hang_no_other_value_is_looked_at() -> None:
    for _ in range(8):
        describe(HANGING["a repr that hangs"](), seconds=0.01)
    description = describe({"a": CANARY})
    assert description.text.startswith("dict")
    assert CANARY not in description.text
    assert "8" in description.note
    released.set()
    while abandoned():
        threading.Event().wait(0.01)


def test_a_dict_that_changes_while_it_is_read_is_described() -> None:
    held = dict.fromkeys(range(1000))
    stop = threading.Event()

    def change() -> None:
        for number in range(10**9):
            held[number] = held.pop(number - 1000, None)
            if stop.is_set():
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        notes = {describe(held).note for _ in range(50)}
    finally:
        stop.set()
        thread.join()
    assert notes == {""}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
CONTAINERS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(SCALARS, inner), max_leaves=50
)


@settings(deadline=None)
@given(CONTAINERS, st.integers(0, 6), st.integers(10, 900))
def test_all_of_pythons_own_values_are_described(value: Any, rows: int, tokens: int) -> None:
    description = describe(value, rows=rows, tokens=tokens)
    check_text(description.text, tokens)
    assert description.note == ""


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.lists(SCALARS, min_size=3, max_size=3), max_size=5))
def test_frames_of_mixed_objects_are_described(columns: dict[str, list[Any]]) -> None:
    description = describe(pd.DataFrame(columns, dtype=object))
    check_text(description.text)
    assert description.note == ""


def test_a_generator_is_not_consumed() -> None:
    value = generator()
    describe(value)
    assert [*value] == [CANARY, "second"]


@pytest.mark.parametrize(
    "made", [iter, reversed, enumerate, lambda held: map(str, held), lambda held: zip(held)]
)
def test_an_iterator_is_not_consumed(made: Any) -> None:
    value = made([1, 2, 3])
    describe(value)
    assert len([*value]) == 3


def test_a_coroutine_can_still_be_awaited() -> None:
    value = coroutine()
    assert "coroutine" in describe(value).text
    assert asyncio.run(value) == CANARY


def test_a_file_is_not_read(tmp_path: Any) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("one\ntwo\n")
    with path.open() as file:
        assert "notes.txt" in describe(file).text
        assert file.read() == "one\ntwo\n"


def test_a_lazy_polars_frame_is_not_collected() -> None:
    def collect(held: Any) -> Any:
        touched.append("collected")
        return held

    lazy = pl.LazyFrame({"a": [1]}).map_batches(collect, schema={"a": pl.Int64})
    assert "a Int64" in describe(lazy).text


def test_a_lazy_dask_frame_is_not_computed() -> None:
    dask = pytest.importorskip("dask")
    frames = pytest.importorskip("dask.dataframe")

    def load() -> Any:
        touched.append("computed")
        return frame()

    text = describe(frames.from_delayed([dask.delayed(load)()], meta=frame(), verify_meta=False)).text
    assert "number int64" in text
    assert "lazy" in text


def test_a_duckdb_relation_is_not_run() -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()

    def run(number: int) -> int:
        touched.append("run")
        return number

    connection.create_function("run", run, ["INTEGER"], "INTEGER", side_effects=True)
    assert "a INTEGER" in describe(connection.sql("select run(i::int) as a from range(10) as t(i)")).text


def test_a_picture_goes_with_a_figure_and_its_labels_as_text() -> None:
    description = describe(LIBRARIES["matplotlib figure"]())
    assert "Sales" in description.text
    assert CANARY in description.text
    assert [each.url.partition(",")[0] for each in description.images] == ["data:image/png;base64"]


def test_a_figure_is_as_it_was_after_its_picture_was_made() -> None:
    made = LIBRARIES["matplotlib figure"]()
    before = made.canvas, made.get_dpi(), made.get_size_inches().tolist()
    describe(made)
    assert (made.canvas, made.get_dpi(), made.get_size_inches().tolist()) == before


def test_the_picture_that_an_object_shows_of_itself_goes_along() -> None:
    class Formula:
        def _repr_png_(self) -> bytes:
            return b"\x89PNG"

    assert [each.url for each in describe(Formula()).images] == ["data:image/png;base64,iVBORw=="]


def test_an_image_can_still_be_used(tmp_path: Any) -> None:
    from PIL import Image

    Image.new("RGB", (3000, 10), "red").save(tmp_path / "red.png")
    with Image.open(tmp_path / "red.png") as image:
        assert len(describe(image).images) == 1
        assert image.size == (3000, 10)
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_a_frame_shows_its_columns_and_rows() -> None:
    text = describe(frame(), name="df").text
    assert "df: pandas.DataFrame, 20 rows × 6 columns" in text
    assert "number int64: 20 distinct, 0 .. 9.5 .. 19" in text
    assert "city" in text
    assert "10 null" in text
    assert "first 5 of 20 rows:" in text
    assert "0.1429" in text  # rounded


def test_frames_of_all_libraries_read_alike() -> None:
    held = {"number": [1, 2, None], "city": ["Rome", "Paris", "Rome"]}
    made = [pd.DataFrame(held), pl.DataFrame(held), pa.table(held)]
    texts = [describe(each).text.partition("columns:")[2] for each in made]
    assert all(
        "number" in text and "1 null" in text and "2 distinct, 'Rome' | 'Paris'" in text for text in texts
    )


def test_a_long_frame_is_sampled_and_says_so() -> None:
    text = describe(pd.DataFrame({"a": np.arange(2_000_000)})).text
    assert "2,000,000 rows" in text
    assert "10,000 sampled rows" in text
    assert "a int64: 10,000 distinct, 0 .." in text


@pytest.mark.parametrize("library", [pl.DataFrame, pa.table], ids=["polars", "arrow"])
def test_long_frames_of_other_libraries_are_sampled_too(library: Any) -> None:
    text = describe(library({"a": np.arange(2_000_000), "b": np.zeros(2_000_000)})).text
    assert "2,000,000 rows" in text
    assert "10,000 sampled rows" in text
    assert "b " in text


def test_a_frame_of_a_million_rows_is_read_whole() -> None:
    text = describe(pd.DataFrame({"a": np.arange(1_000_000)})).text
    assert "sampled" not in text
    assert "1,000,000 distinct" in text


def test_a_wide_frame_is_cut_in_the_middle_and_says_so() -> None:
    text = describe(pd.DataFrame(np.zeros((5, 1000)), columns=[f"column_{at}" for at in range(1000)])).text
    assert "column_0 float64" in text
    assert "column_999 float64" in text
    assert "more columns" in text
    assert "column_500 " not in text


def test_names_and_cells_of_many_lines_keep_to_one_line() -> None:
    text = describe(pd.DataFrame({"first\nsecond\u2028third\0": ["one\ntwo\u2028three\0", "four"]})).text
    assert text.splitlines()[-3:] == ["first second third ", "one two three ", "four"]


def test_a_frame_keeps_its_index_and_names_of_levels() -> None:
    text = describe(LIBRARIES["pandas frame of two levels"]()).text
    assert "number / 1" in text
    assert "named day" in text


def test_a_view_of_an_array_is_not_copied() -> None:
    """A gigabyte that is one value repeated would be one when copied."""
    text = describe(LIBRARIES["numpy array of a gigabyte"]()).text
    assert "shape (1000, 1000, 1000), float64" in text


def test_an_estimator_says_whether_it_is_fitted() -> None:
    assert "Ridge, fitted" in describe(LIBRARIES["estimator"]()).text
    assert "alpha=2" in describe(LIBRARIES["estimator"]()).text
    assert "not fitted" in describe(LIBRARIES["estimator before its fit"]()).text


def test_an_exception_shows_its_cause_and_frames() -> None:
    text = describe(BUILTIN["exception"]()).text
    assert "ValueError: canary" in text
    assert "caused by IndexError" in text
    assert "kinds.py" in text


def test_a_function_and_a_class_show_their_source() -> None:
    assert "return number * factor" in describe(BUILTIN["function"]()).text
    assert 'return "one"' in describe(Plain).text


def test_a_class_that_was_typed_in_a_cell_shows_its_source() -> None:
    import linecache

    source = "class Typed:\n    kind = 'cell'\n    def method(self):\n        return 'typed'\n"
    name = "/tmp/ipykernel_1/cell.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    held: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), held)
    assert "kind = 'cell'" in describe(held["Typed"]).text


def test_a_secret_field_stays_hidden() -> None:
    assert "hidden word" not in describe(BUILTIN["pydantic"]()).text


def test_a_long_text_keeps_its_begin_and_its_end() -> None:
    text = describe(BUILTIN["str of a megabyte"]()).text
    assert CANARY in text
    assert "characters left out" in text
    assert "the end" in text


def test_an_object_may_say_itself_what_it_is() -> None:
    class Own:
        def __codex__(self) -> str:
            return "seventeen orders"

    class Llm:
        def _repr_llm_(self) -> str:
            return "eighteen orders"

    class Bundle:
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
            return {"text/llm+plain": "nineteen orders"}

    texts = [describe(each).text for each in (Own(), Llm(), Bundle())]
    assert texts == ["seventeen orders", "eighteen orders", "nineteen orders"]


def test_a_kind_of_value_is_added_by_one_function() -> None:
    class Basket:
        fruits = 3

    class Large(Basket):
        pass

    @codex_magic.describe.register(Basket)
    def basket(value: Basket, look: Look) -> str:
        return f"basket of {value.fruits} fruits, {look.rows} rows"

    assert describe(Large()).text == "basket of 3 fruits, 5 rows"
    assert headline(Large()) == "basket of 3 fruits, 5 rows"
    assert "<basket of 3 fruits, 1 rows>" in describe({"a": Basket()}).text


def test_a_kind_is_named_without_importing_its_library() -> None:
    @register("some_library.Thing")
    def thing(value: Any, look: Look) -> Iterator[str]:
        yield "a thing"
        yield "with more"

    value = type("Thing", (), {"__module__": "some_library.deep.inside"})()
    assert describe(value).text == "a thing\nwith more"
    assert headline(value) == "a thing"


@pytest.mark.parametrize("kind", [*ORDINARY, *LYING])
def test_a_headline_is_one_short_line(kind: str) -> None:
    text = headline({**ORDINARY, **LYING}[kind]())
    check_text(text, 60)
    assert "\n" not in text


def test_many_are_listed_whatever_one_of_them_does() -> None:
    made = {"first": 1, "stuck": HANGING["a frame whose shape hangs"](), "last": [1, 2]}
    assert headlines(made, seconds=0.2) == ["first: int 1", "stuck: tests.Stuck", "last: list"]
    released.set()
    while abandoned():
        threading.Event().wait(0.01)
    assert headlines({**RAISING_VALUES, "last": 2})[-1] == "last: int 2"


def test_a_description_holds_no_lock_on_what_it_describes() -> None:
    held = bytearray(b"abc")
    describe(held)
    held.extend(b"def")
    assert held == b"abcdef"
