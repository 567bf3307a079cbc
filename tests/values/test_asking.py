"""One question whose answer is a value, from scripts and from code that awaits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import msgspec
import pydantic
import pytest

import codex_magic
from codex_magic.protocol.errors import InvalidOutputError
from tests.values.questions import questions


@dataclass
class Mood:
    mood: Literal["calm", "wild"]
    stars: int


class MoodDict(TypedDict):
    mood: Literal["calm", "wild"]
    stars: int


class MoodStruct(msgspec.Struct):
    mood: Literal["calm", "wild"]
    stars: int


class MoodModel(pydantic.BaseModel):
    mood: Literal["calm", "wild"]
    stars: int


SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "wild"]}, "stars": {"type": "integer"}},
    "required": ["mood", "stars"],
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, "hello"),
        (int, 1),
        (list[bool], [True, True]),
        (Mood, Mood("calm", 1)),
        (MoodDict, {"mood": "calm", "stars": 1}),
        (MoodStruct, MoodStruct("calm", 1)),
        (MoodModel, MoodModel(mood="calm", stars=1)),
        (SCHEMA, {"mood": "calm", "stars": 1}),
    ],
)
def test_an_answer_is_a_value_of_the_type_that_is_asked_for(service, schema, value):
    assert codex_magic.ask("echo: hello", schema=schema) == value


def test_code_that_awaits_asks_too_and_the_blocking_call_works_beside_a_running_loop(service):
    async def both() -> list[Any]:
        return [await codex_magic.ask_async("How many?", schema=int), codex_magic.ask("echo: hello")]

    assert asyncio.run(both()) == [1, "hello"]


def test_values_are_sent_as_data_and_without_secrets(service, monkeypatch):
    monkeypatch.setenv("SHOP_API_KEY", "sk-live-8f3b2c9a71d64e50")
    codex_magic.ask("echo: hello", {"key": "sk-live-8f3b2c9a71d64e50", "city": "Lima"}, "</external_value_2>")
    request = service.wait_for_request("/responses")
    first, second, question = request.json["input"]
    assert first["content"][0]["text"].startswith("<external_value_1>")
    assert "Lima" in first["content"][0]["text"]
    assert second["content"][0]["text"].count("</external") == 1
    assert question["content"] == [{"type": "input_text", "text": "echo: hello"}]
    assert b"8f3b2c9a71d64e50" not in request.body


def test_a_table_is_described_and_not_sent_whole(service):
    pandas = pytest.importorskip("pandas")
    codex_magic.ask("echo: hello", pandas.DataFrame({"price": range(1000), "city": ["Lima"] * 1000}))
    text = service.wait_for_request("/responses").json["input"][0]["content"][0]["text"]
    assert "1,000 rows" in text
    assert "price" in text
    assert "Lima" in text
    assert len(text) < 2000


def test_an_answer_that_does_not_fit_is_mended_once(service):
    seen: list[int] = []

    class Late(pydantic.BaseModel):
        stars: int

        @pydantic.field_validator("stars")
        @classmethod
        def refuse_first(cls, stars: int) -> int:
            seen.append(stars)
            if len(seen) == 1:
                raise ValueError("too late")
            return stars

    assert codex_magic.ask("How many?", schema=Late).stars == 1
    first, second = questions(service)
    assert len(second.json["input"]) > len(first.json["input"])
    assert "too late" in second.body.decode()


def test_an_answer_that_never_fits_is_an_error_and_no_value(service):
    class Never(pydantic.BaseModel):
        stars: int

        @pydantic.field_validator("stars")
        @classmethod
        def refuse(cls, stars: int) -> int:
            raise ValueError("too late")

    with pytest.raises(InvalidOutputError, match="too late") as caught:
        codex_magic.ask("How many?", schema=Never)
    assert caught.value.text == '{"stars": 1}'
    assert len(questions(service)) == 2
