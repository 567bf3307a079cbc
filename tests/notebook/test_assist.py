"""`%codex fix` and its like: what they bring along, what they do with the answer, and whose prompts they use."""

from __future__ import annotations

import pytest

from codex_magic.notebook.assist import ABOUT, code_blocks
from codex_magic.notebook.magics import loaded
from tests.known import some


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def next_input(shell, monkeypatch):
    """The code that was put into the next cell."""
    put: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda code, replace=False: put.append(code))
    return put


@pytest.fixture
def cell(shell):
    def cell(source):
        shell.run_cell(source, store_history=True)

    return cell


@pytest.fixture
def asked(service, run, shell, folder):
    """Run a command without the cells above; return what went along, and the question."""
    run("%config CodexMagics.context = 'none'")

    def asked(command):
        run(command)
        items = [each.json["input"] for each in service.requests if each.path.endswith("/responses")][-1]
        last = [item for item in items if item.get("role") == "user"]
        context = last[-2]["content"][0]["text"] if len(last) > 1 else ""
        return context if context.startswith("<external_mentions>") else "", last[-1]["content"][0]["text"]

    return asked


@pytest.fixture
def answer(folder, shell):
    """Make the local service, which repeats what follows `echo:`, answer a command with this text."""

    def answer(name, text):
        (folder / "mine").mkdir(exist_ok=True)
        (folder / "mine" / f"{name}.md").write_text(f"echo: {text}", encoding="utf-8")
        some(loaded(shell)).prompts = str(folder / "mine")

    return answer


def test_fix_reports_the_cell_its_error_and_what_ran_before(asked, cell):
    cell("limit = 3")
    cell("def share(part, whole):\n    return part / whole\n")
    cell("total = 0\nshare(limit, total)")
    context, question = asked("%codex fix")
    assert "total = 0\nshare(limit, total)" in context
    assert "ZeroDivisionError" in context
    assert "whole: " in context
    assert "part: " in context
    assert "limit = 3" in context.partition("What ran before, in this order")[2]
    assert "The cell In[" in question
    assert "share(limit" not in question


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("prices = [1]\nsum(price)", ["The name price", "near: prices"]),
        (
            "table = {'price': 1, 'item': 2}\ntable['prize']",
            ["'prize' of table", "near: price", "It has: price, item"],
        ),
        ("import math\nmath.flor(1.5)", ["The attribute flor", "near: floor"]),
        ("'a'.uper()", ["The attribute uper", "near: upper"]),
        ("import jsom", ["The module jsom", "near: ", "json"]),
        ("open('data.cvs')", ["The file data.cvs", "near: data.csv"]),
        ("1 / 0\nundefined_later", ["The name undefined_later."]),
    ],
)
def test_fix_says_what_does_not_exist_and_what_is_near(asked, cell, folder, source, words):
    (folder / "data.csv").write_text("")
    cell(source)
    misses = asked("%codex fix")[0].partition("What does not exist")[2].partition("# What ran")[0]
    assert [word for word in words if word not in misses] == []


def test_fix_puts_the_code_into_the_next_cell_and_shows_what_changes(run, service, cell, answer, next_input):
    cell("numbers = [1, 2]\nnumber[0]")
    answer("fix", "A slip.\n```python\nnumbers = [1, 2]\nnumbers[0]\n```")
    told = run("%codex fix")
    assert next_input == ["numbers = [1, 2]\nnumbers[0]"]
    assert "-number[0]\n+numbers[0]" in told


def test_an_answer_without_code_changes_nothing(run, service, cell, answer, next_input):
    cell("1 / 0")
    answer("fix", "Nothing to correct.")
    run("%codex fix")
    assert next_input == []


def test_where_nothing_failed_nothing_is_asked(run, service, cell):
    assert "No cell has failed" in run("%codex fix")
    cell("1 / 0")
    cell("1 / 1")
    cell("%codex status")
    assert service.requests == [] or not [
        each for each in service.requests if each.path.endswith("/responses")
    ]


def test_a_cell_that_runs_well_again_is_no_failure(run, shell, cell):
    failure = lambda: some(loaded(shell)).past.failure  # noqa: E731
    cell("x = 1 / divisor")
    assert failure() is not None
    shell.user_ns["divisor"] = 1
    cell("x = 1 / divisor")
    assert failure() is None


def test_explain_takes_the_cell_of_a_number_or_the_last_one(asked, cell, shell):
    cell("first = 1")
    number = len(shell.user_ns["In"]) - 1
    cell("second = {'answer': 42}\nsecond")
    context, question = asked("%codex explain")
    assert "second = {'answer': 42}" in context
    assert "42" in context.partition("Its result")[2]
    assert f"In[{number + 1}]" in question
    assert "first = 1" in asked(f"%codex explain {number}")[0]
    assert "first = 1" in asked(f"%codex optimize {number}")[0]


def test_tests_and_documentation_are_asked_of_a_function_with_its_source(asked, cell):
    cell("def mean(values):\n    return sum(values) / len(values)\n")
    for command in ("test", "doc"):
        context, question = asked(f"%codex {command} mean")
        assert "return sum(values) / len(values)" in context
        assert " mean" in question


def test_documentation_is_asked_of_a_class_of_a_cell(asked, cell):
    cell("x = 1\nclass Basket:\n    size = 3\n\n    def full(self): ...\ny = 2")
    context, _ = asked("%codex doc Basket")
    assert "class Basket:\n    size = 3\n\n    def full(self): ..." in context
    assert "y = 2" not in context


def test_an_unknown_function_is_no_question(run, service, cell):
    cell("def mean(values): ...")
    assert "mean" in run("%codex test meen").partition("Did you mean")[2]


def test_review_brings_the_cells_above(run, service, cell):
    cell("secret_sauce = 1")
    run("%codex review")
    request = next(each for each in service.requests if each.path.endswith("/responses"))
    assert "secret_sauce = 1" in str(request.json["input"])


@pytest.mark.parametrize(
    "line", ["explain the difference", "fix it", "review my code", "code a parser", "test this idea"]
)
def test_a_sentence_that_begins_like_a_command_is_a_question(asked, line):
    assert asked(f"%codex {line}")[1] == line


def test_code_takes_a_block_of_the_last_answer(run, service, next_input):
    run("%%codex\necho: One:\n```python\na = 1\n```\nTwo:\n~~~sh\nls\n~~~")
    run("%codex code")
    run("%codex code 2")
    assert next_input == ["a = 1", "ls"]
    assert "2 code blocks" in run("%codex code 3")


def test_code_looks_secrets_up_and_never_holds_them(run, service, next_input, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-Value-1")
    run('%%codex\necho: Use it:\n```python\nlog_in("s3cret-Value-1")\n```')
    run("%codex code")
    assert next_input == ['import os\nlog_in(os.environ["SHOP_TOKEN"])']


def test_prompts_are_copied_and_changed(run, asked, folder, cell):
    listed = run("%codex prompts")
    assert [name for name in ABOUT if f"codex {name}" not in listed] == []
    run("%codex prompts mine")
    assert sorted(path.stem for path in (folder / "mine").iterdir()) == sorted(ABOUT)
    (folder / "mine" / "explain.md").write_text("<!-- mine -->\nSay it in verse: {cell}", encoding="utf-8")
    cell("x = 1")
    assert asked("%codex explain")[1].startswith("Say it in verse: In[")
    run("%codex prompts mine")
    assert (folder / "mine" / "explain.md").read_text("utf-8").endswith("verse: {cell}")


def test_blocks_of_code_are_those_of_a_reader():
    text = "```py title\na\n```\n1. x\n   ````\n   b\n   ```\n   ````\n~~~\nc\n```\n~~~\n`no`\n```sql\nopen"
    assert code_blocks(text) == [("py", "a"), ("", "b\n```"), ("", "c\n```"), ("sql", "open")]
