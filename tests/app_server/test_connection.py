"""A process that crashes, hangs, is busy or talks nonsense."""

import asyncio
import sys
from dataclasses import replace

import pytest

from codex_magic.engines.app_server.server import AppServer
from codex_magic.protocol.errors import (
    CodexError,
    ConfigurationError,
    InvalidRequestError,
    MethodNotFoundError,
    ServerBusyError,
    ServiceError,
    TimedOutError,
)
from codex_magic.protocol.settings import Settings
from tests.app_server.fake_server import command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")


async def refuse(method, params):
    raise MethodNotFoundError(f"no {method}", code=-32601)


@pytest.fixture
def settings(tmp_path):
    return replace(Settings.from_env(), codex_bin=command(tmp_path))


async def call(server, method, params, **options):
    async with server.connected() as connection:
        return await connection.call(method, params, **options)


async def process(server):
    async with server.connected() as connection:
        return connection.metadata["pid"]


def scene(settings, play, answer=refuse):
    """Run `play` with a server of its own."""

    async def run():
        server = AppServer(settings, answer)
        try:
            return await asyncio.wait_for(play(server), 15)
        finally:
            await server.close()

    return asyncio.run(run())


def test_calls_at_once_get_their_own_answers(settings):
    async def play(server):
        return await asyncio.gather(*(call(server, f"m/{n}", {}) for n in range(50)))

    assert [answer["method"] for answer in scene(settings, play)] == [f"m/{n}" for n in range(50)]


def test_a_crash_fails_what_waits_with_its_last_words_and_the_next_call_starts_anew(settings):
    async def play(server):
        first = await process(server)
        calls = (call(server, "test/silence", {}), call(server, "test/crash", {}))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        second = await process(server)
        return failures, first != second

    failures, anew = scene(settings, play)
    assert anew
    assert {type(failure) for failure in failures} == {ServiceError}
    assert "exit code 3" in str(failures[0])
    assert "the disk is full" in str(failures[0])


def test_a_subscriber_hears_of_a_crash(settings):
    async def play(server):
        async with server.connected() as connection:
            with connection.subscribed("t") as subscription:
                waiting = asyncio.ensure_future(subscription.next())
                connection.kill()
                return await asyncio.gather(waiting, return_exceptions=True)

    assert isinstance(scene(settings, play)[0], ServiceError)


def test_silence_ends_in_a_timeout_that_names_the_call(settings):
    async def play(server):
        await call(server, "test/silence", {}, timeout=0.05)

    with pytest.raises(TimedOutError, match="test/silence"):
        scene(settings, play)


@pytest.mark.parametrize(("times", "outcome"), [(2, dict), (99, ServerBusyError)])
def test_a_busy_server_is_asked_again(settings, monkeypatch, times, outcome):
    monkeypatch.setattr("codex_magic.engines.app_server.connection.BUSY_SECONDS", (0.0,) * 3)

    async def play(server):
        try:
            return await call(server, "test/busy", {"times": times})
        except CodexError as error:
            return error

    assert isinstance(scene(settings, play), outcome)


def test_lines_that_are_no_messages_are_passed_over(settings):
    async def play(server):
        return await call(server, "test/garbage", {})

    assert scene(settings, play) == {}


def asked(settings, answer):
    async def play(server):
        return await call(server, "test/ask", {"method": "some/question"})

    return scene(settings, play, answer)["answer"]


def test_every_question_is_answered(settings):
    async def answer(method, params):
        return {"asked": method, **params}

    async def broken(method, params):
        raise ZeroDivisionError

    assert asked(settings, answer)["result"] == {"asked": "some/question", "threadId": "t"}
    assert asked(settings, refuse)["error"]["code"] == -32601
    assert asked(settings, broken)["error"]["code"] == -32603


def test_what_json_can_not_say_is_never_sent(settings):
    async def play(server):
        with pytest.raises(InvalidRequestError):
            await call(server, "m", {"value": float("nan")})
        return await call(server, "m", {"value": "half a \ud83d"})

    assert scene(settings, play) == {"method": "m"}


def start_up(settings):
    async def play(server):
        await process(server)

    with pytest.raises(ConfigurationError) as refused:
        scene(settings, play)
    return str(refused.value)


def test_a_program_that_is_too_old_is_refused(settings, tmp_path):
    old = replace(settings, codex_bin=command(tmp_path, version="0.150.2"))
    assert "0.150.2" in start_up(old)


def test_a_program_that_is_not_there_is_named(settings, tmp_path):
    assert "CODEX_MAGIC_CODEX_BIN" in start_up(replace(settings, codex_bin=str(tmp_path / "nothing")))


def test_without_any_program_the_error_says_how_to_get_one(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "codex_cli_bin", None)
    assert "codex-magic[agent]" in start_up(replace(settings, codex_bin=None))


def test_a_program_that_is_none_is_named_at_once(settings, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"\0")
    nothing.chmod(0o700)
    assert str(nothing) in start_up(replace(settings, codex_bin=str(nothing)))
