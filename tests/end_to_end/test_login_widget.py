"""The sign-in widget in a real JupyterLab, by every way, against the local service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.lab import JupyterServer, served
from tests.end_to_end.notebooks import save_notebook
from tests.service import LocalService, start

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LOAD = "%load_ext codex_magic"
THEMES = ("JupyterLab Light", "JupyterLab Dark")
KEY = "sk-marked-0123456789abcdef"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """Its sign-in page approves by itself."""
    with start(auto_approve=True) as service:
        yield service


@pytest.fixture(scope="module")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(
    service: LocalService, lab_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    variables = {"CODESPACES": "true", "CODEX_MAGIC_CALLBACK_PORTS": "0"}
    with served(tmp_path_factory, lab_home, service, variables) as server:
        yield server


@pytest.fixture
def visit(
    chromium_browser: Browser, server: JupyterServer, lab_home: Path, request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """A notebook whose cells the test names; nobody is signed in."""
    (lab_home / ".codex" / "auth.json").unlink(missing_ok=True)
    cells = request.param
    path = save_notebook(server.folder / "a.ipynb", LOAD, *cells)
    visit = Visit(chromium_browser, server, path)
    yield visit
    visit.close()


def cells(*sources: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("visit", [sources], indirect=True, ids=[""])


def widget(visit: Visit) -> Locator:
    return visit.page.locator(".codex-login").last


def button(visit: Visit, label: str) -> Locator:
    return widget(visit).get_by_role("button", name=label)


def link(visit: Visit) -> str:
    shown = widget(visit).get_by_role("link", name="Open the sign-in page")
    expect(shown).to_have_attribute("target", "_blank")
    return str(shown.get_attribute("href"))


def code(visit: Visit) -> Locator:
    return widget(visit).locator("output")


def approve(visit: Visit, service: LocalService) -> None:
    service.approve_device(code(visit).inner_text())


def pictures(visit: Visit, name: str) -> None:
    for theme in THEMES:
        visit.theme(theme)
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        visit.screenshot(f"login-{name}-{theme.split()[1].lower()}")


def expect_signed_in(visit: Visit) -> None:
    """The sentence has come, every control has gone, and so it is in the saved file."""
    expect(visit.page.get_by_text("Signed in.").last).to_be_visible()
    expect(visit.page.locator(".codex-login")).to_have_count(0)
    visit.save()
    saved = visit.path.read_text()
    assert "widget-view" not in saved
    assert re.findall(r"state=|/codex/device|user_code|\b[A-Z]{4}-[A-Z]{5}\b", saved) == []


@cells("%codex login")
def test_with_a_code(visit: Visit, service: LocalService) -> None:
    visit.run_all()
    pictures(visit, "choice")
    button(visit, "One-time code (recommended)").click()
    expect(widget(visit).get_by_role("img", name="QR code of the sign-in page")).to_be_visible()
    expect(widget(visit).get_by_role("timer")).to_contain_text("14:")
    pictures(visit, "code")
    approve(visit, service)
    expect_signed_in(visit)
    pictures(visit, "done")


@cells("%codex login")
def test_in_the_browser(visit: Visit) -> None:
    visit.run_all()
    button(visit, "Browser on the server's own screen").click()
    expect(widget(visit).get_by_role("link")).to_be_visible()
    pictures(visit, "browser")
    with visit.context.expect_page() as opened:
        widget(visit).get_by_role("link").click()
    expect(opened.value.locator("body")).to_contain_text(re.compile("signed in", re.IGNORECASE))
    opened.value.close()
    expect_signed_in(visit)


@cells("%codex login paste")
def test_by_pasting_the_address(visit: Visit) -> None:
    visit.run_all()
    field = widget(visit).get_by_label("Address")
    field.fill("nonsense")
    button(visit, "Continue").click()
    expect(widget(visit).get_by_role("alert")).to_contain_text("not the address")
    expect(field).to_have_value("")
    pictures(visit, "paste")
    ended_at = visit.page.request.get(link(visit), max_redirects=0).headers["location"]
    field.fill(ended_at)
    field.press("Enter")
    expect_signed_in(visit)


@cells("%codex login key")
def test_with_a_key_that_stays_nowhere(visit: Visit) -> None:
    visit.run_all()
    field = widget(visit).get_by_label("API key")
    expect(field).to_have_attribute("type", "password")
    pictures(visit, "key")
    field.fill(KEY)
    button(visit, "Continue").click()
    expect(visit.page.get_by_text("Signed in.")).to_be_visible()
    visit.save()
    assert KEY not in visit.path.read_text()
    assert KEY not in visit.page.content()


@cells(
    "%codex login device", "import time\nwhile not __import__('pathlib').Path('go').exists(): time.sleep(.01)"
)
def test_it_finishes_while_another_cell_runs(visit: Visit, service: LocalService) -> None:
    visit.start_all()
    approve(visit, service)
    expect(visit.page.get_by_text("Signed in.")).to_be_visible()
    expect(visit.page.locator(".jp-InputPrompt").last).to_have_text("[*]:")


@cells("%%codex\necho: answered at last")
def test_a_cell_waits_for_it_and_goes_on(visit: Visit, service: LocalService) -> None:
    visit.start_all()
    button(visit, "One-time code").click()
    pictures(visit, "waiting-cell")
    approve(visit, service)
    expect(visit.page.get_by_text("answered at last").last).to_be_visible()
    expect_signed_in(visit)
    pictures(visit, "answered-cell")


@cells("%%time\nget_ipython().run_cell_magic('codex', '', 'echo: answered at last')")
def test_a_timed_cell_needs_no_click_and_can_be_cancelled(visit: Visit) -> None:
    visit.start_all()
    expect(code(visit)).to_be_visible()
    button(visit, "Cancel").click()
    expect(visit.outputs.last).to_contain_text("You are not signed in.")


@cells("%codex login")
def test_who_is_signed_in_sees_the_quota_and_signs_out_by_keyboard(
    visit: Visit, service: LocalService, lab_home: Path
) -> None:
    service.sign_in(lab_home / ".codex")
    visit.run_all()
    bar = widget(visit).get_by_role("progressbar").first
    expect(bar).to_have_attribute("value", "69")
    pictures(visit, "account")
    button(visit, "Use another account").focus()
    visit.page.keyboard.press("Tab")
    expect(button(visit, "Sign out")).to_be_focused()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_text("Signed out.")).to_be_visible()
    assert not (lab_home / ".codex" / "auth.json").exists()


@cells("%codex login device")
def test_a_failure_says_why_and_the_focus_stays_inside(visit: Visit, service: LocalService) -> None:
    service.faults.next("device_login_off")
    visit.run_all()
    expect(widget(visit).get_by_role("alert")).to_be_visible()
    pictures(visit, "failed")
    button(visit, "Get a new code").click()
    expect(code(visit)).to_be_visible()
    expect(button(visit, "Other options")).to_be_focused()


@cells("%codex login device")
def test_what_its_kernel_leaves_behind_is_read_as_text(visit: Visit) -> None:
    visit.run_all()
    expect(code(visit)).to_be_visible()
    visit.restart_kernel()
    expect(code(visit)).to_be_hidden()
    pictures(visit, "dead")
    visit.save()
    assert re.findall(r"/codex/device|\b[A-Z]{4}-[A-Z]{5}\b", visit.path.read_text()) == []
    visit.open()
    expect(visit.outputs.last).to_contain_text("Run the cell again")
    pictures(visit, "reopened")
