"""The texts of the scripted answers: Markdown as models write it, with nothing made up about the world."""

from __future__ import annotations

from functools import cache
from pathlib import Path

NOTICE = "*A scripted answer from the local service: no model was asked.*"

THOUGHTS = (
    (
        "**Reading the question**\n\nThe keywords in the question decide which prepared answer fits. "
        "Earlier turns are counted, so that the answer can refer to them."
    ),
    (
        "**Choosing the answer**\n\nA prepared text is chosen and sent in small pieces, "
        "as a model would send its tokens."
    ),
)

_TOPICS = ("Sorting", "Searching", "Caching", "Hashing", "Sampling", "Parsing", "Fitting", "Scheduling")
_FILLER = "And so on, word by word, until the asked length is reached. "


@cache
def text(name: str) -> str:
    """Return the file `texts/NAME.md`, without the line break at its end."""
    return (Path(__file__).parent / "texts" / f"{name}.md").read_text(encoding="utf-8").rstrip("\n")


def document(length: int) -> str:
    """Return exactly `length` characters of Markdown: whole sections, then plain words."""
    written = ""
    number = 1
    while len(written) + len(section := _section(number)) <= length:
        written += section
        number += 1
    missing = length - len(written)
    return written + (_FILLER * (missing // len(_FILLER) + 1))[:missing]


def _section(number: int) -> str:
    topic = _TOPICS[number % len(_TOPICS)]
    size = 100 + 37 * number
    share = 10 + number % 40
    section = text("section").format(
        number=number,
        topic=topic,
        name=topic.lower(),
        size=size,
        prime=(97, 101, 103, 107)[number % 4],
        compares=size * number,
        share=share,
        rest=99 - share,
        next=number + 1,
        sum=number * (number + 1) // 2,
    )
    return section + "\n\n"
