"""What of a prompt is a mention, and what stays text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_magic.context.mentions import Mention, find_mentions, insert, marks, resolve, value_at
from tests.context.lines import lines_run

FILES = {
    "data.csv",
    "src/app.py",
    "my data.csv",
    "df.csv",
    "Makefile",
    "~/notes.md",
    "../up.txt",
    ".env",
    "entre\u0301e.csv",
}

NAMESPACE = {
    "df": {"price": [1, 2], "a b": {"c": 3}},
    "model": SimpleNamespace(layers=[SimpleNamespace(name="one")], name="m"),
    "X": 1,
    "data": 2,
    "größe": 3,
    "कीमत": 3,
    "ราคาที่": {"ชื่อ": 1},
    "media": 4,
    "types": 5,
    "Out": {4: 6},
}


def mentions(prompt: str) -> list[tuple[str, str]]:
    found = resolve(prompt, NAMESPACE, is_file=FILES.__contains__).mentions
    assert all(prompt[each.begin : each.end] == each.text for each in found)
    return [(each.kind, each.target) for each in found]


@pytest.mark.parametrize(
    ("prompt", "kind", "target"),
    [
        ("Describe @df", "name", "df"),
        ("@df's columns?", "name", "df"),
        ("Look at @df.", "name", "df"),
        ("(@df)", "name", "df"),
        ("**@df**, please", "name", "df"),
        ("What about @df-based ones", "name", "df"),
        ("看一下@df的列", "name", "df"),
        ("Welche @größe?", "name", "größe"),
        ("Welche @gro\u0308ße?", "name", "gro\u0308ße"),
        ("@कीमत बताओ।", "name", "कीमत"),
        ('@ราคาที่["ชื่อ"]', "name", 'ราคาที่["ชื่อ"]'),
        ("@entre\u0301e.csv", "file", "entre\u0301e.csv"),
        ('@df["price"]', "name", 'df["price"]'),
        ("@df['a b'][\"c\"]!", "name", "df['a b'][\"c\"]"),
        ("@model.layers[0].name", "name", "model.layers[0].name"),
        ("@model.layers[-1]", "name", "model.layers[-1]"),
        ("@model.layers[7]", "name", "model.layers"),
        ("@model.Then go on", "name", "model"),
        ("@In[4] fails", "in", "4"),
        ("why is @Out[4] so", "out", "4"),
        ("@cell:3", "cell", "3"),
        ("@cell:4f2a-9c", "cell", "4f2a-9c"),
        ("@above", "above", "above"),
        ("use @cells.", "cells", "cells"),
        ("fix @error", "error", "error"),
        ("@output shows", "output", "output"),
        ("@output:4f2a9c01 shows", "output", "4f2a9c01"),
        ("what is @region:1f3c9a2b", "region", "1f3c9a2b"),
        ("rewrite @selection", "selection", "selection"),
        ("@src/app.py", "file", "src/app.py"),
        ("see @data.csv.", "file", "data.csv"),
        ("@df.csv", "file", "df.csv"),
        ("@Makefile", "file", "Makefile"),
        ("@~/notes.md", "file", "~/notes.md"),
        ("@../up.txt", "file", "../up.txt"),
        ("@.env", "file", ".env"),
        ('open @"my data.csv" first', "file", "my data.csv"),
        ("review @git:diff", "git", "diff"),
        ("It is {{ X + 1 }}.", "expression", "X + 1"),
        ('{{ {"a": {"b": X}} }}', "expression", '{"a": {"b": X}}'),
        ("{{ [len(c) for c in df] }}", "expression", "[len(c) for c in df]"),
    ],
)
def test_what_exists_is_mentioned(prompt, kind, target):
    assert mentions(prompt) == [(kind, target)]


@pytest.mark.parametrize(
    "prompt",
    [
        "Mail ana@df.example or <df@X>",
        "Thanks to @guido and @nobody_at_all",
        "`@df` and ``a ` @df``",
        "```python\n@df\n```",
        "```\n@df",
        "~~~\n@X\n```\n@X\n~~~",
        "$x @df$ and $$\n@X\n$$",
        r"\(a @X\), \[@df\] and \begin{align}@X\end{align}",
        "A@X, A @ X, (A)@X and a[0]@X",
        "@types/node and @angular/core",
        "@df@mastodon.social",
        "https://example.com/@df and npm://@X",
        "@property\n@functools.cache\ndef f(): ...",
        "@pytest.mark.parametrize(\n    'a', [1],\n)\nasync def test(a): ...",
        "  @X\n  class A:\n",
        "@media (max-width: 3px) {\n}",
        r"\@df and \`@",
        "@@ -1,3 +1,4 @@",
        "${{ secrets.X }} and {{{X}}} and \\frac{{a}}{{b}}",
        "{{ user.name }} and {{#each X}} {{}}",
        "@",
        "",
    ],
)
def test_all_else_stays_text(prompt):
    assert mentions(prompt) == []


def test_a_price_is_no_formula():
    assert mentions("It costs $5 for @df and $6 more") == [("name", "df")]


def test_code_ends_with_its_paragraph():
    assert mentions("an odd ` here\n\nand @df `") == [("name", "df")]


def test_a_file_may_be_mentioned_in_part():
    first, second = resolve(
        'see @src/app.py:10-40 and @"my data.csv":7.', {}, is_file=FILES.__contains__
    ).mentions
    assert (first.target, first.lines, first.text) == ("src/app.py", (10, 40), "@src/app.py:10-40")
    assert (second.target, second.lines) == ("my data.csv", (7, 7))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("@df2", ["No variable or file named df2.", "plain text", "@df?"]),
        ("@Modell", ["named Modell", "@model?"]),
        ("@src/ap.py", ["No file named src/ap.py", "@src/app.py?"]),
        ("@gone.py:3-4", ["gone.py"]),
        ('@df["prize"]', ['df has no ["prize"]']),
        ("{{ lenght + 1 }}", ["No variable named lenght"]),
        ("@erorr", ["@error?"]),
        ("@error.text", ["error.text is sent", "@error?"]),
    ],
)
def test_a_slip_of_the_pen_is_noted(prompt, words):
    (note,) = resolve(prompt, NAMESPACE, is_file=FILES.__contains__, files=FILES).notes
    assert [word for word in words if word not in note] == []


@pytest.mark.parametrize("prompt", ["@guido said", "@types/node", "@media", "@angular/core", "@Override"])
def test_what_is_near_nothing_is_not_noted(prompt):
    assert resolve(prompt, {"df": 1}, is_file=FILES.__contains__, files=FILES).notes == []


def test_a_variable_behind_a_word_is_told():
    found = resolve("@output", {"output": 1}, is_file=FILES.__contains__)
    assert found.mentions[0].kind == "output"
    assert "{{ output }}" in found.notes[0]


class Careful:
    @property
    def value(self) -> int:
        raise AssertionError("looked at")


def test_looking_whether_it_exists_runs_no_property():
    found = resolve("@careful.value", {"careful": Careful()}, is_file=FILES.__contains__)
    assert [each.target for each in found.mentions] == ["careful.value"]


def test_an_editor_marks_what_is_known_and_what_looks_meant_without_a_look_at_values():
    names = {"careful": Careful(), "df": 1}
    prompt = "@careful.value.more, @df2, @Makefile, @output:4f2a9c01, @guido and {{ lenght }}"
    marked = [(each.text, note) for each, note in marks(prompt, names, is_file=FILES.__contains__)]
    known = [text for text, note in marked if note is None]
    assert known == ["@careful.value.more", "@Makefile", "@output:4f2a9c01"]
    assert [text for text, note in marked if note] == ["@df2", "{{ lenght }}"]


def test_the_value_of_a_mention():
    assert value_at(NAMESPACE, 'df["a b"]["c"]') == 3
    assert value_at(NAMESPACE, "model.layers[-1].name") == "one"
    for target in ("model.gone", 'df["gone"]', "gone", "X[0]"):
        with pytest.raises(LookupError):
            value_at(NAMESPACE, target)


def test_expressions_are_replaced_by_their_texts():
    prompt = "{{ X }} of {{ data }}, @df"
    texts = {each: each.target.upper() for each in find_mentions(prompt) if each.kind == "expression"}
    assert insert(prompt, texts) == "X of DATA, @df"


PIECES = [
    "@",
    "df",
    " ",
    "\n",
    "`",
    "```",
    "$",
    "{{",
    "}}",
    "[",
    "]",
    '"',
    "a",
    ".",
    "/",
    ":",
    "1",
    "\\",
    "(",
    "é",
]
prompts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(deadline=None)  # a busy machine is no failure
@given(prompts)
def test_offsets_are_those_of_the_prompt(prompt):
    found = find_mentions(prompt)
    ends = [0, *(each.end for each in found)]
    for end, each in zip(ends, found, strict=False):
        assert end <= each.begin < each.end <= len(prompt)
        assert prompt[each.begin : each.end] == each.text
        assert each.text[0] in "@{"


@settings(deadline=None)  # a busy machine is no failure
@given(prompts)
def test_where_nothing_is_named_nothing_is_mentioned(prompt):
    kinds = {each.kind for each in resolve(prompt, {}, is_file=lambda path: False).mentions}
    assert kinds <= {
        "in",
        "out",
        "cell",
        "git",
        "expression",
        *("above cells error output selection".split()),
    }
    assert insert(prompt, {}) == prompt


@settings(deadline=None)  # a busy machine is no failure
@given(prompts, st.sampled_from(["@df", '@df["price"]', "@error", '@"my data.csv"']))
def test_a_mention_between_blanks_is_found_in_any_text(before, mention):
    prompt = before.replace("`", "").replace("~", "").replace("$", "").replace("\\", "") + f"\n\n {mention} "
    last = resolve(prompt, NAMESPACE, is_file=FILES.__contains__).mentions[-1]
    assert last.text == mention


HOSTILE = [
    "@a",
    "@df ",
    '@a["',
    "@a.b",
    "@a[0]",
    "{{ ",
    "{{ (",
    "}} ",
    "{{ a }} }} ",
    "` ",
    "`` ` ",
    "$a ",
    "\\( ",
    "\\begin{a}",
    "@a(\n",
    "@a\n",
    "\n \n",
    "\n    ",
    "```\n",
    '@"a ',
    "@/",
    "@a.",
    "@media ",
    "://",
    "~",
    "@Inn ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_prompts_take_linear_time(piece):
    def work(size: int) -> object:
        return resolve(piece * size, NAMESPACE, is_file=FILES.__contains__, files=FILES)

    assert lines_run(lambda: work(400)) <= 2.5 * lines_run(lambda: work(200)) + 2_000


def test_a_mention_is_a_value():
    assert find_mentions("@df") == [Mention("name", "@df", 0, 3, "df")]
