"""The agent in a real kernel: the official program, the local service as its model, no account."""

from __future__ import annotations

import os
import queue
import select
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from tests.end_to_end.kernel import Kernel, markdown, state
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import PATCH, as_provider, by_the_cli, escalated, sent, use
from tests.service import start

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

WRITE = escalated("echo written > out.txt")
CHANGE = use("exec_command", cmd=f"apply_patch <<'EOF'\n{PATCH}EOF")
NEVER_ENDS = use("exec_command", cmd="sleep 600", yield_time_ms=600_000)


@pytest.fixture
def notebook(kernel: Kernel) -> Kernel:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    return kernel


@pytest.fixture
def front_end(notebook: Kernel) -> FrontEnd:
    return FrontEnd(notebook)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What the agent would write; the kernel's folder is the test's."""
    return tmp_path / "out.txt"


def agent(prompt: str, options: str = "") -> str:
    return f"%%codex --agent {options}\n{prompt}"


def step(label: str, *notes: str, command: str = "echo written > out.txt") -> str:
    """The line of a command, with what is quiet behind it."""
    return " · ".join([f"**{label}** `{command}`", *notes])


def test_a_yes_runs_the_command_and_stands_in_its_step(front_end: FrontEnd, out: Path) -> None:
    cell = front_end.run(agent(WRITE, "-o result"))
    front_end.click("Approve")
    front_end.idle(cell)
    assert out.read_text() == "written\n"
    assert step("Ran", "approved", "exit code 0") in markdown(front_end.outputs)
    assert "Allow Codex" not in markdown(front_end.outputs)
    assert front_end.open_widgets == 0
    assert front_end.kernel.value("result.status.value") == "'completed'"


def test_what_a_command_prints_is_on_screen_while_it_runs(front_end: FrontEnd, tmp_path: Path) -> None:
    go = tmp_path / "go"
    # What is printed before Codex listens, in the first moments, comes with the result alone.
    command = f"until [ -e {go} ]; do echo busy; sleep 0.1; done; echo done"
    cell = front_end.run(agent(use("exec_command", cmd=command, yield_time_ms=60_000)))
    front_end.until(lambda: "```\nbusy\n" in markdown(front_end.outputs))
    assert "**Running**" in markdown(front_end.outputs) or "<b>Running</b>" in markdown(front_end.outputs)
    go.touch()
    front_end.idle(cell)
    assert "\nbusy\ndone\n```" in markdown(front_end.outputs)


def test_a_no_is_visible_in_its_step(front_end: FrontEnd, out: Path) -> None:
    cell = front_end.run(agent(WRITE))
    front_end.click("Decline")
    front_end.idle(cell)
    seen = markdown(front_end.outputs)
    assert step("Not run: declined") in seen
    assert seen.count("declined") == 1
    assert not out.exists()


def test_where_no_buttons_are_drawn_the_question_is_read_as_text(front_end: FrontEnd) -> None:
    cell = front_end.run(agent(WRITE))
    front_end.until(lambda: "**Allow Codex to run this command?**" in markdown(front_end.outputs))
    assert "Stop the cell to decline." in markdown(front_end.outputs)
    front_end.click("Decline")
    front_end.idle(cell)
    assert "Allow Codex" not in markdown(front_end.outputs)


def test_no_and_stop_ends_the_turn(front_end: FrontEnd, out: Path) -> None:
    cell = front_end.run(agent(WRITE))
    front_end.click("Decline and stop the turn")
    front_end.idle(cell)
    assert state(front_end.outputs) == "interrupted"
    assert not out.exists()


def test_a_yes_for_the_session_is_asked_once(front_end: FrontEnd, out: Path) -> None:
    first = front_end.run(agent(WRITE))
    front_end.click("Approve for this session")
    front_end.idle(first)
    assert "approved for this session" in markdown(front_end.kernel.execute("%codex show"))
    out.unlink()
    front_end.idle(front_end.run(agent(WRITE)))
    assert out.exists()
    assert "1 time<" in markdown(front_end.kernel.execute("%codex approvals"))
    front_end.kernel.execute("%codex approvals revoke 1")
    out.unlink()
    again = front_end.run(agent(WRITE))
    front_end.click("Decline")
    front_end.idle(again)
    assert not out.exists()


def test_a_change_is_asked_about_with_its_diff(front_end: FrontEnd, tmp_path: Path) -> None:
    cell = front_end.run(agent(CHANGE))
    shown = front_end.until(lambda: front_end.shown("Allow Codex to change new.txt?"))
    assert "New: new.txt" in shown
    assert "<ins>+one line</ins>" in shown
    front_end.click("Approve")
    front_end.idle(cell)
    assert (tmp_path / "new.txt").read_text() == "one line\n"
    assert "· approved" in markdown(front_end.outputs)


def test_the_notebooks_file_is_not_written_and_the_agent_hears_of_the_cell_tools(
    front_end: FrontEnd, tmp_path: Path
) -> None:
    (tmp_path / "n.ipynb").write_text("{}\n")
    patch = "*** Begin Patch\n*** Update File: n.ipynb\n@@\n-{}\n+[]\n*** End Patch\n"
    front_end.idle(front_end.run(agent(use("exec_command", cmd=f"apply_patch <<'EOF'\n{patch}EOF"))))
    assert (tmp_path / "n.ipynb").read_text() == "{}\n"
    shown = markdown(front_end.outputs)
    assert "Not changed: declined" in shown
    assert "you said" not in shown
    assert "It was told to change cells instead." in shown


def test_where_nobody_can_answer_it_is_no_and_says_so(notebook: Kernel, out: Path) -> None:
    seen = markdown(notebook.execute(agent(WRITE)))
    assert step("Not run: nobody to ask") in seen
    assert not out.exists()


def test_a_cell_that_may_write_needs_no_answer_and_the_next_one_may_not(notebook: Kernel, out: Path) -> None:
    write = use("exec_command", cmd="echo written > out.txt")
    notebook.execute(agent(write, "--sandbox workspace-write"))
    assert out.exists()
    out.unlink()
    notebook.execute(agent(write))
    assert not out.exists()


def test_an_effort_holds_for_the_cell_that_names_it(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    with start(open_access=True) as service:
        kernel.execute(f"%codex provider {service.api_url}")
        for options in ("", "-e high", "", "-e low", ""):
            kernel.execute(agent("echo: x", f"-m gpt-5.5 {options}"))
        asked = [request.json for request in service.requests if request.path.endswith("/responses")]
    assert [each["reasoning"]["effort"] for each in asked] == ["medium", "high", "medium", "low", "medium"]


def test_a_cell_that_denies_asks_nobody(front_end: FrontEnd, out: Path) -> None:
    front_end.idle(front_end.run(agent(WRITE, "--approval deny")))
    assert not out.exists()
    assert "Allow Codex" not in str(front_end.messages)


def test_a_cell_names_the_folder(notebook: Kernel, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    seen = notebook.execute(agent(use("exec_command", cmd="pwd"), "--cwd below"))
    assert str(tmp_path / "below") in markdown(seen)


def test_the_stop_button_is_a_no_and_its_widget_goes(front_end: FrontEnd, out: Path) -> None:
    cell = front_end.run(agent(WRITE))
    front_end.until(lambda: front_end.model(description="Approve"))
    front_end.kernel.interrupt()
    front_end.idle(cell)
    assert state(front_end.outputs) == "interrupted"
    seen = markdown(front_end.outputs)
    assert step("Not run: stopped") in seen
    assert front_end.open_widgets == 0
    assert not out.exists()


def test_a_timed_cell_asks_for_a_typed_answer(front_end: FrontEnd, out: Path) -> None:
    code = f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})"
    for typed, written in (("", False), ("what?", False), ("a", True)):
        cell = front_end.run(code)
        prompt = stdin(front_end, typed)
        if typed == "what?":
            prompt = stdin(front_end, "d")
        front_end.idle(cell)
        assert "s  Approve for this session" in prompt
        assert out.exists() is written


def stdin(front_end: FrontEnd, answer: str) -> str:
    """Type `answer` when asked for a line, and give what was asked."""
    try:
        request = front_end.kernel.client.get_stdin_msg(timeout=30)
    except queue.Empty:
        raise AssertionError(front_end.messages[-5:]) from None
    front_end.kernel.client.input(answer)
    return str(request["content"]["prompt"])


def test_a_line_that_a_front_end_sent_before_the_question_answers_nothing(
    front_end: FrontEnd, out: Path
) -> None:
    for _ in range(2):
        front_end.kernel.client.input("a")
    cell = front_end.run(f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})")
    stdin(front_end, "d")
    front_end.idle(cell)
    assert "Not run: declined" in markdown(front_end.outputs)
    assert not out.exists()


def test_where_the_question_is_captured_it_is_no(front_end: FrontEnd, out: Path) -> None:
    front_end.idle(front_end.run(f"%%capture\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})"))
    assert not out.exists()


def test_ctrl_c_at_a_typed_question_stops_the_turn(front_end: FrontEnd, out: Path) -> None:
    cell = front_end.run(f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})")
    front_end.kernel.client.get_stdin_msg(timeout=30)
    front_end.kernel.interrupt()
    front_end.idle(cell)
    assert state(front_end.outputs) == "interrupted"
    assert step("Not run: stopped") in markdown(front_end.outputs)
    assert not out.exists()


# In the background ---------------------------------------------------------------------------------


ENDS = (", in the background", "Interrupted")


def over(front_end: FrontEnd) -> str:
    """What is on screen once the turn in the background is over."""

    def ended() -> str:
        seen = markdown(front_end.outputs)
        return seen if any(end in seen for end in ENDS) else ""

    return str(front_end.until(ended))


def test_a_turn_in_the_background_gives_the_kernel_back_and_its_result_later(
    front_end: FrontEnd, out: Path
) -> None:
    front_end.idle(front_end.run(agent(WRITE, "--background -o result")))
    assert front_end.kernel.value("'result' in globals()") == "False"
    front_end.idle(front_end.run("6 * 7"))
    front_end.click("Approve")
    assert "exit code 0" in over(front_end)
    assert out.exists()
    assert front_end.kernel.value("result.status.value") == "'completed'"


def test_what_runs_is_told_and_stopped(front_end: FrontEnd) -> None:
    front_end.idle(front_end.run(agent(NEVER_ENDS, "-b")))
    front_end.idle(front_end.run("%codex status"))
    assert "use the tool exec" in markdown(front_end.outputs)
    front_end.idle(front_end.run("%codex stop"))
    assert "Interrupted" in over(front_end)
    front_end.idle(front_end.run("%codex stop"))
    assert "Nothing is running." in markdown(front_end.outputs)


def test_a_cell_that_runs_is_stopped_from_a_second_console(front_end: FrontEnd) -> None:
    cell = front_end.run(agent(NEVER_ENDS))
    front_end.until(lambda: "**Running** `sleep 600`" in markdown(front_end.outputs))
    front_end.idle(in_subshell(front_end.kernel, "%codex stop"))
    front_end.idle(cell)
    assert "Interrupted" in markdown(front_end.outputs)
    assert "Stopped 1 turn." in markdown(front_end.outputs)


def in_subshell(kernel: Kernel, code: str) -> str:
    """Run `code` beside the cell that runs, as a console of JupyterLab can."""
    client = kernel.client
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    made = client.get_control_msg(timeout=30)["content"]
    if "subshell_id" not in made:
        pytest.skip("this ipykernel has no subshells")
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
    request = client.session.msg("execute_request", content)
    request["header"]["subshell_id"] = made["subshell_id"]
    client.shell_channel.send(request)
    return str(request["header"]["msg_id"])


ASK_TWICE = """
from concurrent.futures import Future
from codex_magic.notebook.desk import Desk
from codex_magic.notebook.cells import drive_async
from codex_magic.notebook.magics import loaded
from codex_magic.protocol.types import CommandApproval

session = loaded(get_ipython()).session
desk = Desk(session.shell, session.screen, "")
asked = [CommandApproval("t", "u", str(n), command=f"touch {n}") for n in range(2)]
decisions = [session.blocking.submit(desk.ask(request)) for request in asked]

def steps():
    while not all(decision.done() for decision in decisions) or desk._shown:
        yield desk.news.ready(), None
        for question in desk.news.take():
            desk.take(question, pause=lambda: None)

await drive_async(steps())
"""


def test_two_questions_at_once_are_asked_one_after_the_other(front_end: FrontEnd) -> None:
    front_end.idle(front_end.run("%codex status"))
    cell = front_end.run(ASK_TWICE)
    assert "touch 0" in front_end.until(lambda: front_end.shown("1 of 2"))
    assert front_end.shown("touch 1") is None
    earlier = front_end.until(lambda: front_end.model(description="Approve"))
    front_end.click("Approve")
    front_end.until(lambda: front_end.shown("touch 1"))
    front_end.click_on(earlier)  # comes late, and answers nothing any more
    front_end.click("Decline")
    front_end.idle(cell)
    assert front_end.kernel.value("[d.result().value for d in decisions]") == "['accept', 'decline']"
    assert "Allow Codex" not in markdown(front_end.outputs)
    assert front_end.open_widgets == 0


def test_more_is_said_to_what_runs(front_end: FrontEnd) -> None:
    front_end.idle(front_end.run(agent("repeat 3000", "-b")))
    front_end.until(lambda: "word" in markdown(front_end.outputs))
    front_end.idle(front_end.run("%codex steer echo: steered"))
    assert over(front_end).index("steered") > 0
    assert state(front_end.outputs) == "done"


def test_a_question_in_the_background_goes_with_its_turn(front_end: FrontEnd, out: Path) -> None:
    front_end.idle(front_end.run(agent(WRITE, "-b")))
    front_end.until(lambda: front_end.model(description="Approve"))
    front_end.idle(front_end.run("%codex stop"))
    seen = over(front_end)
    assert step("Not run: stopped") in seen
    front_end.idle(front_end.run("%codex show"))
    assert markdown(front_end.outputs).count(step("Not run: stopped")) == 2
    assert front_end.open_widgets == 0
    assert not out.exists()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for somebody else's child")
def test_what_runs_ends_with_its_kernel_and_the_next_one_says_so(front_end: FrontEnd, tmp_path: Path) -> None:
    command = use("exec_command", cmd="echo $$ > pid; exec sleep 600", yield_time_ms=600_000)
    front_end.idle(front_end.run(agent(command, "-b --sandbox full-access")))
    front_end.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    watched = os.pidfd_open(int((tmp_path / "pid").read_text()))
    front_end.kernel.restart()
    assert select.select([watched], [], [], 10)[0]
    os.close(watched)
    front_end.kernel.execute("%load_ext codex_magic")
    seen = markdown(front_end.kernel.execute("%codex -p local echo: on"))
    assert "was cut off when its kernel ended" in seen


def kept(home: Path, words: str) -> bool:
    """Whether the store has an item with those words."""
    with closing(sqlite3.connect(home / "codex-magic" / "threads.db")) as db:
        return bool(db.execute("SELECT 1 FROM partials WHERE json LIKE ?", (f"%{words}%",)).fetchall())


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        (WRITE, "waiting", step("Not run: expired")),
        (NEVER_ENDS, "inProgress", step("Stopped", "did not finish", command="sleep 600")),
    ],
)
def test_what_a_kernel_took_with_it_is_told_as_far_as_it_is_known(
    front_end: FrontEnd, home: Path, command: str, status: str, line: str
) -> None:
    front_end.idle(front_end.run(agent(command, "-b")))
    front_end.until(
        lambda: "**Running**" in markdown(front_end.outputs) or front_end.model(description="Approve")
    )
    while not kept(
        home, f'commandExecution%"status":"{status}"' if status == "waiting" else "commandExecution"
    ):
        threading.Event().wait(0.05)
    front_end.kernel.restart()
    front_end.kernel.execute("%load_ext codex_magic")
    seen = markdown(front_end.kernel.execute("%codex show"))
    assert line in seen


# In a terminal -------------------------------------------------------------------------------------


@pytest.fixture
def terminal(home: Path, tmp_path: Path) -> Iterator[pexpect.spawn]:
    command = [*"-m IPython --simple-prompt --no-banner --no-confirm-exit --colors=NoColor".split()]
    child = pexpect.spawn(
        sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, 100), cwd=str(tmp_path)
    )
    for line in ("%load_ext codex_magic", "%codex provider local", "%codex engine app-server"):
        child.expect(r"In \[\d+\]: ")
        child.sendline(line)
    child.expect(r"In \[\d+\]: ")
    yield child
    child.close(force=True)


@pytest.mark.parametrize(("typed", "told", "written"), [("a", "Ran", True), ("", "Not run:", False)])
def test_a_terminal_asks_for_a_line(
    terminal: pexpect.spawn, out: Path, typed: str, told: str, written: bool
) -> None:
    terminal.sendline(f"%codex {WRITE}")
    terminal.expect("Allow Codex to run this command")
    terminal.expect("echo written > out.txt.*Codex says: “I must”.*Your answer")
    terminal.sendline(typed)
    terminal.expect(f"{told} echo written > out.txt")
    terminal.expect(r"In \[\d+\]: ")
    assert out.exists() is written


def test_a_thread_of_the_cli_is_resumed_by_its_id(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with as_provider(home, monkeypatch) as service, Kernel(tmp_path) as kernel:
        thread_id = by_the_cli(service, home, "echo: in a terminal")
        kernel.execute("%load_ext codex_magic")
        kernel.execute(f"%codex provider {service.api_url}")
        assert "1 turn so far" in markdown(kernel.execute(f"%codex resume {thread_id}"))
        kernel.execute("%%codex -m gpt-5.5\necho: in a notebook")
        assert "in a terminal" in str(sent(service)["input"])


def test_a_whole_id_that_nobody_has_is_no_thread(notebook: Kernel) -> None:
    told = notebook.execute("%codex resume 01a1fb11-4fc2-7171-9446-0d3bd7b175f5")
    assert "There is no thread" in markdown(told)
