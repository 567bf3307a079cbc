"""One app-server process, from its start to its end.

One task reads its messages, one what it writes to stderr, and each of its requests to us has a task
of its own: nothing waits while a human thinks.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from ...protocol.errors import (
    CodexError,
    MethodNotFoundError,
    ServerBusyError,
    ServiceError,
    TimedOutError,
)
from ...protocol.secrets import masked
from ...protocol.types import FileChange, FileChangeUpdated, ItemStarted, Notification, UnknownNotification
from .calls import Calls
from .failures import refused
from .framing import Framer, Message, Refusal, Reply, Request, RequestId, Told, encode
from .inbox import Inbox
from .notifications import MaskedNotifications, read, thread_of
from .pipes import CLOSING_SECONDS, End, Pipe

log = logging.getLogger(__name__)

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""A request of the server -> our result. It raises MethodNotFoundError for one it does not know."""

CALL_SECONDS = 60.0
"""Starting a thread waits 3 s for an unreachable host, and longer for a slow disk."""

BUSY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between attempts while the server has no room for a request."""


class _Waiting(NamedTuple):
    method: str
    reply: asyncio.Future[msgspec.Raw]


class Subscription:
    """What happens in one thread of the server. Made by `Connection.subscribed`."""

    def __init__(self) -> None:
        self.changes: dict[str, tuple[dict[str, Any], ...]] = {}
        """Of each file change by its item's id; the server's question about one carries no diff."""
        self._inbox = Inbox()
        self._news = asyncio.Event()
        self._end: CodexError | None = None

    def put(self, notification: Notification) -> None:
        if isinstance(notification, ItemStarted) and isinstance(notification.item, FileChange):
            self.changes[notification.item.id] = notification.item.changes
        elif isinstance(notification, FileChangeUpdated):
            self.changes[notification.item_id] = notification.changes
        self._inbox.put(notification)
        self._news.set()

    def end(self, reason: CodexError) -> None:
        self._end = reason
        self._news.set()

    async def next(self) -> Notification:
        """The next notification. Raises the reason when the process has ended and nothing is left."""
        while not self._inbox:
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        return self._inbox.take()


class Connection:
    """A running process. Once it has ended it stays so; `AppServer` makes the next one."""

    def __init__(self, pipe: Pipe, answer: Answer) -> None:
        self.pipe = pipe
        self.metadata: dict[str, Any] = {}
        """The server's answer to `initialize`."""
        self.threads: dict[str, dict[str, Any]] = {}
        """The server's threads that are loaded, by id: what `thread/start` or its like answered."""
        self._end: End | None = None
        self._answer = answer
        self._calls: Calls[_Waiting] = Calls()
        self._subscriptions: dict[str, Subscription] = {}
        self._answering: dict[RequestId, tuple[str | None, asyncio.Task[None]]] = {}
        self._masked = MaskedNotifications()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, pipe: Pipe, *, client: Mapping[str, str], answer: Answer) -> Connection:
        """Shake hands. Raises ServiceError, TimedOutError."""
        connection = cls(pipe, answer)
        try:
            connection.metadata = await connection.call(
                "initialize", {"clientInfo": dict(client), "capabilities": {"experimentalApi": True}}
            )
            await connection._send({"method": "initialized"})
        except BaseException:
            connection.kill()
            await connection.close()
            raise
        return connection

    async def call(
        self, method: str, params: Mapping[str, Any], *, timeout: float = CALL_SECONDS
    ) -> dict[str, Any]:
        """Ask, and wait for the answer; asked again while the server is too busy.

        Raises JsonRpcError, TimedOutError, and ServiceError when the process ends first.
        """
        for seconds in BUSY_SECONDS:
            try:
                return await self._call(method, params, timeout)
            except ServerBusyError:
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
        return await self._call(method, params, timeout)

    @contextmanager
    def subscribed(self, thread_id: str) -> Iterator[Subscription]:
        """What happens in that thread from now on. At the end its open questions are dropped."""
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
        return self._end is not None

    def kill(self) -> None:
        """End the process at once; what waits fails. One that others need loses us alone."""
        self.pipe.kill()

    async def finished(self) -> None:
        """Wait for the end of a process that was killed."""
        await asyncio.wait({self._reading}, timeout=CLOSING_SECONDS)

    async def close(self) -> None:
        """Ask the process to end, and see to it that it does; of a shared one, take leave."""
        await self.pipe.close()
        # A program that it left behind may hold its output open.
        _, open_still = await asyncio.wait({self._reading}, timeout=CLOSING_SECONDS)
        for task in open_still:
            task.cancel()

    async def _call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        if self.ended:
            raise self._failure()
        reply: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        id = self._calls.open(_Waiting(method, reply))
        try:
            await self._send({"id": id, "method": method, "params": params})
            raw = await asyncio.wait_for(reply, timeout)
        except asyncio.TimeoutError:
            raise TimedOutError(f"The app-server did not answer {method} within {timeout:g} s.") from None
        finally:
            self._calls.settle(id)
        result = masked(msgspec.json.decode(raw))
        return result if isinstance(result, dict) else {}

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self.pipe.send(encode(message))

    async def _read(self) -> None:
        framer = Framer()
        try:
            while chunk := await self.pipe.read():
                for message in framer.feed(chunk):
                    self._receive(message)
        except Exception:  # the top of a task: without a reader everything would wait for ever
            log.exception("the app-server can't be understood")
            self.kill()
        await self._finish()

    def _receive(self, message: Message) -> None:
        match message:
            case Told():
                for notification in self._masked.feed(read(message)):
                    self._tell(notification)
            case Request():
                self._begin_answer(message)
            case Reply() | Refusal():
                self._settle(message)
            case _:
                log.warning("the app-server wrote a line that is no message (%s bytes)", len(message.line))

    def _settle(self, answer: Reply | Refusal) -> None:
        waiting = self._calls.settle(answer.id)
        if waiting is None or waiting.reply.done():
            return
        if isinstance(answer, Reply):
            waiting.reply.set_result(answer.result)
        else:
            waiting.reply.set_exception(refused(waiting.method, answer.error))

    def _tell(self, notification: Notification) -> None:
        if isinstance(notification, UnknownNotification) and notification.method == "serverRequest/resolved":
            self._drop_question(notification.params.get("requestId"))
        thread_id = thread_of(notification)
        if isinstance(notification, UnknownNotification) and notification.method == "thread/closed":
            self.threads.pop(str(thread_id), None)
        if thread_id is None:
            for subscription in self._subscriptions.values():
                subscription.put(notification)
        elif thread_id in self._subscriptions:
            self._subscriptions[thread_id].put(notification)

    def _begin_answer(self, request: Request) -> None:
        params = masked(msgspec.json.decode(request.params))
        params = params if isinstance(params, dict) else {}
        task = asyncio.create_task(self._give_answer(request.id, request.method, params))
        self._answering[request.id] = params.get("threadId"), task
        task.add_done_callback(lambda _: self._answering.pop(request.id, None))

    async def _give_answer(self, id: RequestId, method: str, params: dict[str, Any]) -> None:
        try:
            reply = encode({"id": id, "result": await self._answered(method, params)})
        except MethodNotFoundError as error:
            reply = encode({"id": id, "error": {"code": -32601, "message": error.message}})
        except Exception:  # the top of a task: an answer that is never given would hold up the turn for ever
            log.exception("%s could not be answered", method)
            reply = encode({"id": id, "error": {"code": -32603, "message": "The client failed to answer."}})
        await self.pipe.send(reply)

    async def _answered(self, method: str, params: dict[str, Any]) -> Any:
        """Another session that shares the process answers what its turn is asked; when it is gone, we do."""
        thread_id = params.get("threadId")
        if thread_id is None or thread_id in self._subscriptions:
            return await self._answer(method, params)
        async with self.pipe.alone_in(thread_id, lambda: None):
            return await self._answer(method, params)

    def _drop_question(self, id: Any) -> None:
        """The server has its answer, ours or another's, or needs none any more."""
        _, task = self._answering.get(id, (None, None))
        if task is not None:
            task.cancel()

    async def _finish(self) -> None:
        self._end = await self.pipe.ended()
        for waiting in self._calls.drain():
            if not waiting.reply.done():
                waiting.reply.set_exception(self._failure())
        for subscription in self._subscriptions.values():
            subscription.end(self._failure())
        for _, task in list(self._answering.values()):
            task.cancel()

    def _failure(self) -> ServiceError:
        """A new one for everyone who waits: each turn adds its own result to it."""
        assert self._end is not None
        code, said = self._end.exit_code, [line for line in self._end.said if line]
        # One that was killed had no words about it.
        why = f" Its last words: {said[-1]}" if said and code and code > 0 else ""
        what = "The connection to the app-server" if code is None else "The app-server"
        how = "" if code is None else f" (exit code {code})"
        return ServiceError(
            f"{what} has ended{how}.{why}",
            hint="Run the cell again: it is started anew, and goes on with the thread.",
        )
