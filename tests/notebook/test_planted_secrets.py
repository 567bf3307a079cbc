"""Secrets of a notebook stay: none of 300 is in a request, in the store or in what is shown of an answer."""

from __future__ import annotations

import base64
import json
import random
import string
from pathlib import Path

import pytest

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


def test_no_secret_leaves_with_a_question(service, run, shell, planted, home):
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
    sent = "\n".join(
        json.dumps(each.json, ensure_ascii=False)
        for each in service.requests
        if each.path.endswith("/responses")
    )
    assert "SECRET_300" in sent
    assert found(sent, planted.all) == []
    assert found("\n".join(shown), planted.all) == []
    # IPython's own history has the cells as they were typed.
    kept = b"".join(path.read_bytes() for path in (home / "codex-magic").rglob("*") if path.is_file())
    assert b"SECRET_1" in kept
    assert [value for value in planted.all if value[:12].encode() in kept] == []
    assert shell.user_ns["settings"] == planted.environment
