"""What the options of a cell do with its answer: variables, tables, the next cell."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest
from IPython.core.completer import provisionalcompleter

from codex_magic.notebook.magics import loaded
from tests.end_to_end.kernel import markdown, outputs
from tests.known import some
from tests.values.questions import questions

TYPES = """
from dataclasses import dataclass
from typing import Literal, TypedDict
import msgspec, pydantic

@dataclass
class Data:
    mood: Literal["calm", "wild"]
    stars: int

class Typed(TypedDict):
    mood: Literal["calm", "wild"]
    stars: int

class Struct(msgspec.Struct):
    mood: Literal["calm", "wild"]
    stars: int

class Model(pydantic.BaseModel):
    mood: Literal["calm", "wild"]
    stars: int

schema = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}

class Late(pydantic.BaseModel):
    stars: int

    @pydantic.field_validator("stars")
    @classmethod
    def refuse_first(cls, stars: int) -> int:
        tries.append(stars)
        if len(tries) <= refusals:
            raise ValueError("too late")
        return stars

tries, refusals = [], 1
"""


@pytest.fixture
def types(run, shell):
    run(TYPES)
    return shell.user_ns


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("Data", "Data(mood='calm', stars=1)"),
        ("Typed", "{'mood': 'calm', 'stars': 1}"),
        ("Struct", "Struct(mood='calm', stars=1)"),
        ("Model", "Model(mood='calm', stars=1)"),
        ("'list[int]'", "[1, 1]"),
        ("'int | None'", "1"),
        ("schema", "{'stars': 1}"),
    ],
)
def test_an_answer_is_a_value_of_the_type_that_is_named(service, run, types, schema, value):
    told = run(f"%%codex -o answer --schema {schema}\nHow many?")
    assert repr(types["answer"]) == value
    assert "answer: " in told


def test_an_answer_that_is_a_value_is_shown_as_code(service, kernel):
    kernel.execute("%load_ext codex_magic")
    shown = markdown(kernel.execute("%%codex -o answer --schema list[str]\n*a* and _b_?"))
    assert shown.partition("```json\n")[2].startswith("{")


def test_a_schema_may_be_a_file(service, run, types, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stars.json").write_text(json.dumps(types["schema"]))
    run("%%codex -o answer --schema stars.json\nHow many?")
    assert types["answer"] == {"stars": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--schema int", "needs the name of a variable"),
        ("--df", "needs the name of a variable"),
        ("-o answer --schema nothing", "NameError"),
        ("-o answer --schema 3", "no JSON schema for 3"),
        ("-o answer --schema missing.json", "can't be read"),
        ("--code --background", "can't wait in the background"),
    ],
)
def test_what_can_not_be_is_said_before_anything_is_asked(service, run, types, options, words):
    assert words in run(f"%%codex {options}\nHow many?")
    assert questions(service) == []


def test_an_answer_that_does_not_fit_is_asked_for_once_more_in_its_place(service, run, types):
    told = run("%%codex -o answer --schema Late\nHow many?")
    assert types["answer"].stars == 1
    assert "too late" in told
    first, second = questions(service)
    assert "too late" in second.body.decode()
    assert first.json["input"][-1] in second.json["input"] or len(second.json["input"]) > 1


def test_an_answer_that_never_fits_leaves_the_variable_as_it_was(service, run, types):
    types["refusals"], types["answer"] = 5, "before"
    told = run("%%codex -o answer --schema Late\nHow many?")
    assert types["answer"] == "before"
    assert "was not set" in told
    assert len(questions(service)) == 2


def test_nothing_in_a_wrong_answer_is_evaluated_when_it_is_sent_back(service, run, types):
    types["refusals"] = 1
    run("%%codex -o answer --schema Late\nHow many?")
    sent_back = questions(service)[1].json["input"][-2]["content"][0]["text"]
    assert sent_back.startswith("<external_mentions>")
    assert '{"stars":1}' in sent_back.replace(" ", "")


@pytest.mark.parametrize("ending", ["fault: invalid_prompt", "fault: usage_limit"])
@pytest.mark.parametrize("options", ["", "--schema int"])
def test_a_turn_that_failed_sets_nothing_and_says_so(service, run, types, ending, options):
    types["answer"] = "before"
    assert "answer was not set" in run(f"%%codex -o answer {options}\n{ending}\nHow many?")
    assert types["answer"] == "before"


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_is_of_the_library_that_the_notebook_uses(service, run, types, library):
    if find_spec(library) is None:
        pytest.skip(f"needs {library}")
    run(f"import {library}")
    run("%%codex -o table --df\nWhich cities?")
    assert type(types["table"]).__module__.partition(".")[0] == library
    run("%%codex -o table --df --schema Data\nWhich cities?")
    table = types["table"]
    assert (table.num_rows if library == "pyarrow" else len(table)) == 2
    assert list(table.column_names if library == "pyarrow" else table.columns) == ["mood", "stars"]


def test_without_a_library_nothing_is_asked(service, run, types, monkeypatch):
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert "Import the one" in run("%%codex -o table --df\nWhich cities?")
    assert questions(service) == []


def test_the_last_block_of_code_goes_into_the_next_cell(service, run, shell, monkeypatch):
    put: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda code, replace=False: put.append(code))
    run("%%codex --code\necho: First\n```python\na = 1\n```\nthen\n```python\nb = 2\n```")
    assert put == ["b = 2"]
    assert "has no code" in run("%%codex --code\necho: nothing")


def test_code_that_nobody_allows_does_not_run(service, kernel):
    kernel.execute("%load_ext codex_magic")
    said = markdown(kernel.execute("%%codex --run\necho: This:\n```python\nran = True\n```"))
    assert "No one was available to approve: the code did not run." in said
    assert kernel.value("'ran' in globals()") == "False"


def test_in_the_background_the_variable_is_set_at_the_end(service, kernel, tmp_path):
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%%codex --background -o answer --schema int\nHow many?")
    kernel.execute(
        "magics = get_ipython().magics_manager.registry['CodexMagics']\n"
        "for turn in [*magics.session.running]:\n    turn.over.result()"
    )
    assert kernel.execute("answer")[0]["data"]["text/plain"] == "1"


def test_options_and_their_values_are_completed_and_in_the_help(run, shell, types):
    for option in ("--schema", "--df", "--code"):
        assert option in run("%codex help")
    types["revenue"] = 1
    for typed, found in [("--schema Da", "Data"), ("-o rev", "revenue"), ("--sch", "--schema")]:
        cell = f"%%codex {typed}"
        with provisionalcompleter():
            assert [each.text for each in shell.Completer.completions(cell, len(cell))] == [found]


def test_questions_from_python_go_by_the_notebook(service, run, shell):
    run("%config CodexMagics.model = 'local-small'")
    run(
        "import codex_magic\nanswer = codex_magic.ask('echo: hello')\nrows = codex_magic.map(['a'], 'echo: {{ value }}')"
    )
    assert (shell.user_ns["answer"], shell.user_ns["rows"]) == ("hello", ["a"])
    assert {each.json["model"] for each in questions(service)} == {"local-small"}
    some(loaded(shell))


def test_many_rows_are_sent_after_a_typed_yes(service, kernel):
    kernel.execute("%load_ext codex_magic\nimport codex_magic")
    ask = "codex_magic.map(range(101), 'echo: {{ value }}', progress=False)"
    for typed, sent in (("", 0), ("y", 101)):
        cell = kernel.send(ask, allow_stdin=True)
        prompt = kernel.client.get_stdin_msg(timeout=30)["content"]["prompt"]
        assert "101 requests for 101 rows" in prompt
        assert "of the week left" in prompt
        kernel.client.input(typed)
        outputs(kernel.messages(cell))
        assert len(questions(service)) == sent
