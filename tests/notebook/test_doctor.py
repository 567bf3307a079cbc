"""`%codex doctor` in a notebook and in a terminal."""

from __future__ import annotations

from codex_magic.notebook.extension import PROTOCOL
from codex_magic.notebook.magics import loaded
from tests.end_to_end.kernel import Kernel
from tests.known import some
from tests.service import LocalService


def test_a_terminal_shows_a_table(service, run):
    shown = run("%codex doctor")
    assert "Codex can be used." in shown
    assert {line[0] for line in shown.splitlines() if " Models " in line} == {"✓"}


def test_a_wrong_word_asks_nobody(service, run):
    assert "doesn't take" in run("%codex doctor --ofline")
    assert service.requests == []


def test_tab_offers_its_switches(service, shell):
    from codex_magic.notebook.commands import offers

    session = some(loaded(shell)).session
    assert offers(session, "%codex doctor --off", "--off") == ["--offline"]


def test_what_the_notebook_has_chosen_is_what_is_examined(service, shell, run):
    run("%config CodexMagics.model = 'no-such-model'")
    report = run("%codex doctor --report")
    assert "[failed ] Models" in report
    assert "no-such-model" in report


def test_an_agent_that_is_chosen_and_missing_is_a_failure(service, shell, run, monkeypatch):
    monkeypatch.setenv("CODEX_MAGIC_CODEX_BIN", "/nowhere/codex")
    run("%codex engine app-server")
    assert "[failed ] Agent" in run("%codex doctor --offline --report")


def test_a_page_of_another_protocol_is_told(service, shell, run):
    extension = some(loaded(shell)).extension
    extension.answer({"op": "answers", "protocol": PROTOCOL + 1})
    from codex_magic.doctor.machine import Page, front_end

    found = front_end(Page(True, extension.is_attached, extension.protocol, PROTOCOL))
    assert f"protocol {PROTOCOL + 1}" in found.text


def test_a_notebook_shows_one_table_in_html_and_a_report_as_code(
    service: LocalService, kernel: Kernel
) -> None:
    kernel.execute("%load_ext codex_magic")
    [output] = kernel.execute("%codex doctor --offline")
    assert output["data"]["text/markdown"].count("<table>") == 1
    [report] = kernel.execute("%codex doctor --offline --report")
    assert report["data"]["text/markdown"].startswith("```")
    assert "[ok     ] Store" in report["data"]["text/plain"]
