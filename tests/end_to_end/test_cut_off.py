"""A kernel that ends in the middle of an answer, and the notebook that goes on; a store that can't be used."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import AgentMessage
from codex_magic.threads.store import Store
from tests.end_to_end.held import hold
from tests.end_to_end.kernel import Kernel, markdown, state
from tests.service import LocalService
from tests.threads import backend

ASK = "%%codex\nrepeat 2000"

NEVER = "import codex_magic.threads.turns\ncodex_magic.threads.turns.KEEP_SECONDS = 3600"
"""So that only the end of the kernel can have kept something."""

LATER = "%load_ext codex_magic"


def texts() -> list[str]:
    """What is kept of all answers."""
    with Store(Settings.from_env().home / "threads.db") as store:
        turns = [turn for thread in store.threads().threads for turn in store.history(thread.id)]
    items = [entry.item for turn in turns for entry in turn.items]
    return [item.text for item in items if isinstance(item, AgentMessage)]


def test_a_killed_kernel_is_told_of_in_its_notebook_alone_and_its_answer_goes_on(
    notebook: Kernel, other_notebook: Kernel, service: LocalService
) -> None:
    hold(service, after=20)
    notebook.send(ASK, cell_id="one")
    service.wait_for_hold()
    while not texts():
        pass
    notebook.restart()
    notebook.execute(LATER)

    [kept] = texts()
    assert "cut off" not in markdown(other_notebook.execute("%codex echo: elsewhere"))
    assert "interrupted" in markdown(notebook.execute("%codex history"))
    assert kept.split()[1] in markdown(notebook.execute("%codex show 1"))
    told = markdown(notebook.execute("%codex continue", cell_id="two"))
    assert 'The answer to "repeat 2000" was cut off when its kernel ended.' in told
    assert "What had arrived" in told
    assert kept in backend.texts(service.requests[-1].json["input"])
    assert "cut off" not in markdown(notebook.execute("%codex echo: told once"))


@pytest.mark.skipif(sys.platform == "win32", reason="a kernel there is never asked to end by a signal")
@pytest.mark.parametrize("end", ["shutdown", "SIGTERM"])
def test_a_kernel_that_is_asked_to_end_writes_first(
    notebook: Kernel, service: LocalService, end: str
) -> None:
    notebook.execute(NEVER)
    hold(service, after=20)
    notebook.send(ASK)
    service.wait_for_hold()
    while "word" not in str(notebook.client.get_iopub_msg(timeout=30)["content"]):
        pass
    assert texts() == []
    if end == "shutdown":
        notebook.client.shutdown()
    else:
        notebook.manager.signal_kernel(signal.SIGTERM)
    while notebook.manager.is_alive():
        pass
    assert len(texts()) == 1


def test_a_store_that_cannot_be_opened_costs_the_memory_not_the_answer(notebook: Kernel) -> None:
    path = Settings.from_env().home / "threads.db"
    path.mkdir(parents=True)
    for answer in ("one", "two"):
        told = notebook.execute(f"%%codex\necho: {answer}")
        shown = markdown(told)
        assert state(told) == "done"
        assert answer in shown
        assert f"{path.name} is a folder" in shown.replace("\\", "")
        assert "not saved" in shown
    assert "What did I ask" not in shown
    assert "one" in markdown(notebook.execute("%%codex\nWhat did I ask so far?"))
    assert "is a folder" in markdown(notebook.execute("%codex status")).replace("\\", "")


def test_a_store_that_is_damaged_while_it_is_used_costs_nothing_of_the_conversation(notebook: Kernel) -> None:
    """What can still be read goes along."""
    notebook.execute("%codex echo: my name is Ada")
    read_only = "get_ipython().magics_manager.registry['CodexMagics'].session.blocking.call("
    read_only += "get_ipython().magics_manager.registry['CodexMagics'].session.codex.store.run("
    notebook.execute(f"{read_only}lambda store: store._db.execute('PRAGMA query_only = 1')))")
    shown = markdown(notebook.execute("%%codex\nWhat did I ask so far?"))
    assert "my name is Ada" in shown
    assert "not saved" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open can't be deleted there")
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_store_that_is_no_longer_at_its_place_is_told(notebook: Kernel, how: str) -> None:
    """What is written to it now would be lost with the kernel."""
    notebook.execute("%codex echo: my name is Ada")
    folder = Settings.from_env().home
    folder.rename(folder.with_name("elsewhere"))
    if how == "replaced":
        with Store(folder / "threads.db"):
            pass
    shown = markdown(notebook.execute("%%codex\nWhat did I ask so far?"))
    assert "my name is Ada" in shown
    assert "was deleted or replaced" in shown
    assert "not saved" in shown
    notebook.restart()
    notebook.execute("%load_ext codex_magic")
    assert "not saved" not in markdown(notebook.execute("%%codex\necho: again"))
    assert texts() == ["again"]


def test_a_store_that_another_program_holds_is_waited_for_not_replaced(
    notebook: Kernel, tmp_path: Path
) -> None:
    notebook.execute("%codex echo: kept")
    notebook.execute("import codex_magic; from codex_magic.protocol.settings import Settings; import sqlite3")
    notebook.execute("held = sqlite3.connect(Settings.from_env().home / 'threads.db', isolation_level=None)")
    notebook.execute("held.execute('BEGIN IMMEDIATE')")
    assert "is locked by another program" in str(notebook.execute("%codex echo: refused"))
    notebook.execute("held.execute('ROLLBACK')")
    assert "not saved" not in markdown(notebook.execute("%codex echo: again"))
