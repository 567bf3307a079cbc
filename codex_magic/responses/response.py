"""From events to a response. Pure.

The items are those of `response.output_item.done`, because `response.completed` may list none; what such an
event leaves out is taken from the others. Text of a message that never got that far is kept, as a message
marked `incomplete`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from ..protocol.errors import CodexError, StreamError
from ..protocol.ids import new_id
from ..protocol.types import RateLimits, TokenUsage
from . import events, failures
from .events import EVENT_TYPES, Event, OfItem, OutputItemDone


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response, finished or as far as it came."""

    id: str = ""
    model: str | None = None
    """The model that answered; the service may choose another than the one asked for."""
    status: str = "in_progress"
    """`in_progress`, `completed`, `incomplete` or `failed`."""
    output: list[dict[str, Any]] = []
    """Items as they came, to be sent again with the next request; a message cut short is `incomplete`."""
    usage: TokenUsage | None = None
    error: dict[str, Any] | None = None
    incomplete_reason: str | None = None
    """`max_output_tokens` or `content_filter`, with status `incomplete`."""
    service_tier: str | None = None
    turn_state: str | None = None
    """To be given back as `turn_state` with the further requests of the same turn."""
    rate_limits: RateLimits | None = None
    request_id: str | None = None
    """What the service's support asks for."""

    @property
    def output_text(self) -> str:
        """All text of all messages."""
        return "".join(text for item in self.output for text in texts(item, "output_text"))

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls that wait for an output of yours: functions and custom tools."""
        return [item for item in self.output if item.get("type") in ("function_call", "custom_tool_call")]

    @property
    def reasoning_summary(self) -> str | None:
        """What was told of the thoughts, when it was asked for with `reasoning={"summary": ...}`."""
        thoughts = (item for item in self.output if item.get("type") == "reasoning")
        parts = [text for item in thoughts for text in texts(item, "summary_text", key="summary")]
        return "\n\n".join(parts) or None


def texts(item: Mapping[str, Any], kind: str, *, key: str = "content", field: str = "text") -> Iterator[str]:
    """The texts of an item's parts of one kind. Items stay as they came, so this is where they are checked."""
    parts = item.get(key)
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(field), str):
            yield part[field]


# Items -------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """Where a text stands that comes in pieces."""

    holder: str
    """The item's list that holds it as a part; empty where it is a field of the item."""
    kind: str
    """The type of the part."""
    field: str
    item: str
    """The type of the item."""

    def of(self, item: Mapping[str, Any]) -> str:
        """Return all such text of an item."""
        if self.holder:
            return "".join(texts(item, self.kind, key=self.holder, field=self.field))
        return str(item.get(self.field) or "")


_PIECES: dict[str, _Piece] = {
    "output_text": _Piece("content", "output_text", "text", "message"),
    "refusal": _Piece("content", "refusal", "refusal", "message"),
    "reasoning_summary_text": _Piece("summary", "summary_text", "text", "reasoning"),
    "reasoning_text": _Piece("content", "reasoning_text", "text", "reasoning"),
    "function_call_arguments": _Piece("", "", "arguments", "function_call"),
    "custom_tool_call_input": _Piece("", "", "input", "custom_tool_call"),
    "mcp_call_arguments": _Piece("", "", "arguments", "mcp_call"),
    "code_interpreter_call_code": _Piece("", "", "code", "code_interpreter_call"),
}
"""Names of events -> the text that `NAME.delta` brings a piece of, and `NAME.done` the whole."""

_DELTAS = {EVENT_TYPES[f"response.{name}.delta"]: piece for name, piece in _PIECES.items()}
_TEXTS = _DELTAS | {EVENT_TYPES[f"response.{name}.done"]: piece for name, piece in _PIECES.items()}
_PARTS = {EVENT_TYPES[f"response.{name}.done"] for name in ("content_part", "reasoning_summary_part")}
_PLACES = {
    kind: attrgetter("output_index", f"{piece.holder}_index" if piece.holder else "output_index")
    for kind, piece in _DELTAS.items()
}
_BY_KIND = {piece.kind: piece for piece in _PIECES.values() if piece.kind}
_KINDS = frozenset(piece.item for piece in _PIECES.values())

_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(eq=False)
class _Item:
    """One item of the answer, as far as it came."""

    index: int
    """Its own: servers give two items one, or none."""
    order: int
    """What the server said it was."""
    ids: set[str] = field(default_factory=set)
    begun: dict[str, Any] = field(default_factory=dict)
    done: dict[str, Any] | None = None
    texts: dict[tuple[_Piece, int], list[str]] = field(default_factory=dict)
    is_held: bool = False
    """Nothing of it was told yet: it may be the rest of another."""

    @property
    def kind(self) -> str:
        """Its type, once something says it."""
        kind = _word(self.done or {}, "type") or _word(self.begun, "type")
        if not kind and self.texts:
            kind = next(iter(self.texts))[0].item
        return kind or ("message" if any(texts(self.done or {}, "output_text")) else "")

    @property
    def is_over(self) -> bool:
        """Whether it is done, and no message without a word."""
        done = self.done
        if done is None or _word(done, "type") not in ("", "message"):
            return done is not None
        return any(piece.of(done) for piece in _PIECES.values())

    def add(self, piece: _Piece, at: int, text: str, *, whole: bool) -> None:
        """Take more of a text, or all of it; what comes after the item has it is late."""
        if whole:
            self.texts.pop((piece, at), None)
        if self.done is None or not piece.of(self.done):
            self.texts.setdefault((piece, at), []).append(text)

    def merged(self, status: str = "incomplete") -> dict[str, Any]:
        """Return the item as it was done, with what other events said where it says nothing itself."""
        item = {"status": status} if self.done is None else self.done
        kind = self.kind
        lists = dict.fromkeys(("content", "summary"), list)
        begun = self.begun.items() if _word(self.begun, "type") in ("", kind) else ()
        kept = {name: value for name, value in begun if isinstance(value, lists.get(name, object))}
        item = _filled(item, {**kept, "status": None, "type": kind})
        if kind == "message":
            item = _filled(item, {"role": "assistant"})
            parts = _parts(item.get("content"), texts_too=not self.texts)
            item = item if parts == item.get("content") else {**item, "content": parts}
        whole: dict[str, list[Any]] = {}
        for (piece, at), pieces in sorted(self.texts.items()):
            if piece.holder:
                _fill_part(whole.setdefault(piece.holder, []), item, piece, at, "".join(pieces))
            else:
                item = _filled(item, {piece.field: "".join(pieces)})
        if kind in ("function_call", "custom_tool_call"):
            item = _filled(item, {"call_id": item.get("id") or f"call_{new_id()}"})
            if isinstance(item.get("arguments"), dict):
                item = {**item, "arguments": msgspec.json.encode(item["arguments"]).decode()}
        changed = {name: parts for name, parts in whole.items() if parts}
        return {**item, **changed} if changed else item


def _word(holder: Mapping[str, Any], name: str) -> str:
    word = holder.get(name)
    return word if isinstance(word, str) else ""


def _parts(content: Any, *, texts_too: bool) -> list[dict[str, Any]]:
    """Return a message's parts, those with their type that came without it, or as their text alone."""
    parts = []
    for part in content if isinstance(content, list) else [content]:
        part = {"text": part} if texts_too and isinstance(part, str) else part
        if isinstance(part, dict) and _word(part, "type"):
            parts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            parts.append({**part, "type": "output_text"})
    return parts


def _filled(item: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item with what was said in place of what it leaves out, and texts in place of what is none."""
    new = {
        name: value
        for name, value in said.items()
        if value not in _NOTHING
        and (item.get(name) in _NOTHING or (isinstance(value, str) and not isinstance(item[name], str)))
    }
    return {**item, **new} if new else item


def _fill_part(parts: list[Any], item: Mapping[str, Any], piece: _Piece, at: int, text: str) -> None:
    """Put a text where the item has it not; `parts` becomes the item's list, if anything is to be put there."""
    own = item.get(piece.holder)
    own = [part for part in own if isinstance(part, dict)] if isinstance(own, list) else []
    old = own[at] if 0 <= at < len(own) else {}
    is_same = _word(old, "type") == piece.kind
    if _word(old, piece.field) if is_same else text in piece.of(item):
        return
    parts += [] if parts else own
    annotations: dict[str, Any] = {"annotations": []} if piece.kind == "output_text" else {}
    part = {**annotations, **(old if is_same else {}), "type": piece.kind, piece.field: text}
    at = at if is_same else len(parts)
    parts[at : at + 1] = [part]


# The response ------------------------------------------------------------------------------------


class ResponseAccumulator:
    """Reads the events of one answer; `response` is what came so far, `finish()` the whole."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        """`headers`: those of the HTTP answer; they name the model, the limits and the request."""
        self.done = False
        """A terminal event came; nothing after it counts."""
        self._failure: CodexError | None = None
        self._header: dict[str, Any] = {}
        self._items: list[_Item] = []
        self._at: dict[int, _Item] = {}
        self._of_id: dict[str, _Item] = {}
        self._headers: dict[str, str] = {}
        self._rate_limits: RateLimits | None = None
        self._note_headers(headers or {})

    def feed(self, *new: Event) -> list[Event]:
        """Take events; return them as they are to be told: items apart from each other, and done with all they have."""
        told: list[Event] = []
        same = at = 0
        """Events between these are told as they came; most are, and a long answer has many."""
        deltas: Any
        for kind, run in groupby(new, type):
            place = _PLACES.get(kind)
            for (index, part), deltas in groupby(run, place) if place else [((-1, -1), run)]:
                piece = _DELTAS.get(kind)
                key = piece, part if piece and piece.holder else 0
                for event in deltas:
                    instead = [] if self.done else self._take(event)
                    if instead != [event]:
                        told += (*new[same:at], *instead)
                        same = at + 1
                    at += 1
                    item = self._at.get(index)
                    if item is None or item.done is not None or item.index != index or item.is_held:
                        continue
                    if key in item.texts:
                        pieces = [delta.delta for delta in deltas]  # the rest of these
                        item.texts[key].append("".join(pieces))  # the events hold many times their text
                        at += len(pieces)
        return [*told, *new[same:]]

    @property
    def response(self) -> Response:
        cut_off = [item for item in self._open() if item.kind == "message"]
        output = [item for item in self._items if item.kind and (item.done is not None or item in cut_off)]
        header = self._header
        reason = header.get("incomplete_details", {}).get("reason")
        return Response(
            id=header.get("id", ""),
            model=self._headers.get("openai-model") or header.get("model"),
            status=header.get("status", "in_progress"),
            output=[item.merged() for item in sorted(output, key=attrgetter("order"))],
            usage=token_usage(header.get("usage")),
            error=header.get("error"),
            incomplete_reason=reason if isinstance(reason, str) else None,
            service_tier=header.get("service_tier"),
            turn_state=self._headers.get("x-codex-turn-state"),
            rate_limits=self._rate_limits,
            request_id=self._headers.get("x-request-id") or self._headers.get("x-oai-request-id"),
        )

    def finish(self) -> Response:
        """Return the whole response. Raises what a terminal event reported, or StreamError if none came."""
        response = self.response
        if self._failure is None and not self.done:
            self._failure = StreamError("The stream ended before the answer was complete.")
        if self._failure is not None:
            self._failure.response = response
            raise self._failure
        return response

    def _take(self, event: Event) -> list[Event]:
        match event:
            case events.ResponseQueued() | events.ResponseCreated() | events.ResponseInProgress():
                self._header.update(_readable(event.response or {}))
            case events.OutputItemAdded():
                names = _word(event.item, "id"), _word(event.item, "type")
                item = self._item(event.output_index, *names, begins=True)
                item.begun = item.begun or event.item
                return [_placed(event, item)]
            case OutputItemDone():
                names = _word(event.item, "id"), _word(event.item, "type")
                item = self._item(event.output_index, *names, ends=True)
                item.done = event.item
                return [self._done(item, event)]
            case OfItem():
                return self._take_text(event)
            case events.ResponseCompleted() | events.ResponseIncomplete() | events.ResponseFailed():
                body = event.response or {}
                error = body.get("error") or getattr(event, "error", None)
                return [*self._end({**body, "error": error}, event.type.rpartition(".")[2]), event]
            case events.ErrorEvent():
                error = event.error or {"code": event.code, "message": event.message, "param": event.param}
                headers, status = event.headers or {}, event.status or event.status_code
                self._note_headers(headers)
                self._end({"error": error if isinstance(error, dict) else {"message": error}}, "failed")
                self._failure = failures.from_event(error, status=status, headers=headers)
            case events.ResponseMetadata():
                self._note_headers(event.headers or {})
            case events.CodexRateLimits(plan_type=plan_type):
                windows = event.rate_limits or {}
                self._rate_limits = failures.limits_from_event(windows, plan_type=plan_type, now=time.time())
        return [event]

    def _take_text(self, event: Any) -> list[Event]:
        """Take a piece of a text, the whole of one, or what else is said of an item."""
        kind = type(event)
        part = event.part if kind in _PARTS else {}
        piece = _TEXTS.get(kind) or _BY_KIND.get(_word(part, "type"))
        item = self._item(event.output_index, event.item_id, piece.item if piece else "")
        if name := getattr(event, "name", None):
            item.begun = _filled(item.begun, {"name": name})
        if piece is None:
            return [_placed(event, item)]
        is_delta = kind in _DELTAS
        text = event.delta if is_delta else _word(part, piece.field) or getattr(event, piece.field, "")
        if is_delta and item.is_over and text not in piece.of(item.done or {}):
            item = self._new(item.order if event.output_index < 0 else event.output_index, event.item_id)
        at = getattr(event, f"{piece.holder}_index", 0)
        if text:
            item.add(piece, at, text, whole=not is_delta)
        if is_delta and not item.begun and not item.ids and event.output_index < 0 and item.done is None:
            was_held, item.is_held = item.is_held, self._is_rest(item)
            if item.is_held:
                return []
            if was_held:
                event = msgspec.structs.replace(event, delta="".join(item.texts[piece, at]))
        return [_placed(event, item)]

    def _is_rest(self, item: _Item) -> bool:
        """Whether finished items hold all that this one brought."""
        finished = [each.done for each in self._items if each.done is not None]
        pieces = [(piece, "".join(text)) for (piece, _), text in item.texts.items()]
        is_held = (any(text in piece.of(done) for done in finished) for piece, text in pieces)
        return bool(pieces) and all(is_held)

    def _item(
        self, index: int, item_id: str, kind: str, *, begins: bool = False, ends: bool = False
    ) -> _Item:
        """Return the item that an event speaks of: by its index, else by its id, else the one that is open."""

        def fits(item: _Item | None) -> bool:
            if item is None or len({kind, item.kind} & _KINDS) > 1:
                return False
            is_another = item_id not in item.ids and (index < 0 or (item_id and item.ids))
            is_over = begins and item.done is not None
            return not is_over and not (ends and item.is_over) and not (begins and item.begun and is_another)

        at, named = self._at.get(index), self._of_id.get(item_id)
        opened = [item for item in self._items[::-1] if item.done is None]
        choices = [named, *opened] if index < 0 else [at, named if at else None]
        order = named.order if named and index < 0 else index
        item = next(filter(fits, choices), None) or self._new(order, item_id)
        if item_id:
            item.ids.add(item_id)
            self._of_id[item_id] = item
        return item

    def _new(self, index: int, item_id: str) -> _Item:
        taken = {each.index for each in self._items}
        free = index if index >= 0 and index not in taken else max(taken, default=-1) + 1
        item = _Item(free, index if index >= 0 else free)
        self._items.append(item)
        self._at[item.order] = item
        if item_id:
            self._of_id[item_id] = item  # servers give two items one
        return item

    def _done(self, item: _Item, event: OutputItemDone, status: str = "incomplete") -> OutputItemDone:
        whole = item.merged(status)
        item.done, item.begun = whole, {}
        item.texts.clear()
        if whole is event.item and item.index == event.output_index:
            return event
        return msgspec.structs.replace(event, item=whole, output_index=item.index)

    def _end(self, body: Mapping[str, Any], status: str) -> list[Event]:
        """Note the end; return the items that nothing but it finishes."""
        self._header.update(_readable(body))
        if status == "completed" and self._header.get("status") in ("failed", "incomplete", "cancelled"):
            status = self._header["status"].replace("cancelled", "incomplete")
        if status == "failed":
            self._failure = failures.from_event(body.get("error"))
        self._header["status"] = status
        told: list[Event] = []
        listed = [raw for raw in self._header.get("output") or () if isinstance(raw, dict)]
        for at, raw in enumerate(listed):
            item = self._of_id.get(_word(raw, "id")) or self._at.get(at)
            if item is None or len({_word(raw, "type"), item.kind} & _KINDS) > 1:
                if len(listed) <= len(self._items):
                    continue
                item = self._item(-1, _word(raw, "id"), _word(raw, "type"), begins=True)
            is_open = item.done is None
            item.done = _filled(item.done or raw, raw)
            if is_open:
                told.append(self._done(item, OutputItemDone(output_index=item.index, item=raw)))
        for item in self._open():
            if status == "completed" or (status == "incomplete" and item.kind == "message"):
                told.append(self._done(item, OutputItemDone(output_index=item.index), status))
        self.done = True
        return told

    def _open(self) -> list[_Item]:
        """Return what was not finished: items that were begun and got a text, messages and thoughts that are no rest."""
        return [
            item
            for item in self._items
            if item.done is None and item.texts
            if item.begun or (item.kind in ("message", "reasoning") and not self._is_rest(item))
        ]

    def _note_headers(self, headers: Mapping[str, Any]) -> None:
        texts = {name.lower(): str(value) for name, value in headers.items()}
        self._headers.update(texts)
        self._rate_limits = failures.limits_from_headers(texts, now=time.time()) or self._rate_limits


def _placed(event: Any, item: _Item) -> Any:
    if event.output_index == item.index:
        return event
    return msgspec.structs.replace(event, output_index=item.index)


def _readable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a response that are there and of their kind."""
    return {name: body[name] for name, kind in _FIELDS.items() if isinstance(body.get(name), kind)}


_FIELDS: dict[str, type] = {
    **dict.fromkeys(("id", "model", "status", "service_tier"), str),
    **dict.fromkeys(("usage", "error", "incomplete_details"), dict),
    "output": list,
}


def token_usage(raw: Mapping[str, Any] | None) -> TokenUsage | None:
    """The `usage` of a response."""
    if raw is None:
        return None

    def count(name: str, within: Any = raw) -> int:
        tokens = within.get(name) if isinstance(within, Mapping) else None
        return int(failures.number(tokens) or 0)

    return TokenUsage(
        input_tokens=count("input_tokens"),
        cached_input_tokens=count("cached_tokens", raw.get("input_tokens_details")),
        output_tokens=count("output_tokens"),
        reasoning_output_tokens=count("reasoning_tokens", raw.get("output_tokens_details")),
        total_tokens=count("total_tokens"),
    )
