"""Where answers come from, where the time went, and the conversation as a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.end_to_end.test_deleted_questions import Page
from tests.notebook.conftest import Ask
from tests.notebook.test_replay import page  # noqa: F401  # a fixture
from tests.service import LocalService

SECRET = "zH7kQ2vN9xW4mB6tR1pY"


@pytest.mark.usefixtures("service")
def test_each_answer_has_its_model_effort_tokens_time_and_what_was_sent(
    shell: InteractiveShell, run: Ask
) -> None:
    shell.run_cell("prices = [1, 2]", store_history=True)
    run("%%codex -m local-large -e high\npace: 100\nWhy @prices?")
    row = next(line for line in run("%codex provenance").splitlines() if line.startswith("1 "))
    assert re.search(r"local-large +high +[\d,]+ in, [\d,]+ out +[\d.]+ s", row)
    assert "1 cell, " in row
    assert "prices" in row


def test_a_cell_that_was_edited_since_is_told(page: Page) -> None:  # noqa: F811
    def since() -> list[bool]:
        return [
            "<td>edited</td>" in line for line in page.run("prov06", "%codex provenance").splitlines()[2:4]
        ]

    assert since() == [False, False]
    page.cells["two005"] += "?"
    assert since() == [False, True]
    page.ask("two005")
    assert since() == [False, False]


@pytest.mark.usefixtures("service")
def test_the_time_of_the_last_turn_is_told_by_phases(run: Ask) -> None:
    assert "Nothing was asked" in run("%codex trace")
    run("%%codex\necho: hi")
    told = run("%codex trace")
    for phase in ("connecting", "first token", "streaming", "display"):
        assert phase in told
    assert "tools" not in told
    run("%codex reads yes")
    run('%%codex\nuse the tool run_python with {"code": "sum(range(10**6))"}')
    assert "tools" in run("%codex trace")


@pytest.fixture
def exported(
    run: Ask, service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A conversation with a secret, a path and hostile text in it, as each kind of file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)
    run("%codex name A <b>talk</b>")
    run(f"%%codex\necho: <script>alert(1)</script> in {Path.home()}/data and {tmp_path}/x")
    run("%%codex\necho: | a | b |\n|---|---|\n| 1 | 2 |")
    texts = {}
    for kind in ("md", "ipynb", "json", "html"):
        assert "Exported 2 turns" in run(f"%codex export talk.{kind}")
        texts[kind] = (tmp_path / f"talk.{kind}").read_text(encoding="utf-8")
    return texts


def test_a_conversation_is_exported_without_secrets_paths_and_code_that_runs(
    exported: dict[str, str], tmp_path: Path
) -> None:
    for kind, text in exported.items():
        assert "alert(1)" in text, kind
        assert "~/data" in text, kind
        assert SECRET not in text
        assert str(Path.home()) not in text
        assert str(tmp_path) not in text
    assert "<script" not in exported["html"]
    assert "<table>" in exported["html"]
    assert "default-src 'none'" in exported["html"]
    notebook = nbformat.reads(exported["ipynb"], as_version=4)
    nbformat.validate(notebook)
    assert [cell.source.partition("\n")[0] for cell in notebook.cells[1:]] == ["%%codex", "%%codex"]
    turns = json.loads(exported["json"])["turns"]
    assert [turn["status"] for turn in turns] == ["completed", "completed"]
    assert turns[0]["tokens"]["output"] > 0


def test_no_file_is_written_over(exported: dict[str, str], run: Ask) -> None:
    assert "is there already" in run("%codex export talk.md")
    assert ".ipynb" in run("%codex export talk.pdf")
    assert "can't be written" in run("%codex export nowhere/talk.md")
