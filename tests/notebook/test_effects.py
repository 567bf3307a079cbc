"""What reading code tells of what it would do."""

from __future__ import annotations

import pytest

from codex_magic.notebook.tools.effects import (
    DATABASE,
    DELETE,
    DYNAMIC,
    ENDS,
    INSTALL,
    NETWORK,
    PROCESS,
    SETTINGS,
    UNREADABLE,
    WRITE,
    effects,
)


@pytest.mark.parametrize(
    "code",
    [
        "df.head()",
        "x = df.copy()\nx['a'] = 1\nx.dropna(inplace=True)",
        "open('f').read()",
        "open('f', 'rb')",
        "with open(path, encoding='utf-8') as file:\n    text = file.read()",
        "df.plot()",
        "[i for i in x if i]",
        "import os\nos.listdir()",
        "%timeit -n1 -r1 len(df)",
        "print(df.groupby('a').b.mean())",
        "counts = {}\nfor word in words:\n    counts[word] = counts.get(word, 0) + 1",
        "sum(range(3))",
        "total = 0\nfor n in numbers:\n    total += n",
    ],
)
def test_code_that_only_computes_is_quiet(code):
    assert effects(code).is_quiet, effects(code)


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("open('f', 'w').write('x')", WRITE),
        ("open('f', mode=m)", WRITE),
        ("Path('x').open('a')", WRITE),
        ("df.to_csv('out.csv')", WRITE),
        ("np.save('a', a)", WRITE),
        ("plt.savefig('a.png')", WRITE),
        ("%%writefile a.py\nx = 1", WRITE),
        ("from os import remove\nremove('x')", DELETE),
        ("import shutil as s\ns.rmtree('x')", DELETE),
        ("Path('x').unlink()", DELETE),
        ("!pip install x", INSTALL),
        ("%pip install x", INSTALL),
        ("!ls", PROCESS),
        ("files = !ls", PROCESS),
        ("%%bash\nls", PROCESS),
        ("import subprocess as sp\nsp.run(['ls'])", PROCESS),
        ("os.system('ls')", PROCESS),
        ("import requests as r\nr.get('http://x')", NETWORK),
        ("pd.read_csv('https://x.y/z.csv')", NETWORK),
        ("pd.read_csv(f's3://{bucket}/z.csv')", NETWORK),
        ("con.execute('drop table x')", DATABASE),
        ("df.to_sql('t', con)", DATABASE),
        ("import os\nos.environ['A'] = '1'", SETTINGS),
        ("%cd /", SETTINGS),
        ("import os as o\no._exit(0)", ENDS),
        ("exit()", ENDS),
        ("eval(text)", DYNAMIC),
        ("__import__('os').system('ls')", DYNAMIC),
        ("get_ipython().run_cell(x)", DYNAMIC),
        ("%run script.py", DYNAMIC),
        ("%%time\nopen('x', 'a')", WRITE),
        ("%time open('x', 'a')", WRITE),
        ("def f():\n    open('x', 'w')", WRITE),
        ("x = = 3", UNREADABLE),
    ],
)
def test_what_code_does_beside_computing_is_named(code, act):
    assert act in effects(code).acts


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("df.dropna(inplace=True)", ("df",)),
        ("df['a'] = 1", ("df",)),
        ("df.loc[0, 'a'] = 1", ("df",)),
        ("del df['a']", ("df",)),
        ("df.columns = names", ("df",)),
        ("items.append(3)", ("items",)),
        ("a += 1", ("a",)),
        ("model.fit(X, y)", ("model",)),
        ("tensor.add_(1)", ("tensor",)),
        ("df['a'].fillna(0, inplace=True)", ("df",)),
        ("setattr(thing, 'a', 1)", ("thing",)),
        ("df['a'] = 1\ndf = df.copy()", ("df",)),
        ("df.drop(columns='a', inplace=False)", ()),
    ],
)
def test_names_whose_values_change_are_named(code, names):
    assert effects(code).changes == names


def test_names_that_are_bound_at_the_top_are_named():
    code = "import numpy as np\nfrom os import path\ndef f():\n    inner = 1\nx, y = 1, 2\nfor i in y:\n    z = i\ndel q"
    assert effects(code).binds == ("np", "path", "f", "x", "y", "i", "z", "q")
