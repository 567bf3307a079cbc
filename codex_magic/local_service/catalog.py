"""The models on offer: made-up ones whose names say so, and two official names the binary needs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

_FILE = msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes())

MODELS: tuple[dict[str, Any], ...] = tuple(_FILE["every"] | model for model in _FILE["models"])
ETAG = f'W/"{hashlib.sha256(msgspec.json.encode(MODELS)).hexdigest()[:16]}"'


def find(slug: str) -> dict[str, Any] | None:
    return next((model for model in MODELS if model["slug"] == slug), None)


def offered(client_version: str | None) -> list[dict[str, Any]]:
    """Return the models a client of that version may see; `None` asks without a version and sees all."""
    return [model for model in MODELS if client_version is None or is_new_enough(client_version, model)]


def is_new_enough(client_version: str, model: dict[str, Any]) -> bool:
    return _version(client_version) >= _version(model["minimal_client_version"])


def openai_list() -> dict[str, Any]:
    """Return the catalog in the shape of `GET /v1/models` of the public API."""
    every = {"object": "model", "created": 0, "owned_by": "local-service"}
    return {"object": "list", "data": [{"id": model["slug"], **every} for model in MODELS]}


def _version(text: str) -> tuple[int, ...]:
    """Only the numbers count; a text without any is version 0."""
    numbers = text.split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())
