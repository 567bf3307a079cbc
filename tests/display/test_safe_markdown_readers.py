"""No reader may find raw HTML, an image or a forbidden link in a safe text: judged by the readers' own parsers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_magic.display.safe_markdown import SafeMarkdown, escape_markdown, safe_markdown
from tests.display.hostile_text import MARKS, PIECES, hostile
from tests.display.reading import (
    GFM,
    HOSTILE,
    MEANT,
    Marked,
    codes,
    formulas,
    markdown_it_faults,
    marked_faults,
    nbconvert_faults,
    nbconvert_page,
    page_faults,
    ready_readers,
    run_reader,
    strings,
)

GENERATED = 20_000
CORPUS: list[str] = [json.loads(line) for line in HOSTILE.read_text("utf-8").splitlines()]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def marked() -> Iterator[Marked]:
    """marked as JupyterLab uses it; Node.js is needed, unless CODEX_MAGIC_NO_NODE=1 says to go without."""
    ready_readers()
    with Marked() as marked:
        yield marked


@pytest.fixture(scope="session")
def examples() -> list[str]:
    """The examples of the CommonMark specification."""
    ready_readers()
    found = json.loads(run_reader("examples.mjs"))
    assert len(found) > 600
    return found


def test_hostile_corpus(marked: Marked) -> None:
    assert len(CORPUS) >= 150
    assert_safe(CORPUS, marked)


def test_generated_texts(marked: Marked) -> None:
    assert_safe(list(hostile(GENERATED, seed=20261120)), marked)


def test_every_moment_of_the_hostile_corpus(marked: Marked) -> None:
    """What is on the screen while a text is still coming in is as safe as its end."""
    moments = [text[:end] for text in CORPUS for end in range(0, len(text), 7)]
    assert_safe(moments, marked)


def test_commonmark_examples_are_safe(examples: list[str], marked: Marked) -> None:
    assert_safe(examples, marked)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(MARKS), st.text(max_size=6), st.just("\n")))
)
def test_drawn_texts(pieces: list[str]) -> None:
    safe = safe_markdown("".join(pieces))
    assert nbconvert_faults(safe) + markdown_it_faults(safe) == []


def test_escaped_text_is_literal(marked: Marked) -> None:
    """Names, titles and error sentences: no markup at all, and the same characters."""
    for text, safe in ((text, escape_markdown(text)) for text in hostile(1000, seed=7)):
        assert markdown_it_faults(safe) + nbconvert_faults(safe) == []
        tags = set(re.findall(r"<(\w+)", GFM.render(safe))) - {"p", "a"}
        assert not tags, (text, safe)


def test_code_is_what_it_was(marked: Marked) -> None:
    """Where two reference parsers agree on what is code in a text, a reader of the safe text sees that code.

    Never other code; a span may be shown as text where it has marks that some reader would not leave alone,
    or stands in or at a link.
    """
    texts = [text.replace("<", "‹") for text in hostile(6000, seed=3) if not _MATHEMATICAL.search(text)]
    agreed = 0
    for text, answer in zip(texts, marked.read(texts), strict=True):
        meant = list(map(squeeze, codes(text)))
        if meant == list(map(squeeze, answer["codes"])):
            agreed += 1
            lost = missing(meant, list(map(squeeze, codes(safe_markdown(text)))))
            assert "](" in text or all(re.search(r"[`*_~\[\]\\]", code) for code in lost), (text, lost)
    assert agreed > 1000


def test_code_of_the_examples_is_what_it_was(examples: list[str]) -> None:
    lost = {text: missing(codes(text), codes(safe_markdown(text))) for text in examples}
    assert {text for text, codes in lost.items() if codes} == {"`` \\[\\` ``\n"}


def test_money_is_no_formula_on_a_page(marked: Marked) -> None:
    for text in (
        "costs $5 and $6",
        "**$5** or $6 or $7",
        "&#36;x&#36;",
        r"\$x\$",
        "| $5 | $6 and $7 |\n|-|-|",
    ):
        safe = safe_markdown(text)
        pages = [marked.read([safe])[0]["lab"]["page"], nbconvert_page(safe)]
        assert [each for page in pages for string in strings(page) for each in formulas(string)] == []


def test_mathematics_is_a_formula_on_a_page(marked: Marked) -> None:
    for text in (r"\(a<b\)", "$a<b$", r"\[a<b\]", "$$\na<b\n$$", "\\begin{align}\na<b\n\\end{align}"):
        safe = safe_markdown(f"text {text}\n\nand")
        for page in (marked.read([safe])[0]["lab"]["page"], nbconvert_page(safe)):
            found = [each for string in strings(page) for each in formulas(string)]
            assert [each.strip("$\n").replace(" ", "") for each in found if "a< b" in each] != [], (
                safe,
                page,
            )


def test_ordinary_answers_are_not_spoiled() -> None:
    """Typical Markdown means what it meant; only a heading is no entry of the table of contents."""
    for text in ANSWERS:
        meant = re.sub(r"<h\d>(.*?)</h\d>", r"<p><strong>\1</strong></p>", MEANT.render(text))
        assert MEANT.render(safe_markdown(text)) == meant


CJK = [
    "**注意：**正文です。",
    "これは**「引用」**です",
    "テスト**(注)**です",
    "**“强调”**中文",
    "*（注）*中文",
    "중요**(주)**입니다",
]


@pytest.mark.parametrize("text", CJK)
def test_a_text_without_spaces_has_its_emphasis_in_every_reader(marked: Marked, text: str) -> None:
    safe = safe_markdown(text)
    for page in (marked.read([safe])[0]["lab"]["page"], nbconvert_page(safe), GFM.render(safe)):
        assert "*" not in page
        assert re.search(r"<(strong|em)>", page)


def test_made_safe_twice_reads_the_same() -> None:
    for text in CORPUS + ANSWERS:
        once = safe_markdown(text)
        assert visible(safe_markdown(once)) == visible(once), text


def test_every_split_of_the_examples_ends_in_the_same_bytes(examples: list[str]) -> None:
    for text in examples:
        whole = safe_markdown(text)
        for at in range(len(text) + 1):
            stream = SafeMarkdown()
            stream.feed(text[:at])
            stream.feed(text[at:])
            assert stream.text == whole, (text, at)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_every_pace_ends_in_the_same_bytes(size: int) -> None:
    for text in [*CORPUS, *hostile(500, seed=5), "x" * 9000 + " `a` $b$\n" * 900, "~~~\n" + "`y" * 9000]:
        stream = SafeMarkdown()
        for at in range(0, len(text), size):
            stream.feed(text[at : at + size])
            if at % (8 * size) == 0 and len(text) < 1000:
                assert stream.text == safe_markdown(text[: at + size])
        assert stream.text == safe_markdown(text)


def test_long_paragraphs_and_lines_are_safe(marked: Marked) -> None:
    """What becomes final in the middle of a paragraph is cut where no reader notices."""
    runs = [" ".join(hostile(400, seed)).replace("\n", " ") for seed in range(6)]
    lines = [re.sub(r"\n+", "\n", run.replace(" ", "\n")) for run in runs]
    assert min(map(len, runs)) > 10_000
    assert_safe([*runs, *lines, *(run.replace(" ", "") for run in runs)], marked)


def assert_safe(texts: list[str], marked: Marked) -> None:
    safe = [safe_markdown(text) for text in texts]
    for text, shown, answer in zip(texts, safe, marked.read(safe), strict=True):
        faults = marked_faults(answer) + nbconvert_faults(shown) + markdown_it_faults(shown)
        assert faults == [], (text, shown)


def missing(meant: list[str], shown: list[str]) -> list[str]:
    """What was meant as code and is not shown as code; nothing else may be shown as code."""
    rest = iter(shown)
    lost = []
    following = next(rest, None)
    for code in meant:
        if code == following:
            following = next(rest, None)
        else:
            lost.append(code)
    assert following is None, (meant, shown)
    return lost


def squeeze(code: str) -> str:
    """References differ in white space at the ends of lines and of the text."""
    return re.sub(r"\s+", " ", code).rstrip()


def visible(text: str) -> str:
    """What a page shows of a text: its tags and words, without the marks that keep dollars apart."""
    page = GFM.render(text)
    assert page_faults(page) == []
    page = page.replace('<a href="#_"></a>', "").replace("\u2060", "")
    return re.sub(r"\s+", " ", page)


_MATHEMATICAL = re.compile(r"[$\v\f\u2028\u00a0&]|\\[(\[b]")

ANSWERS = [
    '# Title\n\nA *b* **c** ~~d~~ `e` [f](https://g.test/h?i=j&k=l "m").\n\n- one\n- two\n  - three\n\n1. a\n2. b\n',
    "Steps:\n\n1. Run\n\n   ```bash\n   pip install x\n   ```\n\n2. Then:\n   - `a`\n   - `b`\n\nDone.",
    "1. Run\n   ```bash\n   pip install x\n   ```\n2. Next\n",
    "| a | b |\n|:--|--:|\n| `1` | **2** |\n| 3 | [x](https://y.test) |\n\nafter",
    "> quote\n> - with list\n>\n> and `code`\n\n---\n\ntext",
    "```python\nx = \"<b>\" if a < b else '$'\n```\n\nthen\n\n    indented\n",
    "Use `dict[str, int]`, `a_b` and `**kwargs`; see <https://e.test/a_b> or me.\n\nLine one  \nline two\\\nthree",
    "Setext\n======\n\nTwo\n---\n\ntext with 1 < 2 & 3 > 2; AT&T; 5 * 3 * 2; snake_case_name; a\\*b",
    "- [ ] todo\n- [x] done\n\n* other\n* list\n\n3) three\n4) four",
    'See [the docs][d] and [d].\n\n[d]: https://docs.test/page "Docs"\n',
    "- a\n\n  second paragraph\n\n- b\n\n  > quoted\n\n  ```\n  code\n\n  more\n  ```\n",
    "Ends with a list:\n* one\n* two\n\nand **bold:** text — “quotes”, émojis 🎉 and 日本語。",
    "### `f(x)`\n\nReturns **x**.\n\n#### Example ####\n\n~~~text\nplain ```\n~~~\n",
]
