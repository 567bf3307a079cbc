"""The end of a text that grows: the beginning of a table or a formula is no text, and what it is comes later.

Shown as it stands, a table would be a line of bars first, and a formula its TeX.
"""

from __future__ import annotations

import re

from .mathematics import MATH_OPENER, find_formula

_MOST_HELD = {"$": 80, "\\(": 400}
"""Characters after which what opens a formula is taken for text; those on lines of their own are longer."""
_MOST_ON_LINES = 2000

_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
_ROW = re.compile(r" {0,3}\|")
_BELOW_HEAD = re.compile(r"[ |:-]*")
_MARKS = re.compile(r"[ \t]*(?:[-=*_+]+[ \t]*)+|[ \t]*\d{1,9}[.)]?")
"""A last line that may become an item, a heading's underline or a rule."""


def settled_end(source: str) -> int | None:
    """Return where the part of a top-level block begins that is not clear yet; `None` where all of it is."""
    ends = [end for end in (_table_start(source), _formula_start(source)) if end is not None]
    return min(ends, default=None)


def _table_start(source: str) -> int | None:
    """Return where a table's first lines begin that have no complete line of dashes below them, or a line of marks."""
    lines = source.split("\n")
    last = len(source) - len(lines[-1])
    if _MARKS.fullmatch(lines[-1]):
        return last
    *_, before, above, _ = ["", "", *lines]
    if _ROW.match(above) and not _ROW.match(before) and _BELOW_HEAD.fullmatch(lines[-1]):
        return last - len(above) - 1
    return last if _ROW.match(lines[-1]) and not _ROW.match(above) else None


def _formula_start(source: str) -> int | None:
    """Return where a formula begins that nothing closes yet and that may still be one."""
    text = _CODE_SPAN.sub(lambda code: "." * len(code[0]), source)
    at = 0
    while opener := MATH_OPENER.search(text, at):
        formula = find_formula(text, opener, len(text))
        if formula is None and _is_open(opener[0], text[opener.end() :]):
            return opener.start()
        at = formula.end if formula else opener.end()
    return len(source) - 1 if source.endswith("\\") else None


def _is_open(mark: str, rest: str) -> bool:
    """Whether what follows `mark` may be the beginning of a formula; before a space or a digit a dollar is money."""
    most = _MOST_HELD.get(mark, _MOST_ON_LINES)
    if len(rest) > most or re.search(r"\n[ \t]*\n", rest):
        return False
    return mark != "$" or not (rest[:1].isspace() or rest[:1].isdigit() or "\n" in rest or "$" in rest)
