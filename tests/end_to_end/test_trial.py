"""Code that is tried first runs in a copy of the kernel: it is reported, and nothing of it lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.home import home_variables, personal_variables
from tests.peers.agent import use

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows copies no running process")

LONG, SHORT = 120, 1
"""Seconds for code that ends, and for code that does not."""

SET_UP = """
import mmap, os, pathlib, signal, socket, sqlite3, sys, threading, time, ctypes
import numpy, pandas, psutil
x, lines = 41, []
df = pandas.DataFrame({"a": range(1000), "b": range(1000)})
pathlib.Path("data.csv").write_text("a,b\\n1,2\\n3,4\\n")
reader = open("data.csv")
first = reader.readline()
writer = open("log.txt", "w")
_ = writer.write("kept in memory"), writer.flush(), writer.write(", and this too")
numbers = numpy.memmap("numbers.bin", dtype="int64", mode="w+", shape=(4,))
shared = mmap.mmap(-1, 4096)
con = sqlite3.connect("rows.db", isolation_level=None)
_ = con.execute("create table rows (n)"), con.execute("insert into rows values (1)")
connection, peer = socket.socketpair()
peer.setblocking(False)
libc = ctypes.CDLL(None)
ended = []
import atexit
_ = atexit.register(lambda: pathlib.Path("at-exit.txt").write_text("ended"))
started = threading.active_count()

def received():
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""

def as_it_is():
    folder = {each.name: (each.read_bytes(), each.stat().st_mtime_ns, each.stat().st_mode) for each in
              pathlib.Path().iterdir() if not each.name.startswith(".")}
    us = psutil.Process()
    return dict(
        names=sorted(name for name in globals() if not name.startswith("_")), values=(x, lines, df.shape),
        sum=int(df.to_numpy().sum()), numbers=numbers.tolist(), shared=shared[:8], position=reader.tell(),
        folder=folder, rows=con.execute("select * from rows").fetchall(), received=received(),
        cwd=os.getcwd(), environment=dict(os.environ), children=[each.name() for each in us.children()],
        open=sorted(each.path for each in us.open_files() if each.path.startswith(os.getcwd())), signals=[signal.getsignal(n) for n in (1, 2, 14, 15)], timer=signal.getitimer(0),
        history=[each for each in get_ipython().history_manager.input_hist_raw if not each.startswith("%")],
        ended=ended, threads=[each.name for each in threading.enumerate() if "trial" in each.name],
    )
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for name in personal_variables():
            patch.delenv(name)
        for name, value in home_variables(home).items():
            patch.setenv(name, value)
        patch.setenv("MPLCONFIGDIR", str(home))
        with Kernel(folder) as kernel:
            for line in ("%load_ext codex_magic", "%codex provider local", "%codex reads yes", SET_UP):
                assert kernel.execute(line) == [] or line.startswith("%codex"), line
            yield kernel


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    return ExtendedFrontEnd(kernel)


def commit(code: str, option: str = "") -> str:
    return f"%%codex {option}\n{use('run_python', code=code, scope='commit')}"


def facts(card: dict[str, Any], label: str = "Tried first") -> str:
    return "; ".join(text for each, text in card["facts"] if each == label)


def shown(card: dict[str, Any]) -> str:
    return "\n".join(passage["text"] for passage in card["passages"][1:])


ENDS = "ran to its end"
BOMB = "for _ in range(3000): print(libc.fork())"

CASES = [
    # What is tried.
    ("x = 1", ENDS, "x: 41 -> 1"),
    ("del x, df", ENDS, "x: deleted; df: deleted"),
    ("lines.append(1)", ENDS, "lines: list of 0 -> list of 1"),
    ("df.drop(columns='b', inplace=True)", ENDS, "df: -1 column (b)"),
    ("df = df[df.a > 1]", ENDS, "df: 1,000 -> 998 rows"),
    ("print('hello')", ENDS, "hello"),
    ("1 / 0", "failed after", "ZeroDivisionError: division by zero"),
    ("x = = 3", "failed after", "SyntaxError"),
    ("import asyncio\nawait asyncio.sleep(0)\nprint('later')", ENDS, "later"),
    ("%time x = 2", ENDS, "CPU times"),
    ("input('name? ')", "failed after", "leave input() out"),
    ("get_ipython().run_cell('x = 3', store_history=True)", ENDS, "x: 3"),
    ("import ipywidgets\nipywidgets.IntSlider()", ENDS, "IntSlider"),
    (
        "import tempfile\nwith tempfile.TemporaryDirectory() as d: open(d + '/a', 'w').write('kept')",
        ENDS,
        "d: new",
    ),
    ("os.environ['A'] = 'changed'; os.chdir('/')\nprint(os.getcwd())", ENDS, "/"),
    (
        "t = threading.Thread(target=print, args=['from a thread'])\nt.start(); t.join()",
        ENDS,
        "from a thread",
    ),
    ("libc.puts(b'from C'); libc.fflush(None)", ENDS, "from C"),
    # What does not end.
    ("print('begun')\nwhile True: pass", "stopped after 1 s", "begun"),
    ("print('begun', flush=True)\ntime.sleep(600)", "stopped after 1 s", "begun"),
    ("import asyncio\nawait asyncio.sleep(600)", "stopped after 1 s", ""),
    ("threading.Event().wait()", "stopped after 1 s", ""),
    ("for n in (1, 2, 14, 15): signal.signal(n, signal.SIG_IGN)\nlibc.pause()", "stopped after 1 s", ""),
    ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\nwhile True: pass", "stopped after 1 s", ""),
    ("while True:\n    try: time.sleep(600)\n    except BaseException: pass", "stopped after 1 s", ""),
    ("while True: threading.Thread(target=time.sleep, args=[600]).start()", "failed|stopped", ""),
    # What ends the process.
    ("sys.exit(3)", "failed after", "SystemExit"),
    ("os._exit(3)", "exit code 3", ""),
    ("os.abort()", "crashed (SIGABRT)", ""),
    ("ctypes.string_at(0)", "crashed (SIGSEGV)", ""),
    ("libc.raise_ = libc['raise']; libc.raise_(9)", "crashed (SIGKILL)", ""),
    ("try:\n    os._exit(0)\nfinally:\n    ended.append(1)", "exit code 0", ""),
    ("get_ipython().kernel.do_shutdown(False)", "", ""),
    # What starts others.
    ("while True: os.fork()", "wanted to start a process", ""),
    (BOMB, ENDS, "-1"),
    ("import subprocess\nsubprocess.Popen(['sleep', '600'])", "wanted to start a process", ""),
    ("!sleep 600", "wanted to start a process", ""),
    (
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "wanted to start a process",
        "",
    ),
    ("libc.execl(b'/bin/sleep', b'sleep', b'600', None)", ENDS, ""),
    # What eats.
    ("hog = []\nwhile True: hog.append(bytearray(100_000_000))", "MemoryError|of memory", ""),
    ("numpy.ones(10**11)", "failed after", "MemoryError"),
    ("print('y' * 100_000_000)", "showed more than 20 MB", ""),
    ("while True: print('y' * 1000)", "showed more than 20 MB", "yyy"),
    ("while True: os.write(1, b'y' * 1000)", "showed more than 20 MB", "yyy"),
    # What reaches for files.
    ("open('made.txt', 'w').write('x')", "wanted to write files", ""),
    ("df.to_csv('data.csv')", "wanted to write files", ""),
    ("print(libc.creat(b'made.txt', 0o600))", ENDS, "-1"),
    ("print(libc.chmod(b'data.csv', 0), libc.truncate(b'data.csv', 0))", ENDS, "-1 -1"),
    ("os.remove('data.csv')", "wanted to delete files", ""),
    ("import shutil\nshutil.rmtree('.')", "wanted to delete files", ""),
    ("print(libc.unlink(b'data.csv'))", ENDS, "-1"),
    ("reader.read()", ENDS, "1,2"),
    ("reader.close(); os.close(writer.fileno())", ENDS, ""),
    ("writer.write(', and more'); writer.flush()", "failed after", "OSError"),
    ("numbers[0] = 5; numbers.flush()\nnumbers.sum()", ENDS, "5"),
    ("shared[:4] = b'abcd'", ENDS, ""),
    ("con.execute('insert into rows values (2)')", "failed after", "OperationalError"),
    ("con.execute('select n from rows').fetchall()", ENDS, "[(1,)]"),
    # What reaches for others.
    ("connection.sendall(b'hello')", "failed after", "BrokenPipeError"),
    ("connection.close(); os.closerange(3, 1000)", "nothing more is known", ""),
    ("socket.create_connection(('127.0.0.1', 9))", "wanted to use the network", ""),
    ("print(libc.socket(2, 1, 0))", ENDS, "-1"),
    ("os.kill(os.getppid(), 9)", "wanted to change the process", ""),
    ("print(libc.kill(os.getppid(), 9), libc.kill(-1, 9))", ENDS, "-1 -1"),
    ("signal.set_wakeup_fd(-1); signal.signal(2, print); libc['raise'](2)", ENDS, ""),
    ("psutil.Process(os.getppid()).cpu_affinity([0])", "failed after", "AccessDenied"),
    (
        "get_ipython().kernel.session.send(get_ipython().kernel.iopub_socket, 'stream', {'text': 'x'})",
        ENDS,
        "",
    ),
    ("__import__('ipykernel.iostream').iostream.IOPubThread.send_multipart(None, [b'x'])", ENDS, ""),
]

HANGS = ("stopped after 1 s", "failed|stopped")


@pytest.mark.parametrize(("code", "outcome", "seen"), CASES, ids=[code for code, _, _ in CASES])
def test_it_is_reported_and_everything_is_as_before(
    page: ExtendedFrontEnd, kernel: Kernel, code: str, outcome: str, seen: str
) -> None:
    kernel.execute(f"%config CodexMagics.trial_seconds = {SHORT if outcome in HANGS else LONG}")
    before = kernel.value("as_it_is()")
    request = page.run(commit(code))
    id = page.attach()
    first = page.card(id)
    page.choose(first, "Try first")
    card = page.card(id, after=first["question"])
    page.choose(card, "Decline")
    page.idle(request)
    assert kernel.value("as_it_is()") == before
    assert card["title"] == "Allow Codex to run this code?"
    assert card["passages"][0]["text"] == code
    assert any(each in facts(card) for each in outcome.split("|")), facts(card)
    assert seen in shown(card) + facts(card) + facts(card, "Would change")
    assert "Landlock" in facts(card, "Held") or sys.platform != "linux"
    labels = [choice["label"] for choice in card["choices"]]
    assert "Approve" in labels
    assert "Try first" not in labels
    assert "Not run: declined" in markdown(page.outputs)
    assert not {"comm_open", "stream", "error"} & {message["msg_type"] for message in page.messages}


def test_figures_are_on_the_card(page: ExtendedFrontEnd) -> None:
    request = page.run(commit("import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nprint('drawn')"))
    id = page.attach()
    first = page.card(id)
    assert first["images"] == []
    page.choose(first, "Try first")
    card = page.card(id, after=first["question"])
    page.choose(card, "Decline")
    page.idle(request)
    [image] = card["images"]
    assert image.startswith("data:image/png;base64,iVBORw0KGgo")
    assert shown(card).endswith("drawn")


def test_approve_runs_it_for_real_after_its_trial(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    request = page.run(commit("lines.append(len(lines)); y = 7\nprint('ran')"))
    id = page.attach()
    first = page.card(id)
    page.choose(first, "Try first")
    card = page.card(id, after=first["question"])
    page.choose(card, "Approve")
    page.idle(request)
    assert kernel.value("y, lines.pop()") == "(7, 0)"
    assert [each["text"] for each in page.outputs if each["output_type"] == "stream"] == ["ran\n"]


@pytest.mark.parametrize("way", ["option", "setting", "background", "blocking"])
def test_it_can_be_tried_before_the_question(page: ExtendedFrontEnd, kernel: Kernel, way: str) -> None:
    cell = commit("x = 1", "--trial")
    if way == "setting":
        kernel.execute("%config CodexMagics.trial = True")
        cell = commit("x = 1")
    elif way == "background":
        cell = commit("x = 1", "--trial --background")
    elif way == "blocking":
        cell = f"%%time\nget_ipython().run_cell_magic('codex', '--trial', {cell.partition(chr(10))[2]!r})"
    request = page.run(cell)
    card = page.card(page.attach())
    assert ENDS in facts(card)
    assert facts(card, "Would change") == "x: 41 -> 1"
    page.choose(card, "Decline")
    page.idle(request)
    page.until(lambda: "Not run: declined" in markdown(page.outputs))
    kernel.execute("%config CodexMagics.trial = False")
    assert kernel.value("x") == "41"


def test_buttons_show_a_trial_too(kernel: Kernel) -> None:
    page = FrontEnd(kernel)
    request = page.run(commit("x = 1\nprint('hello <b>')"))
    page.click("Try first")
    html = page.until(lambda: page.shown("Tried first"))
    assert "x: 41 -&gt; 1" in html
    assert "hello &lt;b&gt;" in html
    assert page.model(description="Try first") is None
    page.click("Approve")
    page.idle(request)
    assert kernel.value("x") == "1"
    kernel.execute("x = 41")


def test_the_stop_button_ends_a_trial(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    kernel.execute(f"%config CodexMagics.trial_seconds = {LONG}")
    request = page.run(commit("while True: pass"))
    page.choose(page.card(page.attach()), "Try first")
    page.until(lambda: "Tried first" in markdown(page.outputs))
    kernel.interrupt()
    page.idle(request)
    kernel.execute("[each.wait() for each in psutil.Process().children()]")
    assert kernel.value("x") == "41"


@pytest.mark.parametrize(
    ("code", "undo", "why"),
    [
        (
            "stop = [0]\ndef work():\n    while stop: pass\nt = threading.Thread(target=work, name='mine')\nt.start()",
            "stop.clear(); t.join(); del t, stop, work",
            "the thread mine is running",
        ),
        (
            "import types; sys.modules['polars'] = types.ModuleType('polars')",
            "del sys.modules['polars'], types",
            "polars",
        ),
        (
            "import types; sys.modules['torch'] = types.ModuleType('torch')\n"
            "sys.modules['torch'].cuda = types.SimpleNamespace(is_initialized=lambda: True)",
            "del sys.modules['torch'], types",
            "CUDA is in use",
        ),
        (
            "import types; sys.modules['ray'] = types.SimpleNamespace(is_initialized=lambda: True)",
            "del sys.modules['ray'], types",
            "Ray is connected",
        ),
    ],
)
def test_where_no_copy_is_safe_it_says_so_and_does_not_try(
    page: ExtendedFrontEnd, kernel: Kernel, code: str, undo: str, why: str
) -> None:
    assert kernel.execute(code) == []
    request = page.run(commit("x = 1", "--trial"))
    card = page.card(page.attach())
    page.choose(card, "Decline")
    page.idle(request)
    assert kernel.execute(undo) == []
    assert why in facts(card, "Can’t be tried first")
    assert "Try first" not in [choice["label"] for choice in card["choices"]]
