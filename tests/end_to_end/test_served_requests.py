"""Requests that look like a Jupyter server's own: nothing shown is updated, and one output is left of a cell."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from tests.end_to_end.held import hold
from tests.end_to_end.kernel import Kernel, Message, markdown, outputs, state
from tests.end_to_end.notebooks import execute, notebook_of
from tests.service import LocalService

CODE = r"\b[A-Z0-9]{4}-[A-Z0-9]{4,5}\b"

WORDS = "%%codex\necho: The first words, and the last ones."


@pytest.fixture
def served(service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel that this process started for a notebook, as a server does."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "a.ipynb"))
    with Kernel(tmp_path, connection_file=str(tmp_path / "kernel-served.json")) as kernel:
        assert kernel.value("__import__('os').environ['JPY_PARENT_PID']") == repr(str(os.getpid()))
        kernel.execute("%load_ext codex_magic")
        yield kernel


def run(kernel: Kernel, code: str) -> list[Message]:
    """What the kernel publishes about a cell; no update is among it."""
    messages = list(kernel.messages(kernel.send(code)))
    assert "update_display_data" not in [message["msg_type"] for message in messages]
    return messages


def test_an_answer_is_shown_again_as_it_grows_and_is_one_output(served: Kernel) -> None:
    messages = run(served, "%%codex\nrepeat 6000")
    kinds = [message["msg_type"] for message in messages]
    assert kinds.count("display_data") == kinds.count("clear_output") + 1 > 1
    [answer] = outputs(messages)
    assert answer["data"]["text/markdown"].count("If this stays") == 0
    assert state([answer]) == "done"


def test_a_stop_leaves_one_output(served: Kernel, service: LocalService) -> None:
    hold(service, after=5)
    seen = []
    for message in served.messages(served.send(WORDS)):
        seen.append(message)
        if "The first words" in str(message["content"].get("data")):
            served.interrupt()
    assert len(outputs(seen)) == 1
    assert state(outputs(seen)) == "interrupted"


@pytest.mark.parametrize("line", ["%codex status", "%codex threads", "%codex --modle x", "%codex help"])
def test_a_command_is_one_output(served: Kernel, line: str) -> None:
    assert len(outputs(run(served, line))) == 1


def test_prints_of_the_same_cell_stay_and_answers_come_at_their_ends(served: Kernel) -> None:
    code = "print('above')\n%codex echo: one\nprint('between')\n%codex echo: two\nprint('below')"
    messages = run(served, code)
    assert "clear_output" not in [message["msg_type"] for message in messages]
    texts = [
        output.get("text") or output["data"]["text/plain"].splitlines()[0] for output in outputs(messages)
    ]
    assert texts == ["above\n", "one", "between\n", "two", "below\n"]


def test_an_answer_in_the_background_is_waited_for(served: Kernel) -> None:
    found = outputs(run(served, "%%codex --background\necho: waited for"))
    assert state(found) == "done"
    assert "waited for" in markdown(found)


def test_a_cell_without_a_sign_in_says_how_and_goes_on(
    served: Kernel, service: LocalService, home: Path
) -> None:
    (home / ".codex" / "auth.json").unlink()
    seen, approved = [], False
    for message in served.messages(served.send(WORDS)):
        seen.append(message)
        text = str(message["content"].get("data", {}).get("text/plain"))
        if not approved and (code := re.search(CODE, text)):
            service.approve_device(code[0])
            approved = True
    [answer] = outputs(seen)
    assert "Signed in." in answer["data"]["text/markdown"]
    assert "and the last ones." in answer["data"]["text/markdown"]
    assert "codex/device" not in str(answer)


def test_where_a_line_can_be_typed_the_prompt_says_how_to_sign_in(served: Kernel, home: Path) -> None:
    """A page may show nothing else before the cell has ended; the stop button ends the wait."""
    (home / ".codex" / "auth.json").unlink()
    request = served.send(WORDS, allow_stdin=True)
    prompt = served.client.get_stdin_msg(timeout=30)["content"]["prompt"]
    [code] = re.findall(CODE, prompt)
    assert "/codex/device" in prompt
    served.interrupt()
    [answer] = outputs(served.messages(request))
    assert "You are not signed in" in answer["data"]["text/markdown"]
    assert code not in str(answer)


def test_nbclient_in_a_cell_of_a_notebook_is_no_server(
    service: LocalService, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It inherits the variables; without a sign-in it must fail, as nobody is there."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "outer.ipynb"))
    (home / ".codex" / "auth.json").unlink()
    notebook = notebook_of("%load_ext codex_magic", WORDS)
    with pytest.raises(CellExecutionError):
        execute(notebook, tmp_path)
    answer, failure = notebook.cells[1].outputs
    assert "You are not signed in" in answer.data["text/plain"]
    assert "You are not signed in" in failure.evalue
