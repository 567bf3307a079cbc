"""`%codex undo` after many kinds of change: all is back, or the question said before that it can't be."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.peers.agent import use

STATE = """
import os, stat

def _state():
    names = {n: (type(v).__name__, repr(v)) for n, v in globals().items() if n in ("x", "y", "z")}
    files = {}
    for folder, folders, below in os.walk("."):
        for name in (*folders, *below):
            path = os.path.join(folder, name)
            about = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(about.st_mode) else ""
            if stat.S_ISREG(about.st_mode):
                content = open(path, "rb").read()[:1000], about.st_size
            files[path] = stat.filemode(about.st_mode), content
    return hash(str((sorted(names.items()), sorted(files.items()))))
"""

FILES = """
import shutil, pathlib
for path in os.listdir("."):
    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.remove(path)
os.makedirs("d/e")
open("a.txt", "w").write("one\\ntwo\\n")
open("b.bin", "wb").write(bytes(range(256)))
open("d/e/c.txt", "w").write("deep")
os.symlink("a.txt", "link")
os.chmod("a.txt", 0o640)
"""


class Case(NamedTuple):
    make: str
    code: str


FRAME = "import pandas as pd\nx = pd.DataFrame({'p': [1.0, 2.0, 3.0], 'n': ['a', 'b', 'c']})"
POLARS = "import polars as pl\nx = pl.DataFrame({'p': [1, 2]})"
ARRAY = "import numpy as np\nx = np.arange(6)"

NAMES = [
    Case("x = 1", "x = 2"),
    Case("x = 1", "del x"),
    Case("x = 1", "y = [x]"),
    Case("x = 1", "import math as x"),
    Case("x = 1", "def x(): pass"),
    Case("x = 1", "class x: pass"),
    Case("x = 1", "for x in range(3): y = x"),
    Case("x = 1", "x, (y, *z) = 2, (3, 4)"),
    Case("x = 1", "with open('/dev/null') as x: pass"),
    Case("x = 1", "%time x = 2"),
    Case("x = [3, 1]", "x.sort()"),
    Case("x = [3, 1]", "x += [4]"),
    Case("x = [3, 1]\ny = x", "y[0] = 9"),
    Case("x = [[1], [2]]", "x[0].append(5)"),
    Case("x = [[1], [2]]", "for z in x:\n    z.clear()"),
    Case("x = {'a': {'b': 1}}", "x['a']['b'] = 2"),
    Case("x = {'a': [1]}", "x.get('a').append(2)"),
    Case("x = {'a': 1}", "x.clear()"),
    Case("x = {1, 2}", "x.discard(1)"),
    Case("x = ([1], 2)", "x[0].append(3)"),
    Case("import collections\nx = collections.deque([1, 2])", "x.rotate(1)"),
    Case("x = [1]\ndef f(v): v.append(2)", "f(x)"),
    Case("x = [1]\ndef f(): x.append(2)", "f()"),
    Case("x = 1\ndef f():\n    global x\n    x = 2", "f()"),
    Case("x = [3, 1, 2]", "import heapq\nheapq.heapify(x)"),
    Case("x = [1, 3]", "import bisect\nbisect.insort(x, 2)"),
    Case("x = []", "list(map(x.append, [1, 2]))"),
    Case("x = []", "list.append(x, 1)"),
    Case("x = []\nh = x.append", "h(1)"),
    Case("x = [1]", "(y := x).append(2)"),
    Case("x = []", "(lambda each: each.append(1))(x)"),
    Case("x = []", "def f(each): each.append(1)\nf(x)"),
    Case("x = []\ndef f(each=x): each.append(1)", "f()"),
    Case("import collections\nx = collections.Counter('ab')", "x.subtract('a')"),
    Case("import collections\nx = collections.OrderedDict(a=1, b=2)", "x.move_to_end('a')"),
    Case("import collections\nx = collections.defaultdict(list)", "x['new']"),
]

FRAMES = [
    Case(FRAME, "x['p'] = 0"),
    Case(FRAME, "x.loc[0, 'p'] = 9"),
    Case(FRAME, "x.drop(columns='n', inplace=True)"),
    Case(FRAME, "x.columns = ['q', 'r']"),
    Case(FRAME, "x.sort_values('p', ascending=False, inplace=True)"),
    Case(FRAME, "x = x[x.p > 1]"),
    Case(FRAME, "del x['p']"),
    Case(FRAME + "\ny = x", "y['p'] = 0"),
    Case(FRAME + "\ndef f(d): d['p'] = 0", "f(x)"),
    Case(FRAME + "\ny = {'x': x}", "y['x']['p'] = 0"),
    Case(FRAME + "\nx['l'] = [[1], [2], [3]]", "x.at[0, 'l'].append(5)"),
    Case(FRAME + "\nx = x.p", "x[0] = 9"),
    Case(POLARS, "x = x.with_columns(q=1)"),
    Case(POLARS, "x[0, 'p'] = 9"),
    Case(ARRAY, "x[:] = 7"),
    Case(ARRAY, "x += 1"),
    Case(ARRAY, "x = x.reshape(2, 3)"),
    Case(ARRAY + "\ny = x[2:]", "y[0] = 9"),
    Case(FRAME + "\ny = [x]", "x['p'] = 0"),
    Case(FRAME + "\ny = {'k': (x,)}\nz = x", "x.drop(columns='n', inplace=True)"),
    Case(FRAME + "\ny = [x]", "x.attrs['unit'] = 'm'; x.columns.name = 'c'; x['q'] = 1"),
    Case(FRAME + "\nx = x.p\ny = [x]", "x[0] = 9"),
    Case(POLARS + "\ny = [x]", "x.insert_column(0, pl.Series('q', [3, 4]))"),
    Case(ARRAY, "np.random.default_rng(1).shuffle(x)"),
    Case(ARRAY, "np.copyto(x, 1)"),
    Case(ARRAY, "np.add(x, 1, out=x)"),
    Case(ARRAY, "np.put(x, [0], [4])"),
    Case(ARRAY, "x.dtype = 'float64'"),
    Case("import numpy as np\nx = np.array([1.0, np.nan])\ny = [x]", "np.copyto(x, 1)"),
]

ON_DISK = [
    Case(FILES, "open('new.txt', 'w').write('x')"),
    Case(FILES, "open('a.txt', 'w').write('x')"),
    Case(FILES, "with open('a.txt', 'a') as y: y.write('more')"),
    Case(FILES, "os.remove('a.txt')"),
    Case(FILES, "shutil.rmtree('d')"),
    Case(FILES, "os.rename('a.txt', 'd/moved.txt')"),
    Case(FILES, "os.rename('d', 'other')"),
    Case(FILES, "os.chmod('a.txt', 0o600)"),
    Case(FILES, "os.remove('link'); os.symlink('b.bin', 'link')"),
    Case(FILES, "os.remove('link'); open('link', 'w').write('no link')"),
    Case(FILES, "os.remove('a.txt'); os.mkdir('a.txt'); open('a.txt/x', 'w').write('x')"),
    Case(FILES, "shutil.rmtree('d'); open('d', 'w').write('x')"),
    Case(FILES, "open('b.bin', 'r+b').write(b'\\xff' * 9)"),
    Case(FILES, "os.makedirs('p/q'); open('p/q/r', 'w').write('x')"),
    Case(FILES, "import pandas as pd\npd.DataFrame({'a': [1]}).to_csv('t.csv')"),
    Case(FILES, "!rm a.txt && echo x > b.bin"),
    Case(FILES, "%%writefile a.txt\nother"),
    Case(FILES + "\ndef f(): open('a.txt', 'w').write('x')", "f()"),
    Case(FILES + "\nopen('big', 'wb').truncate(9_000_000)", "os.rename('big', 'd/bigger')"),
    Case(FILES + "\nopen('big', 'wb').truncate(9_000_000)", "os.chmod('big', 0o600)"),
    Case(FILES + "\nx = 1", "x = 2\nopen('a.txt', 'w').write('x')"),
]

SAID = [
    (Case("class M:\n    def fit(self): self.a = 1\nx = M()", "x.fit()"), "x (a M can't be copied)"),
    (Case("class M: pass\nx = M()", "x.a = 1"), "x (a M can't be copied)"),
    (Case("class M: pass\nx = [M()]", "x[0].a = 1"), "x (a part of it, a M can't be copied)"),
    (Case("x = iter([1, 2])", "next(x)"), "x (a list_iterator can't be copied)"),
    (Case("x = (i for i in range(3))", "z = list(x)"), "x (a generator can't be copied)"),
    (Case("import numpy as np\nx = np.zeros(30_000_000)", "x[0] = 1"), "x (240 MB, too large to keep)"),
    (
        Case("import numpy as np\nx = np.zeros(30_000_000)", "np.copyto(x, 1)"),
        "x (240 MB, too large to keep)",
    ),
    (
        Case("import numpy as np\nx = np.random.default_rng(1)", "x.random()"),
        "x (a Generator can't be copied)",
    ),
    (
        Case("import sqlite3\nx = sqlite3.connect(':memory:')", "x.execute('create table t (n)')"),
        "rows of a database",
    ),
    (Case("class x: a = []", "x.a.append(1)"), "x.a"),
    (Case("", "import math\nmath.tau = 3"), "math.tau"),
    (Case("", "import sys\nsys.path.append('z')"), "sys.path"),
    (Case("import os", "os.environ['Z'] = '1'"), "settings of the process"),
    (Case("", "open('/dev/null', 'w').write('x')"), "files outside this folder"),
    (Case("", "!true"), "files outside this folder"),
    (Case("", "open('big', 'wb').truncate(9_000_000)"), "above 8 MB"),
]


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("%codex reads yes")
    kernel.execute(STATE)
    return ExtendedFrontEnd(kernel)


def approve(page: ExtendedFrontEnd, case: Case) -> str:
    """Let Codex run the code of a case; return what the question said of it."""
    assert not [each for each in page.kernel.execute("%reset_selective -f ^[xyz]$") if each.get("ename")]
    assert not [each for each in page.kernel.execute(case.make) if each.get("ename")]
    request = page.run(f"%%codex\n{use('run_python', code=case.code, scope='commit')}")
    card = page.card(page.attach())
    page.choose(card, "Approve")
    page.idle(request)
    return str(card["facts"])


@pytest.mark.parametrize("cases", [NAMES, FRAMES, ON_DISK], ids=["names", "frames", "files"])
def test_all_is_back(page: ExtendedFrontEnd, cases: list[Case]) -> None:
    wrong = []
    for case in cases:
        page.kernel.execute("%reset_selective -f ^[xyz]$")
        page.kernel.execute(case.make)
        before = page.kernel.value("_state()")
        approve(page, case)
        changed = page.kernel.value("_state()")
        page.idle(page.run("%codex undo"))
        if changed == before or page.kernel.value("_state()") != before:
            wrong.append((case.code, changed == before, markdown(page.outputs)[-300:]))
    assert wrong == []


def test_the_value_itself_is_put_back_and_what_was_only_read_is_not_listed(page: ExtendedFrontEnd) -> None:
    approve(page, Case(FRAME + "\ny = [x]\nz = [1]", "x['p'] = len(z)"))
    page.idle(page.run("%codex undo"))
    assert markdown(page.outputs).rpartition("\n\n")[2] == "Undone: x."
    assert page.kernel.value("y[0] is x, list(y[0].p)") == "(True, [1.0, 2.0, 3.0])"


def test_what_cannot_be_put_back_is_said_before(page: ExtendedFrontEnd) -> None:
    wrong = [(case.code, said) for case, said in SAID if said not in approve(page, case)]
    assert wrong == []


def test_what_the_user_changed_since_is_shown_and_kept(page: ExtendedFrontEnd, tmp_path: Path) -> None:
    approve(
        page, Case(FILES + "\nx = 1", "x = 2\nopen('a.txt', 'w').write('of Codex\\n')\nos.remove('b.bin')")
    )
    (tmp_path / "a.txt").write_text("of the user\n")
    page.idle(page.run("%codex undo"))
    shown = markdown(page.outputs)
    assert "Not undone: a.txt changed since." in shown
    assert "-of Codex" in str(page.outputs)
    assert "+of the user" in str(page.outputs)
    assert (tmp_path / "a.txt").read_text() == "of the user\n"
    assert page.kernel.value("x") == "2"
    (tmp_path / "a.txt").write_text("of Codex\n")
    page.idle(page.run("%codex undo"))
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "b.bin").exists()


def test_a_value_that_the_user_changed_in_place_since_is_kept(page: ExtendedFrontEnd) -> None:
    approve(page, Case(FRAME, "x['p'] = 0"))
    page.idle(page.run("x.loc[0, 'n'] = 'mine'"))
    page.idle(page.run("%codex undo"))
    assert "Not undone: x changed since." in markdown(page.outputs)
    assert "mine" in page.kernel.value("list(x.n)")


def test_nothing_is_written_through_a_link_that_leads_elsewhere(
    page: ExtendedFrontEnd, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    approve(page, Case(FILES, "os.remove('d/e/c.txt')"))
    (tmp_path / "d" / "e").rename(elsewhere / "e")
    (tmp_path / "d" / "e").symlink_to(elsewhere / "e")
    page.idle(page.run("%codex undo"))
    assert list((elsewhere / "e").iterdir()) == []
