"""What a running turn tells holds no secret of the notebook, however the program cuts it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from codex_magic.context.secrets import NamedSecret, OutgoingMask
from codex_magic.engines.app_server.messages import MaskedLines
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandOutputDelta,
    ItemCompleted,
    ItemStarted,
)

SECRET, PASSPHRASE = "s3cret-Value-1", "correct Horse battery 9"
KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2] * 3)
    + "\n-----END PRIVATE KEY-----"
)
TEXTS = [
    f"key={SECRET}\nand more: {SECRET} {SECRET}",
    f'{{"password": "abc12345xyz", "other": {SECRET!r}}}',
    f"before\n{KEY}\nafter",
    f"Authorization: Basic {base64.b64encode(f'someone:{SECRET}'.encode()).decode()} ok",
    "plain words\n\nand no secret, 12345 \u4f60\u597d",
]


def mask() -> OutgoingMask:
    return OutgoingMask([NamedSecret("A", SECRET), NamedSecret("B", PASSPHRASE)])


def told(pieces: list[str]) -> str:
    lines: Any = MaskedLines(mask())
    events = [each for piece in pieces for each in lines.feed(CommandOutputDelta("t", "u", "i", piece))]
    return "".join(each.delta for each in [*events, *lines.end()])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000])
def test_in_whatever_pieces_it_comes_it_is_told_as_if_it_came_at_once(text: str, size: int) -> None:
    assert told([text[at : at + size] for at in range(0, len(text), size)]) == mask()(text)


def test_words_are_told_as_they_come() -> None:
    lines: Any = MaskedLines(mask())
    shown = [
        [each.delta for each in lines.feed(AgentMessageDelta("t", "u", "i", word))]
        for word in ("Two ", "words ", "here")
    ]
    assert shown == [["Two "], ["words "], []]
    assert [
        each.delta for each in lines.feed(ItemCompleted("t", "u", AgentMessage("i", "Two words here")))[:-1]
    ] == ["here"]


def test_what_begins_with_a_secret_is_told_without_it() -> None:
    [event] = MaskedLines(mask()).feed(ItemStarted("t", "u", AgentMessage("i", f"The {SECRET}")))
    assert event == ItemStarted("t", "u", AgentMessage("i", "The «SECRET_1»"))


def test_a_long_line_is_told_in_time_that_grows_with_its_length() -> None:
    asked: list[int] = []

    def count(text: str) -> str:
        asked.append(len(text))
        return text

    lines: Any = MaskedLines(count)
    for _ in range(10_000):
        lines.feed(CommandOutputDelta("t", "u", "i", "word " * 4))
    assert sum(asked) < 10_000 * 12_000
