"""Signing in from a real kernel, with a front end that shows widgets."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pexpect
import pytest
from nbclient.exceptions import CellExecutionError

from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.notebooks import execute, notebook_of
from tests.end_to_end.widgets import FrontEnd
from tests.service import LocalService

KEY = "sk-marked-0123456789abcdef"

DEVICE = "One-time code (recommended)"
PASTE = "Paste an address"
API_KEY = "API key"


@pytest.fixture
def front_end(
    service: LocalService, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FrontEnd]:
    """A kernel with the extension loaded, far from any browser; nobody is signed in."""
    (home / ".codex" / "auth.json").unlink()
    monkeypatch.setenv("CODESPACES", "true")
    monkeypatch.setenv("CODEX_MAGIC_CALLBACK_PORTS", "0")
    with Kernel(tmp_path) as kernel:
        front_end = FrontEnd(kernel)
        front_end.idle(front_end.run("%load_ext codex_magic"))
        yield front_end


def offered(front_end: FrontEnd) -> tuple[str, str | None]:
    """The link, and the code if there is one."""
    shown = front_end.until(lambda: front_end.shown("Open the sign-in page"))
    link = re.search(r'href="([^"]+)"', shown)
    code = re.search(r"<output[^>]*>([^<]+)<", shown)
    assert link is not None
    return html.unescape(link[1]), code[1] if code else None


def ended(front_end: FrontEnd) -> str:
    """Wait for the controls to be gone; what stands in their place."""
    front_end.until(lambda: not front_end.open_widgets)
    return markdown(front_end.outputs)


def approve(front_end: FrontEnd, service: LocalService) -> None:
    _, code = offered(front_end)
    assert code is not None
    service.approve_device(code)


def browse(front_end: FrontEnd, *, decision: str = "approve") -> str:
    """What a person does on the sign-in page; where the browser is sent then."""
    link, _ = offered(front_end)
    answer = {"decision": decision, "email": "someone@example.com", "plan": "plus"}
    return httpx.post(link, data=answer, trust_env=False).headers["location"]


def test_the_widget_shows_at_once_and_the_cell_has_ended(front_end: FrontEnd) -> None:
    front_end.idle(front_end.run("%codex login"))
    assert front_end.model(description=DEVICE)
    front_end.idle(front_end.run("1 + 1"))
    front_end.click("Cancel")
    assert "cancelled" in ended(front_end)


def test_a_sign_in_with_a_code_finishes_while_another_cell_runs(
    front_end: FrontEnd, service: LocalService
) -> None:
    front_end.run("%codex login device")
    front_end.run("import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)")
    approve(front_end, service)
    assert ended(front_end) == "Signed in."


def test_two_widgets_agree(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login"))
    front_end.idle(front_end.run("%codex login"))
    front_end.click(DEVICE)
    approve(front_end, service)
    assert ended(front_end).count("Signed in.") == 2


def test_a_sign_in_by_another_program_is_noticed(
    front_end: FrontEnd, service: LocalService, home: Path
) -> None:
    front_end.idle(front_end.run("%codex login device"))
    offered(front_end)
    service.sign_in(home / ".codex", email="other@example.com")
    assert ended(front_end) == "Signed in."


def test_the_browser_comes_back_by_itself_or_its_address_is_pasted(front_end: FrontEnd) -> None:
    front_end.idle(front_end.run("%codex login browser"))
    httpx.get(browse(front_end), follow_redirects=True, trust_env=False)
    assert ended(front_end).count("Signed in.") == 1
    front_end.idle(front_end.run("%codex login paste"))
    front_end.type("Address", browse(front_end))
    assert ended(front_end).count("Signed in.") == 2


def test_a_failed_sign_in_can_be_tried_again(front_end: FrontEnd, service: LocalService) -> None:
    service.faults.next("device_login_off")
    front_end.idle(front_end.run("%codex login device"))
    front_end.until(lambda: front_end.shown('role="alert"'))
    front_end.click("Get a new code")
    approve(front_end, service)
    assert "Signed in." in ended(front_end)


def test_who_is_signed_in_sees_the_quota_and_can_sign_out(
    front_end: FrontEnd, service: LocalService, home: Path
) -> None:
    service.sign_in(home / ".codex")
    front_end.idle(front_end.run("%codex login"))
    assert "69 % of the week left" in front_end.until(lambda: front_end.shown('class="codex-quota"'))
    front_end.click("Sign out")
    assert ended(front_end) == "Signed out."
    assert not (home / ".codex" / "auth.json").exists()


def test_a_cell_that_needs_a_sign_in_waits_for_it_and_goes_on(
    front_end: FrontEnd, service: LocalService
) -> None:
    request = front_end.run("%%codex\necho: answered at last")
    front_end.click(DEVICE)
    approve(front_end, service)
    front_end.idle(request)
    said = markdown(front_end.outputs)
    assert said.index("Signed in.") < said.index("answered at last")
    assert "not signed in" not in said


def test_a_timed_cell_starts_with_a_code_since_its_buttons_may_be_dead(
    front_end: FrontEnd, service: LocalService
) -> None:
    request = front_end.run("%%time\nget_ipython().run_cell_magic('codex', '', 'echo: answered at last')")
    approve(front_end, service)
    front_end.idle(request)
    assert "answered at last" in markdown(front_end.outputs)


@pytest.mark.parametrize("stop", ["Cancel", "interrupt", "--no-wait-login"])
def test_a_cell_that_gets_no_sign_in_fails_with_the_usual_sentence(front_end: FrontEnd, stop: str) -> None:
    option = stop if stop.startswith("-") else ""
    request = front_end.run(f"%%codex {option}\nhello")
    front_end.until(lambda: front_end.model(description=DEVICE))
    if stop == "Cancel":
        front_end.click("Cancel")
    elif stop == "interrupt":
        front_end.kernel.interrupt()
    front_end.idle(request)
    assert "You are not signed in" in markdown(front_end.outputs)
    texts = [output for output in front_end.outputs if output["data"].get("text/markdown")]
    assert len(texts) == 2
    assert {output["output_type"] for output in front_end.outputs} == {"display_data"}


def test_nothing_heavy_is_imported_by_a_cell_that_needs_no_sign_in(notebook: Kernel) -> None:
    notebook.execute("%%codex\nhello")
    assert notebook.value("'ipywidgets' in __import__('sys').modules") == "False"


def test_without_widgets_the_code_is_text_and_gone_afterwards(
    notebook: Kernel, service: LocalService
) -> None:
    request = notebook.send("%codex login device")
    seen = []
    for message in notebook.messages(request):
        seen.append(message)
        if code := re.search(r"[A-Z]{4}-[A-Z]{5}", str(message["content"].get("data"))):
            service.approve_device(code[0])
    [output] = [message["content"]["data"]["text/plain"] for message in seen if "data" in message["content"]][
        -1:
    ]
    assert output == "Signed in."


def test_in_a_notebook_that_runs_by_itself_a_cell_fails_at_once(
    service: LocalService, home: Path, tmp_path: Path
) -> None:
    (home / ".codex" / "auth.json").unlink()
    notebook = notebook_of("%load_ext codex_magic", "%%codex\nhello")
    with pytest.raises(CellExecutionError):
        execute(notebook, tmp_path)
    output = notebook.cells[1].outputs[0]
    assert "%codex login" in output.data["text/plain"]


def test_in_a_terminal_ctrl_c_ends_the_wait_without_a_traceback(service: LocalService, home: Path) -> None:
    (home / ".codex" / "auth.json").unlink()
    command = "-m IPython --simple-prompt --no-banner --no-confirm-exit --colors=NoColor --ext=codex_magic"
    terminal = pexpect.spawn(sys.executable, command.split(), encoding="utf-8", timeout=30)
    terminal.expect(r"In \[1\]: ")
    terminal.sendline("%codex login device")
    terminal.expect("[A-Z]{4}-[A-Z]{5}")
    terminal.sendintr()
    terminal.expect("not finished")
    terminal.expect(r"In \[2\]: ")
    assert "Traceback" not in terminal.before
    terminal.close(force=True)


# Secrets -----------------------------------------------------------------------------------------


def test_no_secret_is_in_an_output_a_widget_a_log_or_the_saved_notebook(
    front_end: FrontEnd,
    service: LocalService,
    home: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets = Secrets(service, home)
    for flow in FLOWS:
        front_end.idle(front_end.run("import logging; logging.basicConfig(level=0, force=True)"))
        flow(front_end, service)
        secrets.collect()
        front_end.until(lambda: not front_end.open_widgets)
        for command in ("status", "account", "debug", "logout"):
            front_end.idle(front_end.run(f"%codex {command}"))
    assert len(secrets.found) > 20
    told = capfd.readouterr()
    published = json.dumps([message["content"] for message in front_end.messages], default=str)
    assert secrets.within(published, told.out, told.err) == []
    notebook = json.dumps(front_end.outputs, default=str)
    assert [code for code in secrets.shown_meanwhile if code in notebook + told.out + told.err] == []


class Secrets:
    """All that only the two ends of a sign-in may know; and what a person sees while it goes on."""

    def __init__(self, service: LocalService, home: Path) -> None:
        self._service = service
        self._stored = home / ".codex" / "auth.json"
        self.found = {KEY}
        self.shown_meanwhile: set[str] = set()

    def collect(self) -> None:
        if self._stored.exists():
            document = json.loads(self._stored.read_text())
            self._keep(document.get("tokens") or {}, "access_token", "id_token", "refresh_token")
        for request in self._service.requests:
            form = request.json or dict(parse_qsl(request.body.decode()))
            self._keep(form, "code", "code_verifier", "device_auth_id", "refresh_token", "token")
            self.shown_meanwhile |= {
                value for value in (form.get("user_code"), request.query.get("state")) if value
            }

    def within(self, *texts: str) -> list[str]:
        return [secret for secret in self.found for text in texts if secret in text]

    def _keep(self, values: dict[str, str], *names: str) -> None:
        self.found |= {values[name] for name in names if values.get(name)}


def device(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login device"))
    approve(front_end, service)


def device_that_fails(front_end: FrontEnd, service: LocalService) -> None:
    body = {"error": {"code": "expired_token", "message": "The code has expired."}}
    service.faults.next("status", path="/deviceauth/token", status=400, body=body)
    front_end.idle(front_end.run("%codex login device"))
    problem(front_end)


def device_without_tokens(front_end: FrontEnd, service: LocalService) -> None:
    service.faults.next("server_error", path="/oauth/token", times=9)
    front_end.idle(front_end.run("%codex login device"))
    approve(front_end, service)
    problem(front_end)
    service.faults.clear()


def in_the_browser(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login browser"))
    httpx.get(browse(front_end), follow_redirects=True, trust_env=False)


def denied_in_the_browser(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login browser"))
    httpx.get(browse(front_end, decision="deny"), follow_redirects=True, trust_env=False)
    problem(front_end)


def pasted(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login paste"))
    front_end.type("Address", browse(front_end))


def pasted_for_another_sign_in(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login paste"))
    front_end.type("Address", re.sub("state=[^&]*", "state=another", browse(front_end)))
    problem(front_end)


def with_a_key(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login key"))
    front_end.type("API key", KEY)


def with_what_is_no_key(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex login key"))
    front_end.type("API key", f"{KEY} with words")
    problem(front_end)


def in_a_cell_with_a_dead_sign_in(front_end: FrontEnd, service: LocalService) -> None:
    device(front_end, service)
    ended(front_end)
    service.faults.next("token_invalidated")
    service.faults.next("refresh_token_invalidated")
    request = front_end.run("%%codex\nhello")
    front_end.click(DEVICE)
    approve(front_end, service)
    front_end.idle(request)


def problem(front_end: FrontEnd) -> None:
    """Wait for the sentence about what went wrong, then give up."""
    front_end.until(lambda: front_end.shown('role="alert"'))
    front_end.click("Cancel")


FLOWS = (
    device,
    device_that_fails,
    device_without_tokens,
    in_the_browser,
    denied_in_the_browser,
    pasted,
    pasted_for_another_sign_in,
    with_a_key,
    with_what_is_no_key,
    in_a_cell_with_a_dead_sign_in,
)
