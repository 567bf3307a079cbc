"""The models on offer: made-up ones whose names say so, and two official names the binary needs."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_LEVELS = {
    "low": "Quick answers",
    "medium": "A balance of speed and depth",
    "high": "More thought for hard questions",
    "xhigh": "Much more thought",
}
_HIGHEST = {"max": "The most thought", "ultra": "The most thought, and helpers"}


def _model(slug: str, name: str, description: str, *, priority: int, **changes: Any) -> dict[str, Any]:
    levels = [{"effort": effort, "description": text} for effort, text in _LEVELS.items()]
    return {
        "slug": slug,
        "display_name": name,
        "description": description,
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": levels,
        "default_reasoning_summary": "auto",
        "supports_reasoning_summaries": True,
        "support_verbosity": True,
        "default_verbosity": "low",
        "context_window": 272_000,
        "max_context_window": 272_000,
        "effective_context_window_percent": 95,
        "auto_compact_token_limit": None,
        "input_modalities": ["text", "image"],
        "service_tiers": [{"id": "priority", "name": "Fast", "description": "The same script, sooner"}],
        "additional_speed_tiers": ["fast"],
        "shell_type": "unified_exec",
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": "text_and_image",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": True,
        "supports_search_tool": True,
        "supports_image_detail_original": True,
        "supports_experimental_context": False,
        "experimental_supported_tools": [],
        "use_responses_lite": False,
        "tool_mode": None,
        "minimal_client_version": "0.100.0",
        "prefer_websockets": False,
        "base_instructions": "You are a scripted answer of a local service.",
        "model_messages": None,
        "upgrade": None,
        "availability_nux": None,
        "comp_hash": "local",
    } | changes


MODELS = (
    _model("local-large", "Local large", "Scripted answers of the local service.", priority=1),
    _model(
        "local-small",
        "Local small",
        "Scripted answers with a small context window, to try its limits.",
        priority=2,
        context_window=16_000,
        max_context_window=16_000,
        default_reasoning_level="low",
        supported_reasoning_levels=[
            {"effort": effort, "description": _LEVELS[effort]} for effort in ("low", "medium")
        ],
        service_tiers=[],
        additional_speed_tiers=[],
        input_modalities=["text"],
    ),
    _model(
        "local-lite",
        "Local lite",
        "Scripted answers in the Responses Lite dialect.",
        priority=3,
        use_responses_lite=True,
        supports_parallel_tool_calls=False,
    ),
    _model(
        "local-next",
        "Local next",
        "Shown to new clients only, to try how old ones are answered.",
        priority=4,
        minimal_client_version="0.163.0",
    ),
    _model("local-hidden", "Local hidden", "Works, but is not listed.", priority=5, visibility="hide"),
    _model(
        "gpt-5.5",
        "Scripted stand-in",
        "The name that the official binary knows how to talk to; the answers are scripted.",
        priority=6,
        visibility="hide",
    ),
    _model(
        "gpt-5.6-sol",
        "Scripted stand-in in code mode",
        "A name that the official binary speaks Responses Lite to, with JavaScript for tools.",
        priority=7,
        visibility="hide",
        tool_mode="code_mode_only",
        use_responses_lite=True,
        multi_agent_version="v2",
        default_reasoning_level="low",
        supports_parallel_tool_calls=False,
        max_context_window=872_000,
        supported_reasoning_levels=[
            {"effort": effort, "description": text} for effort, text in {**_LEVELS, **_HIGHEST}.items()
        ],
    ),
)

_BY_SLUG = {model["slug"]: model for model in MODELS}


def find(slug: str) -> dict[str, Any] | None:
    return _BY_SLUG.get(slug)


def offered(client_version: str | None) -> list[dict[str, Any]]:
    """The models a client of that version may see; `None` asks without a version and sees all."""
    if client_version is None:
        return list(MODELS)
    return [model for model in MODELS if is_new_enough(client_version, model)]


def is_new_enough(client_version: str, model: dict[str, Any]) -> bool:
    return _version(client_version) >= _version(model["minimal_client_version"])


def openai_list() -> dict[str, Any]:
    """The catalog in the shape of `GET /v1/models` of the public API."""
    data = [{"id": slug, "object": "model", "created": 0, "owned_by": "local-service"} for slug in _BY_SLUG]
    return {"object": "list", "data": data}


def _version(text: str) -> tuple[int, ...]:
    """Only the numbers count; a text without any is version 0."""
    numbers = text.split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


ETAG = f'W/"{hashlib.sha256(msgspec.json.encode(MODELS)).hexdigest()[:16]}"'
