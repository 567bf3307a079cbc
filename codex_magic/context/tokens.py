"""How many tokens a text is, without the tokenizer: its vocabulary would be a download of megabytes."""

from __future__ import annotations

import re


def estimate(text: str) -> int:
    """Estimate the tokens of `text`: 0.7 to 1.5 of what o200k, the encoding of the models, counts."""
    pieces = len(re.compile(_PIECE, re.VERBOSE).findall(text))
    if text.isascii():
        return pieces
    return pieces + round(sum(share * len(re.findall(script, text)) for script, share in _SCRIPTS))


def clip(text: str, tokens: int) -> str:
    """Return as much of the begin of `text` as `tokens` hold."""
    if estimate(text) <= tokens:
        return text
    least, most = 0, len(text)
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if estimate(text[:middle]) <= tokens else (least, middle)
    return text[:least]


_PIECE = r"""
      [^\w\r\n]?[A-Z]?[a-zß-öø-ÿ]{1,10}(?![a-zß-öø-ÿ])  # a word that has a token of its own, with what stands before
    | [^\w\r\n]?[A-Z]?[a-zß-öø-ÿ]{1,5}  # a piece of a longer one
    | [^\w\r\n]?_?[A-ZÀ-ÖØ-Þ]{1,3}
    | \d{1,3}
    | [\r\n]+
    | [ \t]{2,64}
    | ([!-/:-@\[-`{-~])\1{1,15}
    | [ ]?[!-/:-@\[-`{-~]{1,3}
    | [ ]?[\u0370-\u058f]{1,4}  # Greek, Cyrillic, Armenian
    | [ ]?[\u0590-\u06ff]{1,4}
    | [ ]
    """
"""Compiled at first use, which the first question of a notebook rarely has."""

_SCRIPTS = [
    (r"[\u0700-\u1fff]", 0.3),
    (r"[\u3040-\ua4cf]", 0.8),
    (r"[\uac00-\ud7a3]", 0.6),
    (r"[\u00a0-\u00bf\u2000-\u303f\ud7b0-\uffff]", 0.8),
    (r"[\U00010000-\U0010ffff]", 1.5),
]
"""Scripts of many characters or of few tokens, with the tokens of one character."""
