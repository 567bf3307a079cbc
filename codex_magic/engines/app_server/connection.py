"""One app-server process, from its start to its end.

One task reads its messages, one what it writes to stderr, and each of its requests to us has a task
of its own: nothing waits while a human thinks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from ...protocol import types
from ...protocol.errors import (
    CodexError,
    MethodNotFoundError,
    ServerBusyError,
    ServiceError,
    TimedOutError,
)
from ...protocol.secrets import masked
from .failures import refused
from .framing import Framer, Message, encode
from .notifications import MaskedNotifications, place_of, read, thread_of
from .process import CLOSING_SECONDS, Process

log = logging.getLogger(__name__)

D = TypeVar("D", bound=types.Delta)

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""A request of the server -> our result. It raises MethodNotFoundError for one it does not know."""

CALL_SECONDS = 60.0
"""Starting a thread waits 3 s for an unreachable host, and longer for a slow disk."""

BUSY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between attempts while the server has no room for a request."""


class Subscription:
    """The notifications of one thread of the server. Made by `Connection.subscribed`."""

    def __init__(self) -> None:
        self.changes: dict[str, tuple[dict[str, Any], ...]] = {}
        """The changes of each file change, by its item's id; the server's question about one carries no diff."""
        self._unread: deque[types.Notification] = deque()
        self._news = asyncio.Event()
        self._end: CodexError | None = None

    def put(self, notification: types.Notification) -> None:
        if isinstance(notification, types.ItemStarted) and isinstance(notification.item, types.FileChange):
            self.changes[notification.item.id] = notification.item.changes
        elif isinstance(notification, types.FileChangeUpdated):
            self.changes[notification.item_id] = notification.changes
        self._unread.append(notification)
        self._news.set()

    def end(self, reason: CodexError) -> None:
        self._end = reason
        self._news.set()

    async def next(self) -> types.Notification:
        """Wait for the next notification. Raises the reason when the process has ended and nothing is left."""
        while not self._unread:
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        notification = self._unread.popleft()
        return self._joined(notification) if isinstance(notification, types.Delta) else notification

    def _joined(self, first: D) -> D:
        """Take the deltas that follow it in the same part of its item along: each costs its readers once."""
        pieces = [first.delta]
        place = place_of(first)
        while self._unread:
            after = self._unread[0]
            if not isinstance(after, types.Delta) or place_of(after) != place:
                break
            pieces.append(after.delta)
            self._unread.popleft()
        return msgspec.structs.replace(first, delta="".join(pieces)) if len(pieces) > 1 else first


class Connection:
    """A running process. Once it has ended it stays so; `AppServer` makes the next one."""

    def __init__(self, process: Process, answer: Answer) -> None:
        self.process = process
        self.metadata: dict[str, Any] = {}
        """The server's answer to `initialize`."""
        self.threads: dict[str, dict[str, Any]] = {}
        """The server's threads that are loaded, by id: what `thread/start` or its like answered."""
        self.commands: dict[str, str] = {}
        """The turn of each command that is at work, by its item's id. Some go on after their turn."""
        self._exit_code: int | None = None
        self._answer = answer
        self._ids = itertools.count(1)
        self._calls: dict[int | str | None, tuple[str, asyncio.Future[msgspec.Raw]]] = {}
        """The method of each request of ours, and what waits for its answer."""
        self._subscriptions: dict[str, Subscription] = {}
        self._answering: dict[int | str | None, tuple[str | None, asyncio.Task[None]]] = {}
        self._masked = MaskedNotifications()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, process: Process, *, client: Mapping[str, str], answer: Answer) -> Connection:
        """Shake hands. Raises ServiceError, TimedOutError."""
        connection = cls(process, answer)
        try:
            connection.metadata = await connection.call(
                "initialize", {"clientInfo": dict(client), "capabilities": {"experimentalApi": True}}
            )
            await process.write(encode({"method": "initialized"}))
        except BaseException:
            process.kill()
            await connection.close()
            raise
        return connection

    async def call(
        self, method: str, params: Mapping[str, Any], *, timeout: float = CALL_SECONDS
    ) -> dict[str, Any]:
        """Send a request and wait for its answer; sent again while the server is too busy.

        Raises JsonRpcError, TimedOutError, and ServiceError when the process ends first.
        """
        for seconds in BUSY_SECONDS:
            try:
                return await self._call(method, params, timeout)
            except ServerBusyError:
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
        return await self._call(method, params, timeout)

    async def try_call(self, method: str, params: Mapping[str, Any]) -> bool:
        """Send a request whose refusal is no failure; whether it was answered."""
        try:
            await self.call(method, params)
        except CodexError as error:
            log.info("the app-server did not follow: %s", error.message)
            return False
        return True

    @contextmanager
    def subscribed(self, thread_id: str) -> Iterator[Subscription]:
        """Subscribe to what happens in that thread from now on. At the end its open questions are dropped."""
        subscription = self._subscriptions[thread_id] = Subscription()
        if self.ended:
            subscription.end(self._failure())
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

    async def kill(self) -> None:
        """End the process at once and wait for that; what waits for an answer fails."""
        self.process.kill()
        await asyncio.wait({self._reading}, timeout=CLOSING_SECONDS)

    async def close(self) -> None:
        """Let the process end by itself, and see to it that it does."""
        await self.process.close()
        # A program that it left behind may hold its output open.
        _, unfinished = await asyncio.wait({self._reading}, timeout=CLOSING_SECONDS)
        for task in unfinished:
            task.cancel()

    async def _call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        if self.ended:
            raise self._failure()
        id = next(self._ids)
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[id] = method, answer
        try:
            await self.process.write(encode({"id": id, "method": method, "params": params}))
            raw = await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise TimedOutError(f"The app-server did not answer {method} within {timeout:g} s.") from None
        finally:
            self._calls.pop(id, None)
        result = masked(msgspec.json.decode(raw))
        return result if isinstance(result, dict) else {}

    async def _read(self) -> None:
        framer = Framer()
        try:
            while chunk := await self.process.read():
                for message in framer.feed(chunk):
                    self._receive(message)
        except Exception:  # the top of a task: without a reader everything would wait for ever
            log.exception("the app-server can't be understood")
            self.process.kill()
        self._exit_code = await self.process.wait()
        for _, answer in self._calls.values():
            if not answer.done():
                answer.set_exception(self._failure())
        for subscription in self._subscriptions.values():
            subscription.end(self._failure())
        for _, task in list(self._answering.values()):
            task.cancel()

    def _receive(self, message: Message | None) -> None:
        if message is None:
            log.warning("the app-server wrote a line that is no message")
        elif message.method is None:
            method, answer = self._calls.pop(message.id, ("", None))
            if answer is None or answer.done():
                return
            if message.error is None:
                answer.set_result(message.result)
            else:
                answer.set_exception(refused(method, message.error))
        elif message.id is None:
            for notification in self._masked.feed(read(message.method, message.params)):
                self._pass_on(notification)
        else:
            params = masked(msgspec.json.decode(message.params))
            params = params if isinstance(params, dict) else {}
            task = asyncio.create_task(self._answer_request(message.id, message.method, params))
            self._answering[message.id] = params.get("threadId"), task
            task.add_done_callback(lambda _: self._answering.pop(message.id, None))

    def _pass_on(self, notification: types.Notification) -> None:
        thread_id = thread_of(notification)
        if not isinstance(notification, types.Delta):
            self._keep_track(notification, thread_id)
        if thread_id is None:
            for subscription in self._subscriptions.values():
                subscription.put(notification)
        elif thread_id in self._subscriptions:
            self._subscriptions[thread_id].put(notification)

    def _keep_track(self, notification: types.Notification, thread_id: str | None) -> None:
        """Follow which questions are open, threads loaded and commands at work."""
        match notification:
            case types.UnknownNotification("serverRequest/resolved", params):
                # The server has its answer, ours or another's, or needs none any more.
                _, task = self._answering.get(params.get("requestId"), (None, None))
                if task is not None:
                    task.cancel()
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
            reply = encode({"id": id, "result": await self._answer(method, params)})
        except MethodNotFoundError as error:
            reply = encode({"id": id, "error": {"code": -32601, "message": error.message}})
        except Exception:  # the top of a task: an answer that is never given would hold up the turn for ever
            log.exception("%s could not be answered", method)
            reply = encode({"id": id, "error": {"code": -32603, "message": "The client failed to answer."}})
        await self.process.write(reply)

    def _failure(self) -> ServiceError:
        """Return a new error for everyone who waits: each turn adds its own result to it."""
        code, words = self._exit_code, self.process.last_words
        # One that was killed had no words about it.
        why = f" Its last words: {words[-1]}" if words and code and code > 0 else ""
        return ServiceError(
            f"The app-server has ended (exit code {code}).{why}",
            hint="Run the cell again: it is started anew, and goes on with the thread.",
        )
