"""Which models there are, and which one to use when nobody chose. Remembered on disk.

The default is the catalog's, never a name written here. A remembered catalog answers without a
request; whether it is fresh enough is the caller's choice (`max_age`).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from ..protocol.errors import ConfigurationError, ServiceError
from ..protocol.settings import Settings
from .provider import Provider

FRESH = 300.0
"""Seconds; the Codex CLI trusts its own copy as long."""


class ReasoningLevel(msgspec.Struct, frozen=True):
    effort: str
    description: str = ""


class ServiceTier(msgspec.Struct, frozen=True):
    id: str
    name: str = ""
    description: str = ""


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model as the Codex catalog describes it; OpenAI's list knows only the name."""

    slug: str
    display_name: str | None = None
    description: str | None = None
    visibility: str | None = None
    """`list` or `hide`."""
    supported_in_api: bool | None = None
    priority: int | None = None
    """Lower comes first."""
    default_reasoning_level: str | None = None
    supported_reasoning_levels: tuple[ReasoningLevel, ...] | None = None
    default_reasoning_summary: str | None = None
    support_verbosity: bool | None = None
    default_verbosity: str | None = None
    context_window: int | None = None
    """Tokens."""
    max_context_window: int | None = None
    effective_context_window_percent: float | None = None
    auto_compact_token_limit: int | None = None
    input_modalities: tuple[str, ...] | None = None
    service_tiers: tuple[ServiceTier, ...] | None = None
    supports_parallel_tool_calls: bool | None = None
    supports_search_tool: bool | None = None
    supports_image_detail_original: bool | None = None
    use_responses_lite: bool | None = None
    minimal_client_version: Any = None
    """`"0.144.0"` or `[0, 144, 0]`."""

    @property
    def hidden(self) -> bool:
        return self.visibility not in (None, "list")

    @property
    def efforts(self) -> tuple[str, ...]:
        """The reasoning efforts it takes, least first."""
        return tuple(level.effort for level in self.supported_reasoning_levels or ())


class _Remembered(msgspec.Struct):
    fetched_at: float
    etag: str | None
    models: list[Model]


class Catalog:
    """One provider's models: how to ask for them, read the answer, remember it, choose the default."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self._provider = provider
        key = hashlib.sha256(repr((provider.base_url, dict(provider.models_query))).encode()).hexdigest()
        self._path = settings.home / "catalogs" / f"{key[:16]}.json"
        self._known: _Remembered | None = None

    @property
    def url(self) -> str:
        query = urlencode(self._provider.models_query)
        return f"{self._provider.base_url}/models" + (f"?{query}" if query else "")

    def receive(self, headers: Mapping[str, str], body: bytes) -> list[Model]:
        """The models of an answer to a GET of `url`, remembered from now on."""
        models = read_models(body)
        self._known = _Remembered(time.time(), headers.get("etag"), models)
        _write(self._path, msgspec.json.encode(self._known))
        return models

    def remembered(self, *, max_age: float) -> list[Model] | None:
        """The models of the last answer, unless it is older than `max_age` seconds."""
        self._known = self._known or _read(self._path)
        if self._known is None or not 0 <= time.time() - self._known.fetched_at <= max_age:
            return None
        return self._known.models

    def names(self) -> list[str]:
        """What is known now, however old: for suggestions."""
        return [model.slug for model in self.remembered(max_age=float("inf")) or ()]


def read_models(body: bytes) -> list[Model]:
    """Best first. Reads `{"models": [...]}` of the Codex backend and `{"data": [{"id": ...}]}` of OpenAI."""
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
        if "models" in raw:
            return sorted((_model(entry) for entry in raw["models"]), key=_rank)
        return [Model(entry["id"]) for entry in raw["data"]]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ServiceError(
            "The list of models can't be read.", hint="Choose one with --model NAME."
        ) from error


def _model(entry: dict[str, Any]) -> Model:
    """A field in a shape we can't read is left out; the name alone is enough to use the model."""
    try:
        return msgspec.convert(entry, Model)
    except msgspec.ValidationError:
        return Model(entry["slug"], visibility=entry.get("visibility"), priority=entry.get("priority"))


def _rank(model: Model) -> float:
    return float("inf") if model.priority is None else model.priority


def default_model(models: list[Model]) -> Model:
    """The first by priority of those the catalog shows; without a catalog's order, the only one."""
    shown = [model for model in models if model.visibility == "list"]
    if shown:
        return min(shown, key=_rank)
    if len(models) == 1:
        return models[0]
    if not models:
        raise ConfigurationError("The service lists no models.", hint="Choose one with --model NAME.")
    some = ", ".join(model.slug for model in models[:5])
    raise ConfigurationError(
        f"The service has {len(models)} models and names no default.",
        hint=f"Choose one with --model NAME, e.g. {some}.",
    )


# The copy on disk is a convenience: where it can't be read or written, we ask the service again.


def _read(path: Path) -> _Remembered | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Remembered)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        return
