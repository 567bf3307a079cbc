"""How a cell is rewritten before it runs."""

import re
from types import SimpleNamespace

import pytest
from IPython.core.async_helpers import _asyncio_runner

from codex_magic.notebook.magics import CodexCells
from tests.notebook.shell_like import shell_like


def rewritten(source, *, kernel=True, autoawait=True, nested=False, runner=_asyncio_runner):
    request = {"header": {"msg_id": "1"}}
    shell = shell_like(
        kernel=SimpleNamespace(get_parent=lambda channel: request) if kernel else None,
        autoawait=autoawait,
        loop_runner=runner,
        magics_manager=SimpleNamespace(registry={}),
    )
    cells = CodexCells(shell)
    if nested:
        cells.pre_execute()
    return "".join(cells(source.splitlines(keepends=True)))


@pytest.mark.parametrize("source", ["%%codex\nhi", "\n\n%%codex -m x\nhi", "%codex what is this?", "%%codex"])
def test_a_codex_cell_awaits_in_a_kernel(source):
    assert rewritten(source).startswith("await __import__('codex_magic').run_cell(")


@pytest.mark.parametrize(
    "how", [{"kernel": False}, {"autoawait": False}, {"nested": True}, {"runner": print}]
)
def test_it_is_a_plain_call_where_nothing_can_be_awaited(how):
    call = rewritten("%%codex\nhi", **how)
    assert re.fullmatch(r"__import__\('codex_magic'\)\.run_cell_blocking\('', 'hi', \d+\)\n", call)


@pytest.mark.parametrize(
    "source",
    [
        *("1 + 1\n", "%%codexx\nhi\n", "%%time\n%%codex\nhi\n", "%codex hi\nx = 1\n", "", "\n"),
        *("%%time\n%codex why?\n", "x = '''\n%codex why?\n'''\n", "%codex?\n", "print(x)\nx?\n"),
    ],
)
def test_every_other_cell_stays_as_it_is(source):
    assert rewritten(source) == source


@pytest.mark.parametrize(
    "body", [">>> 1 + {x}\n", "    In [1]: a\n", "what?", "'''\\n\"\"\" \\ {{}} $x$ %d\n", "  indented\n\n"]
)
def test_the_prompt_arrives_as_it_was_typed(body):
    call = rewritten("%%codex -m x\n" + body, kernel=False)
    seen = []
    stand_in = SimpleNamespace(run_cell_blocking=lambda *told: seen.append(told))
    exec(call, {"__builtins__": {"__import__": lambda name: stand_in}})
    assert [told[:2] for told in seen] == [("-m x", body)]


@pytest.mark.parametrize(
    ("source", "question"),
    [
        ("x = 1\n%codex what is {x}?\n", "what is {x}?"),
        ("for x in range(3):\n    %codex what's {x}??\n", "what's {x}??"),
        ("if x:\n\tprint(x)\n\t%codex why (not?\nelse:\n\tpass\n", "why (not?"),
        ("y = %codex -m small really?\nprint(y)\n", "-m small really?"),
        ("%codex it's 'so\n%codex isn't it?\n", "isn't it?"),
        ("def f():\n    return 1\n\n%codex how?\n\nf()\n", "how?"),
    ],
)
def test_a_question_among_other_code_is_asked(source, question):
    told = rewritten(source)
    assert f"run_cell_blocking({question!r}, None, " in told
    assert told.count("\n") == source.count("\n")


@pytest.mark.parametrize("source", ["# a note\n%%codex\nhi", "# a note\n\n%codex why?\n"])
def test_a_comment_may_stand_above(source):
    assert rewritten(source).startswith("await __import__('codex_magic').run_cell(")
