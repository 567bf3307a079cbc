"""The first line of a cell."""

import pytest

from codex_magic.notebook.commands import find_command
from codex_magic.notebook.options import parse_line
from codex_magic.protocol.errors import OptionError


@pytest.mark.parametrize(
    ("line", "values", "rest"),
    [
        ("", {}, ""),
        ("-m small", {"model": "small"}, ""),
        ("--model=small -e high", {"model": "small", "effort": "high"}, ""),
        ("--new what's {this}?", {"new": True}, "what's {this}?"),
        ("--name 'my thread' go", {"name": "my thread"}, "go"),
        (r'--instructions "say \"hi\""', {"instructions": 'say "hi"'}, ""),
        (r'-i "say \"hi\" twice" go', {"instructions": 'say "hi" twice'}, "go"),
        (r"-i 'it\'s' go", {"instructions": "it's"}, "go"),
        (r'-i "Match \d+" x', {"instructions": r"Match \d+"}, "x"),
        (r'--cwd "C:\Users\me\My Docs" list', {"cwd": r"C:\Users\me\My Docs"}, "list"),
        (
            r'--cwd "C:\new folder\" -o a say "hi" now',
            {"cwd": "C:\\new folder\\", "output": "a"},
            'say "hi" now',
        ),
        (r"--cwd '\\server\share\t' x", {"cwd": r"\\server\share\t"}, "x"),
        (r"--cwd C:\temp\new x", {"cwd": r"C:\temp\new"}, "x"),
        ("explain -m small", {}, "explain -m small"),
        ("-- -m is an option", {}, "-m is an option"),
        ("-1 is negative", {}, "-1 is negative"),
        (r"f'{x!r}' \alpha $y$ 100 %", {}, r"f'{x!r}' \alpha $y$ 100 %"),
        ("-o answer", {"output": "answer"}, ""),
    ],
)
def test_leading_options_are_read_and_the_rest_stays_as_typed(line, values, rest):
    parsed = parse_line(line)
    assert (parsed.values, parsed.rest) == (values, rest)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--modle x", "--model"),
        ("-x 1", "-x"),
        ("--effort hihg", "high"),
        ("-m", "value"),
        ("-o not-a-name", "variable name"),
    ],
)
def test_a_wrong_option_names_the_nearest_and_the_usage(line, word):
    with pytest.raises(OptionError, match=word) as refused:
        parse_line(line)
    assert refused.value.hint
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "line", ["show", "show 3", "threads", "threads pandas", "model", "model x", "name my thread", ""]
)
def test_a_command_with_its_arguments_is_a_command(line):
    assert find_command(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        "show me the data",
        "new ideas for a plot",
        "what is a monad?",
        "-- show",
        "help me with pandas",
        "-m x hi",
    ],
)
def test_a_sentence_that_begins_like_a_command_is_a_question(line):
    assert find_command(line) is None


@pytest.mark.parametrize(("line", "word"), [("stauts", "status"), ("threads --archive", "Usage")])
def test_a_mistyped_command_names_the_nearest(line, word):
    with pytest.raises(OptionError, match=word):
        find_command(line)


@pytest.mark.parametrize(
    "line",
    [
        "threads no such words",
        "threads sales analysis",
        "usage please",
        "logout now",
        "login devise",
        "login now",
        "models list all",
        "status now",
        "history of today",
        "stop it",
        "show 3 4",
        "show the last",
        "show 3 of them please",
        "model gpt 5.5",
        "new thread",
        "resume",
        "name",
        "unarchive",
        "stauts now",
        "modle gpt-5.5",
        "continue with more",
    ],
)
def test_what_looks_like_a_command_and_is_none_is_not_asked(line):
    with pytest.raises(OptionError, match=f"question: `%codex -- {line}`"):
        find_command(line)


@pytest.mark.parametrize("word", ["resume", "fork", "archive", "unarchive", "name"])
def test_a_thread_may_be_called_by_several_words(word):
    assert find_command(f"{word} Sales analysis of 2026") is not None


@pytest.mark.parametrize(("line", "meant"), [("login devise", "login device"), ("theads x", "threads x")])
def test_the_error_names_what_was_meant(line, meant):
    with pytest.raises(OptionError, match=f"Did you mean `%codex {meant}`"):
        find_command(line)
