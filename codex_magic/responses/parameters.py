"""What `responses.create` and its kin take beside the input: one table of names and types.

The small structs are conveniences: a dict of the same shape is as good everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar

import msgspec


@dataclass(frozen=True)
class Timeouts:
    """Seconds. There is no limit on the whole: an answer may take as long as it goes on.

    As long as its service says nothing but that it is working, that is `exchange.WORKING_SECONDS`.
    """

    connect: float = 15.0
    first_byte: float = 60.0
    """Until the answer begins. Shorter limits hit users whose model was thinking."""
    idle: float = 300.0
    """Between two events of a stream; comments, pings and parts of an event are none."""
    write: float = 60.0

    @classmethod
    def of(cls, seconds: float | Timeouts) -> Timeouts:
        """A number is the longest silence that is borne, at any point."""
        if isinstance(seconds, Timeouts):
            return seconds
        return cls(connect=seconds, first_byte=seconds, idle=seconds, write=seconds)


DEFAULT_TIMEOUTS = Timeouts()


class Reasoning(msgspec.Struct, frozen=True, omit_defaults=True):
    """How hard the model thinks, and how much of it is told."""

    effort: str | None = None
    """One of the model's `efforts`: `low`, `medium`, `high` ..., `none` where it can do without."""
    summary: str | None = None
    """`auto`, `concise` or `detailed`; without it no thoughts are told."""
    context: str | None = None


class JsonSchema(msgspec.Struct, frozen=True, omit_defaults=True, tag="json_schema", tag_field="type"):
    """A format of the answer; with `strict` the schema is made valid for it."""

    name: str
    schema: Mapping[str, Any]
    description: str | None = None
    strict: bool | None = None


class JsonObject(msgspec.Struct, frozen=True, tag="json_object", tag_field="type"):
    """Any JSON object; the prompt has to ask for JSON."""


class PlainText(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """Text, as without a format."""


class TextConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The form of the answer's text."""

    format: JsonSchema | JsonObject | PlainText | Mapping[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class FunctionTool(msgspec.Struct, frozen=True, tag="function", tag_field="type"):
    """A function that the model may call; with `strict` its arguments fit `parameters`, a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    strict: bool = True


class Parameters(TypedDict, total=False):
    """What `responses.create` takes beside `input`; `None` is the same as absent: left out, or our default."""

    model: str | None
    instructions: str | None
    tools: Sequence[Any] | None
    """Functions, `tools.Tool`s and `Namespace`s, structs, dicts."""
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    reasoning: Reasoning | Mapping[str, Any] | str | None
    text: TextConfig | Mapping[str, Any] | None
    verbosity: str | None
    output_schema: Mapping[str, Any] | None
    web_search: Literal["cached", "live", "disabled"] | None
    service_tier: str | None
    include: Sequence[str] | None
    previous_response_id: str | None
    prompt_cache_key: str | None
    store: bool | None
    turn_state: str | None
    lite: bool | Literal["auto"] | None
    timeout: float | Timeouts | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, str] | None

    background: bool | None
    context_management: Any
    conversation: Any
    frequency_penalty: float | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    presence_penalty: float | None
    prompt: Mapping[str, Any] | None
    prompt_cache_retention: str | None
    safety_identifier: str | None
    seed: int | None
    stream_options: Mapping[str, Any] | None
    temperature: float | None
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str | None


F = TypeVar("F", bound=Callable[..., Any])


def takes(parameters: type) -> Callable[[F], F]:
    """Lets editors that look at the running function (IPython, jedi, `help`) see each key of a TypedDict.

    Type checkers read them from `Unpack`. Keys that the function has as parameters of its own stay those.
    """

    def spell_out(function: F) -> F:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in parameters.__annotations__.items()
            if name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]  # read by inspect
        return function

    return spell_out
