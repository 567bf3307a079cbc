"""Answers that are values: what to ask for, how to read what came, what to say when it does not fit. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec

from ..protocol.errors import InvalidOutputError, InvalidRequestError, RefusedError, TruncatedError
from ..protocol.plain import decode_json
from .inputs import Item, plain, user
from .parameters import Parameters
from .request import input_items
from .response import Response, texts
from .schema import fitted, pydantic_adapter, read_custom, schema_of, strict_schema

T = TypeVar("T")


class ParsedResponse(Response, Generic[T], frozen=True, kw_only=True):
    """A response whose text was read as a value."""

    output_parsed: T


class Format(Generic[T]):
    """One type of answer.

    A strict schema has an object at its root, so anything else travels as the one property of one.
    """

    def __init__(self, text_format: Any) -> None:
        """`text_format`: a type, or a JSON schema as a dict. Raises InvalidRequestError for what has none."""
        self._is_schema = isinstance(text_format, Mapping)
        self._type = text_format
        self._adapter = None if self._is_schema else pydantic_adapter(text_format)
        schema = dict(text_format) if self._is_schema else schema_of(text_format)
        self.schema = schema
        self.is_wrapped = schema.get("type", "object" if "properties" in schema else None) != "object"
        if self.is_wrapped:
            root = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
            root |= {"type": "object", "properties": {"value": schema}, "required": ["value"]}
            self.schema = root
        self.strict = strict_schema(self.schema)
        title = str(schema.get("title") or getattr(text_format, "__name__", "answer"))
        self.name = re.sub(r"[^A-Za-z0-9_-]+", "_", title)[:64] or "answer"

    def parameters(self, parameters: Parameters) -> Parameters:
        """Return the caller's parameters with this format in them."""
        text = plain(parameters.get("text")) or {}
        if parameters.get("output_schema") or text.get("format"):
            hint = "Leave out output_schema and text.format: text_format says it."
            raise InvalidRequestError("Two schemas were given.", hint=hint)
        format = {"type": "json_schema", "name": self.name, "schema": self.strict, "strict": True}
        return {**parameters, "text": {**text, "format": format}}

    def read(self, response: Response) -> ParsedResponse[T]:
        """Read the value. Raises RefusedError, TruncatedError, InvalidOutputError with the text and the response."""
        text = answer_text(response)
        if not text and any(str(item.get("type")).endswith("_call") for item in response.output):
            what = "The model called a tool and did not answer yet."
            hint = "Use run_tools(), or send the results and parse the next answer."
            raise InvalidOutputError(what, text=text, response=response, hint=hint)
        try:
            value = self.value(text)
        except InvalidOutputError as error:
            error.response = response
            raise
        fields = {name: getattr(response, name) for name in Response.__struct_fields__}
        return ParsedResponse(**fields, output_parsed=value)

    def repaired(self, input: Any, failure: InvalidOutputError) -> list[Item]:
        """Return the input of a turn in which the model mends its answer."""
        return [*input_items(input), *failure.response.output, user(complaint(failure))]

    def value(self, text: str) -> T:
        """Return what the text of an answer stands for. Raises InvalidOutputError."""
        try:
            return self._value(text)
        except (ValueError, RecursionError) as error:
            what = f"The answer does not fit: {' '.join(str(error).split())}"
            raise InvalidOutputError(what, text=text, response=None) from error

    def _value(self, text: str) -> T:
        """Raises ValueError."""
        checks = self._is_schema or self.is_wrapped
        value = fitted(decode_json(text), self.schema, self.schema, checks=checks)
        if self.is_wrapped:
            value = value["value"]
        if self._is_schema:
            return value  # type: ignore[no-any-return]  # T is Any then
        encoded = msgspec.json.encode(value)
        if self._adapter is not None:
            return self._adapter.validate_json(encoded)  # type: ignore[no-any-return]
        return msgspec.json.decode(encoded, type=self._type, dec_hook=read_custom)  # type: ignore[no-any-return]


def answer_text(response: Response) -> str:
    """Return the text of the last message that is no comment on the work. Raises RefusedError, TruncatedError."""
    messages = [item for item in response.output if item.get("type") == "message"]
    answers = [item for item in messages if item.get("phase") != "commentary"] or messages
    text = "".join(texts(answers[-1], "output_text")) if answers else ""
    refusals = (texts(item, "refusal", field="refusal") for item in response.output)
    refusal = next(chain.from_iterable(refusals), None)
    if refusal is not None:
        raise RefusedError(f"The model declined: {refusal}", text=refusal, response=response)
    if response.status == "incomplete":
        reason = response.incomplete_reason
        what = f"The answer stopped before its end ({reason or 'no reason given'})."
        raise TruncatedError(what, text=text, response=response, reason=reason)
    return text


def complaint(failure: InvalidOutputError) -> str:
    """Return what the model is told of an answer that does not fit."""
    return f"{failure.message} Answer again, with nothing but JSON that fits the schema."
