"""One app-server process, from its start to its end. Each of its requests to us has a task of its own, so nothing waits for a human."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from ...net import one_line
from ...protocol import errors, types
from ...protocol.secrets import masked
from ...waiting import begin_anew_in_children
from .failures import INVALID_CONFIGURATION, refused
from .messages import Framer, MaskedNotifications, Message, address_of, encode, fields, place_of, read

log = logging.getLogger(__name__)

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""A request of the server -> our result. It raises MethodNotFoundError for one it does not know."""

CALL_SECONDS = 60.0  # starting a thread waits 3 s for an unreachable host, and longer for a slow disk
BUSY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)  # between attempts while the server has no room for a request

CLOSING_SECONDS = 2.0
"""Until a process whose input is closed is killed; to end by itself takes it 20 to 120 ms."""

CHUNK = 1 << 20
_STDERR_LINES = 20
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

# The kernel's Ctrl-C goes to its whole process group; a turn is interrupted by a request.
_OWN_GROUP: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    _OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}


class Subscription:
    """The notifications of one thread of the server. Made by `Connection.subscribed`."""

    def __init__(self) -> None:
        self.changes: dict[str, tuple[dict[str, Any], ...]] = {}
        """The changes of each file change, by its item's id; the server's question about one carries no diff."""
        self.mcp_calls: dict[str, types.McpToolCall] = {}
        """The calls of MCP tools that run or wait, by item; a question about one names no item."""
        self._unread: deque[types.Notification | errors.CodexError] = deque()
        self._news = asyncio.Event()

    def put(self, news: types.Notification | errors.CodexError) -> None:
        """Add a notification, or the reason why no more will come."""
        match news:
            case (
                types.ItemStarted(item=types.FileChange(id=item_id, changes=changes))
                | types.FileChangeUpdated(item_id=item_id, changes=changes)
            ):
                self.changes[item_id] = changes
            case types.ItemStarted(item=types.McpToolCall(id=item_id) as call):
                self.mcp_calls[item_id] = call
        self._unread.append(news)
        self._news.set()

    async def next(self) -> types.Notification:
        """Wait for the next notification, deltas with those that follow in the same text. Raises why none will come."""
        while not self._unread:
            self._news.clear()
            await self._news.wait()
        first = self._unread[0]
        if isinstance(first, errors.CodexError):
            raise first
        self._unread.popleft()
        if not isinstance(first, types.Delta):
            return first
        place, pieces = place_of(first), [first.delta]
        while self._unread and isinstance(after := self._unread[0], types.Delta) and place_of(after) == place:
            pieces.append(after.delta)
            self._unread.popleft()
        return msgspec.structs.replace(first, delta="".join(pieces)) if len(pieces) > 1 else first


class Connection:
    """A running process and its three pipes. Once it has ended it stays so; `AppServer` makes the next one."""

    def __init__(self, process: asyncio.subprocess.Process, answer: Answer) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018
        self.metadata: dict[str, Any] = {}  # the server's answer to `initialize`
        self.threads: dict[str, dict[str, Any]] = {}
        """The server's threads that are loaded, by id: what `thread/start` or its like answered."""
        self.commands: dict[str, str] = {}
        """The turn of each command that is at work, by its item's id. Some go on after their turn."""
        self.invalid_configuration = ""
        """What the server could not read of its configuration, with the file and the line where it knows them."""
        self._process, self._input, self._answer = process, process.stdin, answer
        self._exit_code: int | None = None
        self._last_words: deque[str] = deque(maxlen=_STDERR_LINES)
        """The last lines that it wrote to stderr, without their colours."""
        self._ids = itertools.count(1)
        self._calls: dict[int | str | None, tuple[str, asyncio.Future[msgspec.Raw]]] = {}
        """The method of each request of ours, and what waits for its answer."""
        self._subscriptions: dict[str, Subscription] = {}
        self._answering: dict[int | str, tuple[str | None, asyncio.Task[None]]] = {}
        """The thread of each request of the server, and what answers it."""
        self._masked = MaskedNotifications()
        self._draining = asyncio.create_task(self._drain(process.stderr))
        self._reading = asyncio.create_task(self._read(process.stdout))
        begin_anew_in_children(self)

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], answer: Answer) -> Connection:
        """Start the process. Raises ConfigurationError when that can't be done."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=CHUNK, env=dict(env), **_OWN_GROUP
            )
        except OSError as error:
            why = f"{command[0]} can't be started: {error.strerror or error}."
            raise errors.ConfigurationError(why, hint="Check CODEX_MAGIC_CODEX_BIN.") from error
        except NotImplementedError as error:
            why = "The event loop of this program can't start other programs (Windows' selector loop)."
            hint = "Use Codex instead of AsyncCodex: it has a loop of its own."
            raise errors.ConfigurationError(why, hint=hint) from error
        return cls(process, answer)

    async def greet(self, client: Mapping[str, str]) -> None:
        """Shake hands, as the program demands before all else. Raises ServiceError, TimedOutError."""
        introduction = {"clientInfo": dict(client), "capabilities": {"experimentalApi": True}}
        self.metadata = await self.call("initialize", introduction)
        await self._write({"method": "initialized"})

    async def call(
        self, method: str, params: Mapping[str, Any], *, timeout: float = CALL_SECONDS
    ) -> dict[str, Any]:
        """Send a request, again while the server is too busy. Raises JsonRpcError, TimedOutError, ServiceError."""
        for seconds in BUSY_SECONDS:
            try:
                return await self._call(method, params, timeout)
            except errors.ServerBusyError:
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
        return await self._call(method, params, timeout)

    async def try_call(self, method: str, params: Mapping[str, Any]) -> bool:
        """Send a request whose refusal is no failure; whether it was answered."""
        try:
            await self.call(method, params)
        except errors.CodexError as error:
            log.info("the app-server did not follow: %s", error.message)
            return False
        return True

    @contextmanager
    def subscribed(self, thread_id: str) -> Iterator[Subscription]:
        """Subscribe to what happens in that thread from now on. At the end its open questions are dropped."""
        subscription = self._subscriptions[thread_id] = Subscription()
        if self.ended:
            subscription.put(self._failure())
        try:
            yield subscription
        finally:
            del self._subscriptions[thread_id]
            for about, task in list(self._answering.values()):
                if about == thread_id:
                    task.cancel()

    @property
    def ended(self) -> bool:
        return self._exit_code is not None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> None:
        """Wait for its end; a program that it left behind may hold its output open."""
        await asyncio.wait({self._reading}, timeout=CLOSING_SECONDS)

    async def close(self) -> None:
        """Close its input, and kill it when it does not end by that."""
        self._input.close()
        try:
            await asyncio.wait_for(self._process.wait(), CLOSING_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
        await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)
        self._draining.cancel()
        await self.wait()
        self._reading.cancel()

    def forked(self) -> object:
        """Close the inherited input in a forked child, which would keep the program alive; see `waiting.begin_anew_in_children`."""
        pipe = self._input.transport.get_extra_info("pipe")
        if pipe is not None:
            pipe.close()
        return dict(vars(self))

    async def _call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        if self.ended:
            raise self._failure()
        id = next(self._ids)
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[id] = method, answer
        try:
            await self._write({"id": id, "method": method, "params": params})
            return masked(fields(await asyncio.wait_for(answer, timeout)))
        except asyncio.TimeoutError:
            late = f"The codex program did not answer {method} within {timeout:g} s."
            raise errors.TimedOutError(late) from None
        finally:
            self._calls.pop(id, None)

    async def _write(self, message: Mapping[str, Any]) -> None:
        self._input.write(encode(message))
        with suppress(ConnectionError):
            await self._input.drain()

    async def _drain(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            readable = (one_line(_ANSI.sub("", line.decode(errors="replace"))) for line in lines)
            self._last_words.extend(filter(None, readable))

    async def _read(self, output: asyncio.StreamReader) -> None:
        framer = Framer()
        try:
            while chunk := await output.read(CHUNK):
                for message in framer.feed(chunk):
                    self._receive(message)
        except Exception:  # the top of a task: without a reader everything would wait for ever
            log.exception("the app-server can't be understood")
            self.kill()
        code = await self._process.wait()
        await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)  # for its last words
        self._exit_code = code
        for _, answer in self._calls.values():
            if not answer.done():
                answer.set_exception(self._failure())
        for subscription in self._subscriptions.values():
            subscription.put(self._failure())
        for _, task in list(self._answering.values()):
            task.cancel()

    def _receive(self, message: Message | None) -> None:
        if message is None:
            log.warning("the app-server wrote a line that is no message")
        elif message.method is None:
            method, answer = self._calls.pop(message.id, ("", None))
            if answer is not None and not answer.done():
                failure = refused(method, message.error) if message.error else None
                answer.set_exception(failure) if failure else answer.set_result(message.result)
        elif message.id is None:
            for notification in self._masked.feed(read(message.method, message.params)):
                thread_id, _ = address_of(notification)
                if not isinstance(notification, types.Delta):
                    self._keep_track(notification, thread_id)
                for about, subscription in self._subscriptions.items():
                    if thread_id in (None, about):
                        subscription.put(notification)
        else:
            id, params = message.id, masked(fields(message.params))
            task = asyncio.create_task(self._answer_request(id, message.method, params))
            self._answering[id] = params.get("threadId"), task
            task.add_done_callback(lambda _: self._answering.pop(id, None))

    def _keep_track(self, notification: types.Notification, thread_id: str | None) -> None:
        """Follow which questions are open, threads loaded and commands at work."""
        match notification:
            case types.UnknownNotification("serverRequest/resolved", {"requestId": int() | str() as id}):
                # The server has its answer, ours or another's, or needs none any more.
                if id in self._answering:
                    self._answering[id][1].cancel()
            case types.Warned(None, message) if message.startswith(INVALID_CONFIGURATION):
                self.invalid_configuration = message.removeprefix(INVALID_CONFIGURATION).strip()
            case types.UnknownNotification("thread/closed"):
                self.threads.pop(str(thread_id), None)
            case types.ItemStarted(turn_id=turn_id, item=types.CommandExecution(id=id)):
                self.commands[id] = turn_id
            case types.ItemCompleted(item=types.CommandExecution(id=id)):
                self.commands.pop(id, None)
            case types.TurnCompleted(turn=turn) if turn.status is not types.TurnStatus.completed:
                self.commands = {id: of for id, of in self.commands.items() if of != turn.id}

    async def _answer_request(self, id: int | str, method: str, params: dict[str, Any]) -> None:
        try:
            await self._write({"id": id, "result": await self._answer(method, params)})
        except errors.MethodNotFoundError as error:
            await self._write({"id": id, "error": {"code": -32601, "message": error.message}})
        except Exception:  # the top of a task: an answer that is never given would hold up the turn for ever
            log.exception("%s could not be answered", method)
            failed = {"code": -32603, "message": "The client failed to answer."}
            await self._write({"id": id, "error": failed})

    def _failure(self) -> errors.ServiceError:
        code, words = self._exit_code, self._last_words
        # One that was killed had no words about it.
        why = f" Its last message: {words[-1]}" if words and code and code > 0 else ""
        hint = "Run the cell again: the program restarts and continues the thread."
        what = f"The codex program ended unexpectedly (exit code {code}).{why}"
        return errors.ServiceError(what, hint=hint)
