"""The readers a safe text must survive, and what each makes of it: their parsers, not ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from markdown_it import MarkdownIt
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

READERS = Path(__file__).parent / "readers"
HOSTILE = Path(__file__).parent / "data" / "hostile.jsonl"

_TAGS = set(
    "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del s a table thead tbody tr th td "
    "input dl dt dd div span".split()
)
_ATTRIBUTES = {
    "a": {"href", "title", "class", "target", "rel"},
    "code": {"class"},
    "div": {"class"},
    "span": {"class"},
    "pre": {"class"},
    "ol": {"start"},
    "li": {"class"},
    "ul": {"class"},
    "input": {"type", "disabled", "checked", "class"},
    "th": {"align", "style"},
    "td": {"align", "style"},
    **{f"h{level}": {"id"} for level in range(1, 7)},
}
_TARGET = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
_STYLE = re.compile(r"text-align: ?(?:left|right|center)$")
_VOID = {"br", "hr", "input"}


@dataclass
class Page(HTMLParser):
    """A page of HTML against what Markdown alone can make; `faults` says what else is in it."""

    html: str
    faults: list[str] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    """Text between elements, outside of code: what MathJax reads, string by string."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._code = 0
        self._apart = True
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        self._apart = self._apart or tag != "br"
        self._code += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._apart = self._apart or tag != "br"
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if self._code:
            return
        if self._apart or not self.strings:
            self.strings.append(data)
        else:
            self.strings[-1] += "\n" + data
        self._apart = False

    def handle_comment(self, data: str) -> None:
        self.faults.append("a comment")

    def handle_decl(self, decl: str) -> None:
        self.faults.append("a declaration")

    def handle_pi(self, data: str) -> None:
        self.faults.append("an instruction")

    def unknown_decl(self, data: str) -> None:
        self.faults.append("a section")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name not in _ATTRIBUTES.get(tag, ()):
            self.faults.append(f"<{tag} {name}>")
        if name == "href" and not _TARGET.match(value):
            self.faults.append(f"a link to {value}")
        if name == "style" and not _STYLE.match(value):
            self.faults.append(f"a style {value}")


# A formula as MathJax looks for it in a page (processEscapes, processEnvironments).
_OPENER = re.compile(r"\\begin\s*\{([^}]*)\}|\\[\\$]|\$\$|\$|\\\(|\\\[")
_REACHING_OUT = re.compile(
    r"\\(?:href|url|require|html\w*|style|class|cssId|data|mmlToken|bbox|unicode|def|let|newcommand|input)(?![A-Za-z])"
)


def formulas(string: str) -> Iterator[str]:
    """What MathJax would typeset in one string of a page."""
    at = 0
    while opener := _OPENER.search(string, at):
        at = opener.end()
        if opener.group()[1:] in ("\\", "$") and opener.group()[0] == "\\":
            continue
        closer = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]"}.get(opener.group())
        end = _formula_end(string, at, closer or f"\\end{{{opener.group(1)}}}")
        if end >= 0:
            yield string[opener.start() : end]
            at = end


def _formula_end(string: str, at: int, closer: str) -> int:
    depth = 0
    for match in re.compile(re.escape(closer) + r"|\\(?:[a-zA-Z]|.)|[{}]", re.DOTALL).finditer(string, at):
        if match.group() == closer and not depth:
            return match.end()
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        depth = max(depth, 0)
    return -1


def page_faults(html: str) -> list[str]:
    page = Page(html)
    math = [each for string in page.strings for each in formulas(string) if _REACHING_OUT.search(each)]
    return page.faults + [f"a formula {each}" for each in math]


def strings(html: str) -> list[str]:
    return Page(html).strings


def ready_readers() -> None:
    """The JavaScript readers installed, as their lock file says; a clear failure where they cannot be."""
    if os.environ.get("CODEX_MAGIC_NO_NODE") == "1":
        pytest.skip("CODEX_MAGIC_NO_NODE=1: the JavaScript readers are not asked")
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail(
            "Node.js and npm are needed to ask JupyterLab's Markdown parser; CODEX_MAGIC_NO_NODE=1 goes without"
        )
    with FileLock(Path(tempfile.gettempdir()) / "codex_magic-readers.lock"):
        lock = (READERS / "package-lock.json").read_bytes()
        installed = READERS / "node_modules" / ".of-lock-file"
        if installed.exists() and installed.read_bytes() == lock:
            return
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=READERS, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f"npm could not install the Markdown readers: {done.stderr}")
        installed.write_bytes(lock)


def run_reader(script: str) -> str:
    return subprocess.run(
        ["node", script], cwd=READERS, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout


class Marked:
    """marked, alone and as JupyterLab uses it, in one Node process."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", "read.mjs"],
            cwd=READERS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Marked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, texts: Iterable[str]) -> list[dict[str, Any]]:
        """For each text what marked makes of it (`marked`) and what JupyterLab does (`lab`)."""
        answers = []
        assert self._node.stdin
        assert self._node.stdout
        for text in texts:
            self._node.stdin.write(json.dumps(text) + "\n")
            self._node.stdin.flush()
            answers.append(json.loads(self._node.stdout.readline()))
        return answers

    def close(self) -> None:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.close()
        self._node.wait()
        self._node.stdout.close()


def marked_faults(answer: dict[str, Any]) -> list[str]:
    """What is wrong with marked's reading of a safe text."""
    faults = []
    for name in ("marked", "lab"):
        found = answer[name]
        here = page_faults(found["page"])
        here += ["raw HTML"] * found["html"] + ["an image"] * found["images"]
        here += [f"a link to {link}" for link in found["links"] if not _TARGET.match(link)]
        faults += [f"{name}: {fault}" for fault in here]
    return faults


def nbconvert_page(text: str) -> str:
    return MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(text)


def nbconvert_faults(text: str) -> list[str]:
    tokens, _ = MarkdownWithMath(renderer=None).parse(text)  # type: ignore[arg-type]
    faults = [f"nbconvert: {fault}" for fault in page_faults(nbconvert_page(text))]
    return faults + [f"nbconvert: {each}" for each in _mistune_faults(tokens)]


def _mistune_faults(tokens: Any) -> Iterator[str]:
    for token in tokens if isinstance(tokens, list) else ():
        if token["type"] in ("block_html", "inline_html", "image"):
            yield token["type"]
        if token["type"] == "link" and not _TARGET.match(token["attrs"]["url"]):
            yield f"a link to {token['attrs']['url']}"
        yield from _mistune_faults(token.get("children"))


# With HTML on, so that raw HTML in a safe text would be seen; the tables and strikes of GitHub.
GFM = MarkdownIt("commonmark", {"html": True, "maxNesting": 1000}).enable(["table", "strikethrough"])
COMMONMARK = MarkdownIt("commonmark", {"html": True, "maxNesting": 1000})
# What the model's text means: raw HTML in it is text.
MEANT = MarkdownIt("commonmark", {"html": False, "maxNesting": 1000}).enable(["table", "strikethrough"])
for _parser in (GFM, COMMONMARK):
    _parser.validateLink = lambda url: True  # type: ignore[method-assign]


def markdown_it_faults(text: str) -> list[str]:
    return [
        f"markdown-it: {fault}" for parser in (GFM, COMMONMARK) for fault in page_faults(parser.render(text))
    ]


def codes(text: str, parser: MarkdownIt = MEANT) -> list[str]:
    """The code a reader sees, in order: blocks and spans."""
    found = []
    for token in parser.parse(text):
        if token.type in ("fence", "code_block"):
            found.append(token.content)
        elif token.type == "inline":
            found += [child.content for child in token.children or () if child.type == "code_inline"]
    return found
