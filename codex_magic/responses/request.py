"""The body and headers of a Responses request, from what the caller asks for. Pure.

What a server insists on or refuses is data (`Rules`), checked here so that the user reads a sentence
about their parameter instead of the service's `Unsupported parameter`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec

from ..auth.network import header_value
from ..protocol.errors import InvalidRequestError

Item = dict[str, Any]


class Parameters(TypedDict, total=False):
    """What `responses.create` takes; `None` is the same as absent: left out, or our default."""

    model: str | None
    instructions: str | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    reasoning: Mapping[str, Any] | None
    text: Mapping[str, Any] | None
    verbosity: str | None
    """`low`, `medium` or `high`."""
    output_schema: Mapping[str, Any] | None
    service_tier: str | None
    include: Sequence[str] | None
    prompt_cache_key: str | None
    turn_state: str | None
    extra_body: Mapping[str, Any] | None

    background: bool | None
    conversation: Any
    frequency_penalty: float | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    presence_penalty: float | None
    previous_response_id: str | None
    prompt_cache_retention: str | None
    safety_identifier: str | None
    seed: int | None
    store: bool | None
    stream_options: Mapping[str, Any] | None
    temperature: float | None
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str | None


_NOT_SENT_AS_SUCH = frozenset({"verbosity", "output_schema", "turn_state", "extra_body"})

_CONTENT_OF_AN_ID = frozenset({"encrypted_content", "result"})
"""An item that carries one of these is whole, and keeps its id."""

_WITHOUT_STATUS = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
    }
)

DEFAULT_INSTRUCTIONS = "You are a helpful assistant."
"""For bare calls. Servers of the Codex kind refuse a request without instructions."""

_ENCRYPTED = "reasoning.encrypted_content"
"""Without it a reasoning item can't be sent again to a server that stores nothing."""


@dataclass(frozen=True)
class Rules:
    """What one kind of server insists on."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Body field -> what to do instead."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Body fields that have one possible value."""
    needs_instructions: bool = False
    always_encrypted_reasoning: bool = False
    """Ask for encrypted reasoning in every request, not only where reasoning is asked for."""
    system_role: bool = True


_NO_SAMPLING = "Leave it out: this service chooses the sampling itself."
_NO_LIMIT = "Leave it out, and ask for a short answer in the prompt or with verbosity='low'."
_NOT_STORED = "Send the earlier items in `input` instead: this service stores nothing."
_LEAVE_OUT = "Leave it out, or use an API key: %codex provider openai"

CODEX_RULES = Rules(
    refused={
        "max_output_tokens": _NO_LIMIT,
        "temperature": _NO_SAMPLING,
        "top_p": _NO_SAMPLING,
        "presence_penalty": _NO_SAMPLING,
        "frequency_penalty": _NO_SAMPLING,
        "seed": _NO_SAMPLING,
        "previous_response_id": _NOT_STORED,
        "conversation": _NOT_STORED,
        "truncation": "Leave it out; a shorter `input` is the way to a smaller context.",
        "metadata": _LEAVE_OUT,
        "user": _LEAVE_OUT,
        "safety_identifier": _LEAVE_OUT,
        "top_logprobs": _LEAVE_OUT,
        "prompt_cache_retention": _LEAVE_OUT,
        "background": _LEAVE_OUT,
        "max_tool_calls": _LEAVE_OUT,
        "stream_options": _LEAVE_OUT,
        "generate": _LEAVE_OUT,
    },
    fixed={"store": False, "stream": True},
    needs_instructions=True,
    always_encrypted_reasoning=True,
    system_role=False,
)
"""The Codex backend of ChatGPT."""

OPEN_RULES = Rules(fixed={"stream": True})
"""OpenAI's API and servers like it. Nothing is stored there unless the caller says `store=True`."""


# The body ----------------------------------------------------------------------------------------


def build_body(input: str | Sequence[Item], parameters: Parameters, rules: Rules) -> bytes:
    """The JSON to send. Raises TypeError for a misspelt parameter, InvalidRequestError for a refused one."""
    _check_names(parameters)
    own = {
        name: value
        for name, value in parameters.items()
        if value is not None and name not in _NOT_SENT_AS_SUCH
    }
    body: dict[str, Any] = {"model": None, "stream": True, "store": False, **own}
    body["input"] = _items(input, rules, stored=bool(body["store"]))
    body |= _instructions(parameters, rules) | _text(parameters) | _include(parameters, rules)
    if parameters.get("tools"):
        body.setdefault("tool_choice", "auto")
    body |= parameters.get("extra_body") or {}
    _check_rules(body, rules)
    return encode(body)


def encode(body: Any) -> bytes:
    """JSON with U+FFFD where half of a surrogate pair stands; such text can't be sent at all."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(body))


def _check_names(parameters: Parameters) -> None:
    for name in parameters:
        if name not in Parameters.__annotations__:
            near = difflib.get_close_matches(name, Parameters.__annotations__, n=1)
            advice = f"did you mean {near[0]}?" if near else "fields not known here go into extra_body"
            raise TypeError(f"create() has no parameter {name!r}; {advice}")


def _check_rules(body: Mapping[str, Any], rules: Rules) -> None:
    for name, instead in rules.refused.items():
        if name in body:
            raise InvalidRequestError(f"{name} is not accepted by this service.", hint=instead, param=name)
    for name, value in rules.fixed.items():
        if body[name] != value:
            raise InvalidRequestError(
                f"{name} must be {str(value).lower()} here.", hint="Leave it out.", param=name
            )


def _instructions(parameters: Parameters, rules: Rules) -> dict[str, Any]:
    given = parameters.get("instructions")
    if rules.needs_instructions and not given:
        return {"instructions": DEFAULT_INSTRUCTIONS}
    return {}


def _text(parameters: Parameters) -> dict[str, Any]:
    text = dict(parameters.get("text") or {})
    if verbosity := parameters.get("verbosity"):
        text["verbosity"] = verbosity
    if schema := parameters.get("output_schema"):
        text["format"] = {
            "type": "json_schema",
            "name": "codex_output_schema",
            "schema": schema,
            "strict": True,
        }
    return {"text": text} if text else {}


def _include(parameters: Parameters, rules: Rules) -> dict[str, Any]:
    wanted = list(parameters.get("include") or ())
    encrypted = rules.always_encrypted_reasoning or parameters.get("reasoning")
    if encrypted and not parameters.get("store") and _ENCRYPTED not in wanted:
        wanted.append(_ENCRYPTED)
    return {"include": wanted} if wanted else {}


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {_without_surrogates(name): _without_surrogates(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(each) for each in value]
    return value


# Input items -------------------------------------------------------------------------------------


def _items(input: str | Sequence[Item], rules: Rules, *, stored: bool) -> list[Item]:
    if isinstance(input, str):
        return [_message({"role": "user", "content": input})]
    items = [_message(item) if item.get("type", "message") == "message" else item for item in input]
    if not rules.system_role and any(item.get("role") == "system" for item in items):
        raise InvalidRequestError(
            "Messages with the role 'system' are not accepted by this service.",
            hint="Use the role 'developer', or instructions.",
            param="input",
        )
    return items if stored else [_unstored(item) for item in items if _stands_alone(item)]


def _message(item: Item) -> Item:
    """The long form of a message, `type` and a list of parts, which every server reads."""
    content = item["content"]
    if isinstance(content, str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    return {"type": "message", **item, "content": content}


def _stands_alone(item: Item) -> bool:
    """Whether a server that stores nothing can read it; one that needs its id looked up gives a 404."""
    if item["type"] == "reasoning":
        return bool(item.get("encrypted_content"))
    return bool(item["type"] != "item_reference")


def _unstored(item: Item) -> Item:
    """Without what only the answering server knows: the id, and the status of a message or call."""
    dropped = {"id"} if not item.keys() & _CONTENT_OF_AN_ID else set()
    if item["type"] in _WITHOUT_STATUS:
        dropped.add("status")
    return {name: value for name, value in item.items() if name not in dropped}


# Headers -----------------------------------------------------------------------------------------


def session_headers(key: str, turn_state: str | None) -> dict[str, str]:
    """One id in three headers and `prompt_cache_key`: `session-id` is what decides the prompt cache."""
    headers = {"session-id": key, "thread-id": key, "x-client-request-id": key}
    if turn_state:
        headers["x-codex-turn-state"] = turn_state
    return {name: header_value(value) for name, value in headers.items()}
