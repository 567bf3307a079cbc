"""What nbconvert makes of an answer for LaTeX: pandoc reads it, and takes none of its words for a command of TeX."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pypandoc
import pytest

from codex_magic.display.safe_markdown import escape_markdown, safe_markdown
from tests.display.hostile_text import hostile
from tests.display.reading import HOSTILE

pytestmark = pytest.mark.timeout(300)

GENERATED = 20_000
AT_ONCE = 250

WORDS = {
    r"in C:\Users\me\Documents": r"in C:\Users\me\Documents",
    r"\input{/etc/passwd} \immediate\write18{id}": r"\input{/etc/passwd} \immediate\write18{id}",
    r"the pattern \d+ or \w*": r"the pattern \d+ or \w*",
    r"\\input{x} \\\input{x}": r"\input{x} \\input{x}",
    "x^2+y^2=z^2 and H~2~O": "x^2+y^2=z^2 and H~2~O",
    r"`\input{x}`{=latex}": r"\input{x}{=latex}",
    "```{=latex}\n\\input{x}\n```": r"\input{x}",
    "\\begin{foo}\n\\input{x}\n\\end{foo}": r"\begin{foo} \input{x} \end{foo}",
    r"\newcommand{\a}{\input{x}} \a": r"\newcommand{\a}{\input{x}} \a",
    r"$ \input{x} $": r"$ \input{x} $",
    r"\(\input{x}\)": r"(\input{x})",
    "| text": "| text",
    "% text": "% text",
    "::: text\n\\foo": r"::: text \foo",
    "# Title {#name}": "Title {#name}",
    "text^[\\foo{x}]": r"text^[\foo{x}]",
    "---\ntitle: \\foo{x}\n---": r"title: \foo{x}",
    "| a |\n|---|\n| \\foo{x} |": r"a\foo{x}",
}
"""What is read where `text` was written; an answer keeps its words."""


@pytest.fixture(scope="module")
def pandoc() -> str:
    return pypandoc.get_pandoc_path()


@pytest.mark.parametrize(("text", "words"), WORDS.items())
def test_words_stay_words(pandoc: str, text: str, words: str) -> None:
    [blocks] = read(pandoc, [safe_markdown(text)])
    assert list(commands(blocks)) == []
    assert spoken(blocks).replace("\u2060", "").replace("\u00a0", " ").strip() == words


@pytest.mark.parametrize(
    "tex", [r"\(\alpha\)5", r"`a` \(\alpha\)", r"\(\alpha\){=latex}", r"\(\alpha\)\(\beta\)"]
)
def test_a_formula_is_one_whatever_stands_beside_it(pandoc: str, tex: str) -> None:
    [blocks] = read(pandoc, [safe_markdown(tex)])
    assert list(commands(blocks)) == []
    assert next(part["c"][1] for part in parts(blocks) if part["t"] == "Math") == r"\alpha"


def test_nothing_of_an_answer_is_a_command(pandoc: str) -> None:
    corpus = [json.loads(line) for line in HOSTILE.read_text("utf-8").splitlines()]
    texts = [*corpus, *WORDS, *hostile(GENERATED, seed=20261120)]
    for at in range(0, len(texts), AT_ONCE):
        some = texts[at : at + AT_ONCE]
        for show in (safe_markdown, escape_markdown)[: 2 if at < 2000 else 1]:
            for text, blocks in zip(some, read(pandoc, list(map(show, some))), strict=True):
                assert list(commands(blocks)) == [], (text, show(text))
                assert not any(ord(char) < 32 and char not in "\n\t" for char in spoken(blocks)), text


def read(pandoc: str, texts: list[str]) -> list[list[Any]]:
    """Return the blocks of each text, as pandoc reads them for nbconvert."""
    mark = "nothing else has this word"
    joined = "".join(f"{text}\n\n{mark}\n\n" for text in texts)
    command = [pandoc, "--from", "markdown", "--to", "json"]
    done = subprocess.run(command, input=joined, capture_output=True, text=True, encoding="utf-8", check=True)
    blocks: list[list[Any]] = [[]]
    for block in json.loads(done.stdout)["blocks"]:
        if block["t"] == "Para" and spoken([block]).strip() == mark:
            blocks.append([])
        else:
            blocks[-1].append(block)
    return blocks[:-1]


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """All elements inside, in order."""
    if isinstance(node, dict):
        if "t" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from parts(each)


def commands(blocks: list[Any]) -> Iterator[str]:
    return (str(part["c"]) for part in parts(blocks) if part["t"] in ("RawInline", "RawBlock"))


def spoken(blocks: list[Any]) -> str:
    """The words of the text and of its code."""
    shown = []
    for part in parts(blocks):
        if part["t"] in ("Space", "SoftBreak", "LineBreak"):
            shown.append(" ")
        elif part["t"] == "Str":
            shown.append(part["c"])
        elif part["t"] in ("Code", "CodeBlock"):
            shown.append(part["c"][1])
    return "".join(shown)
