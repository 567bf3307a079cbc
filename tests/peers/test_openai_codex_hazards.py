"""Where a session of the official SDK goes wrong, and the same scene with this package.

What never returns there waits in a daemon thread, and is let go when its process ends.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NeverReturned

import pytest

from codex_magic import AsyncCodex, CodexConfig, Decision, TurnStatus, UsageLimitError
from codex_magic import retry_on_overload as our_retry
from codex_magic.protocol.errors import ServerBusyError
from codex_magic.protocol.types import CommandExecution, UserMessage
from codex_magic.waiting import in_thread
from tests.app_server.fake_server import command
from tests.peers.agent import CONFIG, as_provider, done, escalated, held

pytest.importorskip("codex_cli_bin")
sdk = pytest.importorskip("openai_codex")
sdk_client = pytest.importorskip("openai_codex.client")

pytestmark = pytest.mark.peer("openai-codex")

SOON = 10
"""Seconds for what comes."""
NEVER = 1
"""Seconds for what does not come: a hundred times what it takes elsewhere."""

ASKED_IN = {"model": "gpt-5.5", "approvalPolicy": "on-request", "approvalsReviewer": "user"}

PROVIDER = """
[model_providers.local]
name = "local"
base_url = "{url}"
wire_api = "responses"
requires_openai_auth = false
"""


@pytest.fixture
def service(home, monkeypatch):
    """The model of the program, whoever runs it."""
    with as_provider(home, monkeypatch) as service:
        provider = PROVIDER.format(url=service.api_url)
        (home / ".codex" / "config.toml").write_text(f'model_provider = "local"{CONFIG}{provider}')
        yield service


@pytest.fixture
def config(service):
    return CodexConfig(engine="app-server", model="gpt-5.5")


@pytest.fixture
def peer(service):
    peer = sdk.Codex()
    yield peer
    end(peer._client)


@pytest.fixture
def client(service):
    """A function that makes the one of its objects that can be asked for approval."""
    clients = []

    def make(approval_handler=None, **config):
        client = sdk_client.CodexClient(sdk.CodexConfig(**config), approval_handler)
        clients.append(client)
        client.start()
        client.initialize()
        return client

    yield make
    for client in clients:
        end(client)


def end(client):
    """Its own `close` leaves the pipes open, of which Python warns."""
    process = client._proc
    client.close()
    process.stdout.close()
    process.stderr.close()


def asking(client, folder):
    """A turn of the SDK that wants to run a command outside of the sandbox."""
    thread = client.thread_start({**ASKED_IN, "cwd": str(folder), "sandbox": "read-only"}).thread
    return client.turn_start(thread.id, escalated("echo written > out.txt")).turn


def waiting(work):
    return in_thread(work, daemon=True)


# A command that nobody was asked about -------------------------------------------------------------


def test_a_command_that_nobody_allowed_does_not_run(codex, tmp_path):
    thread = codex.thread_start(cwd=str(tmp_path), approval_mode="ask")
    [command] = done(thread.run(escalated("echo written > out.txt")), CommandExecution)
    assert command.status == "unanswered"
    assert not (tmp_path / "out.txt").exists()


def test_the_sdk_allows_it_by_itself(client, tmp_path):
    peer = client()
    peer.wait_for_turn_completed(asking(peer, tmp_path).id)
    assert (tmp_path / "out.txt").read_text() == "written\n"


# Others while someone thinks -----------------------------------------------------------------------


class Person:
    """Thinks until told to answer."""

    def __init__(self, answer):
        self.thinks, self.may_answer, self._answer = threading.Event(), threading.Event(), answer

    def __call__(self, *asked):
        self.thinks.set()
        self.may_answer.wait()
        return self._answer


def test_others_go_on_while_someone_thinks(codex, tmp_path):
    person = Person(Decision.decline)
    handle = codex.thread_start(cwd=str(tmp_path), approvals=person).turn(escalated("touch out.txt"))
    assert person.thinks.wait(SOON)
    assert codex.thread_start().run("echo: meanwhile").final_response == "meanwhile"
    person.may_answer.set()
    assert handle.run().status is TurnStatus.completed


def test_others_wait_in_the_sdk(client, tmp_path):
    person = Person({"decision": "decline"})
    peer = client(person)
    asking(peer, tmp_path)
    assert person.thinks.wait(SOON)
    models = waiting(peer.model_list)
    try:
        with pytest.raises(NeverReturned):
            models.result(NEVER)
    finally:
        person.may_answer.set()
    assert models.result(SOON).data


# A person whose answer fails -----------------------------------------------------------------------


def fails(*asked):
    raise ZeroDivisionError


def test_an_answer_that_fails_is_a_no_and_the_session_goes_on(codex, tmp_path):
    thread = codex.thread_start(cwd=str(tmp_path), approvals=fails)
    [command] = done(thread.run(escalated("touch out.txt")), CommandExecution)
    assert command.status == "unanswered"
    assert thread.run("echo: on").final_response == "on"


def test_an_answer_that_fails_ends_every_later_call_of_the_sdk(client, tmp_path):
    peer = client(fails)
    turn = asking(peer, tmp_path)
    with pytest.raises(ZeroDivisionError):
        peer.wait_for_turn_completed(turn.id)
    with pytest.raises(NeverReturned):
        waiting(peer.model_list).result(NEVER)


# Interrupting what is interrupted ------------------------------------------------------------------


def test_a_second_interrupt_returns(codex, service):
    _, handle = held(codex, service)
    handle.interrupt()
    waiting(handle.interrupt).result(SOON)
    assert handle.run().status is TurnStatus.interrupted


def test_a_second_interrupt_never_returns_in_the_sdk(peer, service):
    service.faults.next("hold", after=2)
    handle = peer.thread_start().turn("repeat 2000")
    service.wait_for_hold()
    handle.interrupt()
    assert handle.run().status.value == "interrupted"
    with pytest.raises(NeverReturned):
        waiting(handle.interrupt).result(NEVER)


# Silent streams and asyncio's threads --------------------------------------------------------------

SILENT = 8


async def with_silent_streams(codex, service, play):
    """Run `play` while as many streams are silent as asyncio has threads for everybody's work."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(SILENT))
    service.faults.next("hold", after=1, times=SILENT)
    threads = [await codex.thread_start() for _ in range(SILENT)]
    handles = [await thread.turn("echo: first second") for thread in threads]
    silent = [asyncio.Event() for _ in handles]

    async def read(handle, silent):
        async for notification in handle.stream():
            if notification.method.lower().endswith("delta"):
                silent.set()

    reading = [asyncio.create_task(read(*each)) for each in zip(handles, silent, strict=True)]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in silent)), SOON)
    try:
        return await play()
    finally:
        service.release()
        await asyncio.gather(*reading)


def test_silent_streams_hold_up_nobody(config, service):
    async def main():
        async with AsyncCodex(config) as codex:

            async def play():
                await asyncio.wait_for(asyncio.to_thread(int), SOON)
                await asyncio.wait_for(codex.thread_list(), SOON)
                thread = await codex.thread_start()
                return await asyncio.wait_for(thread.run("echo: free"), SOON)

            return await with_silent_streams(codex, service, play)

    assert asyncio.run(main()).final_response == "free"


def test_silent_streams_of_the_sdk_hold_up_everybody(service):
    async def main():
        codex = sdk.AsyncCodex()

        async def play():
            calls = [asyncio.ensure_future(work) for work in (codex.models(), asyncio.to_thread(int))]
            answered, _ = await asyncio.wait(calls, timeout=NEVER)
            service.release()
            await asyncio.gather(*calls)
            return answered

        try:
            return await with_silent_streams(codex, service, play)
        finally:
            end(codex._client._sync)

    assert asyncio.run(main()) == set()


# A server that is busy -----------------------------------------------------------------------------

needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")


def test_a_busy_server_is_worth_another_try():
    refusals = [ServerBusyError("Server overloaded; retry later.", code=-32001)]

    def op():
        if refusals:
            raise refusals.pop()
        return "done"

    assert our_retry(op, initial_delay_s=0) == "done"


@needs_sh
def test_a_busy_server_is_given_up_by_the_sdk(client, tmp_path):
    peer = client(codex_bin=command(tmp_path))
    calls = []

    def op():
        calls.append(1)
        return peer.request("test/busy", {"times": 1}, response_model=sdk_client.ModelListResponse)

    with pytest.raises(sdk.JsonRpcError) as refused:
        sdk.retry_on_overload(op, initial_delay_s=0)
    assert refused.value.code == -32001
    assert not sdk.is_retryable_error(refused.value)
    assert len(calls) == 1


# A stream that is left -----------------------------------------------------------------------------


def test_to_leave_a_stream_stops_the_turn(codex, service):
    _, handle = held(codex, service)
    for _ in handle.stream():
        break
    service.wait_for_disconnect(SOON)
    assert handle.run().status is TurnStatus.interrupted


def test_to_leave_a_stream_of_the_sdk_lets_the_turn_go_on(peer, service):
    service.faults.next("hold", after=2)
    thread = peer.thread_start()
    for _ in thread.turn("echo: nobody listens").stream():
        break
    service.wait_for_hold()
    with pytest.raises(TimeoutError):
        service.wait_for_disconnect(NEVER)
    service.release()
    assert thread.run("echo: more").status.value == "completed"


# What is left of a turn that failed ----------------------------------------------------------------


def test_a_failed_turn_gives_its_kind_and_its_items(codex, service):
    service.faults.next("usage_limit")
    with pytest.raises(UsageLimitError) as failed:
        codex.thread_start().run("echo: too much")
    assert len(done(failed.value.result, UserMessage)) == 1


def test_a_failed_turn_of_the_sdk_gives_a_sentence(peer, service):
    service.faults.next("usage_limit")
    with pytest.raises(RuntimeError) as failed:
        peer.thread_start().run("echo: too much")
    assert type(failed.value) is RuntimeError
    assert vars(failed.value) == {}
