"""Code of an answer with lookups in place of placeholders: a secret is named in it, and never written.

What an environment variable holds, every language can look up; what a `.env` file or a variable of the notebook
holds, Python alone. No pattern is compiled before it is needed: most answers hold no placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

PLACEHOLDER = re.compile(r"«SECRET_(\d+)»")

PYTHON = ("python", "py", "python3", "ipython", "ipython3", "")

Lookups = Mapping[str, str]
"""By the number of a placeholder, written as there: a Python expression, or the name of a variable."""


def looked_up(code: str, lookups: Lookups, language: str = "python") -> str:
    """Return the code with the lookups of its language; a placeholder without one stays."""
    if not PLACEHOLDER.search(code):
        return code
    names = {number: re.fullmatch(_VARIABLE, each) for number, each in lookups.items()}
    variables = {number: name[1] for number, name in names.items() if name}
    if language not in PYTHON:
        return _in(language, code, variables)
    magic = re.match(_CELL_MAGIC, code)
    if magic is None:
        return _python(code, lookups, variables)
    head, body = code[: magic.end()], code[magic.end() :]
    if magic[1] in _OF_PYTHON:
        return head + _python(body, lookups, variables)
    return head + _in((magic[2] if magic[1] == "script" else magic[1]) or "", body, variables)


_VARIABLE = r'os\.environ\["([A-Za-z_]\w*)"\]'
_CELL_MAGIC = r"\s*%%(\w+)(?:[ \t]+(?:\S*/)?(\w+))?[^\n]*\n"
_OF_PYTHON = ("capture", "debug", "memit", "mprun", "prun", "python", "python3", "time", "timeit")
"""Cell magics whose text is Python that runs here, or in another one with these variables."""


def _in(language: str, code: str, variables: Lookups) -> str:
    language = language.lower()
    if language in _SHELLS:
        return _shell(code, variables)
    return _strings(code, variables, _LANGUAGES[language]) if language in _LANGUAGES else code


# Python -------------------------------------------------------------------------------------------

_LITERAL = (
    r"""(?<![\w"'])(?P<prefix>[fF]?)(?P<quote>["'])(?P<text>(?:(?!(?P=quote))[^\\\n]|\\.)*?«SECRET_\d+»"""
    r"""(?:(?!(?P=quote))[^\\\n]|\\.)*)(?P=quote)(?!["'])"""
)
_BARE = r"""(?m)(?:(?<=[=(\[,:] )|(?<=[=(\[,]))«SECRET_(\d+)»(?=[^"'\n]*$)"""
_IMPORTS = {"os.": "import os", "dotenv_values(": "from dotenv import dotenv_values"}
_SHELL_LINE = r"(?m)^[ \t]*(?:[\w., ]+=[ \t]*)?!.*$"


def _python(code: str, lookups: Lookups, variables: Lookups) -> str:
    restored = re.sub(_SHELL_LINE, lambda line: _shell(line[0], variables), code)
    done = [line.span() for line in re.finditer(_SHELL_LINE, restored)]

    def outside(found: re.Match[str], text: str) -> str:
        return found[0] if any(begin <= found.start() < end for begin, end in done) else text

    restored = re.sub(_LITERAL, lambda literal: outside(literal, _looked_up(literal, lookups)), restored)
    done = [line.span() for line in re.finditer(_SHELL_LINE, restored)]
    restored = re.sub(_BARE, lambda bare: outside(bare, lookups.get(bare[1], bare[0])), restored)
    missing = [
        line
        for start, line in _IMPORTS.items()
        if start in restored and start not in code and not re.search(rf"^{line}\b", code, re.MULTILINE)
    ]
    return "".join(f"{line}\n" for line in missing) + restored


def _looked_up(literal: re.Match[str], lookups: Lookups) -> str:
    """Return a string of Python with lookups: alone one takes the string's place, else it stands in an f-string."""
    text, mark = literal["text"], literal["quote"]
    if alone := PLACEHOLDER.fullmatch(text):
        return lookups.get(alone[1], literal[0])
    if any(each[1] not in lookups for each in PLACEHOLDER.finditer(text)):
        return literal[0]
    if not literal["prefix"]:
        text = text.replace("{", "{{").replace("}", "}}")
    # Before Python 3.12 an f-string's own quotes may not stand inside it.
    other = "'" if mark == '"' else '"'
    filled = PLACEHOLDER.sub(lambda each: "{" + lookups[each[1]].replace(mark, other) + "}", text)
    return f"f{mark}{filled}{mark}"


# Other languages -----------------------------------------------------------------------------------

_SHELLS = ("bash", "console", "ksh", "sh", "shell", "zsh")
_WORD = r"""(?x)(?P<escape>\\.) | (?P<comment>(?<!\S)\#[^\n]*) | (?P<quote>["']) | «SECRET_(?P<number>\d+)»"""


def _shell(code: str, variables: Lookups) -> str:
    """Return code of a shell, where a variable is expanded, but not between single quotes."""
    quote, word_of = "", re.compile(_WORD)

    def taken(word: re.Match[str]) -> str:
        nonlocal quote
        if word["quote"]:
            quote = "" if quote == word["quote"] else quote or word["quote"]
        if (name := variables.get(word["number"] or "")) is None:
            return word[0]
        if quote == '"':
            return f"${{{name}}}" if code[word.end() : word.end() + 1].isalnum() else f"${name}"
        return f"'\"${name}\"'" if quote else f'"${name}"'

    pieces: list[str] = []
    done = 0
    while (word := word_of.search(code, done)) is not None:
        is_plain = quote == "'" and (word["escape"] or word["comment"])
        is_no_comment = quote and word["comment"]
        end = word.start() + 1 if is_plain or is_no_comment else word.end()
        pieces += code[done : word.start()], code[word.start() : end] if end < word.end() else taken(word)
        done = end
    return "".join((*pieces, code[done:]))


class _Language(NamedTuple):
    """`lookup` of a variable; `join` makes one expression of several; `template` is one inside backticks."""

    lookup: Callable[[str], str]
    join: Callable[[list[str]], str]
    template: str = ""


_JAVASCRIPT = _Language("process.env.{}".format, lambda parts: f"({' + '.join(parts)})", "${{{}}}")
_R = _Language('Sys.getenv("{}")'.format, lambda parts: f"paste0({', '.join(parts)})")
_JULIA = _Language('ENV["{}"]'.format, lambda parts: f"string({', '.join(parts)})")
_LANGUAGES = {
    **dict.fromkeys(("javascript", "js", "jsx", "node", "ts", "tsx", "typescript"), _JAVASCRIPT),
    "r": _R,
    "julia": _JULIA,
}
_ANY_LITERAL = r"""(?xs)(?P<quote>["'])(?P<text>(?:(?!(?P=quote))[^\\\n]|\\.)*)(?P=quote)
      | `(?P<template>(?:[^`\\]|\\.)*)`
      | (?<=[=(\[,:+\s])«SECRET_(?P<number>\d+)»"""


def _strings(code: str, variables: Lookups, language: _Language) -> str:
    def taken(literal: re.Match[str]) -> str:
        if (number := literal["number"]) is not None:
            return language.lookup(variables[number]) if number in variables else literal[0]
        text, quote = literal["text"], literal["quote"]
        is_template = text is None
        text = literal["template"] if is_template else text
        numbers = [found[1] for found in PLACEHOLDER.finditer(text)]
        if not numbers or any(number not in variables for number in numbers):
            return literal[0]
        if is_template:
            if not language.template:
                return literal[0]
            lookups = {number: language.lookup(variables[number]) for number in numbers}
            filled = PLACEHOLDER.sub(lambda each: language.template.format(lookups[each[1]]), text)
            return f"`{filled}`"
        # Texts and numbers in turns.
        parts = PLACEHOLDER.split(text)
        parts[::2] = [f"{quote}{part}{quote}" if part else "" for part in parts[::2]]
        parts[1::2] = [language.lookup(variables[number]) for number in parts[1::2]]
        parts = [part for part in parts if part]
        return parts[0] if len(parts) == 1 else language.join(parts)

    return re.sub(_ANY_LITERAL, taken, code)
