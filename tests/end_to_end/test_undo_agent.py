"""`%codex undo` puts back the files that a turn of the agent changed: the official program in a real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import PATCH, escalated, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

WRITES = "--sandbox workspace-write"
CHANGE = use("exec_command", cmd=f"apply_patch <<'EOF'\n{PATCH}EOF")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)))
    (tmp_path / "d" / "e" / "c.txt").write_text("deep")
    (tmp_path / "link").symlink_to("a.txt")
    return tmp_path


@pytest.fixture
def front_end(folder: Path, kernel: Kernel) -> FrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    return FrontEnd(kernel)


def state(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """All that stands below a folder."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        mode = os.lstat(path).st_mode
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (mode, os.readlink(path) if path.is_symlink() else content)
    return found


def ask(front_end: FrontEnd, prompt: str, options: str = "", *, click: str = "") -> str:
    """Ask the agent; return all that is shown."""
    request = front_end.run(f"%%codex --agent {options}\n{prompt}")
    if click:
        front_end.click(click)
    front_end.idle(request)
    return markdown(front_end.outputs)


def undo(front_end: FrontEnd) -> str:
    front_end.idle(front_end.run("%codex undo"))
    return markdown(front_end.outputs)


@pytest.mark.parametrize(
    "command",
    [
        "echo x > new.txt",
        "echo x > a.txt",
        "echo x >> a.txt",
        "rm a.txt",
        "rm -r d",
        "mv a.txt d/moved.txt",
        "mv d other",
        "chmod 600 a.txt",
        "ln -sf b.bin link",
        "rm link; echo x > link",
        "rm a.txt; mkdir a.txt; echo x > a.txt/x",
        "printf '\\377' | dd of=b.bin conv=notrunc bs=1 seek=4",
        "mkdir -p p/q; cp b.bin p/q/r",
    ],
)
def test_what_a_command_changed_is_back(front_end: FrontEnd, folder: Path, command: str) -> None:
    before = state(folder)
    ask(front_end, use("exec_command", cmd=command), WRITES)
    assert state(folder) != before
    assert "Undone: " in undo(front_end)
    assert state(folder) == before
    assert "There is nothing to undo." in undo(front_end)


def test_a_change_of_files_is_back(front_end: FrontEnd, folder: Path) -> None:
    before = state(folder)
    ask(front_end, CHANGE, click="Approve")
    assert (folder / "new.txt").exists()
    assert "Undone: new.txt." in undo(front_end)
    assert state(folder) == before


def test_what_the_user_changed_since_is_shown_and_kept(front_end: FrontEnd, folder: Path) -> None:
    ask(front_end, use("exec_command", cmd="echo of Codex > a.txt; rm b.bin"), WRITES)
    (folder / "a.txt").write_text("of the user\n")
    assert "Not undone: a.txt changed since." in undo(front_end)
    assert "+of the user" in str(front_end.outputs)
    assert (folder / "a.txt").read_text() == "of the user\n"
    assert not (folder / "b.bin").exists()


def test_what_others_wrote_while_the_turn_waited_for_an_answer_stays(
    front_end: FrontEnd, folder: Path
) -> None:
    request = front_end.run(f"%%codex --agent\n{escalated('echo x > new.txt')}")
    front_end.until(lambda: front_end.model(description="Approve"))
    (folder / "mine.txt").write_text("mine")
    (folder / "b.bin").unlink()
    front_end.click("Approve")
    front_end.idle(request)
    assert "Undone: new.txt." in undo(front_end)
    assert not (folder / "new.txt").exists()
    assert (folder / "mine.txt").read_text() == "mine"
    assert not (folder / "b.bin").exists()


def test_a_declined_command_leaves_nothing_to_undo(front_end: FrontEnd) -> None:
    ask(front_end, escalated("echo x > new.txt"), click="Decline")
    assert "There is nothing to undo." in undo(front_end)


def test_what_can_not_be_put_back_is_said_before_and_after(front_end: FrontEnd, folder: Path) -> None:
    with (folder / "big.csv").open("wb") as file:
        file.truncate(9_000_000)
    shown = ask(front_end, use("exec_command", cmd="rm big.csv a.txt"), WRITES)
    assert "but not big.csv (9 MB)." in shown
    assert shown.index("but not big.csv") < shown.index("**Ran**")
    assert "Undone: a.txt. Not put back: big.csv (9 MB, not kept)." in undo(front_end)
    assert (folder / "a.txt").exists()


def test_a_turn_in_the_background_is_undone_too(front_end: FrontEnd, folder: Path) -> None:
    before = state(folder)
    front_end.idle(front_end.run(f"%%codex --agent -b {WRITES}\n{use('exec_command', cmd='rm -r d a.txt')}"))
    front_end.until(lambda: ", in the background" in markdown(front_end.outputs))
    while "There is nothing to undo." in markdown(front_end.kernel.execute("%codex undo")):
        pass  # the turn ends shortly after its last update
    assert state(folder) == before
