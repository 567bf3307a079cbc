"""A forked child of a process that has used all this: it works or says a word, and its parent does not notice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codex_magic import AsyncClient, AsyncCodex, Client, Codex, CodexConfig, Thread, TurnHandle
from codex_magic.protocol.types import ChatgptAccount
from tests.app_server.tireless_server import command
from tests.forking import in_child
from tests.known import the
from tests.service import LocalService
from tests.threads.backend import held

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork"),
    # Python 3.12 warns of what this is about.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@pytest.fixture
def thread(codex: Codex) -> Thread:
    """One that has been used."""
    thread = codex.thread_start(name="ours")
    thread.run("echo: before")
    return thread


USES: dict[str, tuple[Callable[[Codex, Thread], Any], str]] = {
    "go on with the thread": (lambda codex, thread: thread.run("echo: child").final_response, "child"),
    "begin another": (lambda codex, thread: codex.thread_start().run("echo: child").final_response, "child"),
    "list": (lambda codex, thread: [each.name for each in codex.thread_list().threads], "['ours']"),
    "read": (lambda codex, thread: thread.read().thread.name, "ours"),
    "history": (lambda codex, thread: len(thread.history()), "1"),
    "rename": (lambda codex, thread: thread.set_name("new"), "None"),
    "account": (lambda codex, thread: the(ChatgptAccount, codex.account().account).type, "chatgpt"),
    "models": (lambda codex, thread: len(codex.models()) > 1, "True"),
    "limits": (lambda codex, thread: codex.rate_limits().primary is not None, "True"),
    "start a sign-in": (lambda codex, thread: codex.login_chatgpt_pasted().cancel().status.value, "canceled"),
    "stream": (lambda codex, thread: len(list(thread.turn("echo: child").stream())) > 3, "True"),
    "close": (lambda codex, thread: codex.close(), "None"),
    "a child of the child": (
        lambda codex, thread: in_child(lambda: thread.run("echo: grandchild").final_response),
        "grandchild",
    ),
}
USES["list"] = (lambda codex, thread: [each.name for each in codex.thread_list().threads], "['ours']")


@pytest.mark.parametrize(("use", "outcome"), USES.values(), ids=USES)
def test_a_child_can_do_all_that_its_parent_can(
    codex: Codex, thread: Thread, use: Callable[[Codex, Thread], Any], outcome: str
) -> None:
    assert in_child(lambda: use(codex, thread)) == outcome
    assert thread.run("echo: after").final_response == "after"


@pytest.mark.parametrize(("use", "outcome"), USES.values(), ids=USES)
def test_and_while_a_turn_of_its_parent_streams(
    codex: Codex, thread: Thread, service: LocalService, use: Callable[[Codex, Thread], Any], outcome: str
) -> None:
    handle, told = held(thread, service, "echo: the turn of the parent")
    next(told)
    child = outcome if use is USES["history"][0] else in_child(lambda: use(codex, thread))
    service.release()
    assert child == outcome
    assert handle.run().final_response == "the turn of the parent"


USES_OF_A_TURN: dict[str, Callable[[TurnHandle, Iterator[Any]], Any]] = {
    "run": lambda handle, told: handle.run(),
    "stream": lambda handle, told: list(handle.stream()),
    "go on reading": lambda handle, told: list(told),
    "interrupt": lambda handle, told: handle.interrupt(),
    "steer": lambda handle, told: handle.steer("more"),
}


@pytest.mark.parametrize("use", USES_OF_A_TURN.values(), ids=USES_OF_A_TURN)
def test_a_turn_of_the_parent_is_not_the_childs(
    thread: Thread, service: LocalService, use: Callable[[TurnHandle, Iterator[Any]], Any]
) -> None:
    handle, told = held(thread, service, "echo: the turn of the parent")
    next(told)
    outcome = in_child(lambda: use(handle, told))
    service.release()
    assert outcome.startswith(
        "InvalidRequestError: This turn runs in the process that this one was forked from."
    )
    assert handle.run().final_response == "the turn of the parent"


def test_a_stream_that_a_child_lets_go_of_is_not_interrupted(thread: Thread, service: LocalService) -> None:
    handle = thread.turn("echo: the turn of the parent")
    told: Any = handle.stream()
    next(told)
    assert in_child(lambda: told.close()) == "None"
    assert handle.run().final_response == "the turn of the parent"


def test_a_turn_that_is_over_can_be_read_in_a_child(thread: Thread) -> None:
    handle = thread.turn("echo: over")
    handle.run()
    assert in_child(lambda: handle.run().final_response) == "over"
    assert in_child(lambda: len(list(handle.stream())) > 3) == "True"


def test_an_ephemeral_thread_is_its_own_processes(codex: Codex) -> None:
    thread = codex.thread_start(ephemeral=True)
    thread.run("echo: once")
    assert in_child(lambda: thread.run("echo: child")).startswith("ThreadNotFoundError")
    assert thread.run("echo: after").final_response == "after"


def test_a_sign_in_of_the_parent_is_not_the_childs(codex: Codex) -> None:
    handle = codex.login_chatgpt_pasted()
    for use in (handle.wait, handle.cancel):
        assert in_child(use).startswith("LoginError: This sign-in")
    assert handle.cancel().status.value == "canceled"


_shared: list[Thread] = []


def _asked(word: str) -> str | None:
    return _shared[0].run(f"echo: {word}").final_response


@pytest.mark.parametrize("kind", ["Pool", "ProcessPoolExecutor"])
def test_workers_that_are_forked_share_a_thread(thread: Thread, kind: str) -> None:
    _shared[:] = [thread]
    context = multiprocessing.get_context("fork")
    words = ["one", "two", "three"]
    if kind == "Pool":
        with context.Pool(2) as pool:
            assert pool.map_async(_asked, words).get(30) == words
    else:
        with ProcessPoolExecutor(2, mp_context=context) as pool_:
            assert list(pool_.map(_asked, words, timeout=30)) == words
    assert thread.run("echo: after").final_response == "after"


def test_forks_at_any_moment(codex: Codex, thread: Thread) -> None:
    """While other threads hold whatever locks there are."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            thread.read()
            codex.thread_start(ephemeral=True).run("echo: x")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        outcomes = {in_child(lambda: thread.run("echo: child").final_response) for _ in range(10)}
    finally:
        over.set()
        for each in threads:
            each.join()
    assert outcomes == {"child"}


# Clients -----------------------------------------------------------------------------------------


def text(client: Client, word: str) -> str:
    return client.responses.create(f"echo: {word}").output_text


def test_a_client_works_in_both(service: LocalService) -> None:
    with Client() as client:
        assert text(client, "before") == "before"
        assert in_child(lambda: text(client, "child")) == "child"
        assert in_child(lambda: [client.close(), text(client, "child")]) == "[None, 'child']"
        assert text(client, "after") == "after"


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (lambda stream: next(stream), "InvalidRequestError: This answer belongs to the process"),
        (
            lambda stream: stream.get_final_response(),
            "InvalidRequestError: This answer belongs to the process",
        ),
        (lambda stream: stream.close(), "None"),
        (lambda stream: stream.abort(), "None"),
        (lambda stream: stream.__exit__(None, None, None), "None"),
    ],
)
def test_an_answer_that_the_parent_reads_stays_the_parents(
    service: LocalService, use: Callable[[Any], Any], outcome: str
) -> None:
    service.faults.next("hold", after=2)
    with Client() as client, client.responses.stream("echo: one two three four") as stream:
        next(stream.text_deltas())
        service.wait_for_hold()
        assert in_child(lambda: use(stream)).startswith(outcome)
        service.release()
        assert stream.get_final_response().output_text == "one two three four"


def test_an_asynchronous_client_works_in_both(service: LocalService) -> None:
    client = AsyncClient()

    async def asked(word: str) -> str:
        answer = (await client.responses.create(f"echo: {word}")).output_text
        await client.aclose()
        return answer

    assert asyncio.run(asked("before")) == "before"
    assert in_child(lambda: asyncio.run(asked("child"))) == "child"
    assert asyncio.run(asked("after")) == "after"


def test_an_asynchronous_codex_works_in_a_child_of_its_loop(service: LocalService) -> None:
    codex = AsyncCodex()

    async def asked(word: str) -> str | None:
        result = await (await codex.thread_start()).run(f"echo: {word}")
        return result.final_response

    async def parent() -> tuple[str | None, str, str | None]:
        before = await asked("before")
        child = in_child(lambda: asyncio.run(asked("child")))
        after = await asked("after")
        await codex.close()
        return before, child, after

    assert asyncio.run(parent()) == ("before", "child", "after")


# The agent ---------------------------------------------------------------------------------------


def test_the_agent_of_the_parent_is_not_the_childs(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "heard"
    config = CodexConfig(engine="app-server", launch_args_override=command("words", log))
    with Codex(config) as codex:
        handle = codex.thread_start().turn("hi")
        told = handle.stream()
        next(told)

        def ask() -> str:
            mine = codex.thread_start().turn("hi")
            next(mine.stream())
            mine.interrupt()
            codex.close()
            return mine.asynchronous.result.status.value  # type: ignore[union-attr]  # it is over

        assert in_child(ask) == "interrupted"
        for _ in range(100):
            next(told)
        handle.interrupt()
    assert log.read_text().split().count("initialize") == 2


SCRIPT = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "codex_magic")
shell.run_cell("%codex provider local")
shell.run_cell("%%codex\\necho: before")
sys.stdout.flush()
child = os.fork()
if child == 0:
    shell.run_cell("%codex status")
    shell.run_cell("%%codex\\necho: in the child")
    sys.exit(0)
print("the child ended with", os.waitpid(child, 0)[1])
shell.run_cell("%%codex\\necho: after")
"""


def test_a_child_that_ends_as_programs_do_leaves_everything_to_its_parent(home: Path, tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert "the child ended with 0" in done.stdout
    for word in ("before", "in the child", "after"):
        assert word in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "pending" not in done.stderr
