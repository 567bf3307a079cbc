"""What goes wrong is one sentence and what to do next."""

import pytest

SECRET = "sk-live-0123456789abcdefghijklmnop"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("usage_limit", ["usage limit", "The 5-hour limit resets on"]),
        ("usage_not_included", ["plan"]),
        ("too_many_requests", ["again"]),
        ("context_length_exceeded", ["context", "%codex new"]),
        ("cloudflare", ["web page", "chatgpt.com"]),
        ("token_invalidated", ["codex login"]),
        ("incomplete", ["%codex continue"]),
        ("eof", ["%codex continue"]),
    ],
)
def test_a_failure_of_the_service_is_a_sentence_with_a_next_step(run, service, fault, words):
    service.faults.next(fault, times=10, retry_after=0)
    said = run("%%codex\nhello")
    assert all(word in said for word in words), said


def test_a_model_that_is_not_there_names_those_near(run, service):
    run("%codex models")
    said = run("%codex -m local-lrge hi")
    assert "local-lrge" in said
    assert "local-large" in said


def test_no_sign_in_says_how_to_sign_in(run):
    said = run("%%codex\nhello")
    assert "codex login" in said
    assert "%codex provider local" in said


def test_a_service_that_is_not_there_is_said_with_its_address(run, monkeypatch, service):
    address = service.api_url
    service.close()
    said = run(f"%codex -p {address} -m any hi")
    assert "127.0.0.1" in said


@pytest.mark.parametrize("line", ["hi", "--agent hi", "--agent --cwd . hi", "cwd", "--dry hi"])
def test_a_working_folder_that_is_gone_is_a_sentence(run, service, tmp_path, monkeypatch, line):
    (folder := tmp_path / "work").mkdir()
    monkeypatch.chdir(folder)
    run("%codex status")
    folder.rmdir()
    said = run(f"%codex {line}")
    monkeypatch.chdir(tmp_path)
    assert "is gone" in said
    assert "%cd" in said


def test_a_failed_cell_counts_as_failed(shell, service, capsys):
    service.faults.next("usage_limit")
    assert not shell.run_cell("%%codex\nhi").success


def test_what_failed_is_shown_by_debug_without_secrets(run, shell, service, capsys):
    run(f"%codex -p http://127.0.0.1:1/{SECRET} -m any hi")
    capsys.readouterr()
    shell.run_cell("%codex debug")
    said = capsys.readouterr().out
    assert "UnreachableError" in said
    assert SECRET not in said


def test_a_store_that_cannot_be_used_is_said_and_the_answer_still_comes(run, service, home, monkeypatch):
    monkeypatch.setenv("CODEX_MAGIC_HOME", str(home / "blocked"))
    (home / "blocked").mkdir()
    (home / "blocked" / "threads.db").write_bytes(b"this is no database" * 100)
    said = run("%%codex\necho: still here")
    assert "still here" in said
    assert "threads.db" in said
