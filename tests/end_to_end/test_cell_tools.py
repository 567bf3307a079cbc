"""The model proposes changes of cells: a page makes them after a yes, and nothing the user typed is overwritten."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic.context.cells import digest_of
from tests.end_to_end.extended import ExtendedFrontEnd, Reply
from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import use

ASKING = "asking"


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("%codex reads yes")
    return ExtendedFrontEnd(kernel, {"one": "x = 1\ny = 2", "two": "z = 3", ASKING: "%%codex"})


def revision(source: str) -> str:
    return digest_of(source, 4)


def edit(cell: str = "1", old: str = "x = 1", new: str = "x = 10", of: str = "x = 1\ny = 2") -> str:
    return use("edit_cell", cell=cell, expected_revision=revision(of), old=old, new=new)


def ask(page: ExtendedFrontEnd, *orders: str) -> tuple[str, str]:
    """Run a question; gives its request and the id of its answer."""
    return page.run("\n".join(["%%codex", *orders]), ASKING), page.attach()


def answered(page: ExtendedFrontEnd, order: str, label: str = "Apply") -> str:
    """Run a question and answer its card; returns what is shown then."""
    request, id = ask(page, order)
    assert page.choose(page.card(id), label)["ok"]
    page.idle(request)
    return markdown(page.outputs)


def test_a_change_is_shown_and_made_after_a_yes(page: ExtendedFrontEnd) -> None:
    request, id = ask(page, edit())
    card = page.card(id)
    assert card["title"] == "Change cell [ ]?"
    assert card["passages"][0]["text"].splitlines()[1:] == ["-x = 1", "+x = 10", " y = 2"]
    assert card["edit"]["base"] == "x = 1\ny = 2"
    assert [each["label"] for each in card["choices"]][:3] == ["Reject", "Apply and run", "Apply"]
    assert page.done == []
    page.choose(card, "Apply")
    page.idle(request)
    assert page.cells["one"] == "x = 10\ny = 2"
    shown = markdown(page.outputs)
    assert "Changed" in shown
    assert f"It is cell 1, revision {revision(page.cells['one'])}" in shown
    assert page.kernel.value("'x' in globals()") == "False"


def test_apply_and_run_runs_in_the_cell(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    order = edit(old="y = 2", new="y = x + 1\nprint('in the cell')\ny")
    answered(page, order, "Apply and run")
    assert kernel.value("x, y") == "(1, 2)"
    stream, value = page.shown_in("one")
    assert (stream["text"], value["data"]["text/plain"]) == ("in the cell\n", "2")
    after = [each["content"] for each in page.messages if "ran" in each["content"]]
    assert [each["failed"] for each in after] == [False]
    assert kernel.value("'in the cell' in str(In)") == "True"  # in the question alone
    page.idle(page.run("print('then')"))
    assert page.shown_in("one") == [stream, value]


@pytest.mark.parametrize("answer", ["Reject", "Reject and say why …"])
def test_a_no_changes_nothing_and_the_model_hears_why(page: ExtendedFrontEnd, answer: str) -> None:
    request, id = ask(page, edit())
    page.choose(page.card(id), answer, "Keep it" if "why" in answer else "")
    page.idle(request)
    assert page.cells["one"] == "x = 1\ny = 2"
    assert page.done == []
    shown = markdown(page.outputs)
    assert "Not changed: declined" in shown
    assert ("Keep it" in shown) == ("why" in answer)


def test_a_cell_that_changed_since_it_was_read_is_a_conflict_without_a_question(
    page: ExtendedFrontEnd,
) -> None:
    request, _ = ask(page, edit(of="what it was once"))
    page.idle(request)
    shown = markdown(page.outputs)
    assert "Conflict" in shown
    assert f"revision {revision('x = 1' + chr(10) + 'y = 2')} now" in shown
    assert "y = 2" in shown
    assert page.cells["one"] == "x = 1\ny = 2"


def test_what_is_typed_while_the_question_waits_is_not_overwritten(page: ExtendedFrontEnd) -> None:
    request, id = ask(page, edit())
    card = page.card(id)
    page.cells["one"] = "typed meanwhile"
    page.choose(card, "Apply")
    page.idle(request)
    assert page.cells["one"] == "typed meanwhile"
    shown = markdown(page.outputs)
    assert "Not changed" in shown
    assert "typed meanwhile" in shown


def test_a_cell_deleted_meanwhile_is_told(page: ExtendedFrontEnd) -> None:
    request, id = ask(page, edit())
    card = page.card(id)
    del page.cells["one"]
    page.choose(card, "Apply")
    page.idle(request)
    assert "has deleted this cell" in markdown(page.outputs)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (edit(old="nowhere"), "is not in the cell"),
        (edit(old="="), "2 times"),
        (edit(new="x = 1"), "has this text already"),
        (edit(old="«SECRET_1»"), "leave what is masked out"),
        (edit(new="a = «SECRET_9»"), "in place of what is masked"),
        (edit(cell="9"), "has 2 cells"),
        (edit(cell="1-2"), "name one cell"),
        (use("delete_cell", cell="1", expected_revision=""), "Conflict"),
        (use("move_cell", cell="1", below="1"), "below itself"),
    ],
)
def test_what_can_not_be_is_told_without_a_question(page: ExtendedFrontEnd, order: str, told: str) -> None:
    request, _ = ask(page, order)
    page.idle(request)
    assert told in markdown(page.outputs)
    assert page.done == []


def test_cells_are_added_below_the_question_in_their_order(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    request, id = ask(page, use("add_cell", source="a = 1"), use("add_cell", source="b = a"))
    first = page.card(id)
    assert (first["title"], first["passages"][0]["text"]) == ("Add this cell?", "a = 1")
    assert ["Where", "below this cell"] in first["facts"]
    page.choose(first, "Apply")
    page.choose(page.card(id, after=first["question"]), "Apply and run")
    page.idle(request)
    assert [*page.cells.values()] == ["x = 1\ny = 2", "z = 3", "%%codex", "a = 1", "b = a"]
    assert "'a' is not defined" in markdown(page.outputs) + str(page.outputs)
    assert kernel.value("'b' in globals()") == "False"


def test_a_text_cell_is_added_where_it_is_wanted_and_offers_no_run(page: ExtendedFrontEnd) -> None:
    request, id = ask(page, use("add_cell", source="# Title", kind="markdown", below="0"))
    card = page.card(id)
    assert "Apply and run" not in [each["label"] for each in card["choices"]]
    page.choose(card, "Apply")
    page.idle(request)
    assert next(iter(page.cells.values())) == "# Title"
    assert page.done[0]["cell_type"] == "markdown"


def test_a_cell_is_run_moved_and_deleted(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    answered(page, use("run_cell", cell="1"), "Run")
    assert kernel.value("x, y") == "(1, 2)"
    answered(page, use("move_cell", cell="1", below="2"), "Move")
    assert [*page.cells] == ["two", "one", ASKING]
    answered(page, use("delete_cell", cell="2", expected_revision=revision("x = 1\ny = 2")), "Delete")
    assert [*page.cells] == ["two", ASKING]
    assert [each["kind"] for each in page.done] == ["run", "move", "delete"]


def test_the_model_reads_the_cells_as_they_stand_now(page: ExtendedFrontEnd) -> None:
    request, id = ask(page, edit(), use("read_notebook"))
    page.choose(page.card(id), "Apply")
    page.idle(request)
    shown = markdown(page.outputs)
    assert f"# %% 1: (not run), revision {revision(page.cells['one'])}\nx = 10" in shown


def test_committed_code_is_a_cell_below_the_question_and_runs_there(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    order = use("run_python", code="print('shown'); w = 5", scope="commit")
    answered(page, order, "Approve")
    assert kernel.value("w") == "5"
    added = [*page.cells][-1]
    assert page.cells[added] == "print('shown'); w = 5"
    [stream] = page.shown_in(added)
    assert stream["text"] == "shown\n"
    assert not any(message["content"].get("payload") for message in page.messages)


def test_what_a_kernel_was_not_told_of_a_run_is_not_told_by_another_page(page: ExtendedFrontEnd) -> None:
    """Two pages: who takes an errand first has it alone."""
    request, id = ask(page, edit())
    card = page.card(id)
    page.edits = False  # it can't be changed any more: a page that is only looked at
    page.choose(card, "Apply")
    page.idle(request)
    assert page.cells["one"] == "x = 1\ny = 2"
    assert "this page can't change the notebook" in markdown(page.outputs)


def test_with_nobody_there_nothing_is_changed(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("%codex reads yes")
    shown: list[dict[str, Any]] = kernel.execute("%%codex\n" + use("add_cell", source="a = 1"))
    assert "Not added: nobody to ask" in markdown(shown)


def test_a_restart_while_a_question_waits_changes_nothing(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    _, id = ask(page, edit())
    card = page.card(id)
    kernel.restart()
    kernel.execute("%load_ext codex_magic")
    assert not page.choose(card, "Apply")["ok"]
    assert page.done == []


def test_an_interrupt_while_a_question_waits_changes_nothing(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    request, id = ask(page, edit())
    card = page.card(id)
    kernel.interrupt()
    page.idle(request)
    page.choose(card, "Apply")
    page.idle(page.run("'then'"))
    assert page.done == []


def test_without_a_page_a_change_is_shown_and_a_new_cell_comes_next(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("%codex reads yes")
    kernel.execute("x = 1\ny = 2", cell_id="0a1b2c3d-0000-4000-8000-000000000001")
    front_end = FrontEnd(kernel)
    request = front_end.run(f"%%codex\n{edit()}")
    front_end.idle(request)
    shown = markdown(front_end.outputs)
    assert "It is not applied" in shown
    assert "+x = 10" in shown
    assert "Not changed" in shown

    request = front_end.run("%%codex\n" + use("add_cell", source="a = 1"))
    front_end.click("Apply")
    front_end.idle(request)
    reply: Reply = kernel.client.get_shell_msg(timeout=10)
    while reply["parent_header"].get("msg_id") != request:
        reply = kernel.client.get_shell_msg(timeout=10)
    assert [(each["source"], each["text"]) for each in reply["content"]["payload"]] == [
        ("set_next_input", "a = 1")
    ]


CHANGES = {
    "add_cell": use("add_cell", source="a = 5"),
    "edit_cell": edit(),
    "run_cell": use("run_cell", cell="1"),
    "move_cell": use("move_cell", cell="1", below="0"),
    "delete_cell": use("delete_cell", cell="1", expected_revision=revision("x = 1\ny = 2")),
}
LABELS = {
    "add_cell": "Apply",
    "edit_cell": "Apply",
    "run_cell": "Run",
    "move_cell": "Move",
    "delete_cell": "Delete",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_page_that_is_closed_for_good_leaves_a_question_that_nothing_answers(
    page: ExtendedFrontEnd, kernel: Kernel, name: str
) -> None:
    """Somebody who comes by another way, such as a console, stops it."""
    cells = dict(page.cells)
    request, id = ask(page, CHANGES[name])
    card = page.card(id)
    console = ExtendedFrontEnd(kernel)
    kernel.interrupt()
    console.idle(request)
    console.choose(card, LABELS[name])
    console.idle(console.run("'then'"))
    assert (page.cells, page.done) == (cells, [])
    assert kernel.value("'a' in globals(), 'x' in globals()") == "(False, False)"


@pytest.mark.parametrize("name", CHANGES)
def test_a_page_that_closes_when_it_has_said_yes_does_not_hold_the_kernel(
    page: ExtendedFrontEnd, kernel: Kernel, name: str
) -> None:
    """What is done then is the user's to do, and said so; no other page does it later."""
    request, id = ask(page, CHANGES[name])
    card = page.card(id)
    page.choose(card, LABELS[name])
    later = FrontEnd(kernel)  # draws no answer, and takes no errand
    later.messages = page.messages
    later.idle(request)
    assert page.done == []
    shown = markdown(later.outputs)
    assert "Copy it" in shown or "not applied" in shown or "yourself" in shown or "next cell" in shown
    other = ExtendedFrontEnd(kernel, dict(page.cells))
    other.idle(other.run("'then'"))
    assert (other.cells, other.done) == (page.cells, [])
    assert kernel.value("'a' in globals(), 'x' in globals()") == "(False, False)"
