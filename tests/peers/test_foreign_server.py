"""Our client against a Responses server that somebody else wrote: `transformers serve`, with a tiny random model.

Opt-in, because torch is large: CODEX_MAGIC_FOREIGN_SERVER=1, or the path of a Python with
`torch` and `transformers[serving]`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from codex_magic.protocol.errors import InvalidRequestError, ServiceError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import OutputTextDelta, ResponseCompleted, ResponseCreated, UnknownEvent
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import Provider, custom
from tests.known import some

CHOSEN = os.environ.get("CODEX_MAGIC_FOREIGN_SERVER")
PYTHON = sys.executable if CHOSEN == "1" else CHOSEN or ""

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not CHOSEN, reason="opt-in: set CODEX_MAGIC_FOREIGN_SERVER (needs torch)"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    subprocess.run([PYTHON, Path(__file__).with_name("make_tiny_model.py"), folder], check=True)
    return str(folder)


@pytest.fixture(scope="module")
def provider(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "transformers.cli.transformers", "serve", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.mktemp("hub"))}
    with subprocess.Popen(command, env=env) as server:
        _wait_for(f"http://127.0.0.1:{port}/health", server)
        yield custom(f"http://127.0.0.1:{port}/v1")
        server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the server did not start")


@pytest.fixture
def client(provider: Provider) -> Iterator[Client]:
    with Client(provider, settings=Settings.from_env(), retry=RetryPolicy(0, 0)) as client:
        yield client


def test_a_streamed_turn(client: Client, model: str) -> None:
    with client.responses.stream("Hello", model=model, max_output_tokens=24, instructions="Hi.") as stream:
        events = list(stream)
        response = stream.get_final_response()
    assert isinstance(events[0], ResponseCreated)
    assert isinstance(events[-1], ResponseCompleted)
    assert not [event for event in events if isinstance(event, UnknownEvent)]
    assert response.output_text == "".join(e.delta for e in events if isinstance(e, OutputTextDelta)) != ""
    assert response.status == "completed"
    assert response.usage is not None
    assert 0 < response.usage.output_tokens <= 24


def test_a_conversation(client: Client, model: str) -> None:
    first = client.responses.create("Hello", model=model, max_output_tokens=8, temperature=0.7)
    again = [{"role": "user", "content": "Hello"}, *first.output, {"role": "user", "content": "And now?"}]
    second = client.responses.create(again, model=model, max_output_tokens=8)
    assert some(second.usage).input_tokens > some(first.usage).input_tokens


def test_a_turn_with_tools_that_the_model_does_not_use(client: Client, model: str) -> None:
    def add(a: int) -> int:
        return a + 1

    done = client.responses.run_tools("Hello", model=model, tools=[add], max_output_tokens=8)
    assert (done.rounds, done.response.status) == (0, "completed")


def test_an_aborted_turn_leaves_the_server_well(client: Client, model: str) -> None:
    with client.responses.stream("Hello", model=model, max_output_tokens=1000) as stream:
        next(event for event in stream if isinstance(event, OutputTextDelta))
    assert client.responses.create("Hello", model=model, max_output_tokens=4).status == "completed"


def test_refusals_are_sentences(client: Client, model: str) -> None:
    with pytest.raises(InvalidRequestError, match="no-such-model"):
        client.responses.create("Hello", model="no-such-model")
    with pytest.raises(ServiceError, match="500"):
        client.responses.create("Hello", model=model, extra_body={"temperature": "warm"})


def test_turns_at_the_same_time(provider: Provider, model: str) -> None:
    async def main() -> list[str]:
        async with AsyncClient(provider, settings=Settings.from_env()) as client:
            ask = client.responses.create
            turns = (ask(f"Hello {number}", model=model, max_output_tokens=8) for number in range(4))
            return [response.status for response in await asyncio.gather(*turns)]

    assert asyncio.run(main()) == ["completed"] * 4
