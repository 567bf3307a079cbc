"""The agent's engine beside the official SDK and beside the least that a client can do.

All clients talk to the real program, whose model is a local service in a process of its own. The bare
loop writes a request and reads lines: no threads, no store, no types. Rounds of all clients are
interleaved, and a ratio is the median of the ratios within a round; for CPU it is that of the cheapest rounds,
since what else the machine does only adds.

CPU is that of the client's process, all its threads, without the program's. A delta costs
less when several are read at once, so it is measured twice: with the program as fast as it is, and with
a recording of it that writes the same lines, one `write` each, as fast as the pipe takes them. The clock of a virtual machine is coarse: each measurement is of `TURNS` answers in a fresh process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.benchmarks.measuring import ROOT, NoAnswer, Row, alone, ratio, row, shown, times
from tests.home import QUIET

T = TypeVar("T")

THREADS = 8
TURNS_OF_THREAD = 12
"""Measured; one before them opens the thread."""
FIRST_DELTA_BAR = 1.25
FIRST_SECONDS = 300
"""What all clients get for their turns together, some 500."""

DELTAS = 5_000
SDK_BAR = 1.25
CHARACTERS = 4
"""Of a delta. What was sent is counted: a client that is far behind may join deltas, as ours does."""
PROMPT = f"pace: chunks\nrepeat {DELTAS * CHARACTERS}"
TURNS = 4
ROUNDS = 5

IMPORTS = 9

SILENT = 8
CALLS = 20
CALL_BAR = 10
"""One that waits for a stream takes a thousand times as long."""
PATIENCE = 5.0
"""Seconds after which a call that waits for silent streams is given up."""
HELD = "fault: hold after=1\necho: first second"

DELTA = "item/agentMessage/delta"

CONFIG = """
model = "gpt-5.5"
model_provider = "local"
[model_providers.local]
name = "local"
base_url = "{url}"
wire_api = "responses"
requires_openai_auth = false
"""


class Place(NamedTuple):
    """What a client runs, and where it keeps what it keeps."""

    program: str
    home: Path


class Heard(NamedTuple):
    first: float
    """Seconds from the call that starts the turn to its first delta."""
    characters: int


Ask = Callable[[str], Heard]
Opened = Callable[[], Ask]
"""A new thread, in which one asks."""
Client = Callable[[Place], AbstractContextManager[Opened]]


# The clients ---------------------------------------------------------------------------------------


class Counting:
    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.first = 0.0
        self.characters = 0

    def add(self, delta: str) -> None:
        if not self.characters:
            self.first = time.perf_counter() - self.begun
        self.characters += len(delta)

    def heard(self) -> Heard:
        return Heard(self.first, self.characters)


class Wire:
    """Requests and lines, and nothing else."""

    def __init__(self, place: Place) -> None:
        environment = os.environ | {"CODEX_HOME": str(place.home / ".codex")}
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(
            [place.program, "app-server"], stdin=pipe, stdout=pipe, stderr=nothing, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self.lines = self._process.stdin, self._process.stdout
        self._numbers = itertools.count()
        self.initialized = self.call("initialize", {"clientInfo": {"name": "bare", "version": "1"}})

    def send(self, method: str, params: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._requests.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        self._requests.flush()
        return number

    def call(self, method: str, params: dict[str, Any]) -> Any:
        number = self.send(method, params)
        return next(reply["result"] for reply in map(json.loads, self.lines) if reply.get("id") == number)

    def start_thread(self, place: Place) -> Any:
        where = {"model": "gpt-5.5", "cwd": str(place.home), "approvalPolicy": "never"}
        return self.call("thread/start", where)

    def start_turn(self, thread_id: str, prompt: str) -> int:
        input = [{"type": "text", "text": prompt}]
        return self.send("turn/start", {"threadId": thread_id, "input": input, "summary": "none"})

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


@contextmanager
def bare(place: Place) -> Iterator[Opened]:
    with closing(Wire(place)) as wire:

        def thread() -> Ask:
            id = wire.start_thread(place)["thread"]["id"]

            def ask(prompt: str) -> Heard:
                counting = Counting()
                wire.start_turn(id, prompt)
                for message in map(json.loads, wire.lines):
                    if message.get("method") == DELTA:
                        counting.add(message["params"]["delta"])
                    elif message.get("method") == "turn/completed":
                        break
                return counting.heard()

            return ask

        yield thread


@contextmanager
def ours(place: Place) -> Iterator[Opened]:
    from codex_magic import Codex
    from codex_magic.protocol.types import AgentMessageDelta

    with Codex(our_config(place)) as codex:

        def thread() -> Ask:
            opened = codex.thread_start(cwd=str(place.home))

            def ask(prompt: str) -> Heard:
                counting = Counting()
                for notification in opened.turn(prompt, summary="none").stream():
                    if isinstance(notification, AgentMessageDelta):
                        counting.add(notification.delta)
                return counting.heard()

            return ask

        yield thread


@contextmanager
def ours_async(place: Place) -> Iterator[Opened]:
    from codex_magic import AsyncCodex
    from codex_magic.protocol.types import AgentMessageDelta

    codex = AsyncCodex(our_config(place))

    async def asked(thread: Any, prompt: str) -> Heard:
        counting = Counting()
        handle = await thread.turn(prompt, summary="none")
        async for notification in handle.stream():
            if isinstance(notification, AgentMessageDelta):
                counting.add(notification.delta)
        return counting.heard()

    with loop() as run:

        def thread() -> Ask:
            opened = run(codex.thread_start(cwd=str(place.home)))
            return lambda prompt: run(asked(opened, prompt))

        yield thread
        run(codex.close())


@contextmanager
def sdk(place: Place) -> Iterator[Opened]:
    from openai_codex import ApprovalMode, Codex
    from openai_codex.generated.v2_all import ReasoningSummary

    with Codex(sdk_config(place)) as codex:

        def thread() -> Ask:
            opened = codex.thread_start(
                cwd=str(place.home), model="gpt-5.5", approval_mode=ApprovalMode.deny_all
            )

            def ask(prompt: str) -> Heard:
                counting = Counting()
                notifications: Iterator[Any] = opened.turn(prompt, summary=ReasoningSummary("none")).stream()
                for notification in notifications:
                    if notification.method == DELTA:
                        counting.add(notification.payload.delta)
                return counting.heard()

            return ask

        yield thread


@contextmanager
def sdk_async(place: Place) -> Iterator[Opened]:
    from openai_codex import ApprovalMode, AsyncCodex
    from openai_codex.generated.v2_all import ReasoningSummary

    codex = AsyncCodex(sdk_config(place))

    async def asked(thread: Any, prompt: str) -> Heard:
        counting = Counting()
        handle = await thread.turn(prompt, summary=ReasoningSummary("none"))
        async for notification in handle.stream():
            if notification.method == DELTA:
                counting.add(notification.payload.delta)
        return counting.heard()

    with loop() as run:

        def thread() -> Ask:
            start = codex.thread_start(
                cwd=str(place.home), model="gpt-5.5", approval_mode=ApprovalMode.deny_all
            )
            opened = run(start)
            return lambda prompt: run(asked(opened, prompt))

        yield thread
        run(codex.close())


CLIENTS: dict[str, Client] = {client.__name__: client for client in (bare, ours, ours_async, sdk, sdk_async)}
OWN = ["bare", "ours", "ours_async"]


def our_config(place: Place) -> Any:
    from codex_magic import CodexConfig, Settings

    settings = Settings(place.home / ".codex", place.home / "codex-magic", codex_bin=place.program)
    return CodexConfig(engine="app-server", model="gpt-5.5", settings=settings)


def sdk_config(place: Place) -> Any:
    from openai_codex import CodexConfig

    return CodexConfig(codex_bin=place.program, env={"CODEX_HOME": str(place.home / ".codex")})


@contextmanager
def loop() -> Iterator[Callable[[Coroutine[Any, Any, T]], T]]:
    running = asyncio.new_event_loop()
    try:
        yield running.run_until_complete
    finally:
        running.run_until_complete(running.shutdown_default_executor())
        running.close()


# The program and its recording ---------------------------------------------------------------------


def program() -> str:
    from codex_cli_bin import bundled_codex_path

    return str(bundled_codex_path())


@contextmanager
def model() -> Iterator[str]:
    """The address of a local service in a process of its own."""
    command = [sys.executable, "-m", "tests.service", "--pace", "max"]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=nothing, text=True) as service:
        assert service.stdout is not None
        try:
            yield next(line.split("=")[1].split()[0] for line in service.stdout if "OPENAI_BASE_URL" in line)
        finally:
            service.terminate()


@contextmanager
def place(url: str, run: str | None = None) -> Iterator[Place]:
    """A new home whose program asks the model at that address."""
    with tempfile.TemporaryDirectory(prefix="codex_magic-agent-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / ".codex").mkdir()
        (home / ".codex" / "config.toml").write_text(CONFIG.format(url=url) + QUIET)
        yield Place(run or program(), home)


def record(url: str, folder: Path) -> str:
    """Keep one answer of the program; gives an executable that writes it again."""
    lines = []
    with place(url) as here, closing(Wire(here)) as wire:
        opened = wire.start_thread(here)
        number = wire.start_turn(opened["thread"]["id"], PROMPT)
        for line in wire.lines:
            message = json.loads(line)
            if message.get("id") == number:
                begun = message["result"]
            else:
                lines.append(line.decode())
            if message.get("method") == "turn/completed":
                break
        recording = {
            "initialize": wire.initialized,
            "account/read": {"account": None, "requiresOpenaiAuth": False},
            "thread/start": opened,
            "turn/start": begun,
            "lines": lines,
        }
    (folder / "recording.json").write_text(json.dumps(recording))
    path = folder / "codex"
    again = f"{sys.executable} -m tests.benchmarks.agent replay {folder / 'recording.json'}"
    path.write_text(f"#!/bin/sh\ncd {ROOT} && exec {again}\n")
    path.chmod(0o700)
    return str(path)


def replay(path: str) -> None:
    """The same answer to every turn, under a new id."""
    recording = json.loads(Path(path).read_text())
    recorded_id = recording["turn/start"]["turn"]["id"]
    for number, request in enumerate(map(json.loads, sys.stdin)):
        method = request["method"]
        turn_id = f"turn-{number:031}"
        if method in recording:
            result = json.dumps({"id": request["id"], "result": recording[method]}) + "\n"
            os.write(1, result.replace(recorded_id, turn_id).encode())
        if method == "turn/start":
            for line in recording["lines"]:
                os.write(1, line.replace(recorded_id, turn_id).encode())


# What is measured ----------------------------------------------------------------------------------


def first_delta(url: str) -> Iterator[Row]:
    """All clients in one process, in turn; all their programs at once. Without the peers when one breaks."""
    for names in (list(CLIENTS), OWN):
        try:
            seconds: dict[str, list[float]] = alone("agent", "first", url, *names, seconds=FIRST_SECONDS)
            break
        except NoAnswer as failure:
            if names == OWN:
                raise
            yield shown("turn start -> first delta, with the peers", str(failure))
    for name, found in seconds.items():
        median = statistics.median(mine / least for mine, least in zip(found, seconds["bare"], strict=True))
        judged = name.startswith("ours")
        yield row(
            f"turn start -> first delta: {name}",
            f"<= {FIRST_DELTA_BAR}x bare" if judged else "",
            f"{median:.2f}x ({times(found)})",
            median <= FIRST_DELTA_BAR if judged else None,
        )


def first(url: str, *names: str) -> None:
    """In a process of its own: prints the seconds of every turn, by client."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as open:
        threads = {name: open.enter_context(CLIENTS[name](open.enter_context(place(url)))) for name in names}
        for _ in range(THREADS):
            asks = {name: thread() for name, thread in threads.items()}
            for ask in asks.values():
                ask("echo: opened")
            for turn in range(TURNS_OF_THREAD):
                for name in rotated(list(names), turn):
                    seconds[name].append(asks[name]("echo: a few words").first)
        print(json.dumps(seconds), flush=True)


def rotated(names: list[str], by: int) -> list[str]:
    """Each comes after each other one as often."""
    by %= len(names)
    return names[by:] + names[:by]


def cost_of_deltas(url: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        feeds = {"the program": [], "its recording": [record(url, Path(folder))]}
        for feed, run in feeds.items():
            costs, failures = deltas_of_all(url, *run)
            for name, found in costs.items():
                yield shown(
                    f"CPU of a delta, {feed}: {name}", f"{min(found):.1f} µs, {max(found):.1f} at most"
                )
            for name, failure in failures.items():
                yield shown(f"CPU of a delta, {feed}: {name}", failure)
            for mine, peer, bar in (("ours", "sdk", SDK_BAR), ("ours_async", "sdk_async", 1 / 3)):
                what, least = f"CPU of a delta, {feed}: {mine}", f"<= {bar:.2f}x {peer}"
                if peer in failures:
                    yield row(what, least, failures[peer], None)
                    continue
                share = min(costs[mine]) / min(costs[peer])
                yield row(what, least, f"{share:.2f}x", share <= bar)


def deltas_of_all(url: str, *run: str) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Microseconds by client in interleaved rounds, and the peers that gave none."""
    costs: dict[str, list[float]] = {name: [] for name in CLIENTS}
    failures: dict[str, str] = {}
    for number in range(ROUNDS):
        for name in rotated(list(CLIENTS), number):
            if name not in failures:
                try:
                    costs[name].append(alone("agent", "deltas", name, url, *run))
                except NoAnswer as failure:
                    if name in OWN:
                        raise
                    failures[name] = str(failure)
    return {name: found for name, found in costs.items() if name not in failures}, failures


def deltas(name: str, url: str, run: str | None = None) -> None:
    """In a process of its own: prints the CPU of each delta in microseconds."""
    with place(url, run) as here, CLIENTS[name](here) as thread:
        ask = thread()
        expected = ask(PROMPT)
        cpu = time.process_time()
        heard = [ask(PROMPT) for _ in range(TURNS)]
        cpu = time.process_time() - cpu
    assert {each.characters for each in heard} == {expected.characters}
    print(cpu * 1e6 / (TURNS * expected.characters / CHARACTERS))


def importing(_: str) -> Iterator[Row]:
    """Beside the SDK and, in case that one is broken, the HTTP client that is not imported."""
    for package, name, bar in (("httpx", "Client", 1.5), ("openai_codex", "Codex", 0.25)):
        what, base = "from codex_magic import Codex", f"from {package} import {name}"
        try:
            pairs = [
                (import_seconds("codex_magic", "Codex"), import_seconds(package, name))
                for _ in range(IMPORTS)
            ]
        except subprocess.CalledProcessError as failure:
            yield row(what, f"<= {bar}x {base}", f"exit code {failure.returncode}", None)
        else:
            mine, bases = zip(*pairs, strict=True)
            yield ratio(what, base, bar, mine, bases)


def import_seconds(package: str, name: str) -> float:
    code = f"import time; begun = time.perf_counter(); from {package} import {name}; print(time.perf_counter() - begun)"
    return float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))


def silence(url: str) -> Iterator[Row]:
    """Nobody has anything to say in `SILENT` streams; meanwhile other things are asked, as before them."""
    for name in SILENCES:
        judged = name == "ours_async"
        try:
            found: Calls = alone("agent", "silent", name, url)
        except NoAnswer as failure:
            if judged:
                raise
            yield shown(f"{SILENT} silent streams: {name}", str(failure))
            continue
        for call, (before, meanwhile) in found.items():
            what = f"{SILENT} silent streams, {call}: {name}"
            if meanwhile is None:
                yield row(what, "", f"> {PATIENCE:.0f} s", False if judged else None)
                continue
            each = ratio(
                what, "without them", CALL_BAR, [statistics.median(meanwhile)], [statistics.median(before)]
            )
            yield each if judged else shown(what, each["measured"])


Calls = dict[str, tuple[list[float], list[float] | None]]
"""Seconds of the calls of each kind: before there are streams, and meanwhile; `None` for what was given up."""


def silent(name: str, url: str) -> None:
    """In a process of its own, which ends at once: some of these never would."""
    with place(url) as here:
        print(json.dumps(asyncio.new_event_loop().run_until_complete(SILENCES[name](here))), flush=True)
    os._exit(0)


async def ours_silent(here: Place) -> Calls:
    from codex_magic import AsyncCodex

    async with AsyncCodex(our_config(here)) as codex:
        threads = [await codex.thread_start(cwd=str(here.home)) for _ in range(SILENT)]
        before = await calls(codex)
        await all_silent([await thread.turn(HELD, summary="none") for thread in threads])
        return both(before, await calls(codex))


async def sdk_silent(here: Place) -> Calls:
    from openai_codex import AsyncCodex

    codex = AsyncCodex(sdk_config(here))
    threads = [await codex.thread_start(cwd=str(here.home)) for _ in range(SILENT)]
    before = await calls(codex)
    await all_silent([await thread.turn(HELD) for thread in threads])
    return both(before, await calls(codex))


SILENCES = {"ours_async": ours_silent, "sdk_async": sdk_silent}


async def calls(codex: Any) -> dict[str, list[float] | None]:
    return {
        "models": await seconds_of(codex.models),
        "thread_list": await seconds_of(codex.thread_list),
        "to_thread": await seconds_of(lambda: asyncio.to_thread(int)),
    }


def both(before: dict[str, list[float] | None], meanwhile: dict[str, list[float] | None]) -> Calls:
    return {call: (seconds, meanwhile[call]) for call, seconds in before.items() if seconds is not None}


async def all_silent(handles: list[Any]) -> None:
    """Read all of them, until each has said its first word, or won't: some may never get a turn to."""
    begun = [asyncio.Event() for _ in handles]

    async def read(handle: Any, begun: asyncio.Event) -> None:
        async for notification in handle.stream():
            if notification.method == DELTA:
                begun.set()

    reading.extend(asyncio.create_task(read(*each)) for each in zip(handles, begun, strict=True))
    await asyncio.wait([asyncio.create_task(each.wait()) for each in begun], timeout=PATIENCE)


reading: list[asyncio.Task[None]] = []
"""The loop alone would forget them."""


async def seconds_of(call: Callable[[], Coroutine[Any, Any, Any]]) -> list[float] | None:
    """Of `CALLS`, `None` when one has not come back in time."""
    found = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        done, _ = await asyncio.wait({asyncio.ensure_future(call())}, timeout=PATIENCE)
        if not done:
            return None
        found.append(time.perf_counter() - begun)
    return found


def main(*only: str) -> None:
    os.environ["NO_PROXY"] = "127.0.0.1"
    measures = {each.__name__: each for each in (importing, first_delta, cost_of_deltas, silence)}
    with model() as url:
        for name in only or measures:
            try:
                for found in measures[name](url):
                    print(json.dumps(found), flush=True)
            except NoAnswer as failure:
                print(json.dumps(row(f"agent: {name}", "an answer", str(failure), False)), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["deltas", *given]:
            deltas(*given)
        case ["first", url, *names]:
            first(url, *names)
        case ["replay", recording]:
            replay(recording)
        case ["silent", name, url]:
            silent(name, url)
        case only:
            main(*only)
