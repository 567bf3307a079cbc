"""Secrets of a notebook stay: none of 300 is in a request, in the store or in what is shown of an answer."""

from __future__ import annotations

import base64
import json
import logging
import random
import string
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

CHANCE = random.Random(30)
LETTERS = string.ascii_letters + string.digits


def chars(size: int, alphabet: str = LETTERS) -> str:
    return "".join(CHANCE.choices(alphabet, k=size)) + "7"


class Planted:
    """`names`: of environment variables and `.env`; `formats`: keys that only their look gives away."""

    def __init__(self) -> None:
        sizes = [8, 12, 20, 32, 48, 64]
        self.environment = {f"APP{n}_TOKEN": chars(sizes[n % 6], LETTERS + "-_.+/") for n in range(120)}
        self.environment |= {f"APP{n}_PASSWORD": f"{chars(5)} {chars(6)} &'{chars(4)}" for n in range(20)}
        self.file = {f"FILE{n}_SECRET": chars(sizes[n % 6], LETTERS + "-_") for n in range(80)}
        self.objects = [chars(16) for _ in range(20)]
        self.formats = [
            *(f"ghp_{chars(35)}" for _ in range(10)),
            *(f"sk-proj-{chars(60)}" for _ in range(10)),
            *(f"sk-ant-api03-{chars(90)}" for _ in range(10)),
            *(f"AKIA{chars(15, string.ascii_uppercase)}" for _ in range(10)),
            *(f"xoxb-{chars(11, string.digits)}-{chars(23)}" for _ in range(10)),
            *(f"hf_{chars(33)}" for _ in range(10)),
        ]

    @property
    def all(self) -> list[str]:
        named = [*self.environment.values(), *self.file.values()]
        return [*named, *self.objects, *self.formats]


@pytest.fixture
def planted(monkeypatch, tmp_path, shell):
    planted = Planted()
    for name, value in planted.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in planted.file.items()))
    shell.user_ns["planted"] = planted
    return planted


def spellings(value: str) -> list[str]:
    """Eight characters in a row of a secret that must not be found, as it is and encoded."""
    forms = [value, value.encode().hex(), base64.b64encode(value.encode()).decode().rstrip("=")]
    return ["".join(form.split())[:8] for form in forms]


def found(text: str, values: list[str]) -> list[str]:
    """The secrets whose beginning is in a text, over the ends of its lines too."""
    flat = "".join(text.replace("\\n", "").split())
    return [value for value in values if any(each in flat for each in spellings(value)) or value[-8:] in flat]


CELLS = [
    "settings = {name: value for name, value in planted.environment.items()}",
    "from pydantic import SecretStr\nkeys = [SecretStr(value) for value in planted.objects]\nkey0 = keys[0]",
    "tokens = planted.formats",
    "print('\\n'.join(planted.formats))",
    "import base64\n[base64.b64encode(v.encode()) for v in planted.environment.values()]",
    "[v.encode().hex() for v in planted.file.values()]",
    "raise ValueError('cannot log in with ' + ', '.join(planted.environment.values()))",
]


def test_no_secret_leaves_with_a_question(service, run, shell, planted, home, caplog):
    caplog.set_level(logging.DEBUG)
    assert len(planted.all) >= 300
    for source in CELLS:
        shell.run_cell(source, store_history=True)
    for number, value in enumerate(planted.all[::7]):
        shell.run_cell(f"api_{number} = {value!r}", store_history=True)
    wrapped = [
        "\n".join(json.dumps(value[at : at + 10]) for at in range(0, len(value), 10)) for value in planted.all
    ]
    Path("notes.txt").write_text(", ".join(planted.all))
    for number in range(0, len(wrapped), 80):
        Path(f"wrapped{number}.txt").write_text("\n\n".join(wrapped[number : number + 80]))
    shown = [
        run("%%codex --context all\nWhat is in @settings, @tokens, @keys and @error?"),
        run("%%codex --context outputs\nRead @notes.txt and @.env and @output."),
        run("%%codex\n{{ planted.environment }} {{ repr(planted.formats) }} and {{ planted.file }}"),
        run("%%codex\nRead @wrapped0.txt, @wrapped80.txt, @wrapped160.txt and @wrapped240.txt."),
        run("%codex fix"),
        run("%%codex\necho: " + " ".join(planted.all[:40])),
    ]
    sent = everything_sent(service)
    assert "SECRET_300" in sent
    assert found(sent, planted.all) == []
    assert found("\n".join(shown), planted.all) == []
    assert planted_in(home / "codex-magic", planted) == []
    assert shell.user_ns["settings"] == planted.environment
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "POST" in logged
    assert found(f"{logged}\n{caplog.text}", planted.all) == []


def everything_sent(service):
    """All that the service was sent, whatever for."""
    return "\n".join(
        json.dumps([each.path, dict(each.headers), each.json], ensure_ascii=False, default=str)
        for each in service.requests
    )


def planted_in(folder, planted):
    """The secrets that the files below a folder hold. IPython's own history has the cells as they were typed."""
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"SECRET_1" in kept
    return [value for value in planted.all if any(each.encode() in kept for each in spellings(value))]


ASKS = [
    "%%codex --context all\nWhat is in @settings, @keys and @.env?",
    "%%codex --context outputs\nRead @notes.txt and @wrapped.txt, and @error.",
    "%%codex\n{{ settings }} {{ [key.get_secret_value() for key in keys] }}",
    "%codex fix",
    "%codex explain",
    "%codex doc connect",
    "%codex peek",
    "%%codex --dry\n{{ list(settings.values()) }} @notes.txt",
    "%codex history",
    "%codex show 1",
]


def test_no_secret_gets_into_a_saved_notebook_a_log_or_the_store(service, home, tmp_path, monkeypatch):
    planted = Planted()
    for name, value in planted.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in planted.file.items()))
    values = "\n".join(planted.all)
    (tmp_path / "notes.txt").write_text(values)
    (tmp_path / "wrapped.txt").write_text(
        "\n".join(textwrap.wrap(base64.b64encode(values.encode()).decode()))
    )
    code = [
        "%load_ext codex_magic",
        "import logging; logging.basicConfig(level=logging.DEBUG, filename='all.log', force=True)",
        "import os\nfrom pydantic import SecretStr\nlines = open('notes.txt').read().split('\\n')\n"
        "settings = dict(zip(map(str, range(400)), lines))\nkeys = [SecretStr(line) for line in lines]",
        "def connect(key=keys[0]):\n    raise ValueError(f'no way in with {lines}')",
    ]
    cells = [new_code_cell(source) for source in code]
    failing = new_code_cell(
        "try:\n    connect()\nfinally:\n    pass", metadata={"tags": ["raises-exception"]}
    )
    cells += [failing, *map(new_code_cell, ASKS)]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    ours = nbformat.writes(new_notebook(cells=[each for each in cells if "codex" in each.source]))
    assert "SECRET_" in ours
    assert found(ours, planted.all) == []
    log = (tmp_path / "all.log").read_text()
    assert "POST" in log
    assert found(log, planted.all) == []
    assert found(everything_sent(service), planted.all) == []
    assert planted_in(home / "codex-magic", planted) == []
