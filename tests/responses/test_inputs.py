"""What a person has at hand becomes input items."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai.types.responses
import pytest
from codex_open_client import FunctionCallOutput, InputImage, InputMessage, InputText

from codex_magic.protocol.errors import InvalidRequestError
from codex_magic.responses.inputs import (
    assistant,
    custom_tool_call_output,
    developer,
    function_call_output,
    image_url,
    input_image,
    input_text,
    user,
)
from codex_magic.responses.request import body_of

PNG = b"\x89PNG\r\n\x1a\nrest"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


class Photo:
    """Quacks like a PIL image."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def convert(self, mode: str) -> Photo:
        return Photo(mode)

    def save(self, target: Any, format: str) -> None:
        assert (format, self.mode) in (("png", "RGB"), ("png", "P"))
        target.write(PNG)


class Figure:
    """Quacks like a matplotlib figure."""

    def savefig(self, target: Any, format: str) -> None:
        target.write(PNG)


@dataclass
class Axes:
    figure: Figure


class Display:
    def __init__(self, shown: bytes | str) -> None:
        self._shown = shown

    def _repr_png_(self) -> bytes | str:
        return self._shown


@pytest.mark.parametrize(
    "source",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        Photo("CMYK"),
        Photo("P"),
        Figure(),
        Axes(Figure()),
        Display(PNG),
        Display(base64.b64encode(PNG).decode()),
        PNG_URL,
    ],
    ids=lambda source: type(source).__name__,
)
def test_an_image_in_any_form(source: Any) -> None:
    assert image_url(source) == PNG_URL


def test_an_image_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert image_url(tmp_path / "a.png") == image_url(str(tmp_path / "a.png")) == PNG_URL


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
    ],
)
def test_the_bytes_say_what_they_are(content: bytes, kind: str) -> None:
    assert image_url(content).startswith(f"data:image/{kind};base64,")


def test_an_address_is_passed_on() -> None:
    part = input_image("https://example.com/a.jpg", detail="low")
    assert part == {"type": "input_image", "image_url": "https://example.com/a.jpg", "detail": "low"}


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (b"BM....", "unknown type"),
        ("no/such/file.png", "can't be read"),
        ("a\0b", "can't be read"),
        (5, "int"),
    ],
)
def test_what_is_no_image(source: Any, word: str) -> None:
    with pytest.raises(InvalidRequestError, match=word) as caught:
        image_url(source)
    assert caught.value.hint


def sent(input: Any) -> Any:
    return body_of(input, {"model": "m"}, is_codex=False)["input"]


def test_loose_texts_and_images_are_one_message() -> None:
    first = {"role": "user", "content": "Look."}
    items = sent([first, "What is this?", PNG, input_text("And this?"), Figure(), first])
    assert [item["type"] for item in items] == ["message"] * 3
    assert [part["type"] for part in items[1]["content"]] == ["input_text", "input_image"] * 2


@pytest.mark.parametrize(
    "input", ["Hi", ["Hi"], [user("Hi")], user("Hi"), {"role": "user", "content": ["Hi"]}]
)
def test_a_text_in_any_form(input: Any) -> None:
    part = {"type": "input_text", "text": "Hi"}
    assert sent(input) == [{"type": "message", "role": "user", "content": [part]}]


def test_a_picture_alone() -> None:
    assert sent(PNG)[0]["content"] == [{"type": "input_image", "image_url": PNG_URL}]


def test_roles() -> None:
    items = sent([developer("Be brief."), user("Hi"), assistant("Hello")])
    assert [(item["role"], item["content"][0]["type"]) for item in items] == [
        ("developer", "input_text"),
        ("user", "input_text"),
        ("assistant", "output_text"),
    ]


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("plain", "plain"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([1, 2], "[1,2]"),
        ([], "[]"),
        (None, "null"),
        ([input_text("a"), PNG], [input_text("a"), input_image(PNG)]),
        (Figure(), [input_image(PNG)]),
    ],
)
def test_the_result_of_a_call(output: Any, expected: Any) -> None:
    assert function_call_output(CALL, output) == {
        "type": "function_call_output",
        "call_id": "c",
        "output": expected,
    }
    assert custom_tool_call_output("c", output)["type"] == "custom_tool_call_output"


def test_a_result_that_can_not_be_sent() -> None:
    with pytest.raises(InvalidRequestError, match="can't be sent"):
        function_call_output("c", object())


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (InputMessage(role="user", content="Hi"), "message"),
        (
            InputMessage(role="user", content=[InputText(text="Hi"), InputImage(image_url="https://x/")]),
            "message",
        ),
        (FunctionCallOutput(call_id="c", output="o"), "function_call_output"),
        (
            openai.types.responses.ResponseFunctionToolCall(
                arguments="{}", call_id="c", name="f", type="function_call"
            ),
            "function_call",
        ),
    ],
)
def test_items_of_other_sdks(given: Any, kind: str) -> None:
    (item,) = sent([given])
    assert item["type"] == kind
    assert None not in item.values()


@pytest.mark.parametrize("given", [5, [5], [None], [{"type": "message", "content": "x"}], [{"role": "user"}]])
def test_what_is_no_item(given: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sent(given)
    assert caught.value.param == "input"
