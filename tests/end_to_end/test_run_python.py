"""Codex runs code in the live kernel: as a cell of the user's would, after a yes, and without a trace in the shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.peers.agent import use


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("x = 41\nlines = []\n_before = None")
    kernel.execute("%codex reads yes")
    kernel.execute("'the last result'")
    return ExtendedFrontEnd(kernel)


TRACES = (
    "(get_ipython().execution_count - len(In), _, sorted(Out)[-1:], input.__module__, type(__import__('sys').stdout)"
    ".__name__, get_ipython().display_pub._hooks, __import__('signal').getsignal(2).__name__, get_ipython().user_ns"
    " is get_ipython().user_global_ns, 'ask_exit' in vars(get_ipython()))"
)
"""What a run in between must leave as it was."""


def probe(code: str) -> str:
    return f"%%codex\n{use('run_python', code=code)}"


def commit(code: str) -> str:
    return f"%%codex\n{use('run_python', code=code, scope='commit')}"


Approve = Callable[..., str]


@pytest.fixture
def approve(page: ExtendedFrontEnd) -> Approve:
    """Run a cell and answer its question; returns the Markdown of all that is shown then."""

    def approve(cell: str, label: str = "Approve") -> str:
        request = page.run(cell)
        page.choose(page.card(page.attach()), label)
        page.idle(request)
        return markdown(page.outputs)

    return approve


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x + 1", "42"),
        ("print('hello')", "hello"),
        ("import asyncio\nawait asyncio.sleep(0)\nprint('later')", "later"),
        ("%time sum(range(10))", "CPU times"),
        ("%%time\nprint('timed')", "timed"),
        ("from IPython.display import display, HTML\ndisplay({'a': 1})", "{'a': 1}"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = = 3", "invalid syntax"),
        ("input('name? ')", "leave input() out"),
        ("%no_such_magic", "UsageError"),
        ("def f():\n    return f()\nf()", "RecursionError"),
        ("print('x' * 1_000_000)", "characters"),
        ("breakpoint()", "shows nothing"),
        ("%%capture\nprint('caught')", "shows nothing"),
        ("3;", "shows nothing"),
        (
            "import threading\nt = threading.Thread(target=print, args=['from a thread'])\nt.start(); t.join()",
            "from a thread",
        ),
    ],
)
def test_a_quiet_probe_runs_without_a_question_and_leaves_nothing(
    page: ExtendedFrontEnd, kernel: Kernel, code: str, shown: str
) -> None:
    before = kernel.value(TRACES)
    page.idle(page.run(probe(code)))
    assert shown in markdown(page.outputs)
    assert kernel.value(TRACES) == before
    assert kernel.value("x, 'f' in globals(), 't' in globals()") == "(41, False, False)"
    assert len(page.outputs) == 1
    page.idle(page.run("%%codex\necho: as before"))
    assert "as before" in markdown(page.outputs)


def test_a_probe_reads_and_where_nothing_may_be_read_it_is_asked_about(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve
) -> None:
    page.idle(page.run("%codex reads ask"))
    assert "42" in approve(probe("x + 1"))
    page.idle(page.run("%codex reads no"))
    page.idle(page.run(probe("lines.append(1)")))
    assert kernel.value("lines") == "[]"


@pytest.mark.parametrize("scope", ["Commit", "stay", "", None, 1, ["commit"]])
def test_another_scope_than_the_two_binds_nothing(
    page: ExtendedFrontEnd, kernel: Kernel, scope: object
) -> None:
    page.idle(page.run(f"%%codex\n{use('run_python', code='x = 1', scope=scope)}"))
    assert kernel.value("x") == "41"


def test_what_a_probe_binds_is_dropped(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    page.idle(page.run(probe("x = 1\nnew = 2\ndef f():\n    global x\n    x = 3\nf()\nprint(x, new)")))
    assert "3 2" in markdown(page.outputs)
    assert kernel.value("x, 'new' in globals(), 'f' in globals()") == "(41, False, False)"


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("open('made.txt', 'w').write('x')", "write files"),
        ("lines.append(1)", "lines"),
        ("!echo hello", "start a process"),
        ("%pip install nothing", "install packages"),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')", "use the network"),
        ("import os\nos.remove('x')", "delete files"),
    ],
)
def test_a_probe_that_acts_is_asked_about_and_a_no_is_a_no(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve, code: str, act: str
) -> None:
    request = page.run(probe(code))
    card = page.card(page.attach())
    assert card["title"] == "Allow Codex to run this code?"
    assert card["passages"][0]["text"] == code
    assert any(act in text for _, text in card["facts"])
    page.choose(card, "Decline")
    page.idle(request)
    assert "Not run: declined" in markdown(page.outputs)
    assert kernel.value("lines, __import__('os').path.exists('made.txt')") == "([], False)"


def test_what_reading_the_code_did_not_tell_is_refused_and_asked_about_next_time(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    code = "import pathlib\nwrite = getattr(pathlib.Path('made.txt'), 'write_' + 'text')\nwrite('x')"
    page.idle(page.run(probe(code)))
    assert "Nobody has allowed this code to write files" in markdown(page.outputs)
    assert kernel.value("__import__('os').path.exists('made.txt')") == "False"
    request = page.run(probe(code))
    page.choose(page.card(page.attach()), "Approve")
    page.idle(request)
    assert kernel.value("__import__('os').path.exists('made.txt')") == "True"


def test_a_thread_of_a_probe_is_refused_what_the_probe_is_also_after_its_end(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    code = """
import pathlib, threading
write = getattr(pathlib.Path("made.txt"), "write_" + "text")
def work():
    go.wait()
    write("x")
threading.Thread(target=work, name="of the probe").start()
"""
    kernel.execute("import threading\ngo = threading.Event()")
    page.idle(page.run(probe(code)))
    page.idle(page.run("go.set()\n[t.join() for t in threading.enumerate() if t.name == 'of the probe'];"))
    assert kernel.value("__import__('os').path.exists('made.txt')") == "False"


def test_code_that_stays_runs_after_a_yes_in_the_cell_and_comes_below(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve
) -> None:
    before = kernel.value(TRACES)
    shown = approve(commit("y = x + 1\nprint('ran')\ny"))
    assert kernel.value("x, y") == "(41, 42)"
    assert kernel.value(TRACES) == before
    assert [output.get("text") for output in page.outputs if output["output_type"] == "stream"] == ["ran\n"]
    assert "approved" in shown
    assert "y: new, 42" in shown


@pytest.mark.parametrize(
    "code",
    [
        "import asyncio\nawait asyncio.sleep(0)\ny = 1",
        "%time y = 1",
        "%%time\ny = 1",
        "import matplotlib.pyplot as plt\ny = 1\nplt.plot([1, 2])",
        "from IPython.display import clear_output, display\nfor y in range(3):\n    clear_output(wait=True)\n    display(y)",
        "y = 1\nget_ipython().run_cell('z = 1')",
        "%load_ext autoreload\n%autoreload 2\ny = 1",
        "_ = 5\ny = 1\ndel _",
        "y = 1\nexit()",
        "y = 1\nimport sys\nsys.exit(3)",
        "import logging, sys\nlogging.getLogger('here').addHandler(logging.StreamHandler(sys.stdout))\ny = 1",
    ],
)
def test_it_runs_as_a_cell_would(page: ExtendedFrontEnd, kernel: Kernel, approve: Approve, code: str) -> None:
    approve(commit(code))
    assert kernel.value("'y' in globals()") == "True"
    page.idle(page.run("%%codex\necho: as before"))
    assert "as before" in markdown(page.outputs)


def test_figures_are_shown_at_once_and_not_at_the_end_of_the_cell(
    page: ExtendedFrontEnd, approve: Approve
) -> None:
    approve(commit("import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nprint('then')"))
    kinds = [
        "figure" if "image/png" in each.get("data", {}) else each["output_type"] for each in page.outputs
    ]
    assert kinds.index("figure") < len(kinds)
    assert sum(kind == "figure" for kind in kinds) == 1


@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True:\n    time.sleep(60)",
        "import asyncio\nawait asyncio.sleep(600)",
        "while True: pass",
    ],
)
def test_the_stop_button_stops_it(page: ExtendedFrontEnd, kernel: Kernel, code: str) -> None:
    request = page.run(commit(f"print('begun')\n{code}"))
    page.choose(page.card(page.attach()), "Approve")
    page.until(lambda: any("begun" in str(output.get("text")) for output in page.outputs))
    kernel.interrupt()
    page.idle(request)
    assert "Interrupted" in markdown(page.outputs)
    page.idle(page.run("%%codex\necho: as before"))
    assert "as before" in markdown(page.outputs)


def test_a_click_on_stop_stops_it_too(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    request = page.run(commit("print('begun')\nwhile True: pass"))
    id = page.attach()
    page.choose(page.card(id), "Approve")
    page.until(lambda: any("begun" in str(output.get("text")) for output in page.outputs))
    assert page.tell("stop", id=id)["ok"]
    page.idle(request)
    assert "Interrupted" in markdown(page.outputs)


def test_undo_puts_back_what_the_last_run_changed(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve
) -> None:
    approve(commit("x = 1\nnew = 2\nlines.append(3)"))
    assert kernel.value("x, new, lines") == "(1, 2, [3])"
    page.idle(page.run("%codex undo"))
    assert kernel.value("x, 'new' in globals(), lines") == "(41, False, [])"
    page.idle(page.run("%codex undo"))
    assert "There is nothing to undo." in markdown(page.outputs)


def test_undo_does_not_take_back_what_the_user_did_since(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve
) -> None:
    approve(commit("x = 1"))
    page.idle(page.run("x = 7"))
    page.idle(page.run("%codex undo"))
    assert "Not undone: x changed since." in markdown(page.outputs)
    assert kernel.value("x") == "7"


@pytest.mark.parametrize(("word", "said"), [("no", "let you run no code"), ("probes", "let you probe only")])
def test_the_setting_refuses(page: ExtendedFrontEnd, kernel: Kernel, word: str, said: str) -> None:
    page.idle(page.run(f"%codex runs {word}"))
    page.idle(page.run(commit("x = 1")))
    assert kernel.value("x") == "41"


def test_with_nobody_there_nothing_runs(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("x = 41")
    shown: list[dict[str, Any]] = kernel.execute(
        "%%time\n%codex " + use("run_python", code="x = 1", scope="commit")
    )
    assert kernel.value("x") == "41"
    assert "Not run: nobody to ask" in markdown(shown)


def test_in_a_cell_that_blocks_it_runs_too_and_can_not_await(
    page: ExtendedFrontEnd, kernel: Kernel, approve: Approve
) -> None:
    cell = "%%time\n%codex {}"
    approve(cell.format(use("run_python", code="x = 5\nprint('ran')", scope="commit")))
    assert kernel.value("x") == "5"


def test_a_background_turn_waits_for_the_cell_that_runs(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    request = page.run("%%codex --background\n" + use("run_python", code="x = len(lines)", scope="commit"))
    page.idle(request)
    card = page.card(page.attach())
    busy = page.run("import time\nfor _ in range(3):\n    lines.append(1)\n    time.sleep(0.2)")
    page.choose(card, "Approve")
    page.idle(busy)
    page.until(lambda: "x: 41 -> 3" in markdown(page.outputs))
    assert kernel.value("x") == "3"
