"""Open the program's thread for a turn, with all of our history in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...protocol.errors import JsonRpcError
from ...protocol.types import Warned
from ...responses.provider import Provider
from ..seam import Continuation, Tell, TurnRequest
from .connection import Connection
from .library import models
from .parameters import exclusions, fork_parameters, start_parameters, thread_parameters

_MISSING = ("no rollout found", "thread not found", "turn not found")
"""Words of the program about what it does not have, or no more."""

_LASTING = ("model", "effort")


class Opening:
    """The thread of one turn. `withheld`: the variables that commands do not get."""

    def __init__(
        self, connection: Connection, request: TurnRequest, provider: Provider | None, withheld: Sequence[str]
    ) -> None:
        self._connection = connection
        self._request = request
        self._provider = provider
        self._withheld = withheld

    async def thread(self, tell: Tell) -> str:
        """Go on with the thread of the earlier turn, or begin one with what it had; gives its id."""
        request, continuation = self._request, self._request.continuation
        tools = request.tools.version if request.tools else ""
        if continuation is not None and continuation.place.tools == tools:
            thread_id = await self._continued(continuation, tell)
            if thread_id is not None:
                await self._inject(thread_id, continuation.unseen)
                return thread_id
        thread_id = await self._load(
            "thread/start", {**await self._parameters(), **start_parameters(request)}
        )
        await self._inject(thread_id, (await request.earlier()).items)
        return thread_id

    async def _continued(self, continuation: Continuation, tell: Tell) -> str | None:
        """Open the thread of the earlier turn, or a fork of it; `None` when the program has it no more."""
        place = continuation.place
        if continuation.is_last and place.thread_id in self._connection.threads:
            return place.thread_id
        resumed = {**await self._parameters(), "threadId": place.thread_id, "excludeTurns": True}
        forked = {**resumed, **fork_parameters(self._request), "lastTurnId": place.turn_id}
        try:
            if continuation.is_last:
                return await self._load("thread/resume", resumed)
            return await self._load("thread/fork", forked)
        except JsonRpcError as error:
            if "active writer" in error.message:
                copied = "This thread is open in another process; here a copy goes on."
                tell(Warned(self._request.thread_id, copied))
                return await self._load("thread/fork", forked)
            if any(words in error.message for words in _MISSING):
                return None
            raise

    async def _load(self, method: str, parameters: dict[str, Any]) -> str:
        """Open a thread, remember it as loaded, and give it the name that it has with us.

        An archived one is taken out of the archive; where only a fork goes on, it is put back.
        """
        request, call = self._request, self._connection.call
        try:
            opened = await call(method, parameters)
        except JsonRpcError as error:
            if "is archived" not in error.message:
                raise
            archived = {"threadId": parameters["threadId"]}
            await call("thread/unarchive", archived)
            try:
                opened = await call(method, parameters)
            finally:
                if method == "thread/fork":
                    await call("thread/archive", archived)
        thread_id = str(opened["thread"]["id"])
        self._connection.threads[thread_id] = opened
        if request.name and not request.ephemeral and opened["thread"].get("name") != request.name:
            renamed = {"threadId": thread_id, "name": request.name}
            await self._connection.try_call("thread/name/set", renamed)
        return thread_id

    async def _parameters(self) -> dict[str, Any]:
        names = list(self._withheld)
        if names:
            own = exclusions(self._request.config or {})
            if own is None:
                answer = await self._connection.call("config/read", {"cwd": self._request.cwd})
                own = exclusions(answer["config"])
            names = [*(own or ()), *names]
        return thread_parameters(self._request, self._provider, names)

    async def _inject(self, thread_id: str, items: Iterable[dict[str, Any]]) -> None:
        """Add what happened elsewhere. Sealed reasoning stays with the service that made it."""
        readable = [item for item in items if "encrypted_content" not in item]
        if readable:
            await self._connection.call("thread/inject_items", {"threadId": thread_id, "items": readable})


async def usual_parameters(connection: Connection, request: TurnRequest, named: set[str]) -> dict[str, Any]:
    """Return the model and the effort of a turn that leaves them open, where an earlier one did not.

    The program keeps both for the turns after the one that named them, and takes back neither. `named`:
    what the turns of the thread have named so far; this one's are added.
    """
    naming = {name for name in _LASTING if getattr(request, name) is not None}
    missing = named - naming
    named |= naming
    if not missing:
        return {}
    config = (await connection.call("config/read", {}))["config"]
    catalog = await models(connection, include_hidden=True)
    model = request.model or config["model"] or catalog[0].slug
    levels = {each.slug: each.default_reasoning_level for each in catalog}
    usual = {"model": model, "effort": config["model_reasoning_effort"] or levels.get(model)}
    return {name: usual[name] for name in missing if usual[name] is not None}
