"""What a sign-in looks like, after each thing that can happen."""

from dataclasses import replace

import pytest

from codex_magic.notebook.login import OPEN_SECONDS, OVER, LoginView, Stage, Way
from codex_magic.notebook.widgets import card_html, note_html, offer_html, quota_html
from codex_magic.protocol.types import ApiKeyAccount, ChatgptAccount, RateLimits, RateLimitWindow

NOW = 1_000_000.0
ME = ChatgptAccount("me@example.com", "plus")
LIMITS = RateLimits(RateLimitWindow(25.0, 300), RateLimitWindow(60.0, 10080))
LINK, CODE = "https://issuer.example/codex/device?state=marked", "MARK-EDCOD"


def then(stage, **changes):
    return lambda view: view.at(stage, **changes)


def begun(way):
    return then(Stage.starting, way=way)


def offered(link=None, code=None, expires_at=None):
    return then(Stage.waiting, link=link, code=code, expires_at=expires_at)


def failed(problem):
    return then(Stage.choosing, problem=problem)


def signed_in(account):
    return then(Stage.signed_in, way=None, account=account)


def opened(account, now):
    return lambda view: view.opened(account, now)


def ticked(now):
    return lambda view: view.ticked(now)


DEVICE = (begun(Way.device), offered(LINK, CODE, NOW + 900))
CHOOSING, FINISHING = then(Stage.choosing, way=None), then(Stage.finishing)
SIGNED_OUT = then(Stage.signed_out, way=None, account=None, limits=None)


def misunderstood(view):
    return view.misunderstood("Not it.")


def after(*changes, account=None):
    view = LoginView((Way.device, Way.browser), NOW, stage=Stage.cancelled)
    for change in (opened(account, NOW), *changes):
        view = change(view)
    return view


def test_opened_it_offers_the_ways_and_what_can_not_be_read_is_asked_for_again():
    assert after().stage is Stage.choosing
    again = after(*DEVICE, misunderstood, misunderstood)
    assert (again.stage, again.code, again.problem, again.misread) == (Stage.waiting, CODE, "Not it.", 2)
    assert after(*DEVICE, LoginView.cancelled).stage is Stage.cancelled


@pytest.mark.parametrize("end", [failed("Denied."), signed_in(ME), LoginView.cancelled, CHOOSING, FINISHING])
def test_link_and_code_are_gone_when_nobody_needs_them(end):
    view = after(*DEVICE, end)
    said = [view.headline(), view.closing_line(), card_html(view), offer_html(view), repr(view)]
    assert [text for text in said if "marked" in text or "MARK" in text] == []


def test_link_and_code_are_in_no_repr():
    assert "mark" not in repr(after(*DEVICE)).lower()


@pytest.mark.parametrize("end", [signed_in(ME), LoginView.cancelled, SIGNED_OUT])
def test_what_is_over_stays_over_until_it_is_opened_again(end):
    view = after(end)
    for change in (begun(Way.key), failed("Late."), misunderstood, LoginView.cancelled, ticked(NOW + 5000)):
        assert change(view) == view
    assert view.opened(None, NOW).stage is Stage.choosing


def test_opening_joins_what_goes_on():
    assert after(*DEVICE, opened(None, NOW + 5)).code == CODE


def test_who_is_signed_in_already_is_shown_with_what_is_left():
    view = after(lambda view: replace(view, limits=LIMITS), account=ME)
    assert view.stage is Stage.account
    assert "40 % of the week left" in quota_html(view).split("75 % of 5 hours left")[0]
    assert after(LoginView.cancelled, account=ME).headline() == "Signed in as me@example.com (Plus plan)."
    assert after(LoginView.cancelled, account=ME).closing_line() == "Signed in."


def test_a_sign_in_that_no_longer_holds_is_no_account_to_show():
    view = LoginView((Way.device,), NOW, stage=Stage.cancelled).opened(ME, NOW, "Your sign-in has ended.")
    assert (view.stage, view.problem) == (Stage.choosing, "Your sign-in has ended.")


def test_the_end_says_who():
    assert after(*DEVICE, signed_in(ME)).headline() == "Signed in as me@example.com (Plus plan)."
    assert after(signed_in(ApiKeyAccount())).headline() == "Signed in with an API key."


def test_what_stays_in_a_notebook_names_nobody():
    for account in (ME, ApiKeyAccount()):
        assert after(*DEVICE, signed_in(account)).closing_line() == "Signed in."


def test_on_a_server_this_computer_is_not_the_users():
    here, server = (LoginView(tuple(Way), NOW, remote) for remote in (False, True))
    assert here.choices()[Way.browser][0] == "Browser on this computer"
    assert not any("this computer" in label for choice in server.choices().values() for label in choice)
    key = [offered()(begun(Way.key)(view)).headline() for view in (here, server)]
    assert ["server" in text for text in key] == [False, True]


@pytest.mark.parametrize(("seconds", "shown"), [(0, "15:00"), (61, "13:59"), (899.6, "0:00"), (2000, "0:00")])
def test_the_countdown(seconds, shown):
    view = after(begun(Way.device), offered(LINK, CODE, NOW + 900))
    view = LoginView(**{**vars(view), "now": NOW + seconds})
    assert shown in note_html(view)


def test_controls_that_nobody_touches_go_away():
    assert after(ticked(NOW + OPEN_SECONDS - 1)).stage is Stage.choosing
    assert "15 minutes" in after(ticked(NOW + OPEN_SECONDS)).headline()
    assert after(ticked(NOW + OPEN_SECONDS), account=ME).closing_line().startswith("Signed in")
    assert after(ticked(NOW + 800), begun(Way.key), offered(), ticked(NOW + 1000)).stage is Stage.waiting


@pytest.mark.parametrize("way", Way)
def test_every_way_says_what_to_do(way):
    assert after(begun(way)).headline() != after(begun(way), offered(LINK)).headline()
    assert len(after(begun(way), offered(LINK)).headline()) > 20


def test_only_a_link_that_another_device_can_open_has_a_qr_code():
    assert 'role="img" aria-label="QR code of the sign-in page"><svg viewBox' in offer_html(after(*DEVICE))
    assert "<svg" not in offer_html(after(begun(Way.browser), offered(LINK)))


def test_a_link_too_long_for_a_qr_code_is_offered_without_one():
    link = LINK + "x" * 3000
    offer = offer_html(after(begun(Way.device), offered(link, "ABCD")))
    assert link in offer
    assert "<svg" not in offer


def test_what_others_said_is_escaped():
    assert "<b>x" not in card_html(after(*DEVICE, failed("<b>x</b>")))
    offer = offer_html(after(begun(Way.device), offered('https://x/"><script>', '"><script>')))
    assert "<script>" not in offer


def test_the_over_stages_are_those_without_controls():
    assert {Stage.signed_in, Stage.signed_out, Stage.cancelled} == OVER
