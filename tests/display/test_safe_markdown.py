"""What a reader of the safe text sees, for the cases a person would try first."""

from __future__ import annotations

import pytest

from codex_magic.display.safe_markdown import (
    SafeMarkdown,
    code_block,
    code_span,
    escape_markdown,
    safe_markdown,
)

CASES = {
    "<script>alert(1)</script>": "&lt;script>alert(1)&lt;/script>",
    "![alt](https://e.test/a.png)": "[alt](https://e.test/a.png)",
    "![alt](data:image/png;base64,AAAA)": "alt",
    "[![alt](https://e.test/a.png)](https://e.test)": "[alt](https://e.test)",
    "[text](javascript:alert)": "text",
    "[text](java&#115;cript&colon;alert)": "text",
    "[text](<JAVASCRIPT:alert>)": "text",
    "[text](#part)": "[text](#part)",
    "<https://e.test/a>": "<https://e.test/a>",
    "<foo:bar>": "&lt;foo:bar>",
    "`a <b>`": "`a <b>`",
    "``a ` b``": "``a ` b``",
    "a `b": "a &#96;b",
    r"\(x^2\)": "$x^2$",
    r"\[x < y\]": "$$x < y$$",
    "$a<b$": "$a< b$",
    "Title\n===": "**Title**",
    "    code <b>": "```\ncode <b>\n```",
    "~~~py\na\n~~~": "```py\na\n```",
    "```py\na": "```py\na\n```",
    "````\n```\n````": "````\n```\n````",
    "[a]: javascript:x": "&#91;a&#93;: javascript:x",
    "[a]\n\n[a]: https://e.test": "[a](https://e.test)",
    "![a][b]\n\n[b]: https://e.test": "[a](https://e.test)",
    "![a][b]": "!&#91;a&#93;&#91;b&#93;",
    "see https://e.test/a_(b).": r"see [https&#58;//e.test/a\_(b)](https://e.test/a_%28b%29).",
    "https://e.test/?a=1&b=2": "[https&#58;//e.test/?a=1&amp;b=2](https://e.test/?a=1&b=2)",
    "ftp://e.test": "ftp&#58;//e.test",
    "- [ ] todo": "- [ ] todo",
    "costs $5": r"costs \$5",
    "每次5~10分钟，每天2~3次": r"每次5\~10分钟，每天2\~3次",
    "~5 min and ~10 min": r"\~5 min and \~10 min",
    "H~2~O and x^2^": r"H\~2\~O and x\^2\^",
    "~~gone~~": "~~gone~~",
    r"C:\Users\me": r"C:\\Users\\me",
    "\x1b[31mred\x1b[0m\x07 a\u202eb\x85c": "&#91;31mred&#91;0m ab c",
    "| $P(A|B)$ | `x` |\n|---|---|\n| \\(a|b\\) | \\| |": (
        "| $P(A\\vert B)$ | `x` |\n| --- | --- |\n| $a\\vert b$ | \\| |"
    ),
    "| $5 | $6 |\n|---|---|": "| \\$5 | \\$6 |\n| --- | --- |",
    r"$$\text{if $x>0$, $y$}$$": r"$$\text{if }x>0\text{, }y$$",
    r"\[\mbox{no $x_{1}$ here}\]": r"$$\mbox{no }x_{1}\mbox{ here}$$",
    "## A **b** `c`": "**A b `c`**",
    "a\r\nb\rc": "a\nb\nc",
    "a\x00b\ud800": "a\ufffdb\ufffd",
    "\ufeffa": "a",
    "": "",
}


@pytest.mark.parametrize(("text", "safe"), CASES.items())
def test_safe(text: str, safe: str) -> None:
    assert safe_markdown(text) == safe


def test_money_is_not_mathematics() -> None:
    """Two dollars of one paragraph stand in different elements, which MathJax does not join."""
    assert safe_markdown("costs $5 and $6") == r"costs \$[](#_)5 and \$[](#_)6"
    assert safe_markdown("[x](#) [y](<#>) [z](#frag?x) [e](#\u00e9)") == "x y [z](#frag?x) [e](#%C3%A9)"


def test_closed_blocks_stay() -> None:
    stream = SafeMarkdown()
    stream.feed("one\n\ntwo")
    assert stream.text == "one\n\ntwo"
    assert stream.sources == ["one\n\n"]
    stream.feed(" more\n\nthree")
    assert stream.text == "one\n\ntwo more\n\nthree"
    assert stream.sources == ["one\n\n", "two more\n\n"]


@pytest.mark.parametrize(
    "text",
    [
        "- a\n\n- - - b",
        "1. a\n\n2. b",
        "a\n***bold***",
        "a\nb | c\n--- | --- d",
        "a\n$$\nx\n- y\n# z\n$$\nb",
        "[a]\n\nb\n\n[a]: https://e.test/one\n'title\nmore'\n\nc",
        "> a\n\n```\nb\n\n  \n```\n\nc",
    ],
)
def test_what_still_grows_may_change_the_block_before_it(text: str) -> None:
    stream = SafeMarkdown()
    for at, char in enumerate(text, start=1):
        stream.feed(char)
        assert stream.text == safe_markdown(text[:at])


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("Sales:\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n", r"\| a"),
        ("So $x^2 + y$ is\n\n$$\nx^2\n$$\n", r"\^2"),
        ("The \\(a_1\\) and\n\\[\na_2\n\\]\nend", r"\_"),
        ("So\n\n\\begin{align}\na &= b\n\\end{align}\n", "begin{align}\na &= b\n\n"),
        ("- a\n- b", "**"),
    ],
)
def test_no_table_and_no_formula_is_seen_as_text_while_it_comes(text: str, never: str) -> None:
    stream = SafeMarkdown()
    for char in text:
        stream.feed(char)
        assert never not in stream.settled
    assert stream.settled == stream.text == safe_markdown(text)


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("It costs $5 and", r"It costs \$5 and"),
        ("The variable $PATH\nholds", "The variable \\$PATH\nholds"),
        ("In `$x` and", "In `$x` and"),
        ("| no table\nbut a bar", "\\| no table\nbut a bar"),
        ("```\n$x\n| a", "```\n$x\n| a\n```"),
        ("a [0, 1) \\(not\n\nclosed", "a &#91;0, 1) (not\n\nclosed"),
    ],
)
def test_what_can_be_nothing_else_is_shown_at_once(text: str, settled: str) -> None:
    assert SafeMarkdown(text).settled == settled


def test_marks_beyond_what_readers_count_are_text() -> None:
    assert safe_markdown("> " * 40 + "deep").startswith("> > > > > ")
    assert "deep" in safe_markdown("> " * 40 + "deep")
    assert safe_markdown("- " * 40 + "deep").count("deep") == 1


def test_helpers_show_any_text() -> None:
    assert escape_markdown("# <b> *a*\n[x](y) `c`") == r"\# &lt;b> \*a\* &#91;x&#93;(y) &#96;c&#96;"
    assert code_span("a`b") == "``a`b``"
    assert code_block("```\n<b>\n```", "md") == "````md\n```\n<b>\n```\n````"
    assert code_block("a\r```\r<b>\x00") == "````\na\n```\n<b>\ufffd\n````"
    assert code_span("a\r# b") == "`a # b`"
