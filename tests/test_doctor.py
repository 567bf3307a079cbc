"""`python -m codex_magic doctor` on machines where one thing is wrong, as a program of its own."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from codex_magic.doctor.findings import Finding, Level, exit_code, redacted
from codex_magic.threads.store import Store
from tests.responses.wire import Wire, plain
from tests.service import LocalService, start

MARKS = {"✓": "ok", "·": "note", "!": "warning", "✗": "failed", "–": "skipped"}


class Checkup:
    """The table that the program has written, and how it ended."""

    def __init__(
        self, *arguments: str, columns: int = 120, within: Sequence[str] = (), encoding: str = "utf-8"
    ) -> None:
        run = subprocess.run(
            [*within, sys.executable, "-m", "codex_magic", "doctor", *arguments],
            env={**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": encoding},
            capture_output=True,
            text=True,
            encoding=encoding,
            check=False,
        )
        self.text, self.errors, self.code = run.stdout, run.stderr, run.returncode

    def level(self, check: str) -> str:
        row = re.search(rf"^(\S)  {check}\s", self.text, re.MULTILINE)
        assert row is not None, self.text + self.errors
        return MARKS[row[1]]

    def failed(self) -> list[str]:
        return re.findall(r"^✗  (\S+(?: \S+)?)", self.text, re.MULTILINE)


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.usefixtures("service")
def test_where_all_is_well_every_check_is_and_it_ends_with_0() -> None:
    checkup = Checkup()
    assert checkup.failed() == []
    assert checkup.code == 0
    assert {checkup.level(each) for each in ("Network", "Sign-in", "Models", "Request", "Store")} == {"ok"}
    assert checkup.errors == ""


@pytest.mark.peer("openai-codex-cli-bin")
def test_a_command_really_runs_in_the_sandbox_of_the_agents_program(service: LocalService) -> None:
    checkup = Checkup("--offline")
    assert checkup.level("Agent") == "ok"
    assert checkup.level("Sandbox") in ("ok", "warning")  # some containers have none


def test_the_websocket_is_opened_where_there_is_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(websocket=True) as service:
        service.sign_in(home / ".codex")
        monkeypatch.setenv("CODEX_MAGIC_BASE_URL", service.base_url)
        monkeypatch.setenv("CODEX_MAGIC_ISSUER", service.issuer)
        assert Checkup().level("WebSocket") == "ok"


def test_a_websocket_that_is_refused_is_no_failure(service: LocalService) -> None:
    checkup = Checkup()
    assert checkup.level("WebSocket") == "note"
    assert "426" in checkup.text


def test_offline_nothing_is_asked(service: LocalService) -> None:
    checkup = Checkup("--offline")
    assert checkup.code == 0
    assert {checkup.level(each) for each in ("Network", "Models", "Request", "WebSocket")} == {"skipped"}
    assert service.requests == []


def test_exactly_one_question_is_sent(service: LocalService) -> None:
    Checkup()
    asked = [request.method for request in service.requests if request.path.endswith("/responses")]
    assert asked.count("POST") == 1


def test_a_closed_port(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "http://127.0.0.1:1/backend-api/codex")
    checkup = Checkup()
    assert checkup.failed() == ["Network"]
    assert checkup.level("Models") == "skipped"
    assert checkup.level("Store") == "ok"
    assert checkup.code == 1


def test_a_proxy_that_refuses(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    wire.answer(plain(407))
    monkeypatch.setenv("HTTPS_PROXY", wire.url.replace("//", "//ana:swordfish1@"))
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "https://service.invalid/backend-api/codex")
    checkup = Checkup()
    wire.close()
    assert checkup.failed() == ["Network"]
    assert "NO_PROXY" in checkup.text
    assert "swordfish1" not in checkup.text
    assert {request.method for request in wire.requests} == {"CONNECT"}


@pytest.mark.usefixtures("service")
def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "https://service.invalid/backend-api/codex")
    checkup = Checkup()
    assert checkup.failed() == ["Network"]
    assert "through the proxy" in squeezed(checkup.text)
    assert "NO_PROXY" in checkup.text


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [["--offline"], ["--offline", "--report"], ["--help"]])
def test_where_an_output_has_few_characters_marks_are_words(encoding: str, arguments: list[str]) -> None:
    checkup = Checkup(*arguments, encoding=encoding)
    assert (checkup.code, checkup.errors) == (0, "")
    assert re.search(r"^(ok  |\[ok)|failed", checkup.text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_nobody_here_trusts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tls=tmp_path / "tls") as service:
        service.sign_in(home / ".codex")
        monkeypatch.setenv("CODEX_MAGIC_BASE_URL", service.base_url)
        monkeypatch.setenv("CODEX_MAGIC_ISSUER", service.issuer)
        checkup = Checkup()
        assert checkup.failed() == ["Network"]
        assert "CODEX_CA_CERTIFICATE" in checkup.text
        monkeypatch.setenv("CODEX_CA_CERTIFICATE", str(service.ca_file))
        assert Checkup().code == 0


def test_a_file_of_certificates_that_holds_none(
    service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "words.pem").write_text("no certificate")
    monkeypatch.setenv("CODEX_CA_CERTIFICATE", str(tmp_path / "words.pem"))
    checkup = Checkup("--offline")
    assert checkup.failed() == ["Certificates"]
    assert checkup.code == 1


def test_nobody_is_signed_in(service: LocalService, home: Path) -> None:
    (home / ".codex" / "auth.json").unlink()
    checkup = Checkup()
    assert checkup.failed() == ["Sign-in"]
    assert checkup.level("Network") == "ok"
    assert checkup.level("Request") == "skipped"
    assert "codex login" in squeezed(checkup.text)


def test_a_sign_in_that_has_ended_is_renewed(service: LocalService, home: Path) -> None:
    service.sign_in(home / ".codex", expires_in=-60)
    offline = Checkup("--offline")
    assert "renews it" in squeezed(offline.text)
    assert offline.code == 0
    assert Checkup().code == 0


def test_a_sign_in_that_has_ended_for_good(service: LocalService, home: Path) -> None:
    tokens = service.sign_in(home / ".codex", expires_in=-60)
    service.revoke(tokens.refresh_token)
    checkup = Checkup()
    assert checkup.failed() == ["Sign-in"]
    assert checkup.level("Models") == "skipped"
    assert checkup.code == 1


@pytest.mark.skipif(os.name == "nt", reason="a folder below a file is another error there")
def test_a_home_that_cannot_be_written(
    service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CODEX_MAGIC_HOME", str(tmp_path / "file" / "codex-magic"))
    checkup = Checkup("--offline")
    assert checkup.failed() == ["Store"]
    assert "CODEX_MAGIC_HOME" in checkup.text


@pytest.mark.parametrize("how", ["no store", "a page"])
def test_a_damaged_store(service: LocalService, home: Path, how: str) -> None:
    path = home / "codex-magic" / "threads.db"
    path.parent.mkdir()
    with Store(path) as store:
        store.create_thread(thread_id="t1")
    with sqlite3.connect(path) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'threads_by_update'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = bytearray(path.read_bytes())
    data[0 if how == "no store" else (page - 1) * size :] = b"\xff" * (
        len(data) if how == "no store" else size
    ) + bytes(data[page * size :] if how == "a page" else b"")
    path.write_bytes(data)
    checkup = Checkup("--offline")
    assert checkup.failed() == ["Store"]
    assert "damaged" in checkup.text
    assert checkup.code == 1


def test_the_agents_program_is_missing(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was named and is not there is a failure; one that nobody named is not."""
    monkeypatch.setenv("CODEX_MAGIC_CODEX_BIN", "/nowhere/codex")
    checkup = Checkup("--offline")
    assert checkup.failed() == ["Agent"]
    assert checkup.level("Sandbox") == "skipped"


IN_A_CONTAINER = ("unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_pid_namespaces; exec "$@"', "sh")
"""As in a container that lets nobody make namespaces."""


@pytest.mark.peer("openai-codex-cli-bin")
def test_a_machine_that_cannot_have_the_sandbox_is_a_warning(service: LocalService) -> None:
    if shutil.which("unshare") is None or subprocess.run([*IN_A_CONTAINER, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make namespaces")
    checkup = Checkup("--offline", within=IN_A_CONTAINER, columns=300)
    assert checkup.level("Agent") == "ok"
    assert checkup.level("Sandbox") == "warning"
    assert "namespace" in checkup.text
    assert checkup.code == 0


def test_no_extension_is_told_and_one_of_another_version_is_a_warning(
    service: LocalService, home: Path
) -> None:
    folder = home / "data" / "labextensions" / "codex-magic"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "0.0.1"}')
    checkup = Checkup("--offline")
    assert checkup.level("Front end") == "warning"
    assert "0.0.1" in checkup.text
    assert checkup.code == 0


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "http://127.0.0.1:1/backend-api/codex")
    monkeypatch.setenv("CODEX_MAGIC_CODEX_BIN", "codex-that-is-not-there")
    monkeypatch.setenv("HOME", str(Path.home()))
    lines = Checkup(columns=columns).text.splitlines()
    assert max(map(len, lines)) <= columns


def test_a_report_names_nobody(service: LocalService, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ana.lovelace")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-AAAAAAAAAAAAAAAAAAAAAAAA")
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "http://llm.corp.invalid:1/v1")
    monkeypatch.setenv("CODEX_MAGIC_CODEX_BIN", str(home / "ana.lovelace" / "codex"))
    monkeypatch.setenv("HTTP_PROXY", "http://ana:swordfish1@proxy.corp.invalid:3128")
    said = Checkup("--report", "--offline").text + Checkup("--report").text
    stored = (home / ".codex" / "auth.json").read_text()
    secrets = re.findall(r'"([\w.-]{40,})"', stored)
    assert secrets
    private = [str(home), "ana.lovelace", "swordfish1", "corp.invalid", "sk-proj", "@example.com", *secrets]
    assert [each for each in private if each in said] == []
    assert "[failed ] Agent" in said


@pytest.mark.parametrize("level", Level)
def test_a_failure_alone_makes_it_end_with_1(level: Level) -> None:
    assert exit_code([Finding("A", Level.ok, ""), Finding("B", level, "")]) == (level is Level.failed)


def test_a_short_name_leaves_words_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ok")
    assert redacted("it is ok") == "it is ok"
