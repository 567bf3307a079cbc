"""The models of a provider, the default among them, and the copy on disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import ConfigurationError, ModelNotFoundError, ServiceError, UnreachableError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.catalog import Model, default_model, read_models
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.provider import custom
from tests.responses.wire import DROP, Wire, good, plain, stream

CODEX = {
    "models": [
        {"slug": "b", "visibility": "list", "priority": 2},
        {"slug": "hidden", "visibility": "hide", "priority": 0},
        {
            "slug": "a",
            "visibility": "list",
            "priority": 1,
            "context_window": 272000,
            "supported_reasoning_levels": [{"effort": "low", "description": "x"}, {"effort": "high"}],
            "minimal_client_version": [0, 144, 0],
            "upgrade": {"unknown": True},
        },
        {"slug": "odd", "visibility": "list", "priority": 9, "context_window": "large"},
    ]
}


def read(body: Any) -> list[Model]:
    return read_models(json.dumps(body).encode())


def test_the_catalog_of_the_codex_backend() -> None:
    models = read(CODEX)
    assert [model.slug for model in models] == ["hidden", "a", "b", "odd"]
    assert models[1].efforts == ("low", "high")
    assert [model.hidden for model in models] == [True, False, False, False]


def test_the_list_of_an_open_server() -> None:
    assert read({"object": "list", "data": [{"id": "m", "object": "model"}]}) == [Model("m")]


@pytest.mark.parametrize("body", [{}, [], {"models": [{"name": "x"}]}, {"data": None}, "x"])
def test_a_list_that_can_not_be_read(body: Any) -> None:
    with pytest.raises(ServiceError, match="models"):
        read(body)


def test_the_default_is_the_first_that_is_shown() -> None:
    assert default_model(read(CODEX)).slug == "a"


def test_the_only_model_is_the_default() -> None:
    assert default_model([Model("m")]).slug == "m"


@pytest.mark.parametrize("names", [[], ["m1", "m2"]])
def test_without_a_default_the_user_chooses(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--model") as caught:
        default_model([Model(name) for name in names])
    assert all(name in str(caught.value) for name in names)


def test_the_default_model_answers_when_none_is_named(wire: Wire, client: Client) -> None:
    wire.answer(plain(200, CODEX), stream(*good()))
    client.responses.create("hi")
    assert [seen.path for seen in wire.requests] == ["/models", "/responses"]
    assert wire.requests[1].json["model"] == "a"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_list_that_breaks_off(wire: Wire, settings: Settings, kind: str) -> None:
    wire.answer(stream(b'{"models": [', DROP))

    async def main() -> list[Model]:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            return await client.models.list()

    with pytest.raises(UnreachableError), Client(custom(wire.url), settings=settings) as client:
        client.models.list() if kind == "sync" else asyncio.run(main())


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_a_list(wire: Wire, client: Client, status: int) -> None:
    wire.answer(plain(status))
    with pytest.raises(ConfigurationError, match="--model"):
        client.responses.create("hi")


def test_a_second_process_does_not_ask_again(wire: Wire, settings: Settings) -> None:
    wire.answer(plain(200, CODEX))
    for _ in range(2):
        with Client(custom(wire.url), settings=settings) as client:
            assert client.models.default().slug == "a"
    assert len(wire.requests) == 1


def test_who_wants_news_asks_again(wire: Wire, client: Client) -> None:
    wire.answer(plain(200, CODEX))
    for age in (300.0, 300.0, 0.0):
        assert client.models.list(max_age=age)
    assert len(wire.requests) == 2


def test_each_server_has_its_own_copy(wire: Wire, settings: Settings) -> None:
    wire.answer(plain(200, CODEX), plain(200, {"data": [{"id": "m"}]}))
    for path, expected in (("/one", "a"), ("/two", "m")):
        with Client(custom(wire.url + path), settings=settings) as client:
            assert client.models.default().slug == expected


@pytest.mark.parametrize("copy", [b"", b"{", b'{"models": 5}'])
def test_a_copy_that_can_not_be_read_is_ignored(wire: Wire, settings: Settings, copy: bytes) -> None:
    wire.answer(plain(200, CODEX))
    for _ in range(2):
        with Client(custom(wire.url), settings=settings) as client:
            assert client.models.default().slug == "a"
        (remembered,) = (settings.home / "catalogs").iterdir()
        remembered.write_bytes(copy)
    assert len(wire.requests) == 2


def test_a_copy_that_can_not_be_written_is_ignored(wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wire.answer(plain(200, CODEX))
    settings = Settings(tmp_path, home=tmp_path / "file")
    with Client(custom(wire.url), settings=settings) as client:
        assert client.models.default().slug == client.models.default().slug == "a"
    assert len(wire.requests) == 1


def test_async_code_has_the_same_catalog(wire: Wire, settings: Settings) -> None:
    wire.answer(plain(500), plain(200, CODEX))

    async def main() -> list[str]:
        async with AsyncClient(
            custom(wire.url), settings=settings, sleep=lambda _: asyncio.sleep(0)
        ) as client:
            assert (await client.models.default()).slug == "a"
            return [model.slug for model in await client.models.list()]

    assert asyncio.run(main()) == ["hidden", "a", "b", "odd"]
    assert len(wire.requests) == 2


def test_a_wrong_model_gets_near_names_of_the_catalog(wire: Wire, client: Client) -> None:
    wire.answer(
        plain(200, {"data": [{"id": "model-one"}]}), plain(404, {"error": {"message": "Model not found"}})
    )
    client.models.list()
    with pytest.raises(ModelNotFoundError) as caught:
        client.responses.create("hi", model="model-on")
    assert caught.value.near == ("model-one",)
