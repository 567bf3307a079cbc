"""Docstrings in the manners that people write."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from codex_magic.responses.tools import custom_tool, tool

GOOGLE = """Find a word
    in a text.

    It may be any word: even a rare one.

    Args:
        word: The word to find.
        text (str, optional): Where to look,
            over several lines.

        limit (int): Most hits: a number.
        **least: As many.

    Returns:
        hits: The places.
    """

NUMPY = """
    Find a word in a text.

    Parameters
    ----------
    word : str
        The word to find.
    text : {'a', 'b'}, optional
        Where to look,
        over several lines.

        A second paragraph.
    limit, least
        Numbers.

    Returns
    -------
    hits : list
        The places.
    """

SPHINX = """Find a word in a text.

    :param word: The word to find.
    :param str text: Where to look,
        over several lines.
    :type word: str
    :param limit:
    :returns: the places
    """

PLACES = "Where to look, over several lines."


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (
            GOOGLE,
            {
                "word": "The word to find.",
                "text": PLACES,
                "limit": "Most hits: a number.",
                "least": "As many.",
            },
        ),
        (
            NUMPY,
            {
                "word": "The word to find.",
                "text": f"{PLACES} A second paragraph.",
                "limit": "Numbers.",
                "least": "Numbers.",
            },
        ),
        (SPHINX, {"word": "The word to find.", "text": PLACES}),
    ],
)
def test_each_manner_is_read(text: str, parameters: dict[str, str]) -> None:
    read = tool(documented(text))
    assert read.definition["description"] == "Find a word in a text."
    properties = read.input_schema["properties"]
    assert {
        name: part["description"] for name, part in properties.items() if "description" in part
    } == parameters


def documented(text: str | None) -> Callable[..., str]:
    def find(word: str, text: str = "a", limit: int = 1, least: int = 0) -> str:
        return word

    find.__doc__ = text
    return find


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("One line.\nAnd another.", "One line. And another."),
        ("One line.\nArgs:\n    word: y\n", "One line."),
        ("Args:\n    x: y\n", ""),
        (":param x: y", ""),
        ("One line.\n\n:param word y", "One line."),
        ("Parameters\n----------", ""),
    ],
)
def test_short_ones(text: str | None, summary: str) -> None:
    assert tool(documented(text)).definition["description"] == summary
    freeform = documented(text)
    assert custom_tool(freeform).definition["description"] == summary
