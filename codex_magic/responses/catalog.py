"""Which models there are, and which one to use when nobody chose. Remembered on disk.

The default is the catalog's, never a name written here. A remembered catalog answers without a
request; whether it is fresh enough is the caller's choice (`max_age`). The copy on disk is shared by all
processes and is one account's. Answers of the Codex backend name the state of its catalog
(`x-models-etag`): the same state makes our copy as good as new, another one useless.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from ..auth.http import ChatGPTAuth
from ..protocol.errors import CodexError, ConfigurationError, ServiceError
from ..protocol.ids import new_id
from ..protocol.plain import decode_json, read_struct
from ..protocol.policy import policy_bounds
from ..protocol.secrets import revealed
from ..protocol.settings import Settings
from .failures import model_not_found
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

    @property
    def usable_window(self) -> int | None:
        """Tokens of the context window that a conversation may fill; `None` when the catalog does not say."""
        if self.context_window is None:
            return None
        percent = self.effective_context_window_percent
        return int(self.context_window * (100.0 if percent is None else percent) / 100)


class _Remembered(msgspec.Struct, frozen=True):
    fetched_at: float
    """When it was last known to hold, Unix seconds."""
    etag: str | None
    models: list[Model]
    announced: str | None = None
    """What answers called this state then; on the way through a proxy an ETag may have changed."""

    def holds(self, announced: str) -> bool:
        """Whether answers that announce this state, without `W/`, mean this copy."""
        return announced in [(etag or "").removeprefix("W/") for etag in (self.etag, self.announced)]


class Catalog:
    """One provider's models: how to ask for them, read the answer, remember it, choose the default."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self._provider = provider
        self._folder = settings.home / "catalogs"
        self._copies: dict[Path, _Remembered] = {}
        self._announced: tuple[str, float] | None = None

    @property
    def url(self) -> str:
        query = urlencode(revealed(self._provider.models_query))
        return f"{self._provider.base_url}/models?{query}".rstrip("?")

    def receive(self, headers: Mapping[str, str], body: bytes) -> list[Model]:
        """Return the models of an answer to a GET of `url`, and remember them."""
        models = read_models(body)
        announced = self._announced[0] if self._announced else None
        self._keep(_Remembered(time.time(), headers.get("etag"), models, announced))
        return models

    def announce(self, etag: str | None) -> None:
        """Take an answer's `x-models-etag`. Safe from any thread."""
        if etag is not None:
            self._announced = etag.removeprefix("W/"), time.time()

    def remembered(self, *, max_age: float) -> list[Model] | None:
        """Return the models of the last answer, unless it is out of date or older than `max_age` seconds."""
        path = self._path
        copy = self._copies.get(path)
        if copy is None or not self._is_good(copy, max_age):
            copy = _read(path)  # another process may have asked meanwhile
        if copy is None or not self._is_good(copy, max_age):
            return None
        self._copies[path] = copy
        if self._announced is not None and copy.holds(self._announced[0]):
            at = self._announced[1]
            if at - copy.fetched_at > FRESH:  # the other processes would no longer count it as fresh
                self._keep(msgspec.structs.replace(copy, fetched_at=at))
        return copy.models

    def names(self) -> list[str]:
        """Return the names in the last copy, however old: for suggestions."""
        return [model.slug for model in self._latest()]

    def known(self, slug: str | None) -> Model | None:
        """Return one model of the last copy, however old that is."""
        return next((model for model in self._latest() if model.slug == slug), None)

    def in_use(self, slug: str | None) -> Model | None:
        """Return the same of the model that is used: the default where none is chosen."""
        with suppress(ConfigurationError):
            return self.known(slug or default_model(self._latest()).slug)
        return None

    def _latest(self) -> list[Model]:
        copy = self._copies.get(self._path) or _read(self._path)
        return copy.models if copy else []

    @property
    def _path(self) -> Path:
        """The file of this server and account: plans differ in the models they may use."""
        account, auth = None, self._provider.auth
        if isinstance(auth, ChatGPTAuth):
            with suppress(CodexError):  # the next request raises the same
                account = auth.source.current().account_id
        which = self._provider.base_url, dict(self._provider.models_query), account
        return self._folder / f"{hashlib.sha256(repr(which).encode()).hexdigest()[:16]}.json"

    def _is_good(self, copy: _Remembered, max_age: float) -> bool:
        seen = copy.fetched_at
        if self._announced is not None and self._announced[1] > seen:
            if not copy.holds(self._announced[0]):
                return False
            seen = self._announced[1]
        return 0 <= time.time() - seen <= max_age

    def _keep(self, copy: _Remembered) -> None:
        """Remember it here and on disk; where that can't be written, the service is asked again."""
        path = self._path
        self._copies[path] = copy
        temporary = path.with_suffix(f".{new_id()}.tmp")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(copy))
            temporary.replace(path)


def _read(path: Path) -> _Remembered | None:
    with suppress(OSError, ValueError):
        return decode_json(path.read_bytes(), _Remembered)
    return None


def read_models(body: bytes) -> list[Model]:
    """Return the models, best first: those of `models` (Codex) and of `data` (OpenAI), named by `slug` or `id`.

    Fields in a shape we can't read are left out. Raises ServiceError where neither list is there.
    """
    lists: list[Any] = []
    with suppress(ValueError, AttributeError):
        raw = decode_json(body)
        lists = [each for each in (raw.get("models"), raw.get("data")) if isinstance(each, list)]
    models: dict[str, Model] = {}
    for entry in chain.from_iterable(lists):
        names = (entry.get("slug"), entry.get("id")) if isinstance(entry, dict) else (entry,)
        slug = next((name for name in names if name and isinstance(name, str)), None)
        if slug is not None:
            fields = entry if isinstance(entry, dict) else {}
            models.setdefault(slug, read_struct({**fields, "slug": slug}, Model))
    if not models and [] not in lists:
        hint = "Choose one with --model NAME."
        raise ServiceError("The list of models can't be read.", hint=hint)
    return sorted(models.values(), key=_rank)


def _rank(model: Model) -> float:
    return float("inf") if model.priority is None else model.priority


def find_model(models: list[Model], slug: str) -> Model:
    """Return the model of that name, hidden or not. Raises ModelNotFoundError with the closest names."""
    for model in models:
        if model.slug == slug:
            return model
    raise model_not_found(slug, [model.slug for model in models if not model.hidden])


def default_model(models: list[Model]) -> Model:
    """Return the first by priority of those the catalog shows; without a catalog's order, the only one.

    What the policy of this machine does not allow is passed over. Raises ConfigurationError.
    """
    bounds, there = policy_bounds(), bool(models)
    models = [model for model in models if bounds.allows("model", model.slug)]
    if there and not models:
        problem = "The policy of this machine allows none of the models that the service has."
        raise ConfigurationError(problem, hint="See `%codex status`.")
    shown = [model for model in models if model.visibility == "list"]
    if shown or len(models) == 1:
        return min(shown or models, key=_rank)
    what, which = "The service lists no models.", ""
    if models:
        what = f"The service has {len(models)} models and no default."
        which = f", e.g. {', '.join(model.slug for model in models[:5])}"
    raise ConfigurationError(what, hint=f"Choose one with --model NAME{which}.")
