"""A value that satisfies a JSON schema: enough of the language for structured answers and tool arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

DEEP = 3
"""Levels of optional or recursive parts that are filled; below them the shortest choice is taken."""

_STRINGS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "duration": "PT5M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "018f0000-0000-7000-8000-000000000000",
}


def sample(schema: Schema | bool, *, name: str = "text", text: str = "local service") -> Any:
    """A value for `schema`; `text` is worked into its free strings. `pattern` is not honoured."""
    return _Sampler(schema if isinstance(schema, Mapping) else {}, text).value(schema, name, 0)


class _Sampler:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if isinstance(schema, bool):
            return self._text
        schema = self._resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        return getattr(self, f"_{_kind(schema)}")(schema, name, depth)

    def _resolve(self, schema: Schema, depth: int) -> Schema:
        """Follow references and choose among alternatives until one plain schema is left."""
        while True:
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._target(schema["$ref"]), **rest}
            elif "allOf" in schema:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([rest, *(self._resolve(part, depth) for part in schema["allOf"])])
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                schema = _merged([rest, _chosen(choices, depth)])
            else:
                return schema

    def _target(self, reference: str) -> Schema:
        target: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            target = target[step.replace("~1", "/").replace("~0", "~")]
        return dict(target)

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        needed = schema.get("required") or []
        wanted = properties if depth < DEEP else needed
        return {key: self.value(properties.get(key, {}), key, depth + 1) for key in wanted}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems") or []
        least = schema.get("minItems", 0)
        count = max(least, min(2 if depth < DEEP else 0, schema.get("maxItems", 2)))
        items = schema.get("items", True)
        values = [self.value(part, name, depth + 1) for part in prefix]
        return values + [self.value(items, name, depth + 1) for _ in range(count - len(prefix))]

    def _string(self, schema: Schema, name: str, depth: int) -> str:
        given = _STRINGS.get(schema.get("format", "")) or f"{name}: {self._text}"
        padded = given.ljust(schema.get("minLength", 0), "x")
        return padded[: schema.get("maxLength", len(padded))]

    def _integer(self, schema: Schema, name: str, depth: int) -> int:
        step = schema.get("multipleOf", 1)
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + 1)
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1)
        wanted = min(max(1, low), high)
        multiple = step * math.ceil(wanted / step)
        return int(multiple if multiple <= high else step * math.floor(high / step))

    def _number(self, schema: Schema, name: str, depth: int) -> float:
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
        inside = _between(low, high)
        step = schema.get("multipleOf")
        return inside if step is None else float(step * math.ceil(inside / step))

    def _boolean(self, schema: Schema, name: str, depth: int) -> bool:
        return True

    def _null(self, schema: Schema, name: str, depth: int) -> None:
        return None


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _chosen(choices: list[Schema], depth: int) -> Schema:
    """The first alternative; deep down one that ends the recursion, if there is one."""
    if depth < DEEP:
        return choices[0]
    ends = [choice for choice in choices if "$ref" not in choice and choice.get("type") != "object"]
    return (ends or choices)[0]


def _merged(schemas: list[Schema]) -> Schema:
    merged: dict[str, Any] = {}
    for schema in schemas:
        properties = {**merged.get("properties", {}), **schema.get("properties", {})}
        required = [*merged.get("required", []), *schema.get("required", [])]
        merged.update(schema)
        if properties:
            merged.update(properties=properties, required=required)
    return merged


def _between(low: float, high: float) -> float:
    """A number that is at neither bound, unless both are the same."""
    if math.isinf(low) and math.isinf(high):
        return 0.5
    if math.isinf(low):
        return high - 0.5
    return low + 0.5 if math.isinf(high) else (low + high) / 2
