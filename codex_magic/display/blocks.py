"""The block structure of CommonMark, read line by line and written again in one plain form.

Every line is final as soon as it ends, but for the open leaf (a paragraph may become a heading or a table,
a fence its length): so a text costs the same whether it comes whole or in pieces. The plain form leaves
readers nothing to disagree about: fences of backticks longer than any inside, headings with `#`, rules as
`***`, table rows with outer bars, items indented by their marker, indented code as fences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from dataclasses import replace as changed

from .inlines import divide, rewrite, rewrite_part, safe_label, safe_target, safe_title, unescape
from .mathematics import ENVIRONMENTS

# Characters of a paragraph that are read again at each look before they become final.
_WINDOW = 4096
_SEGMENT = 2048
# Containers beyond this depth are shown as text: some readers count to six.
_DEPTH = 5
# Marks beyond this depth are text, so that no line costs more than a fixed number of steps.
_NESTING = 32

_BLANK = re.compile(r"[ \t]*$")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)(.*)$")
_HEADING_END = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_SETEXT = re.compile(r"(=+|-+)[ \t]*$")
_RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$")
_MARKER = re.compile(r"([*+-])(?=[ \t]|$)|(\d{1,9})([.)])(?=[ \t]|$)")
_DELIMITERS = re.compile(r"(?=.*-)(?=[|:-])(?!-[ \t])[ \t|:-]+$")
_ALIGNMENT = re.compile(r"(:)?-+(:)?$")
_DEFINITION = re.compile(
    r"[ ]{0,3}\[(?P<label>(?:\\.|[^\[\]\\])+)\]:[ \t]*\n?[ \t]*(?:<(?P<angle>(?:\\.|[^<>\\\n])*)>|(?P<bare>[^\s<]\S*))"
    r"(?P<title>(?:[ \t]+|[ \t]*\n[ \t]*)(?:\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\((?:\\.|[^()\\])*\)))?"
    r"[ \t]*(?:\n|$)",
    re.DOTALL,
)
_INFO = re.compile(r"[A-Za-z0-9][\w+#.-]{0,39}", re.ASCII)
_MATH_LINE = re.compile(r"\$\$|\\\[|\\\\\[|\\begin\{([A-Za-z]+\*?)\}")
# What JupyterLab's scanner takes out of a fence it does not see (one that is not at the margin).
_SCANNED_NESTED = re.compile(r"\$|\\\\[()\[\]]|\\begin\{")
_SCANNED = re.compile(r"\\\\[(\[]|\\begin\{")
# A diagram that could load something, or carry markup past nbconvert, which does not escape it.
_RISKY_DIAGRAM = re.compile(
    r"<[a-z/!?]|//|url|@\{|%%\s*\{|\\|&[#\w]|^\s*---|href|click|callback|@import|image", re.I | re.M
)


class _Line:
    """A line and how far into it we are, in characters and in columns (tabs stop at every fourth)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.column = 0
        self.spare = 0  # columns of a tab that are read but not yet used
        self.look()

    def look(self) -> None:
        at, column = self.at, self.column + self.spare
        text = self.text
        while at < len(text) and text[at] in " \t":
            column += 4 - column % 4 if text[at] == "\t" else 1
            at += 1
        self.next = at
        self.indent = column - self.column
        self.blank = at >= len(text)

    def advance(self, columns: int) -> None:
        """Past white space of so many columns, or what there is of it."""
        while columns:
            if self.spare:
                used = min(self.spare, columns)
                self.spare -= used
                self.column += used
                columns -= used
            elif self.at < len(self.text) and self.text[self.at] in " \t":
                self.spare = 4 - self.column % 4 if self.text[self.at] == "\t" else 1
                self.at += 1
            else:
                break
        self.look()

    def skip(self, characters: int) -> None:
        """Past characters that are not tabs, after the white space before them."""
        self.column += self.indent + characters
        self.at = self.next + characters
        self.spare = 0
        self.look()

    @property
    def rest(self) -> str:
        """All that is left, with a tab read in part as spaces."""
        return " " * self.spare + self.text[self.at :]

    @property
    def content(self) -> str:
        return self.text[self.next :]


@dataclass(eq=False)
class _Container:
    """A quote, a list or an item; `marker` and `width` are an item's, as it is written again."""

    kind: str
    sort: str = ""
    marker: str = ""
    width: int = 0
    fresh: bool = True
    empty: bool = True


@dataclass
class _Paragraph:
    text: str
    done: list[str] = field(default_factory=list)
    until: str | None = None
    before: str | None = None
    held: list[str] = field(default_factory=list)
    lazy: bool = False


@dataclass
class _Code:
    lines: list[str]
    info: str
    mark: str = ""
    run: int = 0
    indent: int = 0
    blanks: list[str] = field(default_factory=list)


@dataclass
class _Table:
    columns: int


_Leaf = _Paragraph | _Code | _Table | None


class Blocks:
    """Lines in, safe blocks out: `closed` is final, `open()` is the rest as it would be if the text ended here."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self._stack: list[_Container] = []
        self._leaf: _Leaf = None
        self._lines: list[str] = []
        self._root: _Container | None = None
        self._last: tuple[_Container, ...] = ()
        self._gap = False
        self._formulas = True

    def line(self, text: str) -> None:
        line = _Line(text)
        matched = self._match(line)
        if isinstance(self._leaf, _Code) and self._leaf.mark and matched == len(self._stack):
            self._fenced(self._leaf, line)
        elif isinstance(self._leaf, _Paragraph) and self._leaf.until:
            self._formula(self._leaf, line, text, matched)
        else:
            self._start(line, matched)

    def long_line(self, text: str) -> None:
        """The first part of a line too long to be anything but text or code."""
        line = _Line(text)
        matched = self._match(line)
        leaf = self._leaf
        if isinstance(leaf, _Code) and matched == len(self._stack) and (leaf.mark or line.indent >= 4):
            self._fenced(leaf, line) if leaf.mark else self._start(line, matched)
            return
        if isinstance(leaf, _Paragraph) and leaf.until:
            self._give_up(leaf)
            leaf = self._leaf
        if line.indent >= 4 and not isinstance(leaf, _Paragraph):
            self._start(line, matched)
        else:
            self._text(line, matched)

    def more(self, text: str) -> None:
        """More of the long line."""
        if isinstance(self._leaf, _Code):
            self._leaf.lines[-1] += text
        elif isinstance(self._leaf, _Paragraph):
            self._leaf.text += text
            self._divide(self._leaf)

    def finish(self) -> None:
        while isinstance(self._leaf, _Paragraph) and self._leaf.until:
            self._give_up(self._leaf)
        self._close_leaf()
        self._close_to(0)
        self._flush()

    def copy(self) -> Blocks:
        """A twin to try an ending on; what is closed stays here."""
        twin = Blocks()
        twins = {id(each): changed(each) for each in self._stack}
        twin._stack = [twins[id(each)] for each in self._stack]
        twin._last = tuple(twins.get(id(each), each) for each in self._last)
        twin._root = twins.get(id(self._root), self._root)
        twin._lines = list(self._lines)
        twin._gap = self._gap
        leaf = self._leaf
        if isinstance(leaf, _Paragraph):
            twin._leaf = changed(leaf, done=list(leaf.done), held=list(leaf.held))
        elif isinstance(leaf, _Code):
            twin._leaf = changed(leaf, lines=list(leaf.lines), blanks=list(leaf.blanks))
        else:
            twin._leaf = leaf
        return twin

    # Reading ----------------------------------------------------------------------------------------

    def _match(self, line: _Line) -> int:
        """How many open containers this line goes on with; the line is moved past their marks."""
        for index, container in enumerate(self._stack):
            if container.kind == "quote":
                if line.indent > 3 or line.text[line.next : line.next + 1] != ">":
                    return index
                line.skip(1)
                line.advance(min(line.indent, 1))
            elif container.kind == "item":
                if line.blank:
                    if container.empty:
                        return index
                    line.advance(min(line.indent, container.width))
                elif line.indent >= container.width:
                    line.advance(container.width)
                else:
                    return index
        return len(self._stack)

    def _fenced(self, code: _Code, line: _Line) -> None:
        closing = line.content.rstrip(" \t")
        if line.indent < 4 and closing and len(closing) >= code.run and not closing.strip(code.mark):
            self._close_leaf()
            return
        line.advance(min(line.indent, code.indent))
        code.lines.append(line.rest)

    def _formula(self, leaf: _Paragraph, line: _Line, text: str, matched: int) -> None:
        assert leaf.until
        leaf.held.append(text)
        leaf.text += "\n" + line.content
        if matched < len(self._stack) or line.blank or "`" in text or len(leaf.text) > _WINDOW:
            self._give_up(leaf)
        elif leaf.until in line.content:
            leaf.until = None
            leaf.held = []

    def _give_up(self, leaf: _Paragraph) -> None:
        """The formula never ended: its lines are read again as ordinary lines."""
        held, leaf.held, leaf.until = leaf.held, [], None
        first = held[0]
        leaf.text = leaf.before or first
        if leaf.before is not None:
            leaf.text = f"{leaf.before}\n{first}"
        self._formulas = False
        for text in held[1:]:
            self.line(text)
        self._formulas = True

    def _start(self, line: _Line, matched: int) -> None:
        """New containers, then the leaf of this line."""
        depth = len(self._stack)
        paragraph = isinstance(self._leaf, _Paragraph)
        while True:
            in_paragraph = paragraph and matched == depth == len(self._stack)
            if line.blank:
                self._blank(line, matched)
                return
            if line.indent >= 4:
                if paragraph and depth == len(self._stack):
                    break
                self._indented(line, matched)
                return
            content = line.content
            nest = matched < _NESTING
            if nest and content[0] == ">":
                matched = self._close_to(matched)
                line.skip(1)
                line.advance(min(line.indent, 1))
                self._enter(_Container("quote"))
                matched = len(self._stack)
            elif self._leaf_start(content, line, matched, in_paragraph):
                return
            elif nest and (marker := self._item(line, in_paragraph)):
                matched = self._close_to(matched)
                self._enter_item(line, marker)
                matched = len(self._stack)
            else:
                break
            paragraph = False
            depth = -1
        self._text(line, matched)

    def _leaf_start(self, content: str, line: _Line, matched: int, in_paragraph: bool) -> bool:
        """Whether the line is a heading, a fence, a rule, a heading's underline or a table's second row."""
        if content[0] == "#" and (heading := _HEADING.match(content)):
            self._close_to(matched)
            self._heading(len(heading.group(1)), _HEADING_END.sub("", heading.group(2)))
            return True
        if content[0] in "`~" and (fence := _FENCE.match(content)):
            self._close_to(matched)
            self._before_leaf()
            run = fence.group(1) or fence.group(3)
            info = fence.group(2) or fence.group(4) or ""
            self._leaf = _Code([], info, run[0], len(run), line.indent)
            return True
        if (
            in_paragraph
            and content[0] in "=-"
            and _SETEXT.match(content)
            and self._setext(1 if content[0] == "=" else 2)
        ):
            return True
        if in_paragraph and _DELIMITERS.match(content) and self._table(content):
            return True
        if content[0] in "*_-" and _RULE.match(content):
            self._close_to(matched)
            self._before_leaf()
            self._emit(["***"])
            return True
        return False

    def _item(self, line: _Line, in_paragraph: bool) -> re.Match[str] | None:
        marker = _MARKER.match(line.content)
        if not marker or not in_paragraph:
            return marker
        interrupts = (
            not _BLANK.match(line.content, marker.end()) and (marker.group(2) or "1").lstrip("0") == "1"
        )
        return marker if interrupts else None

    def _enter_item(self, line: _Line, marker: re.Match[str]) -> None:
        sort = marker.group(1) or marker.group(3)
        if not (self._stack and self._stack[-1].kind == "list" and self._stack[-1].sort == sort):
            self._enter(_Container("list", sort))
        before = line.indent
        length = marker.end()
        line.skip(length)
        if line.blank:
            space = 1
        elif line.indent >= 5:
            space = 1
            line.advance(1)
        else:
            space = line.indent
            line.advance(space)
        self._stack.append(_Container("item", sort, marker.group() + " ", before + length + space))

    def _enter(self, container: _Container) -> None:
        if container.kind != "item":
            self._before_leaf()
        self._stack.append(container)

    def _blank(self, line: _Line, matched: int) -> None:
        if isinstance(self._leaf, _Code) and not self._leaf.mark and matched == len(self._stack):
            line.advance(4)
            self._leaf.blanks.append(line.rest)
            return
        self._close_leaf()
        self._close_to(matched)
        self._gap = True

    def _indented(self, line: _Line, matched: int) -> None:
        line.advance(4)
        if isinstance(self._leaf, _Code) and not self._leaf.mark and matched == len(self._stack):
            self._leaf.lines += [*self._leaf.blanks, line.rest]
            self._leaf.blanks = []
            return
        self._close_to(matched)
        self._before_leaf()
        self._leaf = _Code([line.rest], "")

    def _text(self, line: _Line, matched: int) -> None:
        leaf = self._leaf
        if isinstance(leaf, _Paragraph):
            # A line without its containers' marks still belongs to their open paragraph.
            leaf.lazy = matched < len(self._stack) or line.indent >= 4
            self._add_text(leaf, line)
            return
        if isinstance(leaf, _Table) and matched == len(self._stack):
            self._row(leaf, line.content)
            return
        self._close_to(matched)
        self._before_leaf()
        self._leaf = _Paragraph("")
        self._add_text(self._leaf, line, first=True)

    def _add_text(self, leaf: _Paragraph, line: _Line, *, first: bool = False) -> None:
        before = None if first else leaf.text
        content = line.content
        leaf.text = content if first else f"{leaf.text}\n{content}"
        opener = _MATH_LINE.match(content) if self._formulas and content[:1] in "$\\" else None
        if opener and not leaf.done and not leaf.lazy:
            closer = _closer(opener)
            if closer and content.find(closer, opener.end()) < 0 and "`" not in content:
                leaf.until, leaf.before, leaf.held = closer, before, [content]
        self._divide(leaf)

    def _divide(self, leaf: _Paragraph) -> None:
        """Of a long paragraph all but the last part becomes final."""
        while len(leaf.text) >= _WINDOW and not leaf.until:
            shown, rest = divide(leaf.text[:_WINDOW], _SEGMENT, leaf.done[-1] if leaf.done else "")
            leaf.done.append(shown)
            leaf.text = rest + leaf.text[_WINDOW:]

    def _close_to(self, matched: int) -> int:
        """Closes the leaf and the containers beyond those that go on; a list ends with anything but its item."""
        self._close_leaf()
        while len(self._stack) > matched:
            container = self._stack.pop()
            if container.kind == "item" and container.fresh:
                self._stack.append(container)
                self._emit([""])
                self._stack.pop()
        return len(self._stack)

    def _before_leaf(self) -> None:
        """Anything but an item ends a list at this depth."""
        self._close_leaf()
        if self._stack and self._stack[-1].kind == "list":
            self._stack.pop()
        for container in self._stack:
            container.empty = False

    # Writing ----------------------------------------------------------------------------------------

    def _close_leaf(self) -> None:
        leaf, self._leaf = self._leaf, None
        if isinstance(leaf, _Paragraph):
            self._paragraph(leaf)
        elif isinstance(leaf, _Code):
            self._code(leaf)
        elif isinstance(leaf, _Table) and not self._stack:
            self._flush()

    def _paragraph(self, leaf: _Paragraph) -> None:
        if leaf.done:
            shown = "".join(leaf.done) + rewrite_part(leaf.text, leaf.done[-1])
            self._emit(shown.rstrip(" \t\n").split("\n"), text=True)
            return
        text = self._definitions(leaf.text)
        if text.strip():
            self._emit(rewrite(text.rstrip(" \t")).split("\n"), text=True)

    def _definitions(self, text: str) -> str:
        """Writes the definitions that a paragraph begins with, and gives what is left of it."""
        while text.startswith("[") and (found := _DEFINITION.match(text)):
            if found.group("title") and "\n\n" in found.group("title"):
                break
            target = found.group("angle") if found.group("angle") is not None else found.group("bare")
            label = safe_label(found.group("label"))
            safe = safe_target(unescape(target))
            title = unescape((found.group("title") or "").strip()[1:-1])
            text = text[found.end() :]
            if label and safe:
                self._emit([f"[{label}]: {safe}{safe_title(title)}"], apart=True)
            else:
                self._emit(rewrite(found.group().strip()).split("\n"), apart=True)
        return text

    def _setext(self, level: int) -> bool:
        leaf = self._leaf
        if not isinstance(leaf, _Paragraph) or leaf.done:
            return False
        self._leaf = None
        text = self._definitions(leaf.text)
        if not text.strip():
            self._leaf = None
            return False
        self._heading(level, " ".join(part.rstrip("\\").strip() for part in text.split("\n")))
        return True

    def _heading(self, level: int, text: str) -> None:
        self._before_leaf()
        shown = rewrite(text.strip(" \t"), line_start=False)
        if shown.endswith("#") and not shown.endswith("\\#"):
            shown = shown[:-1] + "\\#"
        self._emit([f"{'#' * level} {shown}".rstrip(" ")])

    def _table(self, delimiters: str) -> bool:
        leaf = self._leaf
        if not isinstance(leaf, _Paragraph) or leaf.done or leaf.lazy:
            return False
        before, _, header = leaf.text.rpartition("\n")
        if "|" not in header:
            return False
        cells, marks = _cells(header), [_ALIGNMENT.match(each) for each in _cells(delimiters)]
        if len(cells) != len(marks) or not all(marks):
            return False
        self._leaf = _Paragraph(before) if before else None
        self._close_leaf()
        shown = [f"{mark.group(1) or ''}---{mark.group(2) or ''}" for mark in marks if mark]
        self._emit([_row(cells), _row(shown, raw=True)], apart=True, joined=False)
        self._leaf = _Table(len(cells))
        return True

    def _row(self, table: _Table, text: str) -> None:
        cells = _cells(text)[: table.columns]
        self._emit([_row(cells + [""] * (table.columns - len(cells)))], joined=True)

    def _code(self, leaf: _Code) -> None:
        nested = bool(self._stack)
        text = "\n".join(leaf.lines)
        info = _language(leaf.info, text, nested=nested)
        longest = max(map(len, re.findall("`{3,}", text)), default=2)
        fence = "`" * (longest + 1)
        self._emit([fence + info, *leaf.lines, fence])
        if nested and _SCANNED_NESTED.search(text):
            self._gap = True

    def _emit(
        self, lines: list[str], *, apart: bool = False, joined: bool = False, text: bool = False
    ) -> None:
        """Writes a leaf's lines under their containers' marks; marks too deep are text, and only `text` follows them."""
        stack = self._stack
        root = stack[0] if stack else None
        if joined:
            pass
        elif root is None or root is not self._root:
            self._flush()
            self._root = root
        elif self._lines and (self._gap or apart or self._must_part()):
            self._lines.append(self._prefix(self._common()).rstrip(" "))
        first, rest = self._first_prefix(), self._prefix(len(stack))
        if marks := self._marks_as_text():
            if text:
                lines = [marks + lines[0], *lines[1:]]
            else:
                self._lines += [(first + marks).rstrip(" "), rest.rstrip(" ")]
                first = rest
        for index, line in enumerate(lines):
            self._lines.append(
                ((rest if index else first) + line) if line else (rest if index else first).rstrip(" ")
            )
        self._gap = False
        self._last = tuple(stack)
        if apart:
            self._gap = True
        if root is None and not apart and not joined:
            self._flush()

    def _common(self) -> int:
        count = 0
        for mine, other in zip(self._stack, self._last, strict=False):
            if mine is not other:
                break
            count += 1
        return count

    def _must_part(self) -> bool:
        """Where no empty line stood but readers could join what is not one: after a quote or an inner list."""
        common = self._common()
        left, entered = self._last[common:], self._stack[common:]
        if any(each.kind == "quote" for each in (*left, *entered)):
            return True
        if left and not (entered and entered[0].kind == "item"):
            return True
        return len(self._shown()) > _DEPTH

    def _first_prefix(self) -> str:
        parts = []
        for container in self._shown()[:_DEPTH]:
            mark = "> " if container.kind == "quote" else container.marker
            parts.append(mark if container.fresh or container.kind == "quote" else " " * len(mark))
            container.fresh = False
        return "".join(parts)

    def _marks_as_text(self) -> str:
        parts = []
        for container in self._shown()[_DEPTH:]:
            if container.fresh:
                parts.append(re.sub(r"([-+*.)>]) $", r"\\\1 ", container.marker or "> "))
                container.fresh = False
        return "".join(parts)

    def _prefix(self, depth: int) -> str:
        shown = self._shown(depth)[:_DEPTH]
        return "".join("> " if each.kind == "quote" else " " * len(each.marker) for each in shown)

    def _shown(self, depth: int = _NESTING * 2) -> list[_Container]:
        return [each for each in self._stack[:depth] if each.kind != "list"]

    def _flush(self) -> None:
        if self._lines:
            self.closed.append("\n".join(self._lines))
            self._lines = []
        self._root = None
        self._last = ()
        self._gap = False


def _closer(opener: re.Match[str]) -> str | None:
    if name := opener.group(1):
        return f"\\end{{{name}}}" if name in ENVIRONMENTS else None
    return {"$$": "$$", "\\[": "\\]", "\\\\[": "\\\\]"}[opener.group()]


def _cells(row: str) -> list[str]:
    """A table row's cells; a bar after a backslash belongs to its cell."""
    row = row.strip(" \t")
    cells = [part.replace("\\|", "|").strip(" \t") for part in re.split(r"(?<!\\)\|", row)]
    if cells and not cells[0] and row.startswith("|"):
        cells = cells[1:]
    if cells and not cells[-1] and row.endswith("|"):
        cells = cells[:-1]
    return cells


def _row(cells: list[str], *, raw: bool = False) -> str:
    shown = cells if raw else [rewrite(cell, cell=True, line_start=False) for cell in cells]
    return "| " + " | ".join(shown) + " |"


def _language(info: str, code: str, *, nested: bool) -> str:
    """The fence's language, unless a reader would do more than colour the code with it."""
    match = _INFO.match(unescape(info.strip()))
    words = unescape(info).split()
    if not match or match.group() != words[0]:
        return ""
    language = match.group()
    if language.lower().startswith("mermaid") and (language != "mermaid" or _RISKY_DIAGRAM.search(code)):
        return ""
    if (_SCANNED_NESTED if nested else _SCANNED).search(code) and language.lower() not in ("latex", "tex"):
        return ""
    return language
