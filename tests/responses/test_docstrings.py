"""Docstrings in the manners that people write."""

from __future__ import annotations

import pytest

from codex_magic.responses.docstrings import read_docstring

GOOGLE = """Find a word
    in a text.

    It may be any word: even a rare one.

    Args:
        word: The word to find.
        text (str, optional): Where to look,
            over several lines.

        limit (int): Most hits: a number.
        *rest: Ignored.

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
                "rest": "Ignored.",
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
    assert read_docstring(text) == ("Find a word in a text.", parameters)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("Args:\n    x: y\n", ""),
        (":param x: y", ""),
        ("Parameters\n----------", ""),
    ],
)
def test_short_ones(text: str | None, summary: str) -> None:
    assert read_docstring(text).summary == summary
