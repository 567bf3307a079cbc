"""The body and headers of a Responses request, from what the caller asks for. Pure.

What a server insists on or refuses is data, checked here so that the user reads a sentence
about their parameter instead of the service's `Unsupported parameter`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..net import header_value
from ..protocol.errors import InvalidRequestError
from ..protocol.plain import did_you_mean, plain_json
from .inputs import Item, is_image, is_part, parts, plain
from .parameters import Parameters
from .schema import strict_schema
from .tools import LITE_NAMESPACE, Toolbox

_NOT_SENT_AS_SUCH = frozenset(
    "verbosity output_schema web_search turn_state lite timeout extra_body extra_headers extra_query".split()
)

_CONTENT_OF_AN_ID = frozenset({"encrypted_content", "result"})
"""An item that carries one of these is whole, and keeps its id."""

_CALLS = ("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
_WITHOUT_STATUS = frozenset(("message", "reasoning", *_CALLS))

DEFAULT_INSTRUCTIONS = "You are a helpful assistant."
"""For bare calls. Servers of the Codex kind refuse a request without instructions."""

_ENCRYPTED = "reasoning.encrypted_content"
"""Without it a reasoning item can't be sent again to a server that stores nothing."""


_NOT_STORED = "Send the earlier items in `input`, [*response.output, ...]: this service stores nothing."
_OF_THE_API = (
    "context_management metadata user safety_identifier top_logprobs prompt_cache_retention background "
    "max_tool_calls stream_options generate"
)
_REFUSED = {
    "max_output_tokens": "Leave it out, and ask for a short answer in the prompt or with verbosity='low'.",
    "prompt": "Put its text into `instructions`.",
    "truncation": "Leave it out; a shorter `input` is the way to a smaller context.",
    "previous_response_id conversation": _NOT_STORED,
    "temperature top_p presence_penalty frequency_penalty seed": (
        "Leave it out: this service chooses the sampling itself."
    ),
    _OF_THE_API: "Leave it out, or use an API key: `%codex provider openai`",
}
"""Fields that the Codex backend of ChatGPT refuses -> what to do instead."""

_FIXED: dict[str, tuple[bool, str]] = {
    "stream": (True, "Leave it out: create(stream=False) waits for the whole answer."),
    "store": (False, "Leave it out: previous_response_id works all the same, from this client's memory."),
}
"""Fields that have one possible value -> it, and what to do instead; elsewhere `store` has both."""

_SHAPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("text", "extra_body", "output_schema"), (Mapping, "a dict")),
    **dict.fromkeys(("tools", "include"), (Iterable, "a list")),
}

# The body ----------------------------------------------------------------------------------------


def body_of(input: Any, parameters: Parameters, *, is_codex: bool) -> dict[str, Any]:
    """Return what to send. Raises TypeError for a misspelt parameter, InvalidRequestError for a refused one.

    `is_codex`: for the Codex backend of ChatGPT; else for OpenAI's API and servers like it, where nothing is
    stored unless the caller says `store=True`.
    """
    body: dict[str, Any] = {"model": None, "stream": True, "store": False}
    for name, value in parameters.items():
        if name not in Parameters.__annotations__:
            near = did_you_mean(name, Parameters.__annotations__).lower()
            raise TypeError(f"create() has no parameter {name!r};{near} other fields go into extra_body")
        kind, what = _SHAPES.get(name, (object, ""))
        if value is not None and not isinstance(plain(value), kind):
            raise _refusal(f"{name} is {value!r}.", f"It is {what}.", name)
        if value is not None and name not in _NOT_SENT_AS_SUCH:
            body[name] = plain(value)
    body["input"] = _items(input, is_codex=is_codex, stored=bool(body["store"]))
    if is_codex:
        body["instructions"] = body.get("instructions") or DEFAULT_INSTRUCTIONS
    if isinstance(body.get("reasoning"), str):
        body["reasoning"] = {"effort": body["reasoning"]}
    if text := _text(body.get("text") or {}, parameters):
        body["text"] = text
    if tools := _tools(body, parameters):
        body["tools"] = tools
        body.setdefault("tool_choice", "auto")
    include = list(body.get("include") or ())
    if (is_codex or body.get("reasoning")) and not body["store"] and _ENCRYPTED not in include:
        include.append(_ENCRYPTED)
    if include:
        body["include"] = include
    if body.get("service_tier") == "fast":  # the name that the Codex CLI shows
        body["service_tier"] = "priority"
    if body.get("service_tier") == "auto" and is_codex:  # there absence means it
        del body["service_tier"]
    body |= parameters.get("extra_body") or {}
    for names, instead in _REFUSED.items() if is_codex else ():
        for name in names.split():
            if name in body:
                raise _refusal(f"{name} is not accepted by this service.", instead, name)
    for name, (value, instead) in _FIXED.items():
        if body[name] != value and (is_codex or name == "stream"):
            raise _refusal(f"{name} must be {str(value).lower()} here.", instead, name)
    return body


def _refusal(what: str, hint: str, param: str = "input") -> InvalidRequestError:
    return InvalidRequestError(what, hint=hint, param=param)


def encode(body: Any) -> bytes:
    """Return JSON, with U+FFFD for half a surrogate pair, and without what is too deep: such can't be sent at all."""
    try:
        return msgspec.json.encode(body)
    except (UnicodeEncodeError, RecursionError):
        return msgspec.json.encode(plain_json(body))


def _text(options: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    text = dict(options)
    if verbosity := parameters.get("verbosity"):
        text["verbosity"] = _one_of("verbosity", verbosity, ("low", "medium", "high"))
    if schema := parameters.get("output_schema"):
        name = "codex_output_schema"
        text["format"] = {"type": "json_schema", "name": name, "schema": schema, "strict": True}
    if text.get("format"):
        format = plain(text["format"])
        if not isinstance(format, Mapping):
            raise _refusal(f"text.format is {format!r}.", "It is a dict, or JsonSchema(...).", "text")
        text["format"] = _strict(format, "schema")
    return text


def _strict(part: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Make the schema of a format or a function valid where it says `strict`."""
    if part.get("strict") and isinstance(part.get(key), Mapping):
        return {**part, key: strict_schema(part[key])}
    return part


def _tools(body: Mapping[str, Any], parameters: Parameters) -> list[Mapping[str, Any]]:
    own = Toolbox(parameters.get("tools") or (), runs=False).definitions
    tools = [_strict(definition, "parameters") for definition in own]
    search = _one_of("web_search", parameters.get("web_search") or "disabled", tuple(_SEARCHES))
    if _SEARCHES[search] is not None:
        if (body.get("reasoning") or {}).get("effort") == "minimal":
            what = "Web search does not go with the effort 'minimal'."
            raise _refusal(what, "Use reasoning={'effort': 'low'}, or leave out web_search.", "web_search")
        tools.append({"type": "web_search", "external_web_access": _SEARCHES[search]})
    return tools


_SEARCHES = {"cached": False, "live": True, "disabled": None}
"""Whether the search leaves the service's own copy of the web."""


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise _refusal(f"{name} is {value!r}.", f"It is one of {', '.join(map(repr, allowed))}.", name)
    return value


# Input items -------------------------------------------------------------------------------------


def _items(input: Any, *, is_codex: bool, stored: bool) -> list[Item]:
    made = input_items(input)
    items = [_message(item) if item.get("type", "message") == "message" else item for item in made]
    if is_codex and any(item.get("role") == "system" for item in items):
        what = "Messages with the role 'system' are not accepted by this service."
        raise _refusal(what, "Use the role 'developer', or instructions.")
    return items if stored else [*filter(None, map(_unstored, items))]


def input_items(input: Any) -> list[Item]:
    """Return the items; texts, images and parts that follow each other are one message of the user."""
    items: list[Item] = []
    loose: list[Any] = []
    is_one = isinstance(input, (str, Mapping)) or is_image(input) or not isinstance(input, Iterable)
    for each in [input] if is_one else input:
        value = plain(each)
        if isinstance(value, str) or is_part(value):
            loose.append(value)
            continue
        if not isinstance(value, Mapping) or not isinstance(value.get("type"), str | None):
            what = f"A {type(each).__qualname__} is not an input item."
            hint = "Pass texts, images and the dicts of items: input=[*response.output, 'And then?']"
            raise _refusal(what, hint)
        if loose:
            items.append({"role": "user", "content": loose})
            loose = []
        items.append(dict(value))
    return [*items, {"role": "user", "content": loose}] if loose else items


def _message(item: Item) -> Item:
    """Return the long form of a message, `type` and a list of parts, which every server reads."""
    for key in ("role", "content"):
        if key not in item:
            raise _refusal(f"An input item has no {key!r}.", "A message has a role and its content.")
    content = item["content"]
    if isinstance(content, int | float):
        raise _refusal(f"The content of a message is {content!r}.", "It is a text, or a list of parts.")
    loose = [content] if isinstance(content, (str, Mapping)) or is_image(content) else content or ()
    return {"type": "message", **item, "content": parts(map(plain, loose), role=item["role"])}


def _unstored(item: Item) -> Item | None:
    """Drop what only the answering server knows: the id, and the status of a message or call.

    `None` for what needs its id looked up, which gives a 404 where nothing is stored.
    """
    is_empty = item["type"] == "reasoning" and not item.get("encrypted_content")
    if is_empty or item["type"] == "item_reference":
        return None
    dropped = {"id"} if not item.keys() & _CONTENT_OF_AN_ID else set()
    if item["type"] in _WITHOUT_STATUS:
        dropped.add("status")
    return {name: value for name, value in item.items() if name not in dropped}


# Headers -----------------------------------------------------------------------------------------


def session_headers(key: str, turn_state: str | None) -> dict[str, str]:
    """Return the headers of a session; `session-id` is what decides the prompt cache."""
    headers = {"session-id": key, "thread-id": key, "x-client-request-id": key}
    if turn_state:
        headers["x-codex-turn-state"] = turn_state
    return {name: header_value(value) for name, value in headers.items()}


# Responses Lite ----------------------------------------------------------------------------------

LITE_HEADER = "x-openai-internal-codex-responses-lite"


def as_lite(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a classic request in the dialect in which the Codex CLI speaks to most of its models.

    Tools and instructions stand in the input, calls come one at a time, the model sees the reasoning of all
    turns, and images have no `detail`. Whether a model insists on it is reported both ways; those tried answer
    to classic requests too, which allow parallel calls. So the dialect is a choice here, and not the default.
    Source: requests of codex-cli 0.163.0; refusals reported in openai/codex#31894.
    """
    before: list[Item] = []
    if tools := body.get("tools"):
        # the same tools have the same id: what comes first in the input decides the prompt cache
        digest = hashlib.sha256(msgspec.json.encode(tools)).hexdigest()[:32]
        own = [tool for tool in tools if tool["type"] in ("function", "custom")]
        grouped = [{"type": "namespace", "name": LITE_NAMESPACE, "tools": own}] if own else []
        grouped += [tool for tool in tools if tool not in own]
        item = {"type": "additional_tools", "id": f"at_{digest}", "role": "developer", "tools": grouped}
        before.append(item)
    if instructions := body.get("instructions"):
        content = [{"type": "input_text", "text": instructions}]
        before.append({"type": "message", "role": "developer", "content": content})
    lite = {name: value for name, value in body.items() if name not in ("tools", "instructions")}
    lite["input"] = [*before, *map(_without_detail, body["input"])]
    lite["parallel_tool_calls"] = False
    lite["reasoning"] = {**(body.get("reasoning") or {}), "context": "all_turns"}
    return lite


def _without_detail(item: Item) -> Item:
    for name in ("content", "output"):
        if isinstance(item.get(name), list):
            parts = [{key: part[key] for key in part if key != "detail"} for part in item[name]]
            item = {**item, name: parts}
    return item
