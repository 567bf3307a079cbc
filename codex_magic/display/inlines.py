"""The text of one paragraph, heading or table cell, rewritten so that every Markdown reader agrees on it.

Readers differ in where code, links and formulas begin and end, and each difference can turn code into
live HTML. So what this scanner recognises is written again in the one form all of them read alike, and
every other character that could begin something is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html.entities import html5
from typing import ClassVar

from .mathematics import ENVIRONMENTS, safe_tex

_WORD_JOINER = "\u2060"
# An element that shows nothing: MathJax takes no formula from one side of it to the other. Its target is not `#`
# alone, which JupyterLab takes for a file and gives an address with the user's XSRF token.
_APART = "[](#_)"

_SPECIAL = re.compile(r"[\\`<&\[\]!$\n]")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ENTITY = re.compile(r"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([A-Za-z][A-Za-z0-9]{1,31}));")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>\x00-\x20]*)>")
_MAIL = re.compile(r"<([A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)>")
_PLAIN_URL = re.compile(r"(?i:https?://|mailto:)[A-Za-z0-9._~:/?#@!'()*+,;=%-]+\Z")
_LABEL = re.compile(r"(?=[^\]]*\S)(?!.*~~)[^\[\]\\`<>$&!|\n]{1,200}\Z")
_TASK = re.compile(r"\[[ xX]\](?=[ \t])")
_BARE_URL = re.compile(r"(?i)(https?|ftp)://|www\.")
_BARE_URL_TAIL = re.compile(r"[^\s<]*")
_HARMLESS_URL = re.compile(r"[^\\`$|\"<>{}^@\[\]]*\Z")
_LINE_START = re.compile(
    r"(?P<number>\d{1,9})[.)](?=\s|$)"
    r"|[-+*](?=[ \t]|$)|#|>|=+[ \t]*$|~~~|:(?=[ \t]|$)|([-*_])(?:[ \t]*\2){2,}[ \t]*$|[|:=-][|:\-=\s]*$"
)
_AFTER_BACKSLASH = re.compile(r"\\?\(|\[|&#9[12];|&#40;|begin|(?:eq)?ref")
_BREAKS = ("\n", "\\\n")
# Brackets inside a link's target, as in the reference implementations.
_TARGET_DEPTH = 32
_LINE_BREAKS = re.compile(r"\s*[\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
# Code that a reader would take for mathematics although it stands between backticks.
_CODE_AS_MATH = re.compile(r"\$\$|\\\\[(\[]|\\begin\{")
# Code that would be markup if its backticks were lost, and the marks of emphasis that may lose them.
_LIVELY = re.compile(r"<[A-Za-z/!?]|\]\(|!\[|ftp:", re.IGNORECASE)
_EMPHASIS = {"*": re.compile(r"\*"), "_": re.compile(r"(?<![^\W_])_|_(?![^\W_])")}
_TILDES = re.compile(r"(?<!\\)~+")
_CODE_AS_MARKUP = re.compile(r"[*_~\[\]\\]")

_MARKS = frozenset("*_~!|")
_AS_ENTITY = {"<": "&lt;", "&": "&amp;", "[": "&#91;", "]": "&#93;"}

_OPAQUE, _TEXT, _DOLLAR, _MATH, _OPEN, _CLOSE, _BACKSLASH, _SHOWN = range(8)


def rewrite(text: str, *, cell: bool = False, line_start: bool = True) -> str:
    """Safe Markdown for inline text; its lines stay lines.

    `cell`: inside a table row, where every bar is escaped. `line_start=False`: the text continues a line.
    """
    first, *others = _rewritten(text, cell=cell, whole=True, before="").split("\n")
    return "\n".join([_as_text(first) if line_start else first, *map(_as_text, others)])


def rewrite_part(text: str, before: str) -> str:
    """As `rewrite`, for a part of a long text: what stands at its edges is not known to be the edge.

    `before` is the part before it, rewritten.
    """
    return "\n".join(map(_as_text, _rewritten(text, cell=False, whole=False, before=before).split("\n")))


def _rewritten(text: str, *, cell: bool, whole: bool, before: str) -> str:
    scan = _Scan(text, cell=cell, whole=whole)
    scan.joined = before.endswith(_WORD_JOINER)
    scan.run()
    return scan.result()


def _as_text(line: str) -> str:
    """A line that begins no block, whatever it begins with."""
    line = line.lstrip(" \t")
    if match := _LINE_START.match(line):
        at = match.end("number") if match.group("number") else 0
        return f"{line[:at]}\\{line[at:]}"
    return line


def divide(text: str, limit: int, before: str) -> tuple[str, str]:
    """`rewrite_part` for about so much of a long text, and the rest: no link, code or formula is cut."""
    scan = _Scan(text, cell=False, whole=False)
    scan.run()
    at = limit
    for start, end in sorted(scan.spans):
        if start < at < end:
            at = start or end
            break
    space = max(text.rfind(" ", 0, at), text.rfind("\n", 0, at))
    if space > 0 and not any(start <= space < end for start, end in scan.spans):
        at = space + 1
        while at < len(text) and text[at] in " \t\n":
            at += 1
    apart = "" if text[at - 1] in " \t\n" else _WORD_JOINER
    return rewrite_part(text[:at], before) + apart, text[at:]


def code_span(text: str, *, cell: bool = False) -> str:
    """Code inside a line; what no backticks can hold for every reader is shown as text."""
    text = _LINE_BREAKS.sub(" ", text)
    return _code(text, cell=cell) or literal(text)


def _code(text: str, *, cell: bool) -> str | None:
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not text or _CODE_AS_MATH.search(text) or (longest and _CODE_AS_MARKUP.search(text)):
        return None
    fence = "`" * (longest + 1)
    if text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " " and text.strip(" ")):
        text = f" {text} "
    if cell:
        text = text.replace("|", "\\|")
    return fence + text + fence


def literal(text: str, *, cell: bool = False, in_link: bool = False) -> str:
    """Exactly these characters as text, on one line, whatever they are."""
    scan = _Scan("", cell=cell, whole=False)
    scan.ranges = [(-1, len(text))] if in_link else []
    scan.show(_LINE_BREAKS.sub(" ", text))
    return scan.result()


def safe_target(target: str) -> str | None:
    """A link's target as every reader may follow it, or `None`: only http, https, mailto and in-page.

    One in the page is spelled as a browser spells it: JupyterLab takes any other for a file's.
    """
    target = re.sub(
        r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffc-\uffff]", "", target
    )
    if not re.match(r"(?i)https?://[^/?#]|mailto:[^/]|#.", target):
        return None
    in_page = target.startswith("#")
    kept = "".join(
        char
        if (char.isalnum() and not (in_page and ord(char) > 127)) or char in "-._~:/?#@!+,;=%&"
        else _percent(char)
        for char in target
    )
    kept = kept.replace("@@", "%40%40").replace("~~", "%7E%7E")
    return _ENTITY.sub(lambda entity: "&amp;" + entity.group()[1:], kept)


def safe_title(title: str) -> str:
    """A link's title with its quotes, or nothing."""
    kept = "".join(
        char if char.isalnum() or char in " ,.-?!:;/" else f"&#{ord(char)};"
        for char in " ".join(title.split())
    )
    return f' "{kept}"' if kept else ""


def safe_label(label: str) -> str | None:
    """A reference's label, if no reader can take it for something else."""
    return label if _LABEL.match(label) and not _BARE_URL.search(label) and "@" not in label else None


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


def unescape(text: str) -> str:
    """Backslash escapes and entities resolved, as in a link's target, a title and an info string."""
    parts = re.split(r"\\([!-/:-@\[-`{-~])", text)
    return "".join(part if index % 2 else _ENTITY.sub(_decode, part) for index, part in enumerate(parts))


def _decode(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    if name:
        return html5.get(name + ";", entity.group())
    return html.unescape(f"&#{int(hexadecimal, 16) if hexadecimal else int(decimal)};")


@dataclass
class _Bracket:
    piece: int
    start: int
    image: bool
    active: bool = True


@dataclass
class _Scan:
    text: str
    cell: bool
    whole: bool
    pieces: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    brackets: list[_Bracket] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    codes: list[tuple[int, str]] = field(default_factory=list)
    soft: list[tuple[int, str, int, str]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    at: int = 0
    joined: bool = False
    """Whether no white space parts the text from what stands before it."""
    _fences: dict[int, list[int]] | None = None

    def run(self) -> None:
        text, size = self.text, len(self.text)
        if match := _TASK.match(text):
            self.add(match.group(), _OPAQUE)
            self.at = match.end()
        while self.at < size:
            match = _SPECIAL.search(text, self.at)
            end = match.start() if match else size
            if end > self.at:
                self.plain(text[self.at : end])
                self.at = end
            if match:
                self._STEPS[match.group()](self)

    def add(self, piece: str, kind: int) -> None:
        if kind == _TEXT and self.kinds and self.kinds[-1] == _TEXT:
            self.pieces[-1] += piece
        else:
            self.pieces.append(piece)
            self.kinds.append(kind)

    def plain(self, run: str) -> None:
        if self.cell:
            run = run.replace("|", "\\|")
        self.add(run, _TEXT)

    def show(self, text: str) -> None:
        for char in text:
            self.literal(char)

    def literal(self, char: str, *, escaped: bool = False) -> None:
        """One character as itself; `escaped`: the text wrote it with a backslash, and keeps that."""
        if char == "$":
            self.add("\\$", _DOLLAR)
        elif char == "\\":
            self.add("&#92;", _BACKSLASH)
        elif char == "`":
            self.add("&#96;", _OPAQUE)
        elif char in _AS_ENTITY:
            self.add(_AS_ENTITY[char], _TEXT)
        elif char in _MARKS or (escaped and char in _PUNCTUATION and char not in "@()"):
            # An escaped @ would let marked make the place holder that JupyterLab puts a formula in.
            self.add("\\" + char, _TEXT)
        elif char in "\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\x00":
            self.add(" ", _TEXT)
        else:
            self.add(char, _TEXT)

    # Steps: each looks at the character at `self.at` and moves it on.

    def _backslash(self) -> None:
        text, at = self.text, self.at
        following = text[at + 1 : at + 2]
        if following in "([" and following and self._math(at, 2, "\\)" if following == "(" else "\\]"):
            return
        if text.startswith(("\\\\(", "\\\\["), at) and self._math(
            at, 3, "\\\\)" if text[at + 2] == "(" else "\\\\]"
        ):
            return
        if following == "b" and self._environment():
            return
        if following == "\n":
            self.spans.append((at, at + 2))
            self._line_break("\\")
            self.at += 2
        elif following in _PUNCTUATION and following:
            self.spans.append((at, at + 2))
            self.at += 2
            self.literal(following, escaped=True)
        else:
            if not following or text.startswith(("\\begin", "\\end"), at):
                self.add("&#92;", _BACKSLASH)
            else:
                self.add("\\", _OPAQUE)
            self.at += 1

    def _backtick(self) -> None:
        text, at = self.text, self.at
        match = re.compile("`+").match(text, at)
        assert match
        run = match.end() - at
        end = next((start for start in self._closing(run) if start >= match.end()), None)
        if end is None:
            self.add("&#96;" * run, _OPAQUE)
            self.at = match.end()
            return
        code = text[match.end() : end].replace("\n", " ")
        if code[0] == code[-1] == " " and code.strip(" "):
            code = code[1:-1]
        shown = _code(code, cell=self.cell)
        if shown is None:
            self.show(code)
        else:
            if shown.startswith("``") or not _bracketed(code):
                # Some readers see no link, or a shorter one, around code with backticks or half a bracket in it.
                dead = literal(code, in_link=True)
                self.soft.append((len(self.pieces), dead, len(self.pieces), dead))
            self.codes.append((len(self.pieces), code))
            self.add(shown, _OPAQUE)
        self.at = end + run
        self.spans.append((at, self.at))

    def _closing(self, run: int) -> list[int]:
        if self._fences is None:
            self._fences = {}
            for match in re.finditer("`+", self.text):
                self._fences.setdefault(len(match.group()), []).append(match.start())
        starts = self._fences.get(run, [])
        while starts and starts[0] <= self.at:
            starts.pop(0)
        return starts

    def _angle(self) -> None:
        match = _AUTOLINK.match(self.text, self.at) or _MAIL.match(self.text, self.at)
        if not match:
            self.add("&lt;", _OPAQUE)
            self.at += 1
            return
        if match.re is _AUTOLINK and ("~~" in match.group() or not _PLAIN_URL.match(match.group(1))):
            self.show(match.group())
            self.spans.append(match.span())
            self.at = match.end()
            return
        index = len(self.pieces)
        self.add(match.group(), _OPAQUE)
        dead = match.group(1).replace(":", "&#58;").replace("@", "&#64;")
        self.soft.append((index, dead, index, dead))
        self.spans.append(match.span())
        self.at = match.end()

    def _ampersand(self) -> None:
        match = _ENTITY.match(self.text, self.at)
        decoded = _decode(match) if match else ""
        if not match or decoded == match.group():
            self.add("&amp;" if match else "&", _TEXT)
            self.at += 1
            return
        self.spans.append(match.span())
        self.at = match.end()
        if decoded in ("$", "\\", "`", "|"):
            self.literal(decoded)
        elif decoded in ("\n", "\r", "\t", "\x00"):
            self.add(" ", _TEXT)
        else:
            self.add(match.group(), _OPAQUE)

    def _open(self) -> None:
        self.brackets.append(_Bracket(len(self.pieces), self.at + 1, image=False))
        self.add("&#91;", _OPEN)
        self.at += 1

    def _bang(self) -> None:
        if self.text.startswith("![", self.at):
            self.brackets.append(_Bracket(len(self.pieces), self.at + 2, image=True))
            self.add("!&#91;", _OPEN)
            self.at += 2
        else:
            self.add("!", _TEXT)
            self.at += 1

    def _close(self) -> None:
        at = self.at
        self.at += 1
        bracket = self.brackets.pop() if self.brackets else None
        if bracket is None or not bracket.active:
            self.add("&#93;", _TEXT)
        elif found := _destination(self.text, at + 1):
            self._link(bracket, *found)
        else:
            self._reference(bracket, at)

    def _link(self, bracket: _Bracket, target: str, title: str, end: int) -> None:
        self.spans.append((bracket.start - 1 - bracket.image, end))
        self.at = end
        safe = safe_target(target)
        if bracket.image and any(link > bracket.piece for link in self.links):
            safe = None
        if safe is None:
            self.pieces[bracket.piece] = ""
            if not bracket.image:
                self._deactivate(bracket)
            return
        opened, closed = bracket.piece, len(self.pieces)
        self.pieces[opened] = "["
        self.add(f"]({safe}{safe_title(title)})", _CLOSE)
        self.ranges.append((opened, closed))
        self.pieces[opened:closed] = [
            each if each not in _BREAKS else " " for each in self.pieces[opened:closed]
        ]
        self._kill_inside(bracket)
        if bracket.image:
            self.soft.append((opened, "", closed, ""))
        else:
            self.links.append(opened)
            self._deactivate(bracket)

    def _reference(self, bracket: _Bracket, at: int) -> None:
        """`[text][label]`, `[label][]` or `[label]`: its definition may come later, so it stays what it is."""
        inner = self.text[bracket.start : at]
        full = re.compile(r"\[([^\[\]]*)\]").match(self.text, at + 1)
        opened = bracket.piece
        simple = safe_label(inner)
        before = len(self.pieces)
        if full and full.group(1) and (label := safe_label(full.group(1))) and not self._covers_link(bracket):
            self._kill_inside(bracket)
            self.pieces[opened] = "["
            self.add(f"][{label}]", _CLOSE)
            self.ranges.append((opened, before))
            self.soft.append((opened, "&#91;", before, f"&#93;&#91;{label}&#93;"))
            self.at = full.end()
        elif simple is not None and not self._covers_link(bracket):
            tail = "[]" if full and not full.group(1) else ""
            self.pieces[opened] = "[" if tail or not bracket.image else "\\!["
            self.add("]" + tail, _CLOSE)
            self.soft.append(
                (
                    opened,
                    "!&#91;" if bracket.image else "&#91;",
                    before,
                    "&#93;" + ("&#91;&#93;" if tail else ""),
                )
            )
            self.at += len(tail)
        else:
            self.add("&#93;", _TEXT)
            return
        self.spans.append((bracket.start - 1 - bracket.image, self.at))

    def _covers_link(self, bracket: _Bracket) -> bool:
        return any(link > bracket.piece for link in self.links)

    def _kill_inside(self, bracket: _Bracket) -> None:
        for first, opening, last, closing in self.soft:
            if first > bracket.piece:
                self.pieces[first] = opening
                self.pieces[last] = closing
        self.soft = [entry for entry in self.soft if entry[0] <= bracket.piece]

    def _deactivate(self, bracket: _Bracket) -> None:
        for other in self.brackets:
            if not other.image:
                other.active = False

    def _dollar(self) -> None:
        text, at = self.text, self.at
        if text.startswith("$$", at):
            if not self._math(at, 2, "$$"):
                self.literal("$")
                self.literal("$")
                self.at += 2
        elif not self._math(at, 1, "$"):
            self.literal("$")
            self.at += 1

    def _math(self, at: int, width: int, closer: str) -> bool:
        text, start = self.text, at + width
        end = _dollar_end(text, start) if closer == "$" else _find(text, closer, start)
        if end < 0:
            return False
        body = safe_tex(text[start:end])
        if body is None:
            return False
        mark = "$" if closer in ("$", "\\)", "\\\\)") else "$$"
        if mark == "$" or self.cell:
            body = body.replace("\n", " ")
        if self.cell:
            body = re.sub(r"\\\|", r"\\Vert ", body)
            body = body.replace("|", "\\vert ")
        if "\n" in text[start:end] and mark == "$$" and not self.cell:
            body = f"\n{body}\n"
        self._add_math(mark + body + mark, at, end + len(closer))
        return True

    def _environment(self) -> bool:
        match = re.compile(r"\\begin\{([A-Za-z]+\*?)\}").match(self.text, self.at)
        if not match or match.group(1) not in ENVIRONMENTS:
            return False
        closer = f"\\end{{{match.group(1)}}}"
        end = self.text.find(closer, match.end())
        body = safe_tex(self.text[self.at : end + len(closer)]) if end >= 0 else None
        if body is None:
            return False
        if self.cell:
            body = body.replace("\n", " ").replace("|", "\\vert ")
        self._add_math(f"$${body}$$", self.at, end + len(closer))
        return True

    def _add_math(self, shown: str, start: int, end: int) -> None:
        self.add(shown, _MATH)
        self.spans.append((start, end))
        self.at = end

    def _newline(self) -> None:
        last = self.pieces[-1] if self.pieces else ""
        hard = last.endswith("  ") and self.kinds[-1] == _TEXT
        self._line_break("\\" if hard else "")
        self.at += 1

    def _line_break(self, mark: str) -> None:
        if self.pieces and self.kinds[-1] == _TEXT:
            self.pieces[-1] = self.pieces[-1].rstrip(" \t")
        self.add(mark + "\n", _OPAQUE)

    _STEPS: ClassVar[dict[str, Callable[[_Scan], None]]] = {
        "\\": _backslash,
        "`": _backtick,
        "<": _angle,
        "&": _ampersand,
        "[": _open,
        "]": _close,
        "!": _bang,
        "$": _dollar,
        "\n": _newline,
    }

    def result(self) -> str:
        self._settle_codes()
        self._settle_strikes()
        self._settle_dollars()
        self._settle_urls()
        shown: list[str] = []
        for index, piece in enumerate(self.pieces):
            if piece:
                self._join(shown, piece, index)
        text = "".join(shown)
        return text.rstrip(" \t") if self.whole else text

    def _join(self, shown: list[str], piece: str, index: int) -> None:
        """Neighbours that would read as something else together are kept apart."""
        last = shown[-1] if shown else ""
        before = last[-1:] or "\n"
        same = before == piece[0] and before in "`$"
        # marked takes a tilde's neighbour with it, JupyterLab's scanner a dollar.
        code = piece[0] == "`" and before in "~$"
        if same or code or (before == "\n" and piece.startswith("```")):
            shown.append(_WORD_JOINER)
        elif before == "]" and piece[0] in "(:":
            piece = ("&#40;" if piece[0] == "(" else "\\:") + piece[1:]
        elif before == "!" and piece[0] == "[" and not last.endswith("\\!"):
            shown[-1] = last[:-1] + "&#33;"
        elif last == "&#92;" and _AFTER_BACKSLASH.match(piece):
            shown[-1:] = [last, _WORD_JOINER if self._in_link(index) else _APART]
        shown.append(piece)

    def _settle_codes(self) -> None:
        """Where older readers end emphasis inside of code, that code is text if any could come to life by it."""
        if self.whole and not any(_LIVELY.search(code) for _, code in self.codes):
            return
        text = "".join(piece for piece, kind in zip(self.pieces, self.kinds, strict=True) if kind == _TEXT)
        for mark, within in _EMPHASIS.items():
            if self.whole and mark not in text:
                continue
            for index, code in self.codes:
                if within.search(code):
                    self._show_code(index, code)

    def _show_code(self, index: int, code: str) -> None:
        if self.kinds[index] == _OPAQUE:
            self.pieces[index] = literal(code, cell=self.cell, in_link=self._in_link(index))
            self.kinds[index] = _SHOWN

    def _settle_strikes(self) -> None:
        """nbconvert ends a strike-through wherever it finds tildes: only one around whole things is kept."""
        kept: set[tuple[int, int]] = set()
        opener: tuple[int, int] | None = None
        runs = [
            (index, run.start(), len(run.group()))
            for index, piece in enumerate(self.pieces)
            if self.kinds[index] == _TEXT and "~" in piece
            for run in _TILDES.finditer(piece)
        ]
        if not runs:
            return
        for index, start, length in runs:
            if length != 2:
                continue
            if opener is None:
                opener = (index, start) if not self._char(index, start + 2).isspace() else None
            elif not self._char(index, start - 1).isspace():
                if self._whole_between(opener[0], index):
                    kept |= {opener, (index, start)}
                opener = None
        coded = any("~" in code for _, code in self.codes)
        for index, start, length in reversed(runs):
            if coded or (length > 1 and (index, start) not in kept):
                piece = self.pieces[index]
                self.pieces[index] = piece[:start] + "\\~" * length + piece[start + length :]

    def _char(self, index: int, at: int) -> str:
        """The character at a place of a piece, or of its neighbour; a space beyond the ends."""
        step = -1 if at < 0 else 1
        if 0 <= at < len(self.pieces[index]):
            return self.pieces[index][at]
        beyond = range(index + step, -1 if step < 0 else len(self.pieces), step)
        return next((self.pieces[other][min(step, 0)] for other in beyond if self.pieces[other]), " ")

    def _whole_between(self, first: int, last: int) -> bool:
        """Whether no link is cut by the two pieces, and nothing between them has tildes of its own."""
        cut = any((start < first < end) != (start < last < end) for start, end in self.ranges)
        others = range(first + 1, last)
        return not cut and not any("~~" in self.pieces[each] for each in others if self.kinds[each] != _TEXT)

    def _settle_dollars(self) -> None:
        """Dollars that are not mathematics: MathJax reads the page's text, so each must stand in its own element."""
        dollars = [index for index, kind in enumerate(self.kinds) if kind == _DOLLAR]
        if len(dollars) + (_MATH in self.kinds) + (not self.whole) < 2:
            return
        for index in dollars:
            self.pieces[index] = "`$`" if self._in_link(index) else "\\$" + _APART

    def _in_link(self, index: int) -> bool:
        return any(start < index < end for start, end in self.ranges)

    def _settle_urls(self) -> None:
        """A bare URL is a link up to the next space in some readers: it must not take code or a formula with it."""
        if self.joined:
            self._show_codes(self._run_after(-1))
        for index, piece in enumerate(self.pieces):
            if self.kinds[index] == _CLOSE and "://" in piece:
                self._show_codes(self._run_after(index))
            if self.kinds[index] == _TEXT and ("://" in piece or "ww." in piece.lower()):
                self.pieces[index] = _BARE_URL.sub(partial(self._settle_url, index), piece)

    def _show_codes(self, run: Iterable[int]) -> None:
        """Where a reader misses a link, its target is a bare URL, which ends with the run it stands in."""
        codes = dict(self.codes)
        for index in run:
            if index in codes:
                self._show_code(index, codes[index])

    def _run_after(self, index: int) -> Iterator[int]:
        """The pieces that follow one without a space between."""
        for other in range(index + 1, len(self.pieces)):
            if re.search(r"[\s<]", self.pieces[other][:1]):
                return
            yield other
            if re.search(r"\s", self.pieces[other]):
                return

    def _settle_url(self, index: int, match: re.Match[str]) -> str:
        dead = match.group().replace("://", "&#58;//").replace(".", "&#46;")
        if match.group().lower().startswith("ftp"):
            return dead
        tail = _BARE_URL_TAIL.match(match.string, match.end())
        assert tail
        run, ends = tail.group(), tail.end() < len(match.string)
        for piece, kind in zip(self.pieces[index + 1 :], self.kinds[index + 1 :], strict=True):
            if ends or kind == _CLOSE:
                ends = True
                break
            part = _BARE_URL_TAIL.match(piece)
            assert part
            if kind != _TEXT and part.group():
                return dead
            run += part.group()
            ends = part.end() < len(piece)
        return match.group() if _HARMLESS_URL.match(run) and (ends or self.whole) else dead


def _find(text: str, closer: str, start: int) -> int:
    """The closer's place, not inside another escape."""
    at = text.find(closer, start)
    while at > 0 and text[at - 1] == "\\" and (len(text[:at]) - len(text[:at].rstrip("\\"))) % 2:
        at = text.find(closer, at + 1)
    return at


def _dollar_end(text: str, start: int) -> int:
    """Where `$...$` ends, or -1 when the dollar is money: see pandoc's rule for a dollar beside space or digit."""
    end = start
    while True:
        end = text.find("$", end)
        if end < 0 or "\n\n" in text[start:end]:
            return -1
        if text[end - 1] != "\\":
            break
        end += 1
    body = text[start:end]
    if not body or text.startswith("$$", end) or re.match(r"\d", text[end + 1 : end + 2]):
        return -1
    if body[0].isspace() or body[-1].isspace():
        spaced = body[0].isspace() and body[-1].isspace() and re.search(r"[\\^_={}]", body)
        return end if spaced and "\n" not in body else -1
    return end


def _bracketed(code: str) -> bool:
    """Whether square brackets balance."""
    rest = re.sub(r"[^\[\]]", "", code)
    while "[]" in rest:
        rest = rest.replace("[]", "")
    return not rest


def _destination(text: str, at: int) -> tuple[str, str, int] | None:
    """`(target "title")` at a place: its target, its title and where it ends."""
    match = _DESTINATION.match(text, at)
    if not match:
        return None
    end = match.end()
    angle = match.group("angle")
    if angle is None:
        stop = _bare_target_end(text, end)
        if stop < 0:
            return None
        target, end = text[end:stop], stop
    else:
        target = angle
    rest = _TITLE.match(text, end)
    if not rest:
        return None
    title = next((group[1:-1] for group in rest.groups() if group), "")
    return unescape(target), unescape(title), rest.end()


_DESTINATION = re.compile(r"\([ \t]*\n?[ \t]*(?:<(?P<angle>(?:\\.|[^<>\\\n])*)>)?")
_TITLE = re.compile(
    r"(?:[ \t]*(?:[ \t]|\n)[ \t]*\n?[ \t]*"
    r"(?:(\"(?:\\.|[^\"\\])*\")|('(?:\\.|[^'\\])*')|(\((?:\\.|[^()\\])*\))))?[ \t]*\n?[ \t]*\)",
    re.DOTALL,
)


def _bare_target_end(text: str, at: int) -> int:
    depth = 0
    size = len(text)
    while at < size:
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] in _PUNCTUATION and at + 1 < size:
            at += 1
        elif char == "(":
            depth += 1
            if depth > _TARGET_DEPTH:
                return -1
        elif char == ")":
            if not depth:
                return at
            depth -= 1
        elif char <= " " or char == "\x7f":
            return at if not depth else -1
        at += 1
    return -1
