"""What the codex program has of its own: its threads, its catalog, its account's limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import msgspec

from ...protocol.errors import ServiceError
from ...protocol.types import InitializeResponse, ServerInfo, Turn, TurnStatus, decode_item
from ...responses.catalog import Model, ReasoningLevel, ServiceTier
from ..replay import as_message
from .connection import Connection

PAGE = 100
"""Turns or models in one request."""

MOST_PAGES = 1000
"""Pages of one list: a thread of 100,000 turns."""


class ProgramThread(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A thread of the program, made by whoever: the CLI, an editor, a notebook. Times are Unix seconds."""

    id: str
    name: str | None = None
    preview: str = ""
    cwd: str = ""
    model_provider: str | None = None
    model: str | None = None
    created_at: int
    updated_at: int
    forked_from_id: str | None = None
    originator: str | None = None


async def turns(connection: Connection, thread_id: str, *, known: Collection[str] = ()) -> list[Turn]:
    """Return the turns that are over, oldest first, with their items: those after the last one that is `known`."""
    turns: list[Turn] = []
    newest_first = {"threadId": thread_id, "itemsView": "full", "sortDirection": "desc"}
    async for raw in _listed(connection, "thread/turns/list", newest_first):
        if raw["id"] in known:
            break
        items = [as_message(decode_item(item)) for item in raw["items"]]
        turn = msgspec.convert({**raw, "items": items}, Turn)
        if turn.status is not TurnStatus.in_progress:
            turns.append(turn)
    return turns[::-1]


async def models(connection: Connection, *, include_hidden: bool) -> list[Model]:
    """Return its catalog, the default first."""
    entries = [entry async for entry in _listed(connection, "model/list", {"includeHidden": include_hidden})]
    entries.sort(key=lambda entry: not entry["isDefault"])
    return [
        Model(
            slug=entry["model"],
            display_name=entry["displayName"],
            description=entry["description"],
            visibility="hide" if entry["hidden"] else "list",
            priority=priority,
            default_reasoning_level=entry["defaultReasoningEffort"],
            supported_reasoning_levels=tuple(
                ReasoningLevel(level["reasoningEffort"], level["description"])
                for level in entry["supportedReasoningEfforts"]
            ),
            input_modalities=tuple(entry.get("inputModalities") or ()),
            service_tiers=msgspec.convert(entry.get("serviceTiers") or (), tuple[ServiceTier, ...]),
        )
        for priority, entry in enumerate(entries)
    ]


async def _listed(
    connection: Connection, method: str, parameters: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The entries of all pages. Raises ServiceError when there is no last one."""
    cursor: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        page = await connection.call(method, {**parameters, "limit": PAGE, **cursor})
        for entry in page["data"]:
            yield entry
        if not page.get("nextCursor"):
            return
        cursor = {"cursor": page["nextCursor"]}
    raise ServiceError(f"The app-server gave {MOST_PAGES} pages of {method}, and no last one.")


def introduction(metadata: Mapping[str, Any]) -> InitializeResponse:
    """Read the program's answer to `initialize`. It names its version in its user agent only."""
    user_agent = str(metadata["userAgent"])
    name, _, version = user_agent.partition(" ")[0].partition("/")
    return InitializeResponse(
        user_agent=user_agent,
        server_info=ServerInfo(name, version),
        codex_home=str(metadata["codexHome"]),
        platform_family=str(metadata["platformFamily"]),
        platform_os=str(metadata["platformOs"]),
    )
