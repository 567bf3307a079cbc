"""The request of a new turn, from its thread, its options and the thread's history."""

from __future__ import annotations

from ..engines.seam import Continuation, Earlier, TurnRequest
from ..protocol.ids import new_id
from ..protocol.types import ExternalMessage, InputItem, UserMessage, input_text
from .history import context_held, continuation, history_items, past_of
from .options import CodexConfig, Options, is_foreign
from .store import AsyncStore, ItemRecord, Store, ThreadRecord


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
    choice = options.get("model_provider") or config.provider
    foreign = {"model_provider": choice} if is_foreign(choice) else {}  # only the agent's program knows it
    turn_id = new_id()
    position, past, place, name = await store.run(
        lambda file: _begin(file, thread.id, turn_id, inputs, options, sealed_for)
    )

    def read_earlier(file: Store) -> Earlier:
        turns = file.history(thread.id, before_position=position)
        return Earlier(history_items(turns, provider=sealed_for), context_held(turns))

    return TurnRequest(
        thread_id=thread.id,
        turn_id=turn_id,
        inputs=inputs,
        earlier=lambda: store.run(read_earlier),
        past=past,
        continuation=place,
        name=name,
        tools=tools,
        instructions=options.get("instructions")
        or options.get("developer_instructions")
        or config.instructions,
        model=options.get("model") or thread.model or config.model,
        cwd=options.get("cwd") or thread.cwd,
        service_tier=options.get("turn_service_tier") or options.get("service_tier"),
        summary=options.get("summary", "auto"),
        approvals=options.get("approvals") or config.approvals,
        config={**options.get("config", {}), **foreign} or None,
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


def _begin(
    store: Store,
    thread_id: str,
    turn_id: str,
    inputs: tuple[InputItem, ...],
    options: Options,
    sealed_for: str,
) -> tuple[int, str, Continuation | None, str | None]:
    """Begin the turn in the store; return its position, its past, where an agent goes on, the thread's name."""
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
    return turn.position, past_of(turns), place, store.thread(thread_id).name


def _question(turn_id: str, inputs: tuple[InputItem, ...], cell_id: str | None) -> ItemRecord:
    """Return the user's message, kept until the engine has told it: a kill may come before."""
    from ..engines.replay import replayed

    message = UserMessage(turn_id, inputs, cell_id)
    is_refused = len(inputs) > 1 and any(isinstance(part, ExternalMessage) for part in inputs)
    return ItemRecord(message, () if is_refused else replayed(message))
