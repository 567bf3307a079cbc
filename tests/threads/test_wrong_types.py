"""Whatever is not of the type that is documented is one clear sentence, before anything is asked or kept."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic import Codex, CodexConfig, ImageInput, OptionError, TextInput, ThreadNotFoundError
from codex_magic.threads.options import ListOptions, ThreadOptions, TurnOptions
from tests.service import LocalService
from tests.threads.backend import requests

TEXTS = (7, 1.5, True, b"x", ["x"], (), {"a": 1}, object(), print)
WRONG: dict[str, tuple[Any, ...]] = {
    "str": TEXTS,
    "bool": ("yes", 7, [], {}),
    "int": ("7", 0, -1, 1.5, True, 10**30, [7], float("nan")),
    "EngineName": ("backendx", 7, ["backend"], True),
    "Approvals": ("ask", 7, [print]),
    "ApprovalMode | str": ("sometimes", 7, ["ask"], {}),
    "Sandbox | str": ("none", 7, ["full"], {}),
    "Mapping[str, Any]": ("x", 7, ["x"], print),
    "Sequence[str]": ("x", 7, [7], {"a": 1}, ["x", None]),
    "str | Sequence[str]": (7, [7], {"a": 1}, object()),
    "Callable[[str], str]": ("x", 7, ["x"]),
    "str | Provider": (7, ["x"], {"a": 1}, object()),
    "Sequence[Tool | Namespace | Callable[..., Any] | Mapping[str, Any]]": (
        "x",
        7,
        ["x"],
        [7],
        [[]],
        {"a": 1},
    ),
}


def wrong(table: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Every option of a table with the values that it can't have."""
    cases = []
    for name, kind in table.__annotations__.items():
        annotation = str(getattr(kind, "__forward_arg__", kind)).removesuffix(" | None")
        cases.append((name, ("up", 7, ["asc"]) if annotation.startswith("Literal") else WRONG[annotation]))
    return cases


@pytest.mark.parametrize(("name", "values"), wrong(ThreadOptions))
def test_an_option_of_a_thread(codex: Codex, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(OptionError, match=name):
            codex.thread_start(**{name: value})
    assert codex.thread_list().threads == ()


@pytest.mark.parametrize(("name", "values"), wrong(TurnOptions))
def test_an_option_of_a_turn(codex: Codex, service: LocalService, name: str, values: tuple[Any, ...]) -> None:
    thread = codex.thread_start()
    for value in values:
        with pytest.raises(OptionError, match=name):
            thread.run("echo: a", **{name: value})
    assert thread.history() == []
    assert requests(service) == []


@pytest.mark.parametrize(("name", "values"), wrong(ListOptions))
def test_an_option_of_a_list(codex: Codex, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(OptionError, match=name):
            codex.thread_list(**{name: value})


@pytest.mark.parametrize("cursor", ["", "x", "1", "x:y", "-1:y", "9" * 30 + ":y", "²:y", "1.5:y"])
def test_a_cursor_that_is_no_page(codex: Codex, cursor: str) -> None:
    codex.thread_start()
    if cursor == "1":
        assert codex.thread_list(cursor=cursor).threads == ()  # the page after an earlier second
    else:
        with pytest.raises(OptionError, match="page"):
            codex.thread_list(cursor=cursor)


@pytest.mark.parametrize(
    "value",
    [*TEXTS, None, [None], [TextInput("a"), 7], TextInput(7), [ImageInput(b"x")], TextInput],  # type: ignore[arg-type]  # that is the point
)
def test_an_input(codex: Codex, service: LocalService, value: Any) -> None:
    thread = codex.thread_start()
    running = thread.turn("repeat 200")
    for ask in (thread.run, thread.turn, running.steer):
        with pytest.raises(OptionError, match="input"):
            ask(value)
    service.wait_for_request()
    running.interrupt()
    assert len(thread.history()) == len(requests(service)) == 1


@pytest.mark.parametrize("value", TEXTS)
def test_an_id_or_a_name(codex: Codex, value: Any) -> None:
    thread = codex.thread_start(name="kept")
    uses = [
        lambda: codex.thread_resume(value),
        lambda: codex.thread_archive(value),
        lambda: codex.thread_unarchive(value),
        lambda: codex.thread_fork(value),
        lambda: codex.thread_fork(thread.id, last_turn_id=value),
        lambda: codex.thread_fork(thread.id, before_turn_id=value),
        lambda: codex.thread_start(name=value),
        lambda: thread.revert(value),
        lambda: thread.set_name(value),
        lambda: codex.models(provider=value),
    ]
    for use in uses:
        with pytest.raises(OptionError, match="can't be"):
            use()
    assert [each.name for each in codex.thread_list().threads] == ["kept"]
    with pytest.raises(ThreadNotFoundError):
        codex.thread_resume("")


@pytest.mark.parametrize(
    ("name", "value"),
    [("engine", "http"), ("provider", 7), ("model", 7), ("cwd", ["x"]), ("approvals", "ask"), ("env", "A=1")],
)
def test_a_field_of_the_configuration(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name):
        CodexConfig(**{name: value})


def test_a_secret_in_the_wrong_place_is_not_told() -> None:
    for value in ("OPENAI_API_KEY=hunter2", ["hunter2"], b"hunter2"):
        with pytest.raises(OptionError) as error:
            CodexConfig(env=value)  # type: ignore[arg-type]  # that is the point
        assert "hunter2" not in str(error.value)
