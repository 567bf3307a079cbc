"""The estimate of tokens beside the encoding of the models."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_magic.context.tokens import estimate

TEXTS = Path(__file__).parent / "texts"
NUMBERS = random.Random(7)
PEOPLE = [
    {
        "id": number,
        "name": NUMBERS.choice(["Ada", "Grace"]),
        "score": NUMBERS.random(),
        "tags": ["new"],
        "at": None,
    }
    for number in range(40)
]

MADE = {
    "csv": "\n".join(
        f"{number},{NUMBERS.choice(['Berlin', 'New York'])},{NUMBERS.uniform(1, 900):.2f},2026-03-{number % 20 + 10}"
        for number in range(60)
    ),
    "markdown table": "\n".join(
        f"| {each['id']} | {each['name']} | {each['score']:.3f} |" for each in PEOPLE
    ),
    "floats": ",".join(str(NUMBERS.gauss(0, 1)) for _ in range(300)),
    "json": json.dumps(PEOPLE),
    "indented json": json.dumps(PEOPLE, indent=2),
    "base64": base64.b64encode(NUMBERS.randbytes(3000)).decode(),
    "bytes": repr(NUMBERS.randbytes(2000)),
    "uuids": "\n".join(str(uuid.UUID(bytes=NUMBERS.randbytes(16))) for _ in range(60)),
    "python": Path(random.__file__).read_text(encoding="utf-8"),
    "markdown": (TEXTS.parent.parent.parent / "README.md").read_text(encoding="utf-8"),
}


@pytest.fixture(scope="module")
def count() -> Callable[[str], int]:
    encoding = pytest.importorskip("bpe_openai").get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text))


@pytest.mark.parametrize("name", [*MADE, *sorted(path.name for path in TEXTS.iterdir())])
def test_an_estimate_is_near_what_the_encoding_counts(name: str, count: Callable[[str], int]) -> None:
    text = MADE[name] if name in MADE else (TEXTS / name).read_text(encoding="utf-8")
    assert 0.7 <= estimate(text) / count(text) <= 1.5


@pytest.mark.parametrize("name", sorted(path.name for path in TEXTS.iterdir()))
def test_lines_are_estimated_as_the_whole_is(name: str) -> None:
    """So a budget may be filled line by line."""
    lines = (TEXTS / name).read_text(encoding="utf-8").splitlines(keepends=True)
    assert sum(map(estimate, lines)) == pytest.approx(estimate("".join(lines)), rel=0.1)


def test_nothing_has_no_tokens() -> None:
    assert estimate("") == 0
