"""JSON schemas of Python types, and the strict form of a schema that the service can hold a model to. Pure.

`schema_of` reads what msgspec knows (dataclasses, TypedDict, NamedTuple, msgspec structs, Literal, Enum,
unions, containers) and, where pydantic is loaded, its models too.

A strict schema is the part of the language that constrained decoding understands
(https://platform.openai.com/docs/guides/structured-outputs#supported-schemas): every object names all
its properties, requires each and allows no others. What may be absent becomes nullable instead; limits
that the service can't enforce are told to the model in the description.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count, repeat
from typing import Any

import msgspec

from ..protocol.errors import InvalidRequestError

Schema = dict[str, Any]

_KEPT = (
    "type enum const title pattern multipleOf maximum exclusiveMaximum minimum exclusiveMinimum minItems maxItems"
).split()
_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())
_TOLD = "format minLength maxLength uniqueItems contains minContains maxContains contentEncoding default"
"""Said in the description, because the service refuses the keyword."""

_LOOK_AROUND = re.compile(r"\(\?<?[=!]")
"""In a pattern: constrained decoding looks neither back nor ahead, so it is said in the description too."""

_REFUSED = {
    "not": "Say what is allowed instead.",
    "if": "Use a union of two types.",
    "patternProperties": "Use a list of objects that hold a name and a value.",
    "propertyNames": "Use a list of objects that hold a name and a value.",
    "dependentRequired": "Use a union of two types.",
    "dependentSchemas": "Use a union of two types.",
}

_DEFINITIONS = ("$defs", "definitions")
_NULL = {"type": "null"}


def schema_of(annotation: Any) -> Schema:
    """Return the JSON schema of a type; `$defs` hold the types it uses more than once or inside itself.

    Raises InvalidRequestError for a type that JSON can't hold.
    """
    definitions: Schema = {}
    # pydantic's definitions, nested where its model stands, move to the root, where `$ref` looks
    root = _lifted(_generated(annotation), {}, definitions)
    return _plain_root({**root, "$defs": definitions} if definitions else root)


def strict_schema(schema: Mapping[str, Any]) -> Schema:
    """Return the strict form of `schema`, which stays as it is; a strict schema comes back unchanged.

    Raises InvalidRequestError for what has no strict form: dictionaries with free keys, values of any
    type, `not`, `if`, `allOf` of several.
    """
    root = _plain_root(schema)
    strict = _strict(root, root, "the schema")
    for key in _DEFINITIONS:
        if isinstance(root.get(key), Mapping):
            strict[key] = {name: _strict(part, root, name) for name, part in root[key].items()}
    return strict


# Schemas of types --------------------------------------------------------------------------------


def pydantic_adapter(annotation: Any) -> Any:
    """Return pydantic's `TypeAdapter` for one of its own classes, else `None`.

    Nothing of pydantic is imported: who has such a class has done that.
    """
    adapter = getattr(sys.modules.get("pydantic"), "TypeAdapter", None)
    if adapter is not None and isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return adapter(annotation)
    return None


def read_custom(kind: type, value: Any) -> Any:
    """Validate a value of a pydantic model: msgspec's `dec_hook`."""
    adapter = pydantic_adapter(kind)
    return value if adapter is None else adapter.validate_python(value)


def _generated(annotation: Any) -> Schema:
    try:
        return dict(msgspec.json.schema(annotation, schema_hook=_custom_schema))
    except (TypeError, NotImplementedError) as error:
        cause = str(error).rpartition("\n")[2].rstrip(".")
        name = getattr(annotation, "__qualname__", None) or str(annotation)
        hint = "Use dataclasses, TypedDict, Literal, lists, dictionaries, strings and numbers."
        raise InvalidRequestError(f"There is no JSON schema for {name}: {cause}.", hint=hint) from error


def _custom_schema(kind: Any) -> Schema:
    """Return the schema of a type that msgspec does not know: its `schema_hook`."""
    if kind is object:
        return {}
    if (adapter := pydantic_adapter(kind)) is not None:
        return dict(adapter.json_schema())
    raise NotImplementedError(f"Type {kind!r} is not supported")


def _lifted(part: Any, names: Mapping[str, str], definitions: Schema) -> Any:
    """Move the definitions inside a part to the root, under names that are free there."""
    if isinstance(part, list):
        return [_lifted(each, names, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    own = part.get("$defs")
    if isinstance(own, dict):
        part = {key: value for key, value in part.items() if key != "$defs"}
        for name, definition in own.items():
            frees = chain([name], (f"{name}_{number}" for number in count(2)))
            free = next(each for each in frees if definitions.get(each, definition) == definition)
            names = {**names, name: free}
            definitions[free] = definition
        for name, definition in own.items():
            definitions[names[name]] = _lifted(definition, names, definitions)
    reference = part.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        part = {**part, "$ref": f"#/$defs/{names.get(name, name)}"}
    return {key: _lifted(value, names, definitions) for key, value in part.items()}


def _plain_root(schema: Mapping[str, Any]) -> Schema:
    """Put the root itself in place of a `$ref`, and drop the definitions that nothing refers to."""
    root = dict(schema)
    seen: set[str] = set()
    while isinstance(reference := root.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        del root["$ref"]
        root = {**target(schema, reference), **root}
    for key in _DEFINITIONS:
        if isinstance(root.get(key), Mapping):
            used = _reachable(root, key)
            root[key] = {name: part for name, part in root[key].items() if name in used}
            if not root[key]:
                del root[key]
    return root


def target(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """Return what a `$ref` of the schema `root` stands for. Raises InvalidRequestError for nothing."""
    target: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        target = target.get(step) if isinstance(target, Mapping) else None
    if not isinstance(target, Mapping):
        raise InvalidRequestError(f"The schema has nothing at {reference!r}.", hint="Check its $ref.")
    return target


def _reachable(root: Mapping[str, Any], key: str) -> set[str]:
    used: set[str] = set()
    waiting: list[Any] = [{name: part for name, part in root.items() if name != key}]
    reference = re.compile(rf'"\$ref":"#/{re.escape(key)}/([^"]+)"')
    while waiting:
        found = reference.findall(msgspec.json.encode(waiting.pop()).decode())
        new = {name.replace("~1", "/").replace("~0", "~") for name in found} - used
        used |= new
        waiting += [root[key].get(name) for name in new]
    return used


# Strict schemas ----------------------------------------------------------------------------------


def _strict(part: Any, root: Schema, where: str) -> Schema:
    """Return the strict form of one part of the schema `root`, in which references are looked up."""
    if not isinstance(part, Mapping) or not part:
        raise _no_strict_form(where, "may hold anything", "Name its type.")
    for keyword, instead in _REFUSED.items():
        if keyword in part:
            raise _no_strict_form(where, f"uses {keyword!r}", instead)
    if "allOf" in part:
        if len(part["allOf"]) != 1:
            instead = "Write one object with all the properties."
            raise _no_strict_form(where, "uses 'allOf' of several", instead)
        part = {**part["allOf"][0], **{key: value for key, value in part.items() if key != "allOf"}}
    described = _described(part)
    if "$ref" in part:
        target(root, part["$ref"])
        reference = {"$ref": part["$ref"]}  # which may have no neighbours
        return {"anyOf": [reference], **described} if described else reference
    strict = {key: part[key] for key in _KEPT if key in part} | described
    if _LOOK_AROUND.search(str(strict.get("pattern"))):
        del strict["pattern"]
    if part.get("format") in _FORMATS:
        strict["format"] = part["format"]
    if choices := part.get("anyOf") or part.get("oneOf"):
        return strict | {"anyOf": [_strict(each, root, where) for each in choices]}
    if "type" not in strict:
        strict["type"] = _kind(part, where)
    kinds = [strict["type"]] if isinstance(strict["type"], str) else strict["type"]
    if "object" in kinds:
        strict |= _strict_object(part, root, where)
    if "array" in kinds:
        # A tuple's items lose their places: whoever reads the answer checks those.
        firsts = [_strict(each, root, where) for each in part.get("prefixItems") or ()]
        items = [each for at, each in enumerate(firsts) if each not in firsts[:at]]
        items = items or [_strict(part.get("items"), root, f"an item of {where}")]
        strict["items"] = items[0] if len(items) == 1 else {"anyOf": items}
    return strict


def _strict_object(part: Mapping[str, Any], root: Schema, where: str) -> Schema:
    others = part.get("additionalProperties", True)
    if ("properties" not in part and others is not False) or isinstance(others, Mapping):
        raise _no_strict_form(where, "is a dictionary with free keys", _REFUSED["patternProperties"])
    properties: Schema = {}
    for name, each in (part.get("properties") or {}).items():
        strict = _strict(each, root, repr(name))
        if name not in (part.get("required") or ()) and not accepts_null(each, root):
            choices = [*strict["anyOf"], _NULL] if "anyOf" in strict else [strict, _NULL]
            strict = {**(strict if "anyOf" in strict else {}), "anyOf": choices}
        properties[name] = strict
    return {"properties": properties, "required": list(properties), "additionalProperties": False}


def accepts_null(part: Any, root: Mapping[str, Any]) -> bool:
    """Whether `part` of the schema `root` allows `null`."""
    if not isinstance(part, Mapping):
        return part is True
    if "$ref" in part:
        return accepts_null(target(root, part["$ref"]), root)
    if choices := part.get("anyOf") or part.get("oneOf"):
        return any(accepts_null(each, root) for each in choices)
    kind = part.get("type")
    if kind is None:
        return None in part.get("enum", (part.get("const", 0),))
    return kind == "null" or (not isinstance(kind, str) and "null" in kind)


def _described(part: Mapping[str, Any]) -> Schema:
    told = {key: part[key] for key in _TOLD.split() if part.get(key) is not None}
    if _LOOK_AROUND.search(str(part.get("pattern"))):
        told["pattern"] = part["pattern"]
    if told.get("format") in _FORMATS:
        del told["format"]
    limits = [
        f"{key} {value if isinstance(value, str) and value else msgspec.json.encode(value).decode()}"
        for key, value in told.items()
    ]
    words = [part["description"]] if part.get("description") else []
    words += [f"({', '.join(limits)})"] if limits else []
    return {"description": " ".join(words)} if words else {}


_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _kind(part: Mapping[str, Any], where: str) -> str | list[str]:
    """Return the type of a part that does not name it."""
    if "enum" in part or "const" in part:
        values = part.get("enum") or [part.get("const")]
        kinds = [*dict.fromkeys(_KINDS[type(value)] for value in values)]
        return kinds[0] if len(kinds) == 1 else kinds
    if "properties" in part:
        return "object"
    if "items" in part or "prefixItems" in part:
        return "array"
    raise _no_strict_form(where, "may hold anything", "Name its type.")


def _no_strict_form(where: str, what: str, instead: str) -> InvalidRequestError:
    problem = f"A strict schema can't say what is asked: {where} {what}."
    return InvalidRequestError(problem, hint=instead, param="schema")


# Values and schemas ------------------------------------------------------------------------------


def fitted(value: Any, part: Any, root: Mapping[str, Any], where: str = "it", *, checks: bool = True) -> Any:
    """Return what a model wrote for a part of a schema, without the nulls that say "absent".

    They are there because a strict schema requires everything; `root` is the schema before it was made strict.
    Raises ValueError where it `checks` and the value does not fit.
    """
    part, choices = _resolved(part, root)
    if choices:
        reasons = []
        for choice in choices:
            try:
                return fitted(value, choice, root, where)
            except ValueError as reason:
                reasons.append(reason)
        if checks:
            raise reasons[0]
        return value
    if checks and (complaint := _complaint(value, part, where)):
        raise ValueError(complaint)
    if isinstance(value, dict):
        properties = part.get("properties") or {}
        return {
            name: fitted(each, properties.get(name), root, repr(name), checks=checks)
            for name, each in value.items()
            if not _says_absent(each, name, part, root)
        }
    if isinstance(value, list):
        parts = chain(part.get("prefixItems") or (), repeat(part.get("items")))
        pairs = enumerate(zip(value, parts, strict=False))
        return [fitted(each, of, root, f"item {at}", checks=checks) for at, (each, of) in pairs]
    return value


def _complaint(value: Any, part: Mapping[str, Any], where: str) -> str | None:
    """Return why a value does not fit a plain part of a schema, whatever is inside of it."""
    if "const" in part and value != part["const"]:
        return f"{where} is not {part['const']!r}"
    if "enum" in part and value not in part["enum"]:
        return f"{where} is none of {', '.join(map(repr, part['enum']))}"
    kinds = [part["type"]] if isinstance(part.get("type"), str) else part.get("type")
    if kinds is not None and not any(_is_a(value, kind) for kind in kinds):
        return f"{where} is no {' or '.join(kinds)}"
    for keyword, (kind, fits) in _LIMITS.items():
        if keyword in part and _is_a(value, kind) and not fits(value, part[keyword]):
            return f"{where} breaks {keyword} {part[keyword]}"
    if isinstance(value, dict):
        missing = [name for name in part.get("required") or () if name not in value]
        is_closed = part.get("additionalProperties") is False
        others = [name for name in value if is_closed and name not in (part.get("properties") or {})]
        if missing or others:
            return f"{missing[0]!r} is missing" if missing else f"{others[0]!r} is one too many"
    return None


def _says_absent(value: Any, name: str, part: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if value is not None or name in (part.get("required") or ()):
        return False
    return not accepts_null((part.get("properties") or {}).get(name, True), root)


def _resolved(part: Any, root: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Any]]:
    """Return what a part stands for, and the parts of which one or all apply."""
    seen: set[str] = set()
    while isinstance(part, Mapping) and "$ref" in part and part["$ref"] not in seen:
        seen.add(part["$ref"])
        part = target(root, part["$ref"])
    if not isinstance(part, Mapping):
        return {}, ()
    return part, part.get("anyOf") or part.get("oneOf") or part.get("allOf") or ()


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
