"""TeX from a model, made harmless for MathJax, LaTeX and every Markdown parser that does not know mathematics.

A formula that cannot be made so is refused (`None`) and its caller shows the source as text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MATH_OPENER = re.compile(r"\$\$?|\\\\?[(\[]|\\begin\{([A-Za-z]+\*?)\}")
MOST_CHARS = 4096
"""Characters of one formula; a longer one is text, so that no opener costs more than this."""

# Commands that reach outside the formula: links, CSS, HTML, files, or definitions that outlive it.
_FORBIDDEN = re.compile(
    r"\\(?:href|url|hyper\w*|require|html\w*|style|class|cssId|data|mmlToken|unicode|bbox|includegraphics"
    r"|def|[egx]def|let|futurelet|global|long|outer|(?:re|provide)?newcommand|renewcommand|providecommand"
    r"|(?:re)?newenvironment|Newextarrow|Declare\w*|catcode|csname|char|expandafter|afterassignment|aftergroup"
    r"|input|include|write|read|openin|openout|immediate|special|usepackage|begingroup|setOptions|autoload"
    r"|texttip|mathtip|toggle|tooltip|definecolor|lua\w*|pdf\w*|verb|shipout|every\w+|loop|jobname|meaning)(?![A-Za-z])"
    r"|\^\^|@@|://|www\.",
    re.IGNORECASE,
)
ENVIRONMENTS = (
    "align aligned alignat alignedat array bmatrix Bmatrix cases dcases rcases eqnarray equation "
    "flalign gather gathered matrix multline pmatrix smallmatrix split subarray vmatrix Vmatrix CD"
).split()
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([^{}]*)\}")
_TAG_LIKE = re.compile(r"<(?=[A-Za-z/!?])")
_BRACKET_PAIR = re.compile(r"\](?=[(\[:])")
_ROW_SPACE = re.compile(r"\\\\\[\s*-?[\d.]+\s*[a-z]{2}\s*\]")
_COMMENT = re.compile(r"(?<!\\)%[^\n]*")
# A formula in a text in a formula; the text ends before it and begins again.
_IN_TEXT = re.compile(r"(\\(?:text\w*|mbox) *)\{([^{}$]*)\$((?:[^$\\]|\\[^$])+)\$", re.S)
_MOST_IN_TEXT = 8
# A line of a formula that some parser would take for the start of a block.
_BLOCK_START = re.compile(r"\n[ \t]*(?=[-+*#>=~|:_\d`])")
_DOLLAR = re.compile(r"(?<!\\)\$|\\\\\$")


_SIMPLE = re.compile(r"\s*\w(?:[\w ,+*/=(){}|'-]|\.(?=\d)|[<>] |\^(?=[\w({]))*", re.ASCII)
"""Formulas that need no other look than at their braces."""


class Formula(NamedTuple):
    """`tex` is safe between two `mark`s (one dollar or two); in its text the formula ends at `end`."""

    mark: str
    tex: str
    end: int


def find_formula(text: str, opener: re.Match[str], most: int) -> Formula | None:
    """Return the formula that begins with `opener` and ends at `most` or before, if it is one."""
    start, mark = opener.end(), opener[0]
    most = min(most, start + MOST_CHARS)
    if mark == "$":
        closer, end = mark, _dollar_end(text, start, most)
    else:
        closer = f"\\end{{{opener[1]}}}" if opener[1] else mark.translate({ord("("): ")", ord("["): "]"})
        end = _closer(text, closer, start, most)
    if end < 0 or (mark[0] == "\\" and text.find(mark, start, end) >= 0):
        return None
    tex = safe_tex(text[opener.start() : end + len(closer)] if opener[1] else text[start:end])
    if tex is None:
        return None
    return Formula("$" if mark[-1] in "$(" and mark != "$$" else "$$", tex, end + len(closer))


def _closer(text: str, closer: str, start: int, most: int) -> int:
    """Return the closer's place, not inside another escape; -1 where there is none."""
    at = text.find(closer, start, most)
    while at > 0 and (at - start - len(text[start:at].rstrip("\\"))) % 2:
        at = text.find(closer, at + 1, most)
    return at


def _dollar_end(text: str, start: int, most: int) -> int:
    """Return where `$...$` ends, or -1 when the dollar is money: see pandoc's rule for a dollar beside space or digit."""
    end = text.find("$", start, most)
    while end > 0 and text[end - 1] == "\\":
        end = text.find("$", end + 1, most)
    body = text[start:end]
    if end < 0 or not body or text.startswith("$$", end) or text[end + 1 : end + 2].isdigit():
        return -1
    if body[0].isspace() or body[-1].isspace():
        spaced = body[0].isspace() and body[-1].isspace() and re.search(r"[\\^_={}]", body)
        return end if spaced and "\n" not in body else -1
    return end


def safe_tex(body: str) -> str | None:
    """Return the formula between its delimiters, ready to stand between dollars; `None` if it is refused.

    What is refused has forbidden commands, unknown or unbalanced environments, unbalanced braces,
    a blank line, a backtick or a dollar: places where readers disagree on where the formula ends.
    """
    if _SIMPLE.fullmatch(body) and is_nested(body):
        return body.strip()
    body = _COMMENT.sub("", body).strip()
    for _ in range(_MOST_IN_TEXT if "$" in body else 0):
        body = _IN_TEXT.sub(r"\1{\2}\3\1{", body)
    body = re.sub(r"\\(?:text\w*|mbox) *\{\}", "", body)
    if not body.strip("\\ ") or _REFUSED.search(body) or _FORBIDDEN.search(body) or _DOLLAR.search(body):
        return None
    # Braces balance both as TeX reads them and as JupyterLab's scanner does.
    if not all(is_nested(re.sub(unread, "", body, flags=re.S)) for unread in (r"\\.", r"\\[{}$]")):
        return None
    if "\\" in body and not _environments_match(body):
        return None
    body = _ROW_SPACE.sub(r"\\\\ ", body)
    body = re.sub(r"\\\\(?=[()\[\]])", r"\\\\ ", body)
    body = _TAG_LIKE.sub("< ", body)
    body = _BRACKET_PAIR.sub("] ", body.replace("![", "! ["))
    body = _BLOCK_START.sub(" ", body).replace("~~", "~ ~").replace("~~", "~ ~")
    return body + " " if body.endswith(("\\", "$")) else body


_REFUSED = re.compile(r"`|\n[ \t]*\n")


def is_nested(text: str, pair: str = "{}") -> bool:
    """Return whether each opening mark has its closing one."""
    depth = 0
    for mark in filter(pair.__contains__, text):
        depth += 1 if mark == pair[0] else -1
        if depth < 0:
            return False
    return depth == 0


def _environments_match(body: str) -> bool:
    """Return whether each known environment has its end, and none is written in another way."""
    opened: list[str] = []
    pairs = _ENVIRONMENT.findall(body)
    for kind, name in pairs:
        if kind == "begin" and name.removesuffix("*") in ENVIRONMENTS:
            opened.append(name)
        elif kind == "begin" or not opened or opened.pop() != name:
            return False
    return not opened and len(pairs) == len(_ANY_ENVIRONMENT.findall(body))


_ANY_ENVIRONMENT = re.compile(r"\\(?:begin|end)(?![A-Za-z])")
