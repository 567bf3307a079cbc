"""Block and inline tokens written as Markdown that every reader reads alike.

Readers differ in where code, links and formulas begin and end, and each difference can turn code into live
HTML. So all that the parser has found is written in the one form all of them agree on, and of text every
character that could begin something is escaped. Each block stands alone: links carry their targets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import quote

from markdown_it.token import Token

from .mathematics import is_nested
from .parsing import References, clean, parse_inline

_WORD_JOINER = "\u2060"
# The same, in a form that begins and ends with punctuation.
_MARK = "&#8288;"
# An element that shows nothing: MathJax takes no formula from one side of it to the other. Its target is not `#`
# alone, which JupyterLab takes for a file and gives an address with the user's XSRF token.
_APART = "[](#_)"
# Containers beyond this depth are shown as text: some readers count to six.
_MOST_DEPTH = 5
# Characters of inline text after which some readers give up counting the delimiters of code.
_SHORT = 2048
# A longer text is written in parts of this many characters, each remembered while the last one grows.
_PART = 4096

Kind = Literal["lines", "cell", "heading", ""]
"""What inline text stands in: "" is one line."""


class BlockWriter:
    """Writes blocks whose links are looked up in `references`; remembers what it has written last."""

    def __init__(self) -> None:
        self._tokens: Iterator[Token] = iter(())
        self._references: References = {}
        self._before: dict[tuple[str, Kind, bool], str] = {}
        self._now: dict[tuple[str, Kind, bool], str] = {}

    def look_again(self, *, changed: bool = False) -> None:
        """Remember the last look only; `changed`: not even that, since definitions are others now."""
        self._before, self._now = ({} if changed else self._now), {}

    def write(self, tokens: Sequence[Token], references: References) -> str:
        self._tokens, self._references = iter(tokens), references
        blocks = (self._block(token, depth=0) for token in self._tokens)
        return "\n\n".join("\n".join(lines) for lines in blocks if any(lines))

    def _block(self, token: Token, depth: int) -> list[str]:
        match token.type:
            case "paragraph_open":
                return self._inline(self._content(), "lines").split("\n")
            case "heading_open":
                # A heading would stand in the notebook's table of contents.
                text = self._inline(self._content(), "heading")
                return [f"**{text}**"] if text else []
            case "fence" | "code_block":
                return code_lines(token.content, token.info, nested=depth > 0)
            case "math_block":
                tex = token.content
                if depth or "\n" not in tex:
                    # The marks of a container would be read as parts of the formula.
                    return [f"$${tex}$$".replace("\n", " ")]
                return ["$$", *tex.split("\n"), "$$"]
            case "hr":
                return ["___"]
            case "blockquote_open":
                inner = _joined([lines for _, lines in self._children("blockquote_close", depth)], loose=True)
                return inner if depth >= _MOST_DEPTH else [f"> {line}".rstrip() for line in inner or [""]]
            case "bullet_list_open" | "ordered_list_open":
                return self._list(token, depth)
            case "table":
                head, *rows = ([self._inline(cell, "cell") for cell in row] for row in token.meta["rows"])
                marks = [f"{':'[: m[0] == ':']}---{':'[: m[-1] == ':']}" for m in token.meta["marks"]]
                return [f"| {' | '.join(row)} |" for row in (head, marks, *rows)]
        return []

    def _children(self, closing: str, depth: int) -> Iterator[tuple[Token, list[str]]]:
        while (token := next(self._tokens)).type != closing:
            yield token, self._block(token, depth + 1)

    def _list(self, token: Token, depth: int) -> list[str]:
        items = []
        loose = False
        while (item := next(self._tokens)).nesting > 0:
            children = list(self._children("list_item_close", depth))
            loose |= any(child.type == "paragraph_open" and not child.hidden for child, _ in children)
            items.append((f"{item.info}{item.markup} ", [lines for _, lines in children]))
        shown = []
        for mark, blocks in items:
            inner = _joined(blocks, loose=loose) or [""]
            if depth >= _MOST_DEPTH:
                shown.append([re.sub(r"([-+*.)]) $", r"\\\1", mark), "", *inner])
            else:
                indent = " " * len(mark)
                rest = (f"{indent}{line}" if line else "" for line in inner[1:])
                shown.append([f"{mark}{inner[0]}".rstrip(), *rest])
        return _joined(shown, loose=loose)

    def _content(self) -> str:
        content = next(self._tokens).content
        next(self._tokens)
        return content

    def _inline(self, content: str, kind: Kind) -> str:
        is_long = len(content) > _PART
        if not is_long and not _MARKUP.search(content):
            return _as_text(content) if kind == "lines" else content
        shown = ""
        for text in _divide(content) if is_long else (content,):
            key = (text, kind, is_long)
            part = self._before.get(key)
            if part is None:
                part = InlineWriter(kind, part=is_long).write(parse_inline(text, self._references))
            self._now[key] = part
            shown += part
        shown = shown.strip(" \n")
        return "\n".join(map(_as_text, shown.split("\n"))) if kind == "lines" else shown


# Neither the parser nor the writer has anything to do where none of these is.
_MARKUP = re.compile(r"[^\w .,;'\"()+/?=#{}%-]|ww\.|  |_")


def _joined(blocks: Sequence[list[str]], *, loose: bool) -> list[str]:
    """The lines of blocks in one container; a blank line between where they could be read as one."""
    lines: list[str] = []
    for block in blocks:
        if any(block):
            if lines and (loose or lines[-1][:1] in (">", "|") or block[0][:1] in (">", "|")):
                lines.append("")
            lines += block
    return lines


def _divide(text: str) -> list[str]:
    """Cut a long text after spaces where no code, link or formula seems to be open.

    A part that begins without a space before it begins with a word joiner.
    """
    joiner, parts, start = "", [], 0
    while len(text) - start > _PART:
        most = start + _PART
        ends = [space.end() for space in _SPACES.finditer(text, start + _PART // 2, most)][::-1] or [most]
        end = next((at for at in ends if _seems_whole(text[start:at])), ends[0])
        parts.append(joiner + text[start:end])
        joiner = "" if text[end - 1] in " \n" else _WORD_JOINER
        start = end
    return [*parts, joiner + text[start:]]


_SPACES = re.compile(r"[ \n]")


def _seems_whole(text: str) -> bool:
    return text.count("[") == text.count("]") and not any(text.count(mark) % 2 for mark in ("`", "$", "**"))


_LINE_START = re.compile(
    r"(?P<number>\d{1,9})[.)](?=\s|$)"
    r"|[-+*|%](?=[ \t]|$)|#|>|=+[ \t]*$|~~~|:(?=[ \t:]|$)|([-*_])(?:[ \t]*\2){2,}[ \t]*$|[|:=-][|:\-=\s]*$"
)


def _as_text(line: str) -> str:
    """A line that begins no block, whatever it begins with."""
    line = line.strip(" \t")
    if match := _LINE_START.match(line):
        at = match.end("number") if match["number"] else 0
        return f"{line[:at]}\\{line[at:]}"
    return line


# Code and formulas as blocks ---------------------------------------------------------------------------

_INFO = re.compile(r"[A-Za-z0-9][\w+#.-]{0,39}(?=\s|$)", re.ASCII)
# What JupyterLab's scanner takes out of a fence it does not see (one that is not at the margin).
_SCANNED_NESTED = re.compile(r"\$|\\\\[()\[\]]|\\begin\{")
_SCANNED = re.compile(r"\\\\[(\[]|\\begin\{")
# A diagram that could load something, or carry markup past nbconvert, which does not escape it.
_RISKY_DIAGRAM = re.compile(
    r"<[a-z/!?]|//|url|@\{|%%\s*\{|\\|&[#\w]|^\s*---|href|click|callback|@import|image", re.I | re.M
)


def code_lines(code: str, info: str = "", *, nested: bool = False) -> list[str]:
    """A fence longer than any inside; `info` names the language in its first word.

    It is left out where a reader would do more than colour the code with it.
    """
    code = code.removesuffix("\n")
    fence = "`" * (max(map(len, re.findall("`{3,}", code))) + 1 if "```" in code else 3)
    language = match[0] if (match := _INFO.match(info.strip())) else ""
    name = language.lower()
    is_scanned = name not in ("latex", "tex") and (_SCANNED_NESTED if nested else _SCANNED).search(code)
    is_odd = name.startswith("mermaid") and (language != "mermaid" or _RISKY_DIAGRAM.search(code))
    head = fence if is_scanned or is_odd else fence + language
    return [head, *(code.split("\n") if code else ()), fence]


# Inline text -------------------------------------------------------------------------------------------

_SPACE = re.compile(r"\s")
_TEXTS = ("text", "text_special")
_TASK = re.compile(r"\[[ xX]\](?=[ \t])")
# Code that a reader would take for mathematics although it stands between backticks.
_CODE_AS_MATH = re.compile(r"\$\$|\\\\[(\[]|\\begin\{")
# Code that would be markup if its backticks were lost, and the marks of emphasis that may lose them.
_LIVELY = re.compile(r"<[A-Za-z/!?]|\]\(|!\[|ftp:", re.IGNORECASE)
_CODE_AS_MARKUP = re.compile(r"[*_~\[\]\\]")

_SPECIAL = re.compile(
    r"(?=[^\w .,;:'\"()+/=-]|_)"  # at most places no more is tried
    r"(?:[`<\[\]*~^\t\n\v\f\x1c-\x1f\x85\xa0\u2028\u2029]|(?<![^\W_])_|_(?![^\W_])|&(?=[#A-Za-z])"
    # An address in the eyes of marked, or the place holder that JupyterLab puts a formula in.
    r"|(?<=[\w.+!#$%&'*/=?^`{|}~-])@|@(?=@)"
    # A backslash before a word is a command of TeX to pandoc.
    r"|\\(?!begin|end|(?:eq)?ref)[A-Za-z0-9]|\\)"
)
_ESCAPES = {char: f"&#{ord(char)};" for char in "\\`[]@"} | {char: f"\\{char}" for char in "*_~^"}
_ESCAPES |= {"<": "&lt;", "&": "&amp;", "\xa0": "&nbsp;"}
_BACKSLASH = re.compile(r"&#92;(?=\\?\(|\[|&#9[12];|&#40;|begin|(?:eq)?ref)")
_AFTER_BACKSLASH = re.compile(r"\\?\(|\[|&#9[12];|&#40;|begin|(?:eq)?ref")
_BARE_URL = re.compile(r"(https?|ftp)://|www\.", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?<![^\W_])https?://(?:[\w.~:/?#@!'+,;=%&-]|\([\w.~:/?#@!'+,;=%&-]*\))*(?:[\w/#=&%+-]|\([\w.~:/?#@!'+,;=%&-]*\))"
    r"|(?<![^\s(])[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?![\w@:])",
    re.IGNORECASE,
)
_PLAIN_ADDRESS = re.compile(r"(?!.*(?:~~|@@))[A-Za-z0-9._~:/?#@!'+,;=%-]+\Z")


class InlineWriter:
    """Writes the tokens of one inline text. `part`: of a longer one, so what stands at its edges is unknown."""

    def __init__(self, kind: Kind = "", *, part: bool = False) -> None:
        self._breaks, self._cell, self._part = kind == "lines", kind == "cell", part
        self._unmarked = ("strong_open", "strong_close") if kind == "heading" else ()
        self._pieces: list[str] = []
        self._loose: set[str] = set()
        self._dollars = 0
        self._links = 0
        self._after_target = False
        self._is_ascii = True
        self._run: tuple[int, set[int]] | None = None
        """Where the marks of emphasis begin that stand last, and whether they open or close."""

    def write(self, tokens: Sequence[Token]) -> str:
        """See first which dollars could be a formula's, and which marks could end inside of code for older readers."""
        text = "".join(token.content for token in tokens if token.type in _TEXTS)
        codes = [token.content for token in tokens if token.type == "code_inline"]
        self._is_ascii = text.isascii()
        marks = {token.markup[0] for token in tokens if token.type in ("em_open", "strong_open", "s_open")}
        is_long = self._part or sum(len(token.content) for token in tokens) > _SHORT
        self._dollars = text.count("$") + any(token.type == "math" for token in tokens) + self._part
        self._loose = {"~"} & (marks | set(text))
        if any(map(_LIVELY.search, codes)):
            self._loose |= {"*", "_"} & (marks | set(text)) | ({"<", "[", ":"} if is_long else set())
        self._after_target = self._part and tokens[0].content.startswith(_WORD_JOINER)
        self._write_all(tokens)
        return "".join(self._pieces)

    def _write_all(self, tokens: Sequence[Token]) -> None:
        text = ""
        targets: list[str | None] = []
        rest = iter(tokens)
        for token in rest:
            if token.type in _TEXTS:
                text += token.content
                continue
            if text:
                self._text(text)
                text = ""
            if token.type == "link_open" and token.markup == "autolink":
                self._address(next(rest).content, str(token.attrs["href"]))
                next(rest)
            elif token.type == "link_open":
                targets.append(self._open_link(token, "href"))
            elif token.type == "link_close":
                self._close_link(targets.pop())
            elif token.type == "image":
                target = self._open_link(token, "src")
                # In a link or not, what stands for an image holds no other link.
                self._links += 1
                self._write_all(token.children or ())
                self._links -= 1
                self._close_link(target)
            elif token.type == "code_inline":
                self._code(token.content)
            elif token.type == "math":
                tex = token.content.replace("\n", " ")
                if self._cell:
                    tex = tex.replace("\\|", "\\Vert ").replace("|", "\\vert ")
                self._put(f"{token.markup}{tex}{token.markup}")
            elif token.type in ("softbreak", "hardbreak"):
                mark = "\\\n" if token.type == "hardbreak" else "\n"
                self._put(mark if self._breaks and not self._links else " ")
            elif token.type not in self._unmarked:
                start, kinds = self._run or (len(self._pieces), set())
                self._put(token.markup)
                self._run = None if self._is_ascii else (start, kinds | {token.nesting})
        self._text(text)

    def _put(self, piece: str) -> None:
        """Neighbours that would read as something else together are kept apart."""
        if not piece:
            return
        if self._run and piece[0] not in "*_~":
            self._flank(piece[0])
        last = self._pieces[-1] if self._pieces else "\n"
        before, first = last[-1], piece[0]
        # marked takes a tilde's neighbour with it, JupyterLab's scanner a dollar.
        # After a formula pandoc takes no digit, and after code and links braces are what it does with them.
        same = before in "`$" and first == before
        is_after_formula = before == "$" and first.isdigit() and not last.endswith("\\$")
        is_fence = before == "\n" and piece.startswith("```")
        if same or is_fence or is_after_formula or (first == "`" and before in "~$"):
            self._pieces.append(_WORD_JOINER)
        elif before == "!" and first == "[":
            self._pieces[-1] = f"{last[:-1]}&#33;"
        elif last.endswith("&#92;") and _AFTER_BACKSLASH.match(piece):
            self._pieces.append(_WORD_JOINER if self._links else _APART)
        self._pieces.append(f"\\{piece}" if first == "{" and not before.isspace() else piece)
        if self._after_target and _SPACE.search(piece):
            self._after_target = False

    def _flank(self, after: str) -> None:
        """Set what readers take for punctuation where emphasis has punctuation inside and a letter outside."""
        start, kinds = self._run or (0, set())
        before = self._pieces[start - 1][-1] if start else " "
        is_before, is_after = (unicodedata.category(char)[0] in "PS" for char in (before, after))
        if kinds == {-1} and is_before and not (is_after or after.isspace()):
            self._pieces.append(_MARK)
        elif kinds == {1} and is_after and not (is_before or before.isspace()):
            self._pieces.insert(start, _MARK)
        self._run = None

    def _text(self, text: str) -> None:
        if not self._pieces and self._breaks and (task := _TASK.match(text)):
            self._put(task[0])
            text = text[task.end() :]
        if not self._links and ("://" in text or "@" in text):
            at = 0
            for match in _ADDRESS.finditer(text):
                self._literal(text[at : match.start()])
                self._address(match[0], match[0] if "://" in match[0] else f"mailto:{match[0]}")
                at = match.end()
            text = text[at:]
        self._literal(text)

    def _literal(self, text: str) -> None:
        """Exactly these characters, whatever they are."""
        if "$" not in text:
            self._put(self._escaped(text))
            return
        first, *others = text.split("$")
        self._put(self._escaped(first))
        for part in others:
            # MathJax reads the page's text, so each of several dollars must stand in its own element.
            self._put("\\$" if self._dollars < 2 else "`$`" if self._links else f"\\${_APART}")
            self._put(self._escaped(part))

    def _escaped(self, text: str) -> str:
        text = _SPECIAL.sub(lambda m: _ESCAPES.get(m[0], f"\\{m[0]}" if m[0][1:] else " "), text)
        if "//" in text or "ww." in text.lower():
            text = _BARE_URL.sub(lambda url: url[0].replace("://", "&#58;//").replace(".", "&#46;"), text)
        if "&#92;" in text:
            text = _BACKSLASH.sub(f"&#92;{_WORD_JOINER if self._links else _APART}", text)
        return text.replace("|", "\\|") if self._cell else text

    def _address(self, shown: str, target: str) -> None:
        """A URL or mail address that is its own text."""
        safe = safe_target(target)
        if safe is None:
            self._literal(f"<{shown}>")
        elif self._links:
            self._literal(shown)
        elif _PLAIN_ADDRESS.match(shown):
            self._put(f"<{shown}>")
        else:
            self._put("[")
            self._links += 1
            self._literal(shown)
            self._close_link(f"]({safe})")

    def _open_link(self, token: Token, attribute: str) -> str | None:
        """What ends the link or the link that an image becomes; `None` if only its text may be shown."""
        target = None if self._links else safe_target(str(token.attrs[attribute]))
        if target is None:
            return None
        self._put("[")
        self._links += 1
        title = " ".join(str(token.attrs.get("title") or "").split())
        title = re.sub(r"(?![^\W_])[^ ,.\-?!:;/]", lambda char: f"&#{ord(char[0])};", title)
        return f']({target} "{title}")' if title else f"]({target})"

    def _close_link(self, end: str | None) -> None:
        if end is not None:
            self._links -= 1
            self._put(end)
            # Where a reader misses the link, its target is a bare URL that ends with the run it stands in.
            self._after_target = "://" in end

    def _code(self, text: str) -> None:
        shown = _code_span(text, cell=self._cell)
        if (
            shown is None
            or self._after_target
            or any(mark in text for mark in self._loose)
            # Some readers see no link, or a shorter one, around code with backticks or half a bracket in it.
            or (self._links and (shown.startswith("``") or not is_nested(text, "[]")))
        ):
            self._literal(text)
        else:
            self._put(shown)


def _code_span(text: str, *, cell: bool) -> str | None:
    """Code inside a line; `None` if no backticks can hold it for every reader."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not text or _CODE_AS_MATH.search(text) or (longest and _CODE_AS_MARKUP.search(text)):
        return None
    fence = "`" * (longest + 1)
    if text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " " and text.strip(" ")):
        text = f" {text} "
    return fence + (text.replace("|", "\\|") if cell else text) + fence


def code_span(text: str) -> str:
    """Code inside a line; what no backticks can hold for every reader is shown as text."""
    text = re.sub(r"\s*[\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", clean(text))
    return _code_span(text, cell=False) or plain_text(text)


def plain_text(text: str) -> str:
    """Exactly these characters as text, whatever they are; its addresses are links."""
    return InlineWriter().write([Token("text", "", 0, content=clean(text))])


def safe_target(target: str) -> str | None:
    """A link's target as every reader may follow it, or `None`: only http, https, mailto and in-page.

    One in the page is spelled as a browser spells it: JupyterLab takes any other for a file's.
    """
    target = _UNSEEN.sub("", target)
    if not re.match(r"(?i)https?://[^/?#]|mailto:[^/]|#.", target):
        return None
    unsafe = r"[^A-Za-z0-9\-._~:/?#@!+,;=%&]" if target.startswith("#") else r"(?![^\W_])[^\-._~:/?#@!+,;=%&]"
    target = re.sub(unsafe, lambda char: quote(char[0], safe="", errors="replace"), target)
    target = target.replace("@@", "%40%40").replace("~~", "%7E%7E")
    return re.sub(r"&(?=#?\w+;)", "&amp;", target)


_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffc-\uffff]")
