"""Stored answers in place of new ones: what is asked anew, what stays, and what is only replayed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from codex_magic.protocol.ids import new_id
from tests.end_to_end.kernel import Kernel, Message, markdown, outputs
from tests.end_to_end.test_deleted_questions import Page
from tests.notebook.conftest import Ask
from tests.service import LocalService

Count = Callable[[], int]


@pytest.fixture
def requests(service: LocalService) -> Count:
    """Returns how many requests were sent."""
    return lambda: len([each for each in service.requests if each.path.endswith("/responses")])


def test_a_cell_that_runs_again_by_itself_is_asked_anew(run: Ask, requests: Count) -> None:
    for _ in range(2):
        assert "Replayed" not in run("%%codex --new\necho: hi")
    assert requests() == 2


def test_a_replayed_answer_is_the_stored_one_and_nothing_is_sent(run: Ask, requests: Count) -> None:
    assert "the answer" in run("%%codex --new\necho: the answer")
    again = run("%%codex --new --replay\necho: the answer")
    assert "the answer" in again
    assert "Replayed" in again
    assert "Sent:" not in again
    assert requests() == 1


def test_a_replayed_answer_is_part_of_the_conversation(run: Ask, requests: Count) -> None:
    run("%%codex --new\necho: the answer")
    run("%%codex --new --replay\necho: the answer")
    assert "echo: the answer" in run("%codex What did I ask so far?")
    assert requests() == 2


@pytest.mark.parametrize(
    "line",
    [
        "-m local-small",
        "-e high",
        "--verbosity low",
        "-i Rhyme.",
        "--schema int -o n",
        "-p http://127.0.0.1:9/v1",
    ],
)
def test_a_question_asked_otherwise_has_no_stored_answer(run: Ask, requests: Count, line: str) -> None:
    run("%%codex --new\necho: 1")
    assert "There is no stored answer" in run(f"%%codex --new --replay {line}\necho: 1")
    assert requests() == 1


def test_other_words_other_code_above_or_another_past_have_no_stored_answer(
    shell: InteractiveShell, run: Ask, requests: Count
) -> None:
    run("%%codex --new\necho: one")
    run("%%codex\necho: two")
    no = "There is no stored answer"
    assert no in run("%%codex --new --replay\necho: One")
    assert no in run("%%codex --new --replay\necho: two")
    shell.run_cell("x = 1", store_history=True)
    assert no in run("%%codex --new --replay\necho: one")
    assert "Replayed" in run("%%codex --new --replay --context none\necho: one")
    assert requests() == 2


def test_a_value_of_a_mention_is_part_of_the_question(
    shell: InteractiveShell, run: Ask, requests: Count
) -> None:
    shell.user_ns["prices"] = [1.0, 2.0]
    run("%%codex --new\nWhy @prices?")
    assert "Replayed" in run("%%codex --new --replay\nWhy @prices?")
    shell.user_ns["prices"] = [1.0, 3.0]
    assert "There is no stored answer" in run("%%codex --new --replay\nWhy @prices?")
    assert requests() == 1


def test_the_question_in_the_file_is_a_keyed_digest(home: Path, run: Ask, service: LocalService) -> None:
    run("%%codex --new\necho: wombat")
    [file] = home.rglob("values.db")
    assert file.stat().st_mode & 0o077 == 0
    with sqlite3.connect(file) as db:
        rows = db.execute("SELECT key, turn FROM questions").fetchall()
        assert len(rows) == 2
        db.execute("UPDATE secret SET value = zeroblob(32)")
    assert b"wombat" not in file.read_bytes()
    assert "There is no stored answer" in run("%%codex --new --replay\necho: wombat"), "another user's file"


def test_a_replay_makes_the_same_value(shell: InteractiveShell, run: Ask, requests: Count) -> None:
    run("%%codex --new -o n --schema int\nHow many?")
    value = shell.user_ns.pop("n")
    run("%%codex --new -o n --schema int --replay\nHow many?")
    assert shell.user_ns["n"] == value
    assert requests() == 1


def test_what_a_tool_did_is_not_done_again(shell: InteractiveShell, run: Ask, requests: Count) -> None:
    shell.user_ns["seen"] = []
    run("%codex reads yes")
    call = 'use the tool run_python with {"code": "seen.append(1)"}'
    run(f"%%codex --new --context none\n{call}")
    before, sent = list(shell.user_ns["seen"]), requests()
    again = run(f"%%codex --new --context none --replay\n{call}")
    assert "1 step not repeated" in again
    assert shell.user_ns["seen"] == before
    assert requests() == sent


def test_a_variable_says_what_holds_for_all_notebooks(
    run: Ask, requests: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_MAGIC_ANSWERS", "replay")
    assert "There is no stored answer" in run("%%codex --new\necho: hi")
    assert requests() == 0


def test_a_setting_replays_all_cells(run: Ask, requests: Count) -> None:
    run("%%codex --new\necho: hi")
    assert "auto" in run("%codex answers")
    assert "replay" in run("%codex answers replay")
    assert "Replayed" in run("%%codex --new\necho: hi")
    assert "There is no stored answer" in run("%%codex --new\necho: other")
    assert "Replayed" not in run("%%codex --new --again\necho: hi")
    assert requests() == 2
    assert "keep, new" in run("%codex answers never")


def test_a_question_that_was_refused_is_refused_again(run: Ask, requests: Count) -> None:
    question = "fault: context_length_exceeded\necho: never"
    assert "longer than the model" in run(f"%%codex --new\n{question}")
    sent = requests()
    assert "longer than the model" in run(f"%%codex --new --replay\n{question}")
    assert requests() == sent


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: LocalService) -> Iterator[Page]:
    """A notebook in a page with our extension, with two questions that were answered."""
    path = tmp_path / "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    with Kernel(tmp_path) as kernel:
        page = Page(kernel, path, service)
        kernel.execute("%load_ext codex_magic")
        page.run("code02", "x = 1")
        page.ask("one003")
        page.run("code04", "y = 2")
        page.ask("two005")
        yield page


def run_all(page: Page) -> list[str]:
    """Run all cells as one; returns what those that ask show."""
    shown = {id: page.run(id, source, together=True) for id, source in list(page.cells.items())}
    return [text for id, text in shown.items() if page.cells[id].startswith("%%codex")]


def test_cells_run_together_keep_their_answers(page: Page, requests: Count) -> None:
    turns = dict(page.turns)
    shown = run_all(page)
    assert ["Kept" in text for text in shown] == [True, True]
    assert ["one003" in shown[0], "two005" in shown[1]] == [True, True]
    assert page.turns == turns
    assert requests() == 2


def test_what_acted_is_asked_anew_and_what_only_read_is_kept(page: Page, requests: Count) -> None:
    page.run("set006", "%codex reads yes")
    reads, runs = "use the tool list_variables with {}", 'use the tool run_python with {"code": "x + 1"}'
    for id, question in (("all007", reads), ("run008", runs)):
        page.run(id, f"%%codex\n{question}")
    sent = requests()
    shown = run_all(page)
    assert ["Kept" in text or "Replayed" in text for text in shown] == [True, True, True, False]
    assert requests() > sent


def test_an_answer_that_another_cell_has_is_no_answer_of_this_one(page: Page, requests: Count) -> None:
    page.run("six006", "%%codex --new\necho: six")
    sent = requests()
    assert "Replayed" not in page.run("new007", "%%codex --new\necho: six", together=True)
    assert requests() > sent


def test_what_changed_is_asked_anew_and_what_depends_on_it(page: Page, requests: Count) -> None:
    page.cells["code04"] = "y = 3"
    shown = run_all(page)
    assert ["Kept" in text for text in shown] == [True, False]
    page.cells["one003"] = "%%codex\necho: other"
    shown = run_all(page)
    assert ["Kept" in text for text in shown] == [False, False]
    assert ["Kept" in text for text in run_all(page)] == [True, True]
    assert requests() == 5


def test_a_cell_run_by_itself_is_asked_anew_and_again_in_any_case(page: Page, requests: Count) -> None:
    assert "Kept" not in page.ask("two005")[-1]
    assert requests() == 3
    assert "Kept" not in page.run("two005", "%%codex --again\necho: two005", together=True)
    assert requests() == 4
    page.run("set006", "%codex answers keep")
    assert "Kept" in page.run("two005", "%%codex\necho: two005")
    page.run("set006", "%codex answers new")
    assert "Kept" not in page.run("two005", "%%codex\necho: two005", together=True)
    assert requests() == 5


@pytest.fixture
def burst(tmp_path: Path, service: LocalService) -> Iterator[Callable[..., list[str]]]:
    """Sends cells in one go, as a page of its own without our extension does; returns what each has shown."""

    def run_all(*sources: str) -> list[str]:
        kernel.client.session.session = new_id()
        sent = [
            kernel.send(source, cell_id=f"cell{n:02}", allow_stdin=True) for n, source in enumerate(sources)
        ]
        shown: dict[str, list[Message]] = {each: [] for each in sent}
        ended = 0
        while ended < len(sent):
            message = kernel.client.get_iopub_msg(timeout=60)
            if (request := message["parent_header"].get("msg_id")) in shown:
                shown[request].append(message)
                ended += message["content"].get("execution_state") == "idle"
        return [markdown(outputs(messages)) for messages in shown.values()]

    with Kernel(tmp_path) as kernel:
        yield run_all


def test_cells_that_a_page_sends_in_one_go_keep_their_answers(
    burst: Callable[..., list[str]], requests: Count
) -> None:
    cells = "%load_ext codex_magic", "x = 1", "%%codex --new\necho: one", "%%codex\necho: two"
    burst(*cells)
    assert requests() == 2
    assert ["Kept" in text or "Replayed" in text for text in burst(*cells)[2:]] == [True, True]
    assert requests() == 2
    burst(cells[2])
    assert requests() == 3


def test_an_unattended_run_without_a_sign_in_replays(
    tmp_path: Path, home: Path, service: LocalService, requests: Count
) -> None:
    with Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic")
        assert "Replayed" not in markdown(kernel.execute("%%codex\necho: hi"))
        assert "Replayed" not in markdown(kernel.execute("%%codex --new\necho: hi"))
    (home / ".codex" / "auth.json").unlink()
    with Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic")
        assert "Replayed" in markdown(kernel.execute("%%codex\necho: hi"))
        assert "sign in" in str(kernel.execute("%%codex\necho: other")).lower()
    assert requests() == 2
