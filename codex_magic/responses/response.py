"""From events to a response. Pure.

The items are those of `response.output_item.done`, because `response.completed` may list none; what such an
event leaves out is taken from the others. Text of a message that never got that far is kept, as a message
marked `incomplete`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
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
_DELTAS = {EVENT_TYPES[f"response.{name}.delta"]: piece for name, piece in _PIECES.items()}
_WHOLE = {EVENT_TYPES[f"response.{name}.done"]: piece for name, piece in _PIECES.items()}
_PARTS = {EVENT_TYPES[f"response.{name}.done"] for name in ("content_part", "reasoning_summary_part")}
_PLACES = {
    kind: attrgetter("output_index", f"{piece.holder}_index" if piece.holder else "output_index")
    for kind, piece in _DELTAS.items()
}
_NOWHERE = (-1, -1)
_BY_KIND = {piece.kind: piece for piece in _PIECES.values() if piece.kind}
_KINDS = frozenset(piece.item for piece in _PIECES.values())

_NOTHING: tuple[Any, ...] = (None, "", [], {})


class _Item:
    """One item of the answer, as far as it came."""

    def __init__(self, index: int, order: int) -> None:
        self.index = index
        """Its own: servers give two items one, or none."""
        self.order = order
        """What the server said it was."""
        self.ids: set[str] = set()
        self.begun: dict[str, Any] = {}
        self.done: dict[str, Any] | None = None
        self.texts: dict[tuple[_Piece, int], list[str]] = {}

    @property
    def kind(self) -> str:
        """Its type, once something says it."""
        kinds = (_kind(self.done or {}), _kind(self.begun), *(piece.item for piece, _ in self.texts))
        has_text = self.done is not None and any(texts(self.done, "output_text"))
        return next(filter(None, kinds), "message" if has_text else "")

    @property
    def is_empty(self) -> bool:
        """Whether it is a message that was done without a word."""
        done = self.done or {}
        return _kind(done) in ("", "message") and not any(piece.of(done) for piece in _PIECES.values())

    def add(self, piece: _Piece, at: int, text: str) -> None:
        """Take more of a text; what comes after the item has it is late."""
        if text and (self.done is None or not piece.of(self.done)):
            self.texts.setdefault((piece, at), []).append(text)

    def merged(self, status: str = "incomplete") -> dict[str, Any]:
        """Return the item as it was done, with what other events said where it says nothing itself."""
        item = {"status": status} if self.done is None else self.done
        kind = self.kind
        begun = self.begun if _kind(self.begun) in ("", kind) else {}
        lists = {name: begun.get(name) for name in ("content", "summary")}
        odd = {name: None for name, value in lists.items() if not isinstance(value, list)}
        item = _filled(item, {**begun, **odd, "type": kind, "status": None})
        if kind == "message":
            item = _filled(item, {"role": "assistant"})
            content = item.get("content")
            content = content if isinstance(content, list) else [content]
            if not all(isinstance(part, dict) and _kind(part) for part in content):
                kept = content if not self.texts else [part for part in content if isinstance(part, dict)]
                item = {**item, "content": [*filter(None, map(_part, kept))]}
        parts: dict[str, list[Any]] = {}
        for (piece, at), pieces in sorted(self.texts.items()):
            if piece.holder:
                _fill_part(parts.setdefault(piece.holder, []), item, piece, at, "".join(pieces))
            else:
                item = _filled(item, {piece.field: "".join(pieces)})
        if kind in ("function_call", "custom_tool_call"):
            item = _filled(item, {"call_id": item.get("id") or f"call_{new_id()}"})
            if isinstance(item.get("arguments"), dict):
                item = {**item, "arguments": msgspec.json.encode(item["arguments"]).decode()}
        return {**item, **parts} if any(parts.values()) else item


def _part(part: Any) -> dict[str, Any] | None:
    """Return a part of a message that was sent without its type, or as its text alone."""
    part = {"text": part} if isinstance(part, str) else part
    if not isinstance(part, dict) or _kind(part):
        return part if isinstance(part, dict) else None
    return {**part, "type": "output_text"} if isinstance(part.get("text"), str) else None


def _kind(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""


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
    is_same = _kind(old) == piece.kind
    is_there = bool(old.get(piece.field)) and isinstance(old[piece.field], str)
    if is_there if is_same else text in piece.of(item):
        return
    annotations: dict[str, Any] = {"annotations": []} if piece.kind == "output_text" else {}
    part = {**annotations, **(old if is_same else {}), "type": piece.kind, piece.field: text}
    parts += [] if parts else own
    if is_same:
        parts[at] = part
    else:
        parts.append(part)


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
            for (index, part), deltas in groupby(run, place) if place else [(_NOWHERE, run)]:
                piece = _DELTAS.get(kind)
                key = piece, part if piece and piece.holder else 0
                for event in deltas:
                    instead = [] if self.done else self._take(event)
                    if instead != [event]:
                        told += (*new[same:at], *instead)
                        same = at + 1
                    at += 1
                    item = self._at.get(index)
                    if item is not None and item.done is None and item.index == index and key in item.texts:
                        pieces = [delta.delta for delta in deltas]  # the rest of these
                        item.texts[key].append("".join(pieces))  # the events hold many times their text
                        at += len(pieces)
        return [*told, *new[same:]]

    @property
    def response(self) -> Response:
        header = self._header
        reason = header.get("incomplete_details", {}).get("reason")
        return Response(
            id=header.get("id", ""),
            model=self._headers.get("openai-model") or header.get("model"),
            status=header.get("status", "in_progress"),
            output=self._output(),
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
                item = self._item(event.output_index, _id(event.item), _kind(event.item), begins=True)
                item.begun = item.begun or event.item
                return [_placed(event, item)]
            case OutputItemDone():
                item = self._item(event.output_index, _id(event.item), _kind(event.item), ends=True)
                item.done = event.item
                return [self._done(item, event)]
            case OfItem():
                piece = _DELTAS.get(type(event))
                return [self._take_text(event) if piece is None else self._take_delta(event, piece)]
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

    def _take_delta(self, delta: Any, piece: _Piece) -> Any:
        at = getattr(delta, f"{piece.holder}_index", 0)
        item = self._item(delta.output_index, delta.item_id, piece.item)
        if item.done is not None and not item.is_empty:
            if delta.delta in piece.of(item.done):  # it comes late
                return _placed(delta, item)
            item = self._new(item.order if delta.output_index < 0 else delta.output_index, delta.item_id)
        item.add(piece, at, delta.delta)
        return _placed(delta, item)

    def _take_text(self, event: Any) -> Any:
        """Take the whole of a text from an event that says that it is done."""
        piece, text = _WHOLE.get(type(event)), None
        if type(event) in _PARTS:
            piece = _BY_KIND.get(_kind(event.part))
        item = self._item(event.output_index, event.item_id, piece.item if piece else "")
        if piece is not None:
            text = getattr(event, "part", {}).get(piece.field) or getattr(event, piece.field, "")
        if piece is not None and text and isinstance(text, str):
            at = getattr(event, f"{piece.holder}_index", 0)
            item.texts.pop((piece, at), None)
            item.add(piece, at, text)
        if name := getattr(event, "name", None):
            item.begun = _filled(item.begun, {"name": name})
        return _placed(event, item)

    def _item(
        self, index: int, item_id: str, kind: str, *, begins: bool = False, ends: bool = False
    ) -> _Item:
        """Return the item that an event speaks of: by its index, else by its id, else the one that is open."""

        def fits(item: _Item | None) -> bool:
            if item is None or len({kind, item.kind} & _KINDS) > 1:
                return False
            is_another = item_id not in item.ids and (index < 0 or (item_id and item.ids))
            is_over = item.done is not None and (begins or (ends and not item.is_empty))
            return not is_over and not (begins and item.begun and is_another)

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
            item = self._of_id.get(_id(raw)) or self._at.get(at)
            if item is None or len({_kind(raw), item.kind} & _KINDS) > 1:
                if len(listed) <= len(self._items):
                    continue
                item = self._item(-1, _id(raw), _kind(raw), begins=True)
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
        finished = [item.done for item in self._items if item.done is not None]

        def is_rest(item: _Item) -> bool:
            pieces = [(piece, "".join(text)) for (piece, _), text in item.texts.items()]
            return all(any(text in piece.of(done) for done in finished) for piece, text in pieces)

        unfinished = [item for item in self._items if item.done is None and item.texts]
        return [
            item
            for item in unfinished
            if item.begun or (item.kind in ("message", "reasoning") and not is_rest(item))
        ]

    def _note_headers(self, headers: Mapping[str, Any]) -> None:
        texts = {name.lower(): str(value) for name, value in headers.items()}
        self._headers.update(texts)
        self._rate_limits = failures.limits_from_headers(texts, now=time.time()) or self._rate_limits

    def _output(self) -> list[dict[str, Any]]:
        """Finished items and cut-off messages in the order of the response; none of an item that nothing names."""
        cut_off = [item for item in self._open() if item.kind == "message"]
        both = [item for item in self._items if item.kind and (item.done is not None or item in cut_off)]
        return [item.merged() for item in sorted(both, key=attrgetter("order"))]


def _id(item: Mapping[str, Any]) -> str:
    name = item.get("id")
    return name if isinstance(name, str) else ""


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
