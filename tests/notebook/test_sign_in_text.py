"""Signing in and out by text, in a real shell against the local service, and what the commands tell."""

import json
import re
import threading

import httpx
import pytest

from codex_magic.notebook.commands import offers
from codex_magic.notebook.magics import loaded
from tests.known import some

KEY = "sk-marked-0123456789abcdef"


@pytest.fixture
def nobody(service, home):
    """The service, and nobody signed in to it."""
    (home / ".codex" / "auth.json").unlink()
    return service


@pytest.fixture
def approving(nobody):
    """The service, and a person who approves the next code as soon as it is shown."""

    def approve():
        request = nobody.wait_for_request("/deviceauth/token", 60)
        nobody.approve_device(request.json["user_code"])

    thread = threading.Thread(target=approve)
    thread.start()
    yield nobody
    thread.join()


@pytest.fixture
def person(monkeypatch, capsys):
    """Answers what the terminal asks; `answers` are texts, or functions of what was on screen."""

    class Person:
        def __init__(self):
            self.answers = []
            self.screen = ""

        def ask(self, prompt):
            self.screen += capsys.readouterr().out
            answer = self.answers.pop(0)
            return answer(self.screen) if callable(answer) else answer

    person = Person()
    monkeypatch.setattr("codex_magic.notebook.account.may_ask", lambda shell: True)
    monkeypatch.setattr("getpass.getpass", person.ask)
    return person


def stored(home):
    path = home / ".codex" / "auth.json"
    return json.loads(path.read_text()) if path.exists() else None


def where_the_browser_ends(screen):
    [link] = re.findall(r"http\S+/oauth/authorize\S+", screen)
    return httpx.get(f"{link}&auto=1", trust_env=False).headers["location"]


def test_a_code_is_shown_and_the_sign_in_waited_for(run, approving, home):
    said = run("%codex login device")
    assert re.search(r"[A-Z]{4}-[A-Z]{5}", said)
    assert f"{approving.issuer}/codex/device" in said
    assert "Signed in as someone@example.com (Plus plan)." in said
    assert stored(home)["auth_mode"] == "chatgpt"


def test_a_pasted_address_signs_in_after_one_that_was_not_it(run, nobody, home, person):
    person.answers = ["nonsense", where_the_browser_ends]
    said = run("%codex login paste")
    assert "not the address" in person.screen
    assert "Signed in as someone@example.com" in said
    assert stored(home)["auth_mode"] == "chatgpt"


def test_a_key_is_asked_for_and_never_shown(run, nobody, home, person):
    person.answers = [KEY]
    said = run("%codex login key")
    assert "Signed in with an API key." in said
    assert KEY not in person.screen + said
    assert stored(home)["OPENAI_API_KEY"] == KEY


def test_a_key_in_the_cell_is_refused_and_goes_nowhere(run, nobody, home):
    for line in (f"login key {KEY}", f"login {KEY}", f"login my key is {KEY}"):
        said = run(f"%codex {line}")
        assert "Don't put API keys in cells" in said
        assert KEY not in said
    assert nobody.requests == []
    assert stored(home) is None


@pytest.mark.parametrize("way", ["paste", "key"])
def test_where_nobody_can_be_asked_another_way_is_named(run, nobody, way):
    said = run(f"%codex login {way}")
    assert "No one is here" in said
    assert re.search("%codex login device|OPENAI_API_KEY", said)


@pytest.mark.parametrize(
    ("fault", "path", "word"),
    [
        ("device_login_off", None, "device"),
        ("cloudflare", "/deviceauth/usercode", "web page"),
        ("refuse", "/deviceauth/usercode", "reached"),
    ],
)
def test_a_sign_in_that_fails_is_a_sentence_and_the_cell_fails(shell, nobody, capsys, fault, path, word):
    nobody.faults.next(fault, path=path, times=9)
    assert not shell.run_cell("%codex login device").success
    said = capsys.readouterr()
    assert word in said.out
    assert "Traceback" not in said.out + said.err


def test_a_sentence_about_login_is_a_question(run, service):
    run("%codex login is hard, isn't it?")
    assert service.requests[-1].path.endswith("/responses")


def test_who_is_signed_in_already_is_said(run, service):
    assert "Signed in as someone@example.com (Plus plan)." in run("%codex login")


def test_signing_out_forgets_and_tells_the_service(run, service, home):
    assert "Signed out." in run("%codex logout")
    assert stored(home) is None
    assert service.requests[-1].path == "/oauth/revoke"
    assert "not signed in" in run("%codex logout")


@pytest.mark.parametrize("way", ["device", "paste", "key", ""])
def test_a_folder_in_place_of_the_file_is_named_before_anybody_does_anything(run, nobody, home, person, way):
    (home / ".codex" / "auth.json").mkdir()
    said = run(f"%codex login {way}")
    assert str(home / ".codex" / "auth.json") in said
    assert nobody.requests == []


def test_a_broken_file_is_replaced_by_a_sign_in(run, nobody, home, person):
    (home / ".codex" / "auth.json").write_text("{")
    assert "%codex login" in run("%codex account")
    person.answers = [KEY]
    assert "Signed in" in run("%codex login key")
    assert stored(home)["OPENAI_API_KEY"] == KEY


def test_signing_out_of_a_broken_file_removes_it_and_says_so(run, nobody, home):
    (home / ".codex" / "auth.json").write_text("{")
    said = run("%codex logout")
    assert "removed" in said
    assert "%codex login" not in said
    assert stored(home) is None


def test_signing_out_of_a_folder_says_that_it_can_not(run, nobody, home):
    (home / ".codex" / "auth.json").mkdir()
    assert "can't be removed" in run("%codex logout")


def test_status_and_account_say_who_where_and_how_long(run, service, home):
    for command in ("status", "account"):
        said = run(f"%codex {command}")
        assert "signed in" in said
        assert "(Plus plan)" in said
        assert ("someone@example.com" in said) is (command == "account")
        assert str(home / ".codex" / "auth.json") in said
        assert "Good until" in said


def test_account_without_a_sign_in_says_how_to_sign_in(run, nobody):
    assert "%codex login" in run("%codex account")


def test_an_api_key_is_named_by_its_place_alone(run, nobody, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = run("%codex account")
    assert "OPENAI_API_KEY" in said
    assert KEY not in said


def test_usage_shows_the_tighter_window_first(run, service):
    said = run("%codex usage")
    assert said.index("Week") < said.index("5 hours")
    assert "69 % left" in said
    assert "resets" in said
    assert "69 % of the week left" in run("%codex status")


def test_usage_of_what_has_no_plan_says_so(run, service):
    run(f"%codex provider {service.api_url}")
    assert "%codex provider chatgpt" in run("%codex usage")


def test_the_local_service_has_a_plan_too(run):
    run("%codex provider local")
    assert "Week" in run("%codex usage")


def test_a_cell_can_wait_for_the_sign_in_and_goes_on_by_itself(run, approving):
    said = run("%%codex --wait-login\necho: answered at last")
    assert said.index("Signed in as") < said.index("answered at last")


def test_in_a_terminal_a_cell_fails_at_once_unless_told_to_wait(run, nobody):
    assert "%codex login" in run("%%codex\nhello")
    assert nobody.requests == []


def test_an_ended_sign_in_can_be_given_anew(run, approving, home, service):
    tokens = service.sign_in(home / ".codex")
    service.revoke(tokens.access_token)
    service.revoke(tokens.refresh_token)
    assert "answered at last" in run("%%codex --wait-login\necho: answered at last")


def test_login_is_completed_with_its_ways(shell, service):
    found = offers(some(loaded(shell)).session, "%codex login ", "")
    assert found == ["device", "browser", "paste", "key"]
