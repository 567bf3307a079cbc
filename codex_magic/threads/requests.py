"""The request of a new turn, from its thread, its options and the thread's history."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..engines.seam import Continuation, Earlier, TurnRequest
from ..protocol.ids import new_id
from ..protocol.types import ExternalMessage, InputItem, UserMessage, input_text
from .history import context_held, continuation, history_items, past_of
from .options import CodexConfig, Options, is_foreign
from .store import AsyncStore, ItemRecord, Store, ThreadRecord


class _Begun(NamedTuple):
    """What the store knows of a turn that was begun in it."""

    position: int
    past: str
    continuation: Continuation | None
    thread_name: str | None


async def begin_turn(
    store: AsyncStore,
    thread: ThreadRecord,
    inputs: tuple[InputItem, ...],
    options: Options,
    config: CodexConfig,
    *,
    sealed_for: str,
    is_ephemeral: bool,
) -> TurnRequest:
    """Return the request of a new turn, which is in the store from then on, with its question.

    `sealed_for`: the identity under which its reasoning is sealed.
    """
    tools = None
    if options.get("tools"):
        from ..engines.tools import ToolSet

        tools = ToolSet(options["tools"])
    turn_id = new_id()
    begun = await store.run(lambda file: _begin(file, thread.id, turn_id, inputs, options, sealed_for))

    def read_earlier(file: Store) -> Earlier:
        turns = file.history(thread.id, before_position=begun.position)
        return Earlier(history_items(turns, provider=sealed_for), context_held(turns))

    return TurnRequest(
        thread_id=thread.id,
        turn_id=turn_id,
        inputs=inputs,
        earlier=lambda: store.run(read_earlier),
        past=begun.past,
        continuation=begun.continuation,
        name=begun.thread_name,
        tools=tools,
        instructions=options.get("instructions")
        or options.get("developer_instructions")
        or config.instructions,
        model=options.get("model") or thread.model or config.model,
        cwd=options.get("cwd") or thread.cwd,
        service_tier=options.get("turn_service_tier") or options.get("service_tier"),
        summary=options.get("summary", "auto"),
        approvals=options.get("approvals") or config.approvals,
        config=_config_of(options, config),
        ephemeral=is_ephemeral or None,
        **{name: options[name] for name in _AS_THEY_ARE if name in options},
    )


_AS_THEY_ARE = (
    "approval_mode",
    "base_instructions",
    "cell_id",
    "effort",
    "output_schema",
    "personality",
    "sandbox",
    "service_name",
    "session_start_source",
    "source",
    "thread_source",
    "verbosity",
)
"""Options that an engine gets under the same name."""


def _config_of(options: Options, config: CodexConfig) -> dict[str, Any] | None:
    """The agent's config.toml for this turn, with the name of a provider that only its program knows."""
    choice = options.get("model_provider") or config.provider
    provider = {"model_provider": choice} if is_foreign(choice) else {}
    return {**options.get("config", {}), **provider} or None


def _begin(
    store: Store,
    thread_id: str,
    turn_id: str,
    inputs: tuple[InputItem, ...],
    options: Options,
    sealed_for: str,
) -> _Begun:
    store.recover()
    turn = store.begin_turn(
        thread_id,
        turn_id=turn_id,
        cell_id=options.get("cell_id"),
        notebook=options.get("notebook"),
        preview=input_text(inputs),
        provider=sealed_for,
        question=_question(turn_id, inputs, options.get("cell_id")) if inputs else None,
    )
    turns = store.history(thread_id, before_position=turn.position, include_items=False)
    # Where another account or provider has sealed its thoughts, ours could not go on.
    places, last = store.places([each.id for each in turns if each.provider == sealed_for])
    place = continuation(thread_id, turns, places, last, read=store.turn)
    return _Begun(turn.position, past_of(turns), place, store.thread(thread_id).name)


def _question(turn_id: str, inputs: tuple[InputItem, ...], cell_id: str | None) -> ItemRecord:
    """Return the user's message, kept until the engine has told it: a kill may come before."""
    from ..engines.replay import replayed

    message = UserMessage(turn_id, inputs, cell_id)
    is_refused = len(inputs) > 1 and any(isinstance(part, ExternalMessage) for part in inputs)
    return ItemRecord(message, () if is_refused else replayed(message))
