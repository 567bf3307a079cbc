"""The grammar of mentions in a prompt: `@name`, `@In[4]`, `@path/file.py:10-40`, `{{ expression }}`. Pure.

Prompts are full of `@` that means nothing here: addresses, handles, decorators, packages, products of matrices. So
what an `@` may stand for is read first, and it is a mention only where that exists; all else stays text.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import re
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..protocol.plain import shorten
from .registry import attribute, entry

WORDS = {
    "above": "the cells above",
    "cells": "all cells",
    "error": "the last error",
    "output": "the output of the cell above",
    "selection": "what is selected",
}
"""Mentions that are one word."""


@dataclass(frozen=True)
class Mention:
    """What stands at `begin` to `end` of a prompt.

    `kind`: name, in, out, cell, region, git, file, expression, or one of `WORDS`; `target`: what is named, without marks;
    `lines`: the first and last line of a file, from 1.
    """

    kind: str
    text: str
    begin: int
    end: int
    target: str
    lines: tuple[int, int] | None = None


class Resolution(NamedTuple):
    """`notes`: a sentence on each mention that looks meant and names nothing."""

    mentions: list[Mention]
    notes: list[str]


_CJK = "\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef"  # is written without blanks between words
_AT = rf"(?<![^\W{_CJK}])(?<![.@/\\+%$&\#~)\]}}-])@(?!@)"
_MENTION = re.compile(_AT)
_MARK = re.compile(
    rf"""(?P<escape> \\[@$`{{] )
      | (?P<fence> ^[ \t]*(?P<bar>`{{3,}}|~{{3,}})[^`\n]*$ )
      | (?P<span> `+ | \$\$? | \\[(\[] | \\begin\{{\w+\*?\}} )
      | (?P<url> ://\S* )
      | (?P<expression> (?<![\w{{}}$\\])\{{\{{(?!\{{) )
      | (?P<indent> ^[ \t]* )? (?P<at> {_AT} )""",
    re.VERBOSE | re.MULTILINE,
)
_SPAN_MARK = re.compile(r"`+|\n[ \t]*(?=\n)|\$\$?|\\[()\[\]]|\\(?:begin|end)\{\w+\*?\}")

_DECORATOR = re.compile(r"[ \t]*@[\w.]+[ \t]*(?:[(#].*)?$")
_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+)?(?:def[ \t]+\w+[ \t]*[(\[]|class[ \t]+\w+[ \t]*[(:\[])")
_DECORATOR_LINES = 20
_STYLE_RULE = re.compile(
    r"@(?:charset|container|font-face|import|include|keyframes|layer|media|mixin|namespace|page|property|supports|use)"
    r"\b[^\n]*[{;][ \t]*$",
    re.MULTILINE,
)

_NUMBERED = re.compile(
    r"(In|Out)\[(-?\d{1,9})\](?![.\[]\w)|(cell|output|region):([\w-]+)|(git):(diff)(?![\w:/])"
)
_WORD = re.compile(rf"({'|'.join(WORDS)})(?![A-Za-z0-9_/]|[.\[-]\w)")
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u0670\u06d6-\u06dc\u08d3-\u0963\u0980-\u0df3\u0e31-\u0e3a"
    "\u0e47-\u0e4e\u0eb1-\u0ecd\u0f3e-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3\u3099\u309a"
)
"""Accents and vowel signs, which Python takes within a name and `\\w` does not: of Hindi, Tamil, Thai, Arabic ..."""
NAME = rf"[^\W\d][\w{_MARKS}]*"
"""An identifier."""
_QUOTED_PATH = re.compile(r'"([^"\n]{1,1000})"')
_PATH = re.compile(rf"[\w{_MARKS}.+~/-]*[\w{_MARKS}/~]")
_LINES = re.compile(r":(\d{1,7})(?:-(\d{1,7}))?(?!\w)")
_STEP = re.compile(rf"""\.({NAME})|\[(-?\d{{1,9}}|"[^"\n]*"|'[^'\n]*')\]""")
_IDENTIFIER = re.compile(NAME)
_ASCII_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PACKAGE = re.compile(r"/\w")  # `@types/node`
_EXPRESSION_CHARS = 500

_NEAR = 0.75  # of 1; `df2` is near `df`, `types` is not near `train`
_MOST_NOTES = 5


def find_mentions(prompt: str) -> list[Mention]:
    """Return what looks like a mention, whether or not it names anything; `resolve` tells that."""
    return [readings[0] for readings in _candidates(prompt)]


def resolve(
    prompt: str, namespace: Mapping[str, Any], *, is_file: Callable[[str], bool], files: Collection[str] = ()
) -> Resolution:
    """Return the mentions that name something: a variable of `namespace`, a file, a place in the notebook.

    Places are taken at their word: whether there is a cell 4 is found when it is read. `files` are the names that
    a slip of the pen may have meant.
    """
    mentions: list[Mention] = []
    notes: dict[str, None] = {}
    for readings in _candidates(prompt):
        named = ((_resolved(reading, namespace, is_file), reading) for reading in readings)
        mention, reading = next((pair for pair in named if pair[0]), (None, readings[0]))
        if mention is not None:
            mentions.append(mention)
            note = _note(mention, reading, namespace)
        else:
            note = _unknown(readings, namespace, files) if len(notes) < _MOST_NOTES else None
        if note:
            notes[note] = None
    return Resolution(mentions, [*notes][:_MOST_NOTES])


def marks(
    prompt: str, namespace: Mapping[str, Any], *, is_file: Callable[[str], bool], files: Collection[str] = ()
) -> Iterator[tuple[Mention, str | None]]:
    """Yield what an editor marks while a prompt is typed: what is known, and, with a sentence, what looks meant.

    As `resolve`, but no value is looked at: a name is known by its first part.
    """
    for readings in _candidates(prompt):
        known = next((reading for reading in readings if _begins_known(reading, namespace, is_file)), None)
        note = None if known else _unknown(readings, namespace, files)
        if known or note:
            yield known or readings[0], note


def _begins_known(reading: Mention, namespace: Mapping[str, Any], is_file: Callable[[str], bool]) -> bool:
    match reading.kind:
        case "name":
            return _root(namespace, reading.target) is not None
        case "file":
            return is_file(reading.target)
        case "expression":
            return not _unknown_names(reading.target, namespace)
    return True


def begins_mention(text: str, at: int) -> bool:
    """Whether an `@` at this place may begin a mention, as far as the characters before it say."""
    return _MENTION.match(text, at) is not None


def insert(prompt: str, texts: Mapping[Mention, str]) -> str:
    """Return the prompt with these mentions, expressions for example, replaced by texts."""
    for mention in sorted(texts, key=lambda mention: -mention.begin):
        prompt = prompt[: mention.begin] + texts[mention] + prompt[mention.end :]
    return prompt


def value_at(
    namespace: Mapping[str, Any], target: str, take: Callable[[Any, re.Match[str]], Any] | None = None
) -> Any:
    """Return the value of `name.attribute["key"][0]`. Raises LookupError.

    `take`: takes one step; without it properties run, and raise what they raise.
    """
    root = _root(namespace, target)
    if root is None:
        raise LookupError(target)
    value, end = root
    while end < len(target):
        step = _STEP.match(target, end)
        if step is None:
            raise LookupError(target)
        value, end = (take or _taken)(value, step), step.end()
    return value


def _root(namespace: Mapping[str, Any], target: str) -> tuple[Any, int] | None:
    """Return the value of the name that a target begins with, and where the name ends."""
    for pattern in (_IDENTIFIER, _ASCII_IDENTIFIER):
        found = pattern.match(target)
        if found and (name := unicodedata.normalize("NFKC", found[0])) in namespace:  # as Python reads it
            return namespace[name], found.end()
    return None


def stored(value: Any, step: re.Match[str]) -> Any:
    """Take a step to what a value holds; none of its own code runs. Raises LookupError."""
    return attribute(value, step[1]) if step[1] else entry(value, ast.literal_eval(step[2]))


def _taken(value: Any, step: re.Match[str]) -> Any:
    try:
        return getattr(value, step[1]) if step[1] else value[ast.literal_eval(step[2])]
    except (LookupError, AttributeError, TypeError, ValueError, SyntaxError) as error:
        raise LookupError(step[0]) from error


def _candidates(prompt: str) -> Iterator[list[Mention]]:
    """Yield for each mark of a mention its readings, the most likely first, from left to right."""
    if "@" not in prompt and "{{" not in prompt:
        return
    spans = _spans(prompt)
    position = prose_until = 0
    while mark := _MARK.search(prompt, position):
        position = mark.end()
        if mark["fence"]:
            position = _end_of_fence(prompt, mark)
        elif mark["span"]:
            position = spans.get(mark.start(), position)
        elif mark["expression"]:
            if (mention := _expression(prompt, mark.start())) is not None:
                position = mention.end
                yield [mention]
        elif mark["at"]:
            at = mark.start("at")
            if mark["indent"] is not None and at >= prose_until:
                end, is_code = _code(prompt, at)
                if is_code:
                    position = end
                    continue
                prose_until = end
            if readings := _readings(prompt, at):
                yield readings
                position = max(reading.end for reading in readings)


def _spans(prompt: str) -> dict[int, int]:
    """Return where inline code and formulas begin -> where they end, each within its paragraph."""
    ends: dict[int, int] = {}
    closing: dict[str, int] = {}
    for mark in reversed([*_SPAN_MARK.finditer(prompt)]):
        text, begin, end = mark[0], mark.start(), mark.end()
        if text[0] == "\n":
            closing.clear()
            continue
        opens = _CLOSED_BY.get(text, text.replace("begin", "end"))
        # A price is no formula: as pandoc has it.
        before, after = prompt[begin - 1 : begin], prompt[end : end + 1]
        is_opening = text != "$" or not after.isspace()
        is_closing = text != "$" or not (before.isspace() or after.isdigit())
        if is_opening and opens in closing:
            ends[begin] = closing[opens]
        if is_closing:
            closing[text] = end
    return ends


_CLOSED_BY = {r"\(": r"\)", r"\[": r"\]"}


def _end_of_fence(prompt: str, fence: re.Match[str]) -> int:
    bar = fence["bar"]
    closing = re.compile(rf"^[ \t]*{bar[0]}{{{len(bar)},}}[ \t]*$", re.MULTILINE)
    end = closing.search(prompt, fence.end())
    return end.end() if end else len(prompt)


def _code(prompt: str, at: int) -> tuple[int, bool]:
    """Read decorators, or a rule of a style sheet, from `at`, the first of its line: to where, and whether it is one."""
    if style := _STYLE_RULE.match(prompt, at):
        return style.end(), True
    depth, end = 0, at
    for _ in range(_DECORATOR_LINES):
        stop = prompt.find("\n", end)
        line = prompt[end : stop if stop >= 0 else len(prompt)]
        if depth == 0:
            if _DEFINITION.match(line):
                return end, True
            if not _DECORATOR.match(line):
                break
        depth += sum(line.count(bracket) for bracket in "([{") - sum(line.count(bracket) for bracket in ")]}")
        if stop < 0:
            break
        end = stop + 1
    return end, False


def _expression(prompt: str, begin: int) -> Mention | None:
    """Return the Python expression between the double braces at `begin`."""
    limit = min(len(prompt), begin + _EXPRESSION_CHARS)
    inner = prompt.find("{{", begin + 2, limit)
    end = prompt.find("}}", begin, limit if inner < 0 else inner)
    while end >= 0:
        source = prompt[begin + 2 : end].strip()
        if source and _parsed(source) is not None:
            return Mention("expression", prompt[begin : end + 2], begin, end + 2, source)
        end = prompt.find("}}", end + 1, limit if inner < 0 else inner)
    return None


def _parsed(source: str) -> ast.Expression | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _readings(prompt: str, at: int) -> list[Mention]:
    """Return what the `@` at `at` may stand for, the most likely first."""

    def mention(kind: str, end: int, target: str, lines: tuple[int, int] | None = None) -> Mention:
        return Mention(kind, prompt[at:end], at, end, target, lines)

    begin = at + 1
    if numbered := _NUMBERED.match(prompt, begin):
        kind, target = filter(None, numbered.groups())
        return [mention(kind.lower(), numbered.end(), target)]
    if word := _WORD.match(prompt, begin):
        return [mention(word[1], word.end(), word[1])]
    if quoted := _QUOTED_PATH.match(prompt, begin):
        return [mention("file", *_with_lines(prompt, quoted.end(), quoted[1]))]
    names, paths = [], []
    if (path := _PATH.match(prompt, begin)) and path[0].strip("/~."):
        paths = [mention("file", *_with_lines(prompt, path.end(), path[0]))]
    if (name := _IDENTIFIER.match(prompt, begin)) and not _PACKAGE.match(prompt, name.end()):
        end = name.end()
        while step := _STEP.match(prompt, end):
            end = step.end()
        names = [mention("name", end, prompt[begin:end])]
    is_path = bool(paths) and not paths[0].target.isidentifier()
    readings = [*paths, *names] if is_path else [*names, *paths]
    return [each for each in readings if prompt[each.end : each.end + 1] != "@"]


def _with_lines(prompt: str, end: int, path: str) -> tuple[int, str, tuple[int, int] | None]:
    lines = _LINES.match(prompt, end)
    if lines is None:
        return end, path, None
    first = int(lines[1])
    return lines.end(), path, (first, int(lines[2] or first))


def _resolved(
    reading: Mention, namespace: Mapping[str, Any], is_file: Callable[[str], bool]
) -> Mention | None:
    """Return the mention, as long as it names something."""
    match reading.kind:
        case "name":
            length = _existing(namespace, reading.target)
        case "file":
            length = len(reading.target) if is_file(reading.target) else 0
        case "expression":
            length = 0 if _unknown_names(reading.target, namespace) else len(reading.target)
        case _:
            return reading
    if length == len(reading.target):
        return reading
    if not length:
        return None
    end = reading.begin + 1 + length
    return Mention(reading.kind, reading.text[: length + 1], reading.begin, end, reading.target[:length])


def _existing(namespace: Mapping[str, Any], target: str) -> int:
    """Count the characters of `name.attribute["key"]` that name something. The last attribute is not run."""
    root = _root(namespace, target)
    if root is None:
        return 0
    value, end = root
    while step := _STEP.match(target, end):
        if step[1] and step.end() == len(target) and _has_static(value, step[1]):
            return step.end()
        try:
            value = _taken(value, step)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # whatever a property of the user's raises, it is not there
            return end
        end = step.end()
    return end


def _has_static(value: Any, name: str) -> bool:
    try:
        inspect.getattr_static(value, name)
    except AttributeError:
        return False
    return True


def _unknown_names(source: str, namespace: Mapping[str, Any]) -> list[str]:
    """Return the names of an expression that stand for nothing."""
    tree = _parsed(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.arg)] if tree else []
    bound = {node.arg if isinstance(node, ast.arg) else node.id for node in nodes if not _is_loaded(node)}
    loaded = [node.id for node in nodes if isinstance(node, ast.Name) and _is_loaded(node)]
    missing = [name for name in loaded if name not in bound and name not in namespace]
    return [name for name in missing if not hasattr(builtins, name)]


def _is_loaded(node: ast.Name | ast.arg) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _note(mention: Mention, reading: Mention, namespace: Mapping[str, Any]) -> str | None:
    """Return what there is to say of a mention that means less, or something else, than it looks like."""
    if mention.kind in WORDS and mention.target == mention.kind and mention.target in namespace:
        return f"@{mention.target} is {WORDS[mention.target]}. For the variable, write {{{{ {mention.target} }}}}."
    rest = reading.target[len(mention.target) :]
    if rest.startswith("["):
        return f"{mention.target} has no {rest}, so {mention.target} itself is mentioned."
    return None


def _unknown(readings: list[Mention], namespace: Mapping[str, Any], files: Collection[str]) -> str | None:
    """Return what there is to say of what names nothing; nothing where it may well be meant as text."""
    reading = readings[0]
    if reading.kind == "expression":
        name = _unknown_names(reading.target, namespace)[0]
        return f"No variable named {name}. {shorten(reading.text, 40)} is sent as plain text."
    has_lines = any(each.lines for each in readings)
    word = reading.target if "/" in reading.target else re.split(r"[\[.]", reading.target)[0]
    variables = [] if "/" in word else [name for name in namespace if name[:1] != "_"]
    known = [*variables, *([] if "/" in word else WORDS), *files]
    near = _near(word, known) or _near(reading.target, files)
    if not near and not has_lines:
        return None
    kind = "file" if "/" in word else "variable or file"
    near = f'"{near}"' if " " in near else near
    if near == word:
        return f"{reading.text} is sent as plain text. Did you mean @{near}?"
    hint = f" Did you mean @{near}?" if near else ""
    return f"No {kind} named {reading.target if has_lines else word}. It is sent as plain text.{hint}"


def _near(word: str, known: Collection[str]) -> str:
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word[:100].lower(), names, n=1, cutoff=_NEAR)
    return names[near[0]] if near else ""
