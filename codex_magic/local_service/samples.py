"""A value that satisfies a JSON schema: enough of the language for structured answers and tool arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .stream import SHAPES

Schema = Mapping[str, Any]

DEEP = 3
"""Levels of optional or recursive parts that are filled; below them the shortest choice is taken."""


def sample(schema: Schema | bool, *, name: str = "text", text: str = "local service") -> Any:
    """Return a value for `schema`; `text` is worked into its free strings. `pattern` is not honoured."""
    return _Sampler(schema if isinstance(schema, Mapping) else {}, text).value(schema, name, 0)


@dataclass(frozen=True)
class _Sampler:
    root: Schema
    text: str

    def value(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if isinstance(schema, bool):
            return self.text
        schema = self._resolve(schema, depth)
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        kind = schema.get("type") or next((kind for key, kind in _KINDS.items() if key in schema), "string")
        match next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind:
            case "object":
                properties = schema.get("properties") or {}
                wanted = properties if depth < DEEP else schema.get("required") or []
                return {key: self.value(properties.get(key, {}), key, depth + 1) for key in wanted}
            case "array":
                parts = [*(schema.get("prefixItems") or [])]
                count = min(2 if depth < DEEP else 0, schema.get("maxItems", 2))
                missing = max(schema.get("minItems", 0), count) - len(parts)
                parts += [schema.get("items", True)] * missing
                return [self.value(part, name, depth + 1) for part in parts]
            case "string":
                text = SHAPES["formats"].get(schema.get("format", "")) or f"{name}: {self.text}"
                return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
            case "integer":
                return int(_number(schema, distance=1, step=schema.get("multipleOf", 1)))
            case "number":
                return _number(schema, distance=0.5, step=schema.get("multipleOf"))
            case kind:
                return True if kind == "boolean" else None

    def _resolve(self, schema: Schema, depth: int) -> Schema:
        """Follow references and choose among alternatives until one plain schema is left."""
        while True:
            rest = dict(schema)
            if reference := rest.pop("$ref", None):
                target: Any = self.root
                for step in reference.removeprefix("#").split("/")[1:]:
                    target = target[step.replace("~1", "/").replace("~0", "~")]
                schema = {**target, **rest}
            elif parts := rest.pop("allOf", None):
                schema = _merged([rest, *(self._resolve(part, depth) for part in parts)])
            elif choices := rest.pop("anyOf", None) or rest.pop("oneOf", None):
                # deep down, one that ends the recursion
                ends = [one for one in choices if "$ref" not in one and one.get("type") != "object"]
                schema = _merged([rest, (ends if depth >= DEEP and ends else choices)[0]])
            else:
                return schema


_KINDS = {"properties": "object", "items": "array"}


def _number(schema: Schema, *, distance: float, step: float | None) -> float:
    """Return a number `distance` from a bound, or between two; a multiple of `step`."""
    margin = distance if step else 0
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + margin)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - margin)
    if step:
        multiple = step * math.ceil(min(max(distance, low), high) / step)
        return float(multiple if multiple <= high else step * math.floor(high / step))
    low = min(0, high - distance) if math.isinf(low) else low
    return float(low + distance if math.isinf(high) else (low + high) / 2)


def _merged(schemas: list[Schema]) -> Schema:
    merged: dict[str, Any] = {}
    for schema in schemas:
        properties = merged.get("properties", {}) | schema.get("properties", {})
        required = merged.get("required", []) + schema.get("required", [])
        parts = {"properties": properties, "required": required}
        merged |= {**schema, **(parts if properties else {})}
    return merged
