"""Answers that are values: what to ask for, how to read what came, what to say when it does not fit. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from ..protocol.errors import InvalidOutputError, InvalidRequestError, RefusedError, TruncatedError
from .inputs import Item, user
from .parameters import Parameters
from .request import input_items, plain
from .response import Response, texts
from .schema import accepts_null, pydantic_adapter, read_custom, schema_of, strict_schema, target

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
        self._is_wrapped = schema.get("type", "object" if "properties" in schema else None) != "object"
        self.schema = _wrapped(schema) if self._is_wrapped else schema
        self.strict = strict_schema(self.schema)
        self.name = _identifier(str(schema.get("title") or getattr(text_format, "__name__", "answer")))

    def parameters(self, given: Parameters) -> Parameters:
        """The caller's, with this format in them."""
        text = plain(given.get("text")) or {}
        if given.get("output_schema") or text.get("format"):
            raise InvalidRequestError(
                "There are two schemas.", hint="Leave out output_schema and text.format: text_format says it."
            )
        wanted = {"type": "json_schema", "name": self.name, "schema": self.strict, "strict": True}
        return {**given, "text": {**text, "format": wanted}}

    def read(self, response: Response) -> ParsedResponse[T]:
        """Raises RefusedError, TruncatedError, InvalidOutputError; each holds the text and the response."""
        text = answer_text(response)
        refusal = _refusal(response)
        if refusal is not None:
            raise RefusedError(f"The model declined: {refusal}", text=refusal, response=response)
        if response.status == "incomplete":
            reason = response.incomplete_reason
            raise TruncatedError(
                f"The answer stopped before its end ({reason or 'no reason given'}).",
                text=text,
                response=response,
                reason=reason,
            )
        if not text and any(str(item.get("type")).endswith("_call") for item in response.output):
            raise InvalidOutputError(
                "The model called a tool and did not answer yet.",
                text=text,
                response=response,
                hint="Use run_tools(), or send the results and parse the next answer.",
            )
        try:
            value = self._value(text)
        except (ValueError, RecursionError) as error:
            said = " ".join(str(error).split())
            raise InvalidOutputError(
                f"The answer does not fit: {said}", text=text, response=response
            ) from error
        fields = {name: getattr(response, name) for name in Response.__struct_fields__}
        return ParsedResponse(**fields, output_parsed=value)

    def repaired(self, input: Any, failure: InvalidOutputError) -> list[Item]:
        """The input of a turn in which the model mends its answer."""
        said = f"{failure.message} Answer again, with nothing but JSON that fits the schema."
        return [*input_items(input), *failure.response.output, user(said)]

    def _value(self, text: str) -> T:
        """Raises ValueError."""
        raw = msgspec.json.decode(text.encode(errors="replace"))
        complaint = misfit(raw, self.schema, self.schema) if self._is_schema or self._is_wrapped else None
        if complaint:
            raise ValueError(complaint)
        value = without_absent(raw, self.schema, self.schema)
        if self._is_wrapped:
            value = value["value"]
        if self._is_schema:
            read: T = value
        elif self._adapter is not None:
            read = self._adapter.validate_json(msgspec.json.encode(value))
        else:
            read = msgspec.json.decode(msgspec.json.encode(value), type=self._type, dec_hook=read_custom)
        return read


def answer_text(response: Response) -> str:
    """The text of the last message, which is the answer; earlier ones say what the model is up to."""
    messages = [item for item in response.output if item.get("type") == "message"]
    answers = [item for item in messages if item.get("phase") != "commentary"] or messages
    return "".join(texts(answers[-1], "output_text")) if answers else ""


def _refusal(response: Response) -> str | None:
    said = (text for item in response.output for text in texts(item, "refusal", field="refusal"))
    return next(said, None)


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    inner = {key: part for key, part in schema.items() if key not in definitions}
    return {"type": "object", "properties": {"value": inner}, "required": ["value"], **definitions}


def _identifier(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", title)[:64] or "answer"


# Values and schemas ------------------------------------------------------------------------------


def without_absent(value: Any, part: Any, root: Mapping[str, Any]) -> Any:
    """The value without the nulls that say "absent" only because a strict schema requires everything.

    `part` of `root` is the schema before it was made strict.
    """
    part = _resolved(part, root)
    if choices := _choices(part):
        return without_absent(value, next((c for c in choices if not misfit(value, c, root)), {}), root)
    if isinstance(value, dict):
        properties = part.get("properties") or {}
        return {
            name: without_absent(each, properties.get(name), root)
            for name, each in value.items()
            if not _says_absent(each, name, part, root)
        }
    if isinstance(value, list):
        firsts, rest = part.get("prefixItems") or (), part.get("items")
        return [
            without_absent(each, firsts[at] if at < len(firsts) else rest, root)
            for at, each in enumerate(value)
        ]
    return value


def misfit(value: Any, part: Any, root: Mapping[str, Any], where: str = "it") -> str | None:
    """Why the value does not fit a part of a schema, or `None`. Null stands for what may be absent."""
    part = _resolved(part, root)
    if choices := _choices(part):
        reasons = [misfit(value, choice, root, where) for choice in choices]
        return None if None in reasons else reasons[0]
    if "const" in part and value != part["const"]:
        return f"{where} is not {part['const']!r}"
    if "enum" in part and value not in part["enum"]:
        return f"{where} is none of {', '.join(map(repr, part['enum']))}"
    kinds = part.get("type")
    if kinds is not None and not any(_is_a(value, kind) for kind in _listed(kinds)):
        return f"{where} is no {' or '.join(_listed(kinds))}"
    for keyword, (kind, fits) in _LIMITS.items():
        if keyword in part and _is_a(value, kind) and not fits(value, part[keyword]):
            return f"{where} breaks {keyword} {part[keyword]}"
    return next(_misfits_inside(value, part, root), None)


def _misfits_inside(value: Any, part: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, dict):
        properties = part.get("properties") or {}
        yield from (f"{name!r} is missing" for name in part.get("required") or () if name not in value)
        if part.get("additionalProperties") is False:
            yield from (f"{name!r} is one too many" for name in value if name not in properties)
        for name, its_part in properties.items():
            if name in value and not _says_absent(value[name], name, part, root):
                yield from filter(None, [misfit(value[name], its_part, root, repr(name))])
    if isinstance(value, list):
        firsts, rest = part.get("prefixItems") or (), part.get("items")
        for at, each in enumerate(value):
            its_part = firsts[at] if at < len(firsts) else rest
            yield from filter(None, [misfit(each, its_part, root, f"item {at}")])


def _says_absent(value: Any, name: str, part: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if value is not None or name in (part.get("required") or ()):
        return False
    return not accepts_null((part.get("properties") or {}).get(name, True), root)


def _resolved(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    seen: set[str] = set()
    while isinstance(part, Mapping) and "$ref" in part and part["$ref"] not in seen:
        seen.add(part["$ref"])
        part = target(root, part["$ref"])
    return part if isinstance(part, Mapping) else {}


def _choices(part: Mapping[str, Any]) -> Sequence[Any]:
    return part.get("anyOf") or part.get("oneOf") or part.get("allOf") or ()


def _listed(kinds: Any) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _is_a(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return not isinstance(value, bool) and (whole or (kind == "number" and isinstance(value, float)))
    return isinstance(value, _TYPES[kind]) if kind in _TYPES else True


_TYPES: dict[str, type] = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}

_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", operator.ge),
    "maximum": ("number", operator.le),
    "exclusiveMinimum": ("number", operator.gt),
    "exclusiveMaximum": ("number", operator.lt),
    "minLength": ("string", lambda value, least: len(value) >= least),
    "maxLength": ("string", lambda value, most: len(value) <= most),
    "minItems": ("array", lambda value, least: len(value) >= least),
    "maxItems": ("array", lambda value, most: len(value) <= most),
}
