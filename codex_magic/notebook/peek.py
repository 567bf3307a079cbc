"""What a question is sent with, part by part: the last one, or one that is not sent."""

from __future__ import annotations

from typing import Any

import msgspec

from ..context.cells import CellsText
from ..context.tokens import estimate
from ..engines.tools import ToolSet
from ..protocol import types
from ..responses.catalog import Catalog
from ..threads.store import Store, TurnRecord
from ..waiting import Steps
from .context import Request, Told, tokens_words
from .screen import count
from .session import Session, Task
from .tools.entries import offered
from .tools.place import Place


def show_dry(session: Session, task: Task) -> Steps[None]:
    """Show what this question would be sent with; nothing leaves."""

    async def decline(request: types.ApprovalRequest) -> types.Decision:
        return types.Decision.decline

    context, prompt = session.gather_context(task)
    turn_options = session.turn_options(task.options, decline, cell=context.kernel.cell)
    turn_options |= offered(session, decline, Place.nowhere(), context, turn_options)
    request = yield from session.wait(session.preview(context, prompt, task.options, turn_options))
    for note in context.notes:
        session.screen.say(note)
    _show(session, request, "Not sent. This would be the request:")


def show_sent(session: Session, _: str) -> Steps[None]:
    """Show what the last question was sent with."""
    request = yield from session.wait(request_of(session))
    if request is None:
        session.screen.say("Nothing was sent since this kernel started. Look before you ask: `%%codex --dry`")
        return
    _show(session, request, "The last request:")


async def request_of(session: Session, turn_id: str = "", thread_id: str = "") -> Request | None:
    """Return what a turn was sent with, which the id of its answer names too; without one, the last turn.

    Of one that this kernel has not sent, or that is long ago, there is what the store keeps: no `instructions` and
    tools among its options. `None`: neither of them knows it.
    """
    sent, id = session.sent, turn_id or next(reversed(session.sent), "")
    id = next((turn for turn, each in sent.items() if each.output == id), id)
    request, thread_id, _ = sent.get(id, (None, thread_id, ""))
    store = session.codex.store_of(thread_id)

    def read(store: Store) -> tuple[TurnRecord, list[TurnRecord]] | None:
        if not store.has_turn(id):
            return None
        turn = store.turn(id)
        return turn, store.history(turn.thread_id, before_position=turn.position, as_of=turn.seq)

    kept = await store.run(read)
    if kept is None:
        return request and request._replace(earlier=[])
    turn, earlier = kept
    if request is not None:
        return request._replace(earlier=earlier)
    question = next((each.item for each in turn.items if isinstance(each.item, types.UserMessage)), None)
    if question is None:
        return None
    mask = await session.mask_of(await session.codex.thread_resume(turn.thread_id))
    texts = [part.value for part in question.content if isinstance(part, types.ContextInput)]
    masked = mask.names_in(*texts, types.input_text(question.content))
    told = Told([*question.content], "", CellsText("", {}, 0, 0), masked)
    return Request(told, {"model": turn.model}, earlier)


def _show(session: Session, request: Request, title: str) -> None:
    session.screen.say(title)
    session.screen.table(("Part", "Tokens, estimated", ""), request_rows(session, request), wraps=True)
    for name, text in request_texts(request)[0].items():
        session.screen.fold(name.capitalize(), text)


def is_whole(request: Request) -> bool:
    """Whether all of a request is known, and not only what the store keeps of a turn."""
    return "instructions" in request.options


def request_rows(session: Session, request: Request) -> list[tuple[object, ...]]:
    """Return the parts of a request, each with its size and what there is to say of it."""
    texts, images = request_texts(request)
    tokens = {name: estimate(text) for name, text in texts.items()}
    left_out = request.options.get("left_out") or ()
    turns = [turn for turn in request.earlier if turn.id not in left_out]
    earlier = sum(map(_turn_tokens, turns))
    window, model = _window(session, request)
    total = sum(tokens.values()) + earlier
    gone = len(request.earlier) - len(turns)
    about_gone = f"; {gone} of deleted cells left out" if gone else ""
    facts = {"context": _about_cells(request.told), "thread": f"{count(len(turns), 'turn')}{about_gone}"}
    rows: list[tuple[object, ...]] = []
    for name in ("instructions", "thread", "context", "mentions", "prompt"):
        if (number := earlier if name == "thread" else tokens.get(name, 0)) or (gone and name == "thread"):
            rows.append((name, tokens_words(number), facts.get(name, "")))
    if images:
        rows.append(("images", "", count(images, "image")))
    if is_whole(request):
        is_agent, tools = request.options.get("engine") == "app-server", request.options.get("tools") or ()
        words = ["the Codex program's own, with its instructions"] if is_agent else []
        words += [f"{len(tools)} to read the notebook"] if tools else []
        rows.append(("tools", tokens_words(tokens["tools"]) if tools else "", ", ".join(words) or "none"))
        share = f"{total / window:.1%} of the {window:,} that {model} takes" if window else ""
        rows.append(("all", tokens_words(total), share))
    if counted := _counted(turns):
        rows.append(("counted", tokens_words(counted), "by the service for the request before"))
    if names := request.told.masked:
        rows.append(("masked", "", f"{count(len(names), 'secret')}: {', '.join(names)}"))
    return rows


def request_texts(request: Request) -> tuple[dict[str, str], int]:
    """Return the texts of the request in their order, and the number of images."""
    texts = {"instructions": str(request.options.get("instructions") or "")}
    if tools := ToolSet(request.options.get("tools") or ()).definitions:
        texts["tools"] = "\n".join(msgspec.json.encode(each).decode() for each in tools)
    names = {"notebook": "context"}
    for part in request.told.inputs:
        if isinstance(part, types.ContextInput):
            texts[names.get(part.name, part.name)] = part.value
        elif isinstance(part, types.TextInput):
            texts["prompt"] = part.text
    return texts, sum(isinstance(part, types.ImageInput) for part in request.told.inputs)


def _about_cells(told: Told) -> str:
    if not told.cells.text:  # the store keeps the text alone
        return ""
    left_out = f"; {told.cells.left_out} further away left out" if told.cells.left_out else ""
    return f"{count(told.cells.told, 'cell')}{left_out}"


def _turn_tokens(turn: TurnRecord) -> int:
    return sum(estimate(text) for entry in turn.items for text in _strings(msgspec.to_builtins(entry.item)))


def _strings(value: Any) -> list[str]:
    match value:
        case str():
            return [value] if not value.startswith("data:") else []
        case dict():
            return [text for key, each in value.items() if key not in _NOT_SENT for text in _strings(each)]
        case list() | tuple():
            return [text for each in value for text in _strings(each)]
    return []


_NOT_SENT = {"id", "type", "clientId", "held", "status", "url"}


def _window(session: Session, request: Request) -> tuple[int, str]:
    """Return how many tokens the model takes, 0 where that is not known, and its name."""
    name = request.options.get("model")
    model = Catalog(session.provider(), session.env).in_use(name)
    return (model.usable_window or 0, model.slug) if model else (0, str(name))


def _counted(earlier: list[TurnRecord]) -> int:
    usage = next((turn.usage for turn in reversed(earlier) if turn.usage is not None), None)
    return usage.last.input_tokens if usage is not None else 0
