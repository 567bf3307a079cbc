"""The models of a provider, the default among them, and the copy on disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codex_magic.protocol.errors import ConfigurationError, ModelNotFoundError, ServiceError, UnreachableError
from codex_magic.protocol.settings import Settings
from codex_magic.responses import catalog
from codex_magic.responses.catalog import Model, default_model, read_models
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.provider import chatgpt, custom
from tests.responses.wire import DROP, Answer, Wire, good, plain, stream
from tests.service import LocalService

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
        {
            "slug": "odd",
            "visibility": "list",
            "priority": 9,
            "context_window": "large",
            "supported_reasoning_levels": [{"effort": "low"}],
        },
    ]
}


def read(body: Any) -> list[Model]:
    return read_models(json.dumps(body).encode())


def test_the_catalog_of_the_codex_backend() -> None:
    models = read(CODEX)
    assert [model.slug for model in models] == ["hidden", "a", "b", "odd"]
    assert models[1].efforts == ("low", "high")
    assert [model.hidden for model in models] == [True, False, False, False]


def test_a_field_that_can_not_be_read_is_left_out_alone() -> None:
    odd = read(CODEX)[-1]
    assert (odd.slug, odd.context_window, odd.priority, odd.efforts) == ("odd", None, 9, ("low",))


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, None),
        ({"context_window": 1000}, 1000),
        ({"context_window": 272_000, "effective_context_window_percent": 95}, 258_400),
    ],
)
def test_the_window_that_a_conversation_may_fill(fields: dict[str, Any], tokens: int | None) -> None:
    assert Model("m", **fields).usable_window == tokens


@pytest.mark.parametrize(("chosen", "model"), [(None, "a"), ("b", "b"), ("nobody-has-it", None)])
def test_the_model_in_use_is_the_one_chosen_else_the_default(
    settings: Settings, chosen: str | None, model: str | None
) -> None:
    provider = custom("http://127.0.0.1:1/v1", settings=settings)
    assert catalog.Catalog(provider, settings).in_use(chosen) is None
    catalog.Catalog(provider, settings).receive({}, json.dumps(CODEX).encode())
    used = catalog.Catalog(provider, settings).in_use(chosen)
    assert (used and used.slug) == model


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


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_refresh_can_be_forced(wire: Wire, settings: Settings, kind: str) -> None:
    wire.answer(plain(200, CODEX))

    async def main() -> list[Model]:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            await client.models.list()
            return await client.models.list(force_refresh=True)

    with Client(custom(wire.url), settings=settings) as client:
        if kind == "async":
            assert asyncio.run(main())
        else:
            assert client.models.list() == client.models.list(force_refresh=True)
    assert len(wire.requests) == 2


def announcing(etag: str) -> Answer:
    return stream(*good(), x_models_etag=etag)


def test_an_answer_that_names_another_state_makes_the_copy_useless(wire: Wire, client: Client) -> None:
    listed = plain(200, CODEX, etag='W/"1"')
    wire.answer(listed, announcing('W/"2"'), plain(200, {"models": []}, etag='W/"2"'), announcing('W/"2"'))
    assert client.models.list()
    client.responses.create("hi", model="a")
    assert client.models.list() == []
    client.responses.create("hi", model="a")
    assert client.models.list() == []
    assert [seen.path for seen in wire.requests].count("/models") == 2


def test_a_state_that_is_spelt_otherwise_on_the_way_is_asked_for_once(wire: Wire, client: Client) -> None:
    """As by a proxy that compresses."""
    listed = plain(200, CODEX, etag='W/"1-gzip"')
    wire.answer(listed, announcing('"1"'), listed, announcing('"1"'), announcing('"1"'))
    client.models.list()
    for _ in range(3):
        client.responses.create("hi", model="a")
        assert client.models.list()
    assert [seen.path for seen in wire.requests].count("/models") == 2


def age(settings: Settings, seconds: float) -> None:
    """Let the copies on disk be that much older."""
    for path in (settings.home / "catalogs").iterdir():
        copy = json.loads(path.read_bytes())
        path.write_text(json.dumps(copy | {"fetched_at": copy["fetched_at"] - seconds}))


def test_an_answer_that_names_the_same_state_extends_the_life_for_all(wire: Wire, settings: Settings) -> None:
    wire.answer(plain(200, CODEX, etag='W/"1"'), announcing('"1"'))
    with Client(custom(wire.url), settings=settings) as client:
        client.models.list()
    age(settings, 1000)
    with Client(custom(wire.url), settings=settings) as client:
        client.responses.create("hi", model="a")
        assert client.models.list()
    with Client(custom(wire.url), settings=settings) as other:
        assert other.models.list()
    assert [seen.path for seen in wire.requests].count("/models") == 1


def test_what_another_process_asked_is_good_for_this_one(
    wire: Wire, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(catalog, "time", SimpleNamespace(time=lambda: now[0]))
    wire.answer(plain(200, CODEX), plain(200, {"data": [{"id": "new"}]}))
    with (
        Client(custom(wire.url), settings=settings) as long_lived,
        Client(custom(wire.url), settings=settings) as other,
    ):
        assert len(long_lived.models.list()) == 4
        now[0] += 301
        assert other.models.list() == long_lived.models.list() == [Model("new")]
    assert len(wire.requests) == 2


def test_each_account_has_its_own_copy(service: LocalService, home: Path) -> None:
    settings = Settings.from_env()
    for email in ("one@example.com", "two@example.com", "one@example.com"):
        service.sign_in(home / ".codex", email=email)
        with Client(chatgpt(settings)) as client:
            assert client.models.list()
    assert len(service.requests) == 2
    assert len(list((settings.home / "catalogs").iterdir())) == 2


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("slug", "near"), [("local-large", None), ("local-hidden", None), ("local-lage", "large")]
)
def test_one_model(service: LocalService, kind: str, slug: str, near: str | None) -> None:
    settings = Settings.from_env()

    async def main() -> Model:
        async with AsyncClient(chatgpt(settings)) as client:
            return await client.models.retrieve(slug)

    with Client(chatgpt(settings)) as client:
        ask = (lambda: asyncio.run(main())) if kind == "async" else (lambda: client.models.retrieve(slug))
        if near is None:
            assert ask().slug == slug
            assert ask().input_modalities == ("text", "image")
        else:
            with pytest.raises(ModelNotFoundError) as caught:
                ask()
            assert caught.value.near[0] == f"local-{near}"
    assert len(service.requests) == 1


def test_a_model_that_is_new_is_found(wire: Wire, client: Client) -> None:
    wire.answer(plain(200, {"data": [{"id": "m1"}]}), plain(200, {"data": [{"id": "m1"}, {"id": "m2"}]}))
    assert client.models.retrieve("m1").slug == "m1"
    assert client.models.retrieve("m2").slug == "m2"
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


@pytest.mark.parametrize(
    "body",
    [
        {"models": [{"slug": "m", "priority": 1}], "data": [{"id": "m"}]},
        {"models": [{"id": "m", "priority": 1}]},
        {"models": [], "data": [{"id": "m", "priority": 1}]},
        {"models": None, "data": [{"slug": "m", "priority": "1"}]},
        {"data": None, "models": [{"slug": "m", "priority": 1, "context_window": "many"}]},
        {"models": [5, None, {"slug": None}, {"slug": "m", "priority": 1}]},
    ],
)
def test_a_list_in_the_shape_of_either_service(body: Any) -> None:
    assert read(body) == [Model("m", priority=1)]


def test_a_list_of_names() -> None:
    assert read({"data": ["m"]}) == [Model("m")]
