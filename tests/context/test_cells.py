"""What is told of the cells above: once, again when it has changed, the nearest first."""

import pytest

from codex_magic.context.cells import Cell, cells_text, clean_output, cut_middle, is_ours
from codex_magic.context.tokens import estimate


def cell(id, source, number=1, state="ran", **more):
    return Cell(id, number, source, state, **more)


A, B, C = cell("a", "x = 1", 1), cell("b", "y = 2", 2), cell("c", "# Title", None, "not run", kind="markdown")


def test_cells_are_told_in_their_order_with_number_and_end():
    failed = cell("d", "1 / 0", 3, "failed")
    changed = cell("e", "z = 4", 4, "changed")
    text = cells_text([A, C, failed, changed, cell("f", "w = 5", None, "not run")], {}).text
    heads = [line.removeprefix("# %% ") for line in text.splitlines() if line.startswith("# %%")]
    assert heads == ["In[1]", "[markdown]", "In[3], failed", "In[4], changed since it ran", "(not run)"]
    assert text.index("x = 1") < text.index("# Title") < text.index("1 / 0")


def test_nothing_is_told_twice():
    first = cells_text([A, B], {})
    again = cells_text([A, B], first.held)
    assert (first.told, again.text, again.held) == (2, "", {})


def test_what_is_new_or_changed_is_told_alone():
    held = cells_text([A, B], {}).held
    changed = cells_text([A, cell("b", "y = 3", 5), C], held)
    assert "x = 1" not in changed.text
    assert "In[5], below In[1], in a new version\ny = 3" in changed.text
    assert "# Title" in changed.text
    assert cells_text([A, cell("b", "y = 3", 5), C], held | changed.held).text == ""


def test_a_cell_that_ran_again_is_named_and_not_repeated():
    held = cells_text([A, B], {}).held
    again = cells_text([cell("a", "x = 1", 3, "failed"), B], held)
    assert "In[1] is now In[3], failed." in again.text
    assert "x = 1" not in again.text


def test_a_cell_that_was_deleted_is_named_once():
    held = cells_text([A, B], {}).held
    gone = cells_text([B], held, existing={"b"})
    assert "Deleted since: In[1]." in gone.text
    assert cells_text([B], held | gone.held, existing={"b"}).text == ""


def test_a_thread_of_another_notebook_is_told_all_and_nothing_of_deletions():
    other = cells_text([A, B], {}, existing={"a", "b"}, error="In[1] KeyError").held
    here = cells_text([cell("z", "z = 1")], other, existing={"z"}, error="In[1] KeyError")
    assert "The cells above" in here.text
    assert "Deleted" not in here.text
    assert "KeyError" in here.text


def test_a_cell_below_a_question_further_up_was_not_deleted():
    held = cells_text([A, B], {}).held
    assert cells_text([A], held, existing={"a", "b"}).text == ""


def test_cells_that_were_moved_are_told_anew():
    held = cells_text([A, B], {}).held
    moved = cells_text([B, A], held)
    assert moved.text.index("y = 2") < moved.text.index("x = 1")
    assert cells_text([B, A], held | moved.held).text == ""


def test_a_cell_between_two_known_ones_moves_neither():
    held = cells_text([A, B], {}).held
    between = cells_text([A, C, B], held)
    assert between.told == 1
    assert cells_text([A, C, B], held | between.held).text == ""


def test_the_nearest_cells_stay_and_what_is_left_out_is_said():
    many = [cell(str(n), f"x_{n} = {n}\n" * 20, n) for n in range(200)]
    text = cells_text(many, {}, tokens=2_000)
    assert "x_199 = 199" in text.text
    assert "x_0 = 0" not in text.text
    assert f"{text.left_out} further up are left out" in text.text
    assert text.told + text.left_out == 200
    assert estimate(text.text) < 2_300
    assert cells_text(many, text.held, tokens=2_000).text == ""  # what was too far away does not come later


def test_of_a_huge_cell_the_middle_is_left_out():
    text = cells_text([cell("a", "\n".join(f"line {n}" for n in range(10_000)))], {}).text
    assert estimate(text) < 2_500
    assert "line 0\n" in text
    assert "line 9999" in text
    assert "lines left out" in text


def test_the_last_error_is_told_once():
    first = cells_text([A], {}, error="In[1] KeyError: 'a'")
    assert "KeyError" in first.text
    assert cells_text([A], first.held, error="In[1] KeyError: 'a'").text == ""
    assert "ValueError" in cells_text([A], first.held, error="In[2] ValueError").text


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        ("%%codex\nWhy?", True),
        ("# a note\n%codex status\n", True),
        ("%load_ext codex_magic\n%config CodexMagics.model = 'x'", True),
        ("%%time\n%%codex\nWhy?", True),
        ("%load_ext codex_magic\nimport pandas", False),
        ("%%time\nx = 1", False),
        ("%%codexx\nhi", False),
        ("x = 1", False),
        ("# what Codex said", False),
    ],
)
def test_cells_that_ask_and_set_up_are_known(source, ours):
    assert is_ours(source) is ours


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07", "red link"),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("abc\b\bX", "aX"),
        ("same\n" * 9 + "end", "same  [9 times]\nend"),
        ("a\r\nb\r\n", "a\nb"),
        ("\b\b", ""),
    ],
)
def test_an_output_reads_as_a_person_saw_it(raw, clean):
    assert clean_output(raw) == clean


def test_a_long_text_keeps_beginning_and_end():
    text = "".join(chr(97 + n % 26) for n in range(100_000))
    cut = cut_middle(text, 400)
    assert cut.startswith("abc")
    assert cut.endswith(text[-3:])
    assert estimate(cut) < 600


@pytest.mark.parametrize("id", ["aa", "=1234"])
def test_cells_that_share_an_id_are_told_once_each(id):
    cells = [Cell(id, 1, "x = 1", "ran"), Cell(id, 3, "x = 1", "ran"), Cell(id, None, "y = 2", "not run")]
    first = cells_text(cells, {}, existing={id})
    assert first.told == 3
    assert cells_text(cells, first.held, existing={id}).text == ""
    changed = [*cells[:2], Cell(id, 4, "y = 3", "ran")]
    assert cells_text(changed, first.held, existing={id}).told == 1
