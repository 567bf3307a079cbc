"""A question shows all of what would be done: what is shown reads back to exactly that."""

from __future__ import annotations

import html
import json
import re
import shlex
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex_magic.display.exact import change_diff, exact_diff, exact_line, exact_lines, original
from codex_magic.display.items import item_rows
from codex_magic.notebook.desk import LINE, WRAPPED, ask_by_text, question_markdown, question_plain
from codex_magic.notebook.question import Question, more_choices, question_text
from codex_magic.notebook.widgets import question_html
from codex_magic.protocol.types import CommandApproval, CommandExecution, FileChangeApproval, ToolCallApproval

IDS: dict[str, Any] = {"thread_id": "t", "turn_id": "u", "item_id": "i"}

ODD = st.sampled_from(
    "\u202e\u200b\u3164\uffa0\u115f\u1160\u2800\u034f\ufe0f\U000e0041\u00a0\u3000\u2028\x85\x0c\r\n\t\x1b\ud800\u0378"
    "\u0300\u0338\u20dd\u093e\u05d0\\{}U `'\"$<>|&#*_~[]→+- "
)
TEXT = st.text(st.one_of(ODD, st.characters()), max_size=60)


def asked(request):
    return question_text(Question(request, "/w"))


def command(text, **more):
    return CommandApproval(command=shlex.join(["/bin/bash", "-lc", text]), cwd="/w", **more, **IDS)


@pytest.mark.parametrize("shown_as", [exact_line, exact_lines, exact_diff])
@settings(deadline=None)
@given(text=TEXT)
def test_what_is_shown_reads_back_to_what_there_is(shown_as, text):
    assert original(shown_as(text)) == text


@settings(deadline=None)
@given(text=TEXT)
@example("ls\n")
@example("\nls ")
@example("[U+202E]")
@example("<mark>\u202e</mark>")
def test_a_command_reads_back_from_each_form(text):
    if "\\$" in text or "\\`" in text:
        text = text.replace("\\", "")
    there = asked(command(text))
    [passage] = there.passages
    assert original(passage.text) == text
    shown = re.sub(r"<mark>(\[U\+\w+\])</mark>", r"\1", question_html(there))
    lines = re.findall("<span>(.*?)</span>", shown, re.DOTALL)
    from_html = "\n".join("" if line == " " else html.unescape(line) for line in lines)
    assert original(from_html) == text
    assert original(_readquestion_plain(question_plain(there))) == text


def _readquestion_plain(plain):
    """The passages of a question in its text form, by the marks before their lines."""
    lines = []
    for line in plain.split("\n"):
        if line.startswith(LINE):
            lines.append(line.removeprefix(LINE))
        elif line.startswith(WRAPPED) and lines:
            lines[-1] += line.removeprefix(WRAPPED)
        elif lines:
            break
    return "\n".join(lines)


@settings(deadline=None)
@given(text=TEXT)
def test_nothing_unseen_is_left_and_no_line_of_ours_can_be_imitated(text):
    """By Unicode's own categories, which the escapes do not go by alone."""
    there = asked(command(text, reason=text).__class__(command=text, cwd=text, reason=text, **IDS))
    plain = question_plain(there)
    unseen = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
    assert not [char for char in plain if char != "\n" and unicodedata.category(char) in unseen]
    assert not set(plain) & set("\u3164\uffa0\u115f\u1160\u2800\u034f\ufe0f\u00a0\u3000")
    heads = [line for line in plain.split("\n") if not line.startswith((LINE, WRAPPED))]
    undone = "Can’t be undone"
    assert [head.split(":")[0] for head in heads] in (
        ["Allow Codex to run this command?", undone],
        ["Allow Codex to run this command?", "In", undone],
        ["Allow Codex to run this command?", "In", undone, "Codex says"],
        ["Allow Codex to run this command?", undone, "Codex says"],
    )


def test_every_code_point_reads_back_and_those_that_hide_are_written_out():
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        there = exact_line(f"a{char}b")
        if unicodedata.category(char)[0] in "CZ" and char != " ":
            assert there == f"a[U+{code:04X}]b"
        else:
            assert original(there) == f"a{char}b"


def test_names_with_line_feeds_are_one_line():
    request = FileChangeApproval(
        changes=({"path": "/w/notes.md\nChanged: harmless.md", "kind": {"type": "add"}, "diff": "x\n"},),
        grant_root="/tmp\nThe agent's reason: harmless",
        **IDS,
    )
    there = asked(request)
    assert there.passages[0].title == "New: notes.md[U+000A]Changed: harmless.md"
    assert there.facts == (
        ("Size", "1 line added, 0 removed"),
        ("Also allows, from now on, to write below", "/tmp[U+000A]The agent's reason: harmless"),
    )
    assert "\nChanged: harmless" not in question_plain(there) + question_markdown(there)


def test_a_long_line_is_not_continued_where_lines_of_ours_begin(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    plain = question_plain(asked(command("touch x" + " " * 29 + "In: /safe")))
    assert all(len(line) < 40 for line in plain.split("\n"))
    assert "\nIn: /safe" not in plain


def test_a_long_answer_on_offer_is_not_continued_there_either(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    seen = []

    def no(legend, *_, **__):
        seen.append(legend)
        return "d"

    monkeypatch.setattr("codex_magic.notebook.desk.read_typed_line", no)
    words = ("x" * 3 + "  d  No" * 20, "b")
    ask_by_text(Question(command("x", proposed_execpolicy_amendment=words), "/w"), None)
    lines = seen[0].split("\n")
    assert all(len(line) < 40 for line in lines)
    assert [line[:5] for line in lines if line.startswith("  d")] == ["  d  "]


def test_the_end_of_a_long_command_and_of_a_long_diff_is_there():
    long = "true\n" * 5_000 + "rm -rf ~"
    added = FileChangeApproval(changes=({"path": "a", "kind": {"type": "add"}, "diff": long},), **IDS)
    for request in (command(long), added):
        there = asked(request)
        for form in (question_html(there), question_plain(there), question_markdown(there)):
            assert "rm -rf ~" in form


@pytest.mark.parametrize("end", ["\x0c", "\r", "\x85", "\u2028", "\x1c"])
def test_only_a_line_feed_begins_a_line_of_a_diff(end):
    diff = change_diff({"kind": {"type": "add"}, "diff": f"a{end}b\nc"})
    assert diff == f"+a{end}b\n+c\n\\ No newline at end of file\n"


def test_words_of_a_beginning_are_told_apart():
    labels = {
        more_choices(command("x", proposed_execpolicy_amendment=words))[0].label
        for words in (("echo", "a b"), ("echo", "a", "b"), ("echo a", "b"), ("echo", "a", "b", ""))
    }
    assert len(labels) == 4


def test_the_agents_own_shell_is_told_apart_from_none():
    with_shell, without = asked(command("touch x")), asked(CommandApproval(command="touch x", **IDS))
    assert with_shell.passages == without.passages
    assert with_shell.facts != without.facts


@pytest.mark.parametrize("script", ["echo \\$(date)", "echo \\`date\\`"])
def test_what_two_ways_of_quoting_read_differently_is_shown_as_it_came(script):
    request = CommandApproval(command=f'/bin/bash -lc "{script}"', **IDS)
    assert asked(request).passages[0].text == request.command


@settings(deadline=None)
@given(arguments=st.dictionaries(TEXT, TEXT, max_size=3))
def test_arguments_of_a_call_read_back(arguments):
    [passage] = asked(ToolCallApproval(tool="act", arguments=arguments, **IDS)).passages
    assert json.loads(original(passage.text)) == arguments


def test_a_card_and_a_step_tell_of_a_character_that_nobody_sees():
    there = question_html(asked(command("echo ok\necho \u202ehs | live\u202c")))
    assert "echo <mark>[U+202E]</mark>hs" in there
    assert "Line 2 has an invisible character, shown as [U+202E]." in there
    [row] = item_rows(CommandExecution("c", "echo \u202ehs", status="completed"))
    assert row.plain() == "Ran echo [U+202E]hs"
