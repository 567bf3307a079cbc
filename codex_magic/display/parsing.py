"""Markdown as markdown-it-py reads it, with mathematics; in one piece, or block by block while it grows.

Blocks and inline text are parsed apart: a block's extent is known before its links are, whose definitions may
come later.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from markdown_it import MarkdownIt, rules_block
from markdown_it.ruler import RuleOptionsType, Ruler
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

from codex_magic.protocol.plain import encodable, without_controls

from .mathematics import MATH_OPENER, MOST_CHARS, find_formula

References = dict[str, dict[str, Any]]
"""Targets of link definitions by their normalised labels, as markdown-it keeps them in its environment."""

_MOST_CONTAINERS = 32
"""Quotes and list items inside each other; the marks of more are text."""
_MOST_BRACKETS = 20
"""Brackets inside each other; each level costs time for every bracket of the text."""
_LONG_PARAGRAPH = 16_384
"""Characters after which a paragraph ends at the end of its line, so that no look reads more again."""

_BlockRule = Callable[[StateBlock, int, int, bool], bool]
_InlineRule = Callable[[StateInline, bool], bool]
_Rule = TypeVar("_Rule")


def parse_blocks(text: str, references: References) -> list[Token]:
    """Return the block tokens of `text`; the link definitions in it are added to `references`."""
    if (fence := _unclosed_fence(text)) is not None:
        return [fence]
    state = _State(text, _BLOCKS, {"references": references}, [])
    _BLOCKS.block.tokenize(state, 0, state.lineMax)
    return state.tokens


class _Token(Token):
    """Cheap to make: a small table has fifty, of which few need more than these."""

    attrs: Any = MappingProxyType({})
    map = children = None
    content = markup = info = ""
    block = hidden = False

    def __init__(self, type: str, tag: str, nesting: Literal[-1, 0, 1], level: int) -> None:
        self.type, self.tag, self.nesting, self.level = type, tag, nesting, level


class _State(StateBlock):
    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        self.level -= nesting < 0
        self.tokens.append(token := _Token(ttype, tag, nesting, self.level))
        self.level += nesting > 0
        return token


def parse_inline(text: str, references: References) -> list[Token]:
    """Return the tokens of a paragraph's, heading's or table cell's text."""
    kind = StateInline if text.isascii() else _Inline
    state = kind(text, _INLINE, {"references": references}, [])
    _INLINE.inline.tokenize(state)
    for rule in _INLINE.inline.ruler2.getRules(""):
        rule(state)
    return state.tokens


class _Inline(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        """Emphasis in a text without spaces ends beside punctuation too, as in `**注意：**本文`."""
        scanned = super().scanDelims(start, canSplitWord)
        end = start + scanned.length
        around = self.src[start - 1 : start], self.src[end : end + 1]
        if not canSplitWord or not any(map(_SPACELESS.match, around)):
            return scanned
        before, after = (bool(char) and not char.isspace() for char in around)
        return scanned._replace(can_open=after, can_close=before)


# Chinese, Japanese and Korean letters and punctuation.
_SPACELESS = re.compile(
    "[\u1100-\u11ff\u2e80-\u31ff\u3400-\u9fff\ua960-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)


class Passage(NamedTuple):
    """A top-level block: its source, with the blank lines after it, and its tokens."""

    source: str
    tokens: list[Token]


class BlockStream:
    """Cuts growing Markdown into its top-level blocks. `read` gives those that no further text can change."""

    def __init__(self) -> None:
        self.open = Passage("", [])
        """What may still change: the last block, with its source up to the last character."""
        self.references: References = {}
        """The link definitions of all that has been read."""
        self._final_references: References = {}
        self._arrived: list[str] = []
        self._begun = False

    def feed(self, delta: str) -> None:
        """Add text, divided anywhere."""
        self._arrived.append(delta)

    def read(self) -> list[Passage]:
        """Take in what has been fed; return the passages that have become final, in order."""
        arrived = "".join(self._arrived)
        # A line feed may follow the carriage return.
        self._arrived = ["\r"] if arrived.endswith("\r") else []
        if not (arrived := arrived.removesuffix("\r")):
            return []
        text = self.open.source + clean(arrived if self._begun else arrived.removeprefix("\ufeff"))
        self._begun = True
        self.references = dict(self._final_references)
        tokens = parse_blocks(text, self.references)
        lines = text.split("\n")
        starts = [at for at, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
        final = _count_final([tokens[at] for at in starts], text, lines)
        passages, line = [], 0
        for start, end in pairwise(starts[: final + 1]):
            after = _lines_of(tokens[start])[1]
            while after < len(lines) - 1 and _is_blank(lines[after]):
                after += 1
            passages.append(Passage("\n".join([*lines[line:after], ""]), tokens[start:end]))
            line = after
        self.open = Passage("\n".join(lines[line:]), tokens[starts[final] :] if starts else [])
        for label, reference in self.references.items():
            if reference["map"][0] < line:
                self._final_references.setdefault(label, reference)
        return passages


def clean(text: str) -> str:
    """Return `text` with `\\n` for every line end, and only what readers can show."""
    return encodable(without_controls(text.replace("\r\n", "\n").replace("\r", "\n")))


def _count_final(blocks: list[Token], text: str, lines: list[str]) -> int:
    """Return how many of the top-level blocks stay as they are whatever follows."""
    # Inside a formula, marks of lists and headings are blocks until its end has come, with no blank line before.
    run = re.split(r"\n[ \t]*\n", text[-MOST_CHARS:])[-1]
    growing = len(lines) - 1
    first_open = growing - run.count("\n") if _BLOCK_OPENER.search(run) else len(lines)
    for final in range(len(blocks) - 1, 0, -1):
        start, end = _lines_of(blocks[final])
        apart = _is_blank(lines[start - 1])
        # Tables and formulas need more than their first line to be what they are.
        is_sure = apart or blocks[final].type not in ("table", "math_block") or end <= growing
        if start == growing:
            is_sure = apart and not _NEARLY_AN_ITEM.match(lines[growing])
        if is_sure and _lines_of(blocks[final - 1])[1] <= first_open:
            return final
    return 0


_BLOCK_OPENER = re.compile(r"\$\$|\\\\?\[|\\begin\{")
# `2` may become `2.`, and the rule `- - -` what is in the next item of a list.
_NEARLY_AN_ITEM = re.compile(r"[-+*\d.) \t]*$")


def _lines_of(token: Token) -> tuple[int, int]:
    assert token.map is not None
    return token.map[0], token.map[1]


def _is_blank(line: str) -> bool:
    return not line.strip(" \t")


def _unclosed_fence(text: str) -> Token | None:
    """Return the one token of a fence at the margin that nothing closes yet, found at the speed of a search."""
    opened = _FENCE.match(text)
    if not opened or re.compile(rf"^ {{0,3}}{opened[1]}+[ \t]*$", re.M).search(text, opened.end()):
        return None
    content = text[opened.end() :]
    if not (whole := content.rstrip(" \t")) or whole[-1] == "\n":
        content = whole
    lines = 1 + content.count("\n") + (not content.endswith("\n"))
    return Token("fence", "code", 0, content=content, info=opened[2], markup=opened[1], map=[0, lines])


_FENCE = re.compile(r"(`{3,}(?=[^`\n]*\n)|~{3,})([^\n]*)\n")


# The parser's rules -----------------------------------------------------------------------------------


def _math_inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\" or not (opener := MATH_OPENER.match(state.src, state.pos)):
        return False
    formula = find_formula(state.src, opener, state.posMax)
    if formula is None:
        if opener[0] != "$$":
            return False
        # Not one formula: nor is the second dollar the beginning of another.
        state.pos += 2
        if not silent:
            state.pending += "$$"
        return True
    if not silent:
        token = state.push("math", "", 0)
        token.markup, token.content = formula.mark, formula.tex
        token.info = state.src[state.pos : formula.end]
    state.pos = formula.end
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own, which must not be taken for lists or headings."""
    at = state.bMarks[start] + state.tShift[start]
    if not _BLOCK_OPENER.match(state.src, at) or state.is_code_block(start):
        return False
    for line in range(start, end):
        is_outside = state.isEmpty(line) or state.sCount[line] < state.blkIndent
        if is_outside or state.eMarks[line] - at > MOST_CHARS:
            return False
        text = state.src[state.bMarks[line] : state.eMarks[line]]
        if not text.rstrip().endswith(("$$", "]", "}")):
            continue
        text = state.getLines(start, line + 1, state.blkIndent, False).strip(" \t")
        opener = MATH_OPENER.match(text)
        formula = find_formula(text, opener, len(text)) if opener else None
        if formula is None:
            continue
        if formula.end < len(text):
            return False
        if not silent:
            token = state.push("math_block", "", 0)
            token.content, token.info, token.map = formula.tex, text, [start, line + 1]
            state.line = line + 1
        return True
    return False


def _bounded(rule: _BlockRule) -> _BlockRule:
    """Let a rule see no more than `_LONG_PARAGRAPH` characters, to the end of their line."""

    def bounded(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        at, whole = state.bMarks[start], state.lineMax
        if state.src.find("\n\n", at, at + _LONG_PARAGRAPH) > 0:
            return rule(state, start, end, silent)
        longest = bisect_right(state.eMarks, state.eMarks[start] + _LONG_PARAGRAPH, start, whole)
        state.lineMax = min(whole, longest)
        try:
            return rule(state, start, min(end, longest), silent)
        finally:
            state.lineMax = whole

    return bounded


def _paragraph(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph, or a heading with a line below it.

    markdown-it tries every rule on every line of a paragraph for a heading's underline, which is seldom there.
    """
    at = state.bMarks[start]
    blank = state.src.find("\n\n", at)
    underline = _UNDERLINE.search(state.src, at, blank if blank > 0 else len(state.src))
    is_heading = underline is not None and rules_block.lheading(state, start, end, silent)
    return is_heading or rules_block.paragraph(state, start, end, silent)


_UNDERLINE = re.compile(r"[-=][ \t]*$", re.M)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table is one token, whose cells stand in its `meta`; a bar in a formula or after a backslash parts none."""
    at = state.bMarks[start + 1] + state.tShift[start + 1]
    if start + 2 > end or not (below := _BELOW_HEAD.match(state.src, at)):
        return False
    head = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    indents = [state.sCount[line] - state.blkIndent for line in (start, start + 1)]
    if "|" not in head or max(indents) > 3 or indents[1] < 0:
        return False
    marks, rows = _cells(below[0]), [_cells(head)]
    if not marks or len(marks) != len(rows[0]) or not all(map(_COLUMN.fullmatch, marks)):
        return False
    if silent:
        return True
    [ends], outer, state.parentType = state.md.block.ruler.getRules("blockquote"), state.parentType, "table"
    line, room = start + 2, _MOST_EMPTY_CELLS
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        if state.is_code_block(line) or ends(state, line, end, True):
            break
        cells = _cells(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        room -= max(0, len(marks) - len(cells))
        if room < 0:
            break
        rows.append([*cells, *[""] * (len(marks) - len(cells))][: len(marks)])
        line += 1
    state.parentType, state.line = outer, line
    token = state.push("table", "table", 0)
    token.map, token.meta = [start, line], {"rows": rows, "marks": marks}
    return True


_BELOW_HEAD = re.compile(r"(?!-[ \t])[|:-][|: \t-]+$", re.M)
_COLUMN = re.compile(r":?-+:?")
_MOST_EMPTY_CELLS = 65_536
"""markdown-it's own bound for the cells that rows do not have."""


def _cells(row: str) -> list[str]:
    """Return the cells of a table's row, without the backslashes before bars."""
    cells, at = (row.split("|"), len(row)) if "$" not in row and "\\" not in row else ([""], 0)
    for mark in _CELL_MARK.finditer(row, at):
        if mark.start() < at:
            continue
        opener = MATH_OPENER.match(row, mark.start())
        formula = find_formula(row, opener, len(row)) if opener else None
        end = formula.end if formula else mark.end()
        if mark[0] == "|":
            cells[-1] += row[at : mark.start()]
            cells.append("")
        else:
            cells[-1] += row[at:end].replace("\\|", "|")
        at = end
    cells = [cell.strip(" \t\v\f") for cell in (*cells[:-1], cells[-1] + row[at:])]
    return cells[0 if cells[0] else 1 : None if cells[-1] else -1]


_CELL_MARK = re.compile(rf"\\?\||\\\\(?=\$)|\\\$|{MATH_OPENER.pattern}")

_MARKS = {
    "math_block": "$\\",
    "fence": "`~",
    "blockquote": ">",
    "hr": "*-_",
    "list": "*+-0123456789",
    "reference": "[",
    "heading": "#",
    "newline": "\n",
    "math": "$\\",
    "escape": "\\",
    "backticks": "`",
    "strikethrough": "~",
    "emphasis": "*_",
    "link": "[",
    "image": "!",
    "autolink": "<",
    "entity": "&",
}
"""The first characters of what has a mark; the rules for other blocks look at every line."""


def _by_mark(ruler: Ruler[_Rule], chain: str = "") -> dict[str, list[_Rule]]:
    """Return the rules of a chain, in order, by the character that they can begin with; "": any other."""
    names = {rule.fn: rule.name for rule in ruler.__rules__}
    rules = [(rule, _MARKS.get(names[rule])) for rule in ruler.getRules(chain)]
    return {
        char: [rule for rule, begins in rules if begins is None or (char and char in begins)]
        for char in {"", *"".join(begins or "" for _, begins in rules)}
    }


def _one_rule(by_mark: dict[str, list[_BlockRule]]) -> _BlockRule:
    """Join block rules in one that tries only those a line can begin with."""
    others = by_mark[""]

    def rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        at = state.bMarks[start] + state.tShift[start]
        for each in by_mark.get(state.src[at : at + 1], others):  # noqa: SIM110  # a generator costs more
            if each(state, start, end, silent):
                return True
        return False

    return rule


def _parser(most_nesting: int) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": most_nesting, "tasklists": False})
    parser.disable(["html_block", "html_inline"])  # they would only look for what is off
    # The writer spells targets in its own way.
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]  # the parser's own seam
    parser.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    return parser.enable(["table", "strikethrough"])


def _block_parser() -> MarkdownIt:
    """Definitions of links to programs and data are text, by markdown-it's own rule."""
    parser = _parser(3 * _MOST_CONTAINERS)
    ruler = parser.block.ruler
    everywhere: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    ruler.before("fence", "math_block", _math_block, everywhere)

    def nested(rule: _BlockRule) -> _BlockRule:
        return lambda state, *place: state.level < 2 * _MOST_CONTAINERS and rule(state, *place)

    ruler.at("blockquote", nested(rules_block.blockquote), everywhere)
    ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    ruler.at("list", nested(rules_block.list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    ruler.at("reference", _bounded(rules_block.reference))
    ruler.at("paragraph", _bounded(_paragraph))
    parser.disable("lheading")  # `_paragraph` asks it
    chains = {chain: [_one_rule(_by_mark(ruler, chain))] for chain in ("", *everywhere["alt"])}
    ruler.getRules = lambda chainName="": chains[chainName]  # type: ignore[method-assign]
    return parser


def _append(state: StateInline, text: str) -> None:
    state.pending += text


def _tokenize(state: StateInline, by_mark: dict[str, list[_InlineRule]]) -> None:
    """markdown-it's loop, with only the rules that a mark can begin."""
    # Releases before 4.2 have no method for it.
    append = getattr(state, "append_pending", None) or partial(_append, state)
    while state.pos < state.posMax:
        mark = _MARK.search(state.src, state.pos, state.posMax)
        start = mark.start() if mark else state.posMax
        if start > state.pos:
            append(state.src[state.pos : start])
            state.pos = start
            if mark is None:
                break
        for rule in by_mark[state.src[start]] if state.level < _MOST_BRACKETS else ():
            if rule(state, False):
                break
        else:
            append(state.src[start])
            state.pos += 1
    if state.pending:
        state.pushPending()


_MARK = re.compile(r"[\n$\\`~*_\[!<&]")


def _inline_parser() -> MarkdownIt:
    """Every link is one, wherever it leads: the writer shows the text alone of those that must not be followed."""
    parser = _parser(_MOST_BRACKETS)
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # the parser's own seam
    parser.disable("fragments_join")  # the writer joins texts itself
    by_mark = _by_mark(parser.inline.ruler)
    parser.inline.tokenize = lambda state: _tokenize(state, by_mark)  # type: ignore[method-assign]
    return parser


_BLOCKS, _INLINE = _block_parser(), _inline_parser()
