"""Secrets in use are found in any text, however they are spelled and wherever a stream is cut."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import pickle
import random
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from codex_magic import CodexConfig
from codex_magic.protocol.secrets import HIDDEN, MaskedText, Secret, hide, mask, masked, names_secret
from codex_magic.protocol.settings import Settings
from codex_magic.responses.provider import Provider, custom

CHANCE = random.Random(7)


def _random(size: int) -> str:
    return "".join(CHANCE.choices(string.ascii_letters + string.digits + "-_", k=size))


def _jwt() -> str:
    claims = {"exp": 2_000_000_000, "email": "ana@example.com", "aud": "x" * 80}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims)]
    return ".".join([*(part.rstrip(b"=").decode() for part in parts), _random(54)])


KEY = f"gw.{_random(33)}"
JWT = _jwt()
PASSWORD = "Zx9!kQ2p"
ALL = (KEY, JWT, PASSWORD)


@pytest.fixture(autouse=True)
def in_use():
    hide(*ALL)


def shown(text: str, secret: str) -> bool:
    """Whether eight characters of it can be read in a row."""
    return any(secret[at : at + 8].lower() in text.lower() for at in range(len(secret) - 7))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "in a sentence": lambda secret: f"the key {secret}.",
    "in capitals": lambda secret: secret.upper(),
    "in an address": lambda secret: f"https://me:{secret}@host/v1?api-key={secret}&x=1",
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded as a whole": lambda secret: "".join(f"%{ord(each):02X}" for each in secret),
    "with encoded dots": lambda secret: secret.replace(".", "%2E"),
    "with a blank at its dots": lambda secret: secret.replace(".", ". "),
    "with a line break at its dots": lambda secret: secret.replace(".", "\n."),
    "as JSON": json.dumps,
    "as JSON in JSON": lambda secret: json.dumps(json.dumps({"key": secret})),
    "escaped": lambda secret: "".join(f"\\u{ord(each):04x}" for each in secret),
    "as HTML": lambda secret: "".join(f"&#{ord(each)};" for each in secret),
    "in lines of 76": lambda secret: "\n".join(secret[at : at + 76] for at in range(0, len(secret), 76)),
    "in lines of 20": lambda secret: "\n  ".join(secret[at : at + 20] for at in range(0, len(secret), 20)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", ALL, ids=["key", "jwt", "password"])
def test_a_secret_is_masked_however_it_is_spelled(spelling, secret):
    text = mask(f"before {SPELLINGS[spelling](secret)} after")
    assert not shown(text, secret)
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert HIDDEN in text


@pytest.mark.parametrize("before", ["Bearer ", "user:", ":", "me@example.com:", ""])
@pytest.mark.parametrize("secret", ALL, ids=["key", "jwt", "password"])
def test_a_secret_is_masked_in_base64(before, secret):
    encoded = base64.b64encode(f"{before}{secret}".encode()).decode()
    read = mask(f"Basic {encoded}")
    assert HIDDEN in read
    left = read.removeprefix("Basic ").replace(HIDDEN, "").rstrip("=")
    assert len(left) <= len(before) * 4 / 3 + 4


@pytest.mark.parametrize("secret", [KEY, JWT], ids=["key", "jwt"])
def test_the_beginning_of_a_secret_is_masked(secret):
    for size in range(12, len(secret)):
        beginning = secret[:size].rstrip(".")
        assert mask(f"key {beginning}*** was refused") == f"key {HIDDEN}*** was refused"


@pytest.mark.parametrize("secret", ALL, ids=["key", "jwt", "password"])
def test_a_stream_may_be_cut_anywhere(secret):
    whole = f"so {secret}, {secret}{secret} and the sk"
    for size in (1, 2, 3, 5, 7, 11, 13, 20):
        stream = MaskedText()
        pieces = [stream.feed(whole[at : at + size]) for at in range(0, len(whole), size)]
        assert "".join([*pieces, stream.end()]) == mask(whole) == f"so {HIDDEN}, {HIDDEN}{HIDDEN} and the sk"
    for cut in range(len(whole)):
        stream = MaskedText()
        assert "".join([stream.feed(whole[:cut]), stream.feed(whole[cut:]), stream.end()]) == mask(whole)


def test_of_ordinary_text_nothing_is_changed_and_hardly_anything_held():
    prose = "The quick brown fox jumps over the lazy dog's internationalization, 100% of it.\n" * 50
    assert mask(prose) is prose
    stream = MaskedText()
    pieces = [stream.feed(prose[at : at + 4]) for at in range(0, len(prose), 4)]
    assert sum(map(len, pieces)) + len(stream.end()) == len(prose)
    shown = 0
    for at, piece in enumerate(pieces, 1):
        shown += len(piece)
        assert 4 * at - shown <= 8


def test_encoded_line_breaks_move_nothing():
    text = quote(f"a\nb\ncde\n{KEY[4:8]}fg\n{KEY}\n", safe="")
    assert not shown(mask(text), KEY)
    assert mask(text).startswith("a%0Ab")


def test_placeholders_are_words_like_others():
    hide("ollama", "EMPTY", "lm-studio", "not-needed")
    assert mask("ollama, lm-studio, EMPTY, not-needed") == "ollama, lm-studio, EMPTY, not-needed"


def test_values_keep_their_shape():
    class Point(msgspec.Struct, frozen=True):
        name: str
        more: tuple[dict[str, object], ...] = ()

    clean = Point("x", ({"a": [1, None, "y"]},))
    assert masked(clean) is clean
    dirty = Point("x", ({"a": [1, None, KEY], KEY: "z"},))
    assert masked(dirty) == Point("x", ({"a": [1, None, HIDDEN], HIDDEN: "z"},))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("GH_TOKEN", True),
        ("x-api-key", True),
        ("dbPassword", True),
        ("Authorization", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("PWD", False),
        ("PATH", False),
        ("SSH_AUTH_SOCK", False),
        ("originator", False),
    ],
)
def test_names_tell_what_is_secret(name, secret):
    assert names_secret(name) is secret


HOLDERS: dict[str, Callable[[], Any]] = {
    "settings": lambda: Settings.from_env({"OPENAI_API_KEY": KEY}),
    "a configuration": lambda: CodexConfig(settings=Settings.from_env({"OPENAI_API_KEY": KEY})),
    "a provider": lambda: custom("http://127.0.0.1:1/v1", KEY),
    "a provider's headers": lambda: Provider("x", "http://127.0.0.1:1/v1", headers={"api-key": KEY}),
    "a provider's address": lambda: custom(f"http://me:{KEY}@127.0.0.1:1/v1"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_holds_a_key_shows_none(holder):
    held = HOLDERS[holder]()
    seen = [repr(held), str(held), f"{held}", repr(vars(held)), repr(dataclasses.asdict(held))]
    seen += [repr(copy.copy(held)), repr(copy.deepcopy(held)), str(dataclasses.astuple(held))]
    assert not any(shown(text, KEY) for text in seen)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(held)


def test_a_secret_is_told_to_who_asks_for_it():
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY) == Secret(KEY) != Secret(PASSWORD)
    assert len({Secret(KEY), Secret(KEY)}) == 1
