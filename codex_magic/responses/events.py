"""The events of a Responses stream as frozen structs, one for each `type`.

Everything is optional, because servers leave fields out, and fields not named here are skipped.
Items, parts and whole responses stay plain dicts: they are sent again with the next request, so
what a newer service puts into them has to survive. An event of an unknown type, or of a known
type in a shape we can't read, becomes an `UnknownEvent` that holds all of it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.plain import read_json, read_struct


class StreamEvent(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """Base of the known events. `gc=False`: decoded JSON has no cycles, and a stream has many events."""

    sequence_number: int = -1

    @property
    def type(self) -> str:
        """The name on the wire, e.g. `response.output_text.delta`."""
        return str(self.__struct_config__.tag)


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event kept as it came: a dict, or bytes when it is not even JSON (then `type` is empty)."""

    type: str
    raw: dict[str, Any] | bytes


Event = StreamEvent | UnknownEvent


class _ResponseEvent(StreamEvent, frozen=True):
    response: dict[str, Any] | None = None


class _ItemEvent(StreamEvent, frozen=True):
    output_index: int = -1
    item: dict[str, Any] = {}


class OfItem(StreamEvent, frozen=True):
    """Says something about the item `item_id`, the `output_index`-th of the response."""

    item_id: str = ""
    output_index: int = -1


# The response ------------------------------------------------------------------------------------


class ResponseQueued(_ResponseEvent, frozen=True, tag="response.queued"):
    pass


class ResponseCreated(_ResponseEvent, frozen=True, tag="response.created"):
    pass


class ResponseInProgress(_ResponseEvent, frozen=True, tag="response.in_progress"):
    pass


class ResponseCompleted(_ResponseEvent, frozen=True, tag="response.completed"):
    """The end. The Codex backend leaves `response["output"]` empty; items came in `OutputItemDone`."""


class ResponseIncomplete(_ResponseEvent, frozen=True, tag="response.incomplete"):
    """The end, cut short; `response["incomplete_details"]["reason"]` says why."""


class ResponseFailed(_ResponseEvent, frozen=True, tag="response.failed"):
    """The end, by the failure in `response["error"]`, or `error`."""

    error: Any = None


class ErrorEvent(StreamEvent, frozen=True, tag="error"):
    """A failure, nested (`error`, with `status` or `status_code` and `headers`) or flat (`code`, `message`)."""

    error: Any = None
    code: str | int | None = None
    message: str | None = None
    param: str | None = None
    status: int | None = None
    status_code: int | None = None
    headers: dict[str, Any] | None = None


class ResponseMetadata(StreamEvent, frozen=True, tag="response.metadata"):
    headers: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class CodexRateLimits(StreamEvent, frozen=True, tag="codex.rate_limits"):
    plan_type: str | None = None
    rate_limits: dict[str, Any] | None = None
    credits: dict[str, Any] | None = None
    metered_limit_name: str | None = None


class Keepalive(StreamEvent, frozen=True, tag="keepalive"):
    pass


# Items and their parts ---------------------------------------------------------------------------


class OutputItemAdded(_ItemEvent, frozen=True, tag="response.output_item.added"):
    pass


class OutputItemDone(_ItemEvent, frozen=True, tag="response.output_item.done"):
    """The finished item, whole: the one to keep."""


class OutputTextDelta(OfItem, frozen=True, tag="response.output_text.delta"):
    content_index: int = 0
    delta: str = ""


class ShellCallOutputContentDelta(OfItem, frozen=True, tag="response.shell_call_output_content.delta"):
    command_index: int = 0
    delta: dict[str, Any] = {}


# Events by their names -----------------------------------------------------------------------------

_FIELDS: dict[str, tuple[Any, Any]] = {
    "annotation": (dict[str, Any], {}),
    "annotation_index": (int, 0),
    **dict.fromkeys("arguments code command delta input partial_image_b64 refusal text".split(), (str, "")),
    "call_id": (str | None, None),
    **dict.fromkeys(("content_index", "summary_index", "command_index", "partial_image_index"), (int, 0)),
    "name": (str | None, None),
    "output": (list[dict[str, Any]], []),
    "part": (dict[str, Any], {}),
}

_PLAIN: dict[str, str] = {
    "code_interpreter_call.in_progress .interpreting .completed": "",
    "code_interpreter_call_code.delta": "delta",
    "code_interpreter_call_code.done": "code",
    "compaction.compacting": "",
    "content_part.added .done": "content_index part",
    "custom_tool_call_input.delta": "delta call_id",
    "custom_tool_call_input.done": "input call_id",
    "file_search_call.in_progress .searching .completed": "",
    "image_generation_call.partial_image": "partial_image_index partial_image_b64",
    "image_generation_call.in_progress .generating .completed": "",
    "function_call_arguments.delta": "delta",
    "function_call_arguments.done": "arguments name",
    "mcp_call.in_progress .completed .failed": "",
    "mcp_call_arguments.delta": "delta",
    "mcp_call_arguments.done": "arguments",
    "mcp_list_tools.in_progress .completed .failed": "",
    "output_text.done": "content_index text",
    "output_text.annotation.added": "content_index annotation_index annotation",
    "reasoning_summary_part.added .done": "summary_index part",
    "reasoning_summary_text.delta": "summary_index delta",
    "reasoning_summary_text.done": "summary_index text",
    "reasoning_text.delta": "content_index delta",
    "reasoning_text.done": "content_index text",
    "refusal.delta": "content_index delta",
    "refusal.done": "content_index refusal",
    "shell_call_command.delta": "command_index delta",
    "shell_call_command.added .done": "command_index command",
    "shell_call_output_content.done": "command_index output",
    "web_search_call.in_progress .searching .completed": "",
}
"""Events that are read and passed on, or looked up in `EVENT_TYPES`: names -> fields."""


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """One of these, by its name."""


for _names, _fields in _PLAIN.items():
    _first, *_others = _names.split()
    for _name in (_first, *(_first.rpartition(".")[0] + other for other in _others)):
        _title = _name.replace(".", "_").title().replace("_", "")  # `WebSearchCallSearching`
        globals()[_title] = msgspec.defstruct(
            _title,
            [(field, *_FIELDS[field]) for field in _fields.split()],
            bases=(OfItem,),
            frozen=True,
            gc=False,
            tag=f"response.{_name}",
            module=__name__,
        )


# Decoding ----------------------------------------------------------------------------------------


_BASES: list[type[StreamEvent]] = [StreamEvent, _ResponseEvent, _ItemEvent, OfItem]
EVENT_TYPES = {
    str(kind.__struct_config__.tag): kind
    for base in _BASES
    for kind in base.__subclasses__()
    if kind not in _BASES
}
"""Name on the wire -> struct."""

_KNOWN: Any = reduce(or_, EVENT_TYPES.values())
_decode_known: msgspec.json.Decoder[StreamEvent] = msgspec.json.Decoder(_KNOWN)


def decode_events(payloads: list[bytes]) -> list[Event]:
    """Every payload as an event, in order."""
    decode = _decode_known.decode
    try:
        return [decode(payload) for payload in payloads]
    except (ValueError, RecursionError):
        return [decode_event(payload) for payload in payloads]


def decode_event(payload: bytes) -> Event:
    """One payload as an event; never fails."""
    with suppress(ValueError, RecursionError):
        return _decode_known.decode(payload)
    # what msgspec refuses to read: half surrogate pairs, bad UTF-8, numbers that are none, depths
    try:
        raw = read_json(payload)
        name = str(raw["type"])
    except (ValueError, TypeError, KeyError):
        return UnknownEvent("", payload)
    if (kind := EVENT_TYPES.get(name)) is None:
        return UnknownEvent(name, raw)
    for place in ("output_index", "content_index", "summary_index"):
        if type(raw.get(place)) is not int:  # a guess would be worse than none
            raw.pop(place, None)
    return read_struct(raw, kind)
