"""Which cells are above the one that asks, as a kernel can know it from the file and from what ran."""

import json
import os

import pytest

from codex_magic.notebook.gathering import Kernel, around, last_error
from codex_magic.notebook.runs import Run

BEGAN, SAVED = 1_000.0, 2_000.0


@pytest.fixture
def notebook(tmp_path):
    """Save cells, each `id: source`, Markdown with a `#`; and return the path."""

    def save(at=SAVED, **cells):
        path = tmp_path / "a.ipynb"
        listed = [
            {
                "id": id,
                "source": source,
                "cell_type": "markdown" if source[0] == "#" else "code",
                "outputs": [],
            }
            for id, source in cells.items()
        ]
        path.write_text(json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        os.utime(path, (at, at))
        return str(path)

    return save


def asking(*runs, cell="ask", source="%%codex\nWhy?"):
    return Kernel(list(runs), cell, source, BEGAN)


def ran(number, cell, source, at=1_500.0, error=""):
    return Run(number, source, cell, at, error)


def above(kernel, path):
    return [(cell.source, cell.number, cell.state) for cell in around(kernel, path).above]


def test_cells_stand_in_the_order_of_the_file_and_those_below_do_not_come_along(notebook):
    path = notebook(aa="x = 1", bb="# Title", cc="y = 2", ask="%%codex\nWhy?", dd="z = 3")
    kernel = asking(ran(1, "cc", "y = 2"), ran(2, "aa", "x = 1", error="KeyError"), ran(3, "dd", "z = 3"))
    assert above(kernel, path) == [("x = 1", 2, "failed"), ("# Title", None, "not run"), ("y = 2", 1, "ran")]
    assert around(kernel, path).order == ""


def test_a_cell_is_told_in_its_latest_version(notebook):
    path = notebook(aa="x = 1", bb="y = 2  # edited and saved", ask="%%codex\nWhy?")
    kernel = asking(ran(1, "bb", "y = 2"), ran(2, "aa", "x = 100", at=SAVED + 1))
    assert above(kernel, path) == [("x = 100", 2, "ran"), ("y = 2  # edited and saved", 1, "changed")]


def test_a_cell_that_runs_again_stays_where_it_is(notebook):
    kernel = asking(ran(1, "aa", "x = 1"), ran(2, "bb", "y = 2"), ran(3, "aa", "x = 3"))
    expected = [("x = 3", 3, "ran"), ("y = 2", 2, "ran")]
    assert above(kernel, None) == expected
    assert above(kernel, notebook(at=1_400, aa="x = 1", bb="y = 2", ask="%%codex\nWhy?")) == expected


def test_a_cell_that_is_not_saved_yet_stands_below_the_one_that_ran_before_it(notebook):
    path = notebook(at=1_400, aa="x = 1", bb="y = 2", ask="%%codex\nWhy?")
    kernel = asking(ran(1, "aa", "x = 1"), ran(2, "new", "w = 0"), ran(3, "bb", "y = 2"))
    assert [source for source, *_ in above(kernel, path)] == ["x = 1", "w = 0", "y = 2"]
    assert around(kernel, path).order == "as last saved"


def test_a_question_that_is_not_saved_yet_stands_below_all_that_ran_and_that_is_said(notebook):
    path = notebook(aa="x = 1", bb="y = 2", cc="z = 3")
    kernel = asking(ran(1, "bb", "y = 2"), ran(2, "aa", "x = 1"))
    assert [source for source, *_ in above(kernel, path)] == ["x = 1", "y = 2"]
    assert around(kernel, path).order == "as last saved"
    assert len(above(asking(), notebook(at=500, aa="x = 1", bb="y = 2", cc="z = 3"))) == 3


def test_a_cell_that_was_deleted_and_saved_is_gone(notebook):
    path = notebook(bb="y = 2", ask="%%codex\nWhy?")
    assert above(asking(ran(1, "aa", "x = 1"), ran(2, "bb", "y = 2")), path) == [("y = 2", 2, "ran")]


def test_after_a_restart_nothing_has_run(notebook):
    path = notebook(aa="x = 1", ask="%%codex\nWhy?")
    assert above(asking(), path) == [("x = 1", None, "not run")]


def test_a_file_that_another_notebook_has_by_now_is_not_read(notebook):
    path = notebook(zz="secret = 1")
    kernel = asking(ran(1, "aa", "x = 1"))
    assert above(kernel, path) == [("x = 1", 1, "ran")]
    assert around(kernel, path).order == "in the order they ran"


VS_CODE = "kernel-1:vscode-notebook-cell:/a.ipynb#W{}sZmlsZQ%3D%3D"


def test_in_vs_code_cells_are_known_by_what_they_say(notebook):
    path = notebook(aa="x = 1", bb="y = 2", ask="%%codex\nWhy?", dd="z = 3")
    kernel = asking(
        ran(1, VS_CODE.format(3), "z = 3"), ran(2, VS_CODE.format(1), "y = 2"), cell=VS_CODE.format(2)
    )
    assert above(kernel, path) == [("x = 1", None, "not run"), ("y = 2", 2, "ran")]


def test_without_ids_and_file_what_ran_stands_in_its_order_and_repeats_count_once():
    kernel = asking(*(Run(n, source) for n, source in enumerate(["x = 1", "y = 2", "x = 1"], 1)), cell=None)
    assert above(kernel, None) == [("y = 2", 2, "ran"), ("x = 1", 3, "ran")]
    assert around(kernel, None).order == ""


def test_questions_and_settings_of_ours_do_not_come_along(notebook):
    path = notebook(aa="%load_ext codex_magic", bb="%%codex\nWhat?", cc="%codex status", ask="%%codex\nWhy?")
    assert above(asking(ran(1, "aa", "%load_ext codex_magic")), path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}'])
def test_a_file_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "a.ipynb").write_text(text)
    assert above(asking(ran(1, "aa", "x = 1")), str(tmp_path / "a.ipynb")) == [("x = 1", 1, "ran")]


def test_an_error_counts_until_its_cell_runs_again():
    failed = ran(1, "aa", "x", error="NameError: x")
    assert last_error(asking(failed, ran(2, "bb", "y = 2"))) == "In[1] NameError: x"
    assert last_error(asking(failed, ran(2, "aa", "x = 1"))) == ""
