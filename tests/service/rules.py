"""What the real services refuse, in their words. Each rule takes a request and gives its refusal or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codex_magic.local_service.conversation import Body, input_items, unseal
from codex_magic.local_service.endpoints import MODELS
from codex_magic.local_service.faults import Reply, detail, model_unsupported
from tests.service.replies import api_error, item_not_found, model_not_found, previous_response_not_found
from tests.service.shape import is_uncalled

LITE_HEADER = "x-openai-internal-codex-responses-lite"

ACCEPTED = frozenset(
    {
        "model",
        "instructions",
        "input",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "store",
        "stream",
        "include",
        "service_tier",
        "prompt_cache_key",
        "text",
        "client_metadata",
    }
)
"""The fields that the Codex backend takes; it refuses all others by name."""


@dataclass(frozen=True)
class Request:
    body: Body
    headers: Mapping[str, str]
    owner: str
    """The account (or key) that encrypted content must have been made for."""

    @property
    def is_lite(self) -> bool:
        return self.headers.get(LITE_HEADER) == "true"


Rule = Callable[[Request], Reply | None]


def codex_refusal(request: Request) -> Reply | None:
    """Why the Codex backend refuses this request, or `None`."""
    return _first(_CODEX_RULES, request)


def api_refusal(request: Request) -> Reply | None:
    """Why the public API refuses this request, or `None`."""
    return _first(_API_RULES, request)


def _first(rules: tuple[Rule, ...], request: Request) -> Reply | None:
    return next((refusal for rule in rules if (refusal := rule(request))), None)


# The Codex backend -------------------------------------------------------------------------------


def _store_is_false(request: Request) -> Reply | None:
    return None if request.body.get("store") is False else detail(400, "Store must be set to false")


def _stream_is_true(request: Request) -> Reply | None:
    return None if request.body.get("stream") is True else detail(400, "Stream must be set to true")


def _parameters_are_known(request: Request) -> Reply | None:
    unknown = next((name for name in request.body if name not in ACCEPTED), None)
    return detail(400, f"Unsupported parameter: {unknown}") if unknown else None


def _input_is_a_list(request: Request) -> Reply | None:
    return None if isinstance(request.body.get("input"), list) else detail(400, "Input must be a list")


def _no_system_messages(request: Request) -> Reply | None:
    system = any(item.get("role") == "system" for item in request.body["input"])
    return detail(400, "System messages are not allowed") if system else None


def _instructions_are_given(request: Request) -> Reply | None:
    """The official client puts them into a developer message; all others need the field, be it empty."""
    if request.body.get("instructions") is not None:
        return None
    by_message = any(item.get("role") == "developer" for item in request.body["input"])
    return None if by_message else detail(400, "Instructions are required")


def _service_tier_is_offered(request: Request) -> Reply | None:
    tier = request.body.get("service_tier")
    return (
        None
        if tier in (None, "default", "priority", "flex")
        else detail(400, f"Unsupported service_tier: {tier}")
    )


def _model_is_supported(request: Request) -> Reply | None:
    slug = str(request.body.get("model"))
    model = MODELS.get(slug)
    if model is None:
        return model_unsupported(slug)
    version = request.headers.get("version", "0.100.0")
    return None if is_new_enough(version, model) else model_not_found(slug)


def is_new_enough(client_version: str, model: Mapping[str, Any]) -> bool:
    """Whether a client of that version may use the model."""
    return _version(client_version) >= _version(model["minimal_client_version"])


def _version(text: str) -> tuple[int, ...]:
    """Only the numbers count; a text without any is version 0."""
    numbers = text.split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _lite_is_whole(request: Request) -> Reply | None:
    if not request.is_lite:
        return None
    if request.body.get("parallel_tool_calls") is not False:
        return api_error(
            400, "Responses Lite does not support parallel tool calls.", param="parallel_tool_calls"
        )
    if (request.body.get("reasoning") or {}).get("context") != "all_turns":
        return api_error(
            400, "Responses Lite requires reasoning.context 'all_turns'.", param="reasoning.context"
        )
    return None


# The model API, which both ways lead to ----------------------------------------------------------


def _model_exists(request: Request) -> Reply | None:
    slug = request.body.get("model")
    if slug is None:
        return api_error(
            400, "Missing required parameter: 'model'.", param="model", code="missing_required_parameter"
        )
    if slug in MODELS:
        return None
    message = f"The model '{slug}' does not exist or you do not have access to it."
    return api_error(404, message, param="model", code="model_not_found")


def _nothing_was_stored(request: Request) -> Reply | None:
    response_id = request.body.get("previous_response_id")
    return None if response_id is None else previous_response_not_found(response_id)


def _input_is_given(request: Request) -> Reply | None:
    if request.body.get("input"):
        return None
    message = "Missing required parameter: 'input'."
    return api_error(400, message, param="input", code="missing_required_parameter")


def _effort_is_offered(request: Request) -> Reply | None:
    effort = (request.body.get("reasoning") or {}).get("effort")
    model = MODELS.get(request.body["model"])
    if effort is None or model is None:
        return None
    offered = [level["effort"] for level in model["supported_reasoning_levels"]]
    if effort in offered:
        return None
    listed = ", ".join(f"'{one}'" for one in offered[:-1]) + f", and '{offered[-1]}'"
    message = f"Unsupported value: '{effort}' is not supported with the '{model['slug']}' model. Supported values are: {listed}."
    return api_error(400, message, param="reasoning.effort", code="unsupported_value")


def _content_fits_role(request: Request) -> Reply | None:
    for at, item in enumerate(input_items(request.body)):
        content = item.get("content")
        allowed = _CONTENT["assistant" if item.get("role") == "assistant" else "user"]
        for part_at, part in enumerate(content if isinstance(content, list) and "role" in item else []):
            if part["type"] not in allowed:
                listed = " and ".join(f"'{kind}'" for kind in allowed)
                message = f"Invalid value: '{part['type']}'. Supported values are: {listed}."
                param = f"input[{at}].content[{part_at}]"
                return api_error(400, message, param=param, code="invalid_value")
    return None


_CONTENT = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file"),
}


def _replayed_items_are_whole(request: Request) -> Reply | None:
    """Nothing is stored, so an id alone points nowhere."""
    for item in input_items(request.body):
        if item.get("type") == "item_reference" or (
            item.get("type") == "reasoning" and item.get("id") and not item.get("encrypted_content")
        ):
            return item_not_found(item["id"])
    return None


def _encrypted_content_is_ours(request: Request) -> Reply | None:
    for item in input_items(request.body):
        sealed = item.get("encrypted_content")
        if sealed and unseal(sealed, request.owner) is None:
            message = (
                f"The encrypted content {sealed[:4]}...{sealed[-4:]} could not be verified. "
                "Reason: Encrypted content could not be decrypted or parsed."
            )
            return api_error(400, message, code="invalid_encrypted_content")
    return None


def _calls_have_outputs(request: Request) -> Reply | None:
    items = input_items(request.body)
    for call, output, words in _CALL_PAIRS:
        called = [item["call_id"] for item in items if item.get("type") == call]
        given = [item["call_id"] for item in items if item.get("type") == output and not is_uncalled(item)]
        for call_id in called:
            if call_id not in given:
                return api_error(400, f"No tool output found for {words} {call_id}.", param="input")
        for call_id in given:
            if call_id not in called:
                return api_error(
                    400, f"No tool call found for {words} output with call_id {call_id}.", param="input"
                )
    return None


_CALL_PAIRS = (
    ("function_call", "function_call_output", "function call"),
    ("custom_tool_call", "custom_tool_call_output", "custom tool call"),
)


def _schemas_are_strict(request: Request) -> Reply | None:
    wanted = (request.body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema" and wanted.get("strict"):
        fault = _schema_fault(wanted["schema"], f"response_format '{wanted['name']}'")
        if fault:
            return api_error(400, fault, param="text.format.schema", code="invalid_json_schema")
    for at, tool in enumerate(request.body.get("tools") or []):
        if tool["type"] == "function" and tool.get("strict"):
            fault = _schema_fault(tool.get("parameters") or {}, f"function '{tool['name']}'")
            if fault:
                return api_error(
                    400, fault, param=f"tools[{at}].parameters", code="invalid_function_parameters"
                )
    return None


def _schema_fault(schema: Mapping[str, Any], name: str) -> str | None:
    for context, part in _objects(schema, ()):
        where = f"Invalid schema for {name}: In context={context!r}, "
        if part.get("additionalProperties") is not False:
            return where + "'additionalProperties' is required to be supplied and to be false."
        missing = [key for key in part.get("properties", {}) if key not in part.get("required", [])]
        if missing:
            return (
                where
                + "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'."
            )
    return None


def _objects(schema: Any, context: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every object schema inside, with the way to it."""
    if isinstance(schema, list):
        for at, part in enumerate(schema):
            yield from _objects(part, (*context, str(at)))
    if not isinstance(schema, Mapping):
        return
    if schema.get("type") == "object":
        yield context, schema
    for key in ("items", "anyOf", "allOf"):
        yield from _objects(schema.get(key), (*context, key))
    for key in ("properties", "$defs", "definitions"):
        for name, part in (schema.get(key) or {}).items():
            yield from _objects(part, (*context, key, name))


_SHARED_RULES: tuple[Rule, ...] = (
    _effort_is_offered,
    _content_fits_role,
    _replayed_items_are_whole,
    _encrypted_content_is_ours,
    _calls_have_outputs,
    _schemas_are_strict,
)

_CODEX_RULES: tuple[Rule, ...] = (
    _store_is_false,
    _stream_is_true,
    _parameters_are_known,
    _input_is_a_list,
    _no_system_messages,
    _instructions_are_given,
    _service_tier_is_offered,
    _model_is_supported,
    _lite_is_whole,
    *_SHARED_RULES,
)

_API_RULES: tuple[Rule, ...] = (_model_exists, _nothing_was_stored, _input_is_given, *_SHARED_RULES)
