"""What a sign-in looks like, after each thing that can happen."""

import pytest

from codex_magic.notebook.login_html import countdown_html, offer_html, quota_html, status_html
from codex_magic.notebook.login_view import (
    OPEN_SECONDS,
    OVER,
    Answered,
    Began,
    Cancelled,
    Choosing,
    Failed,
    LimitsRead,
    LoginView,
    Misread,
    Offered,
    Opened,
    SignedIn,
    SignedOut,
    Stage,
    Ticked,
    Way,
    fold,
)
from codex_magic.protocol.account import ApiKeyAccount, ChatgptAccount
from codex_magic.protocol.types import RateLimits, RateLimitWindow

NOW = 1_000_000.0
ME = ChatgptAccount("me@example.com", "plus")
LIMITS = RateLimits(RateLimitWindow(25.0, 300), RateLimitWindow(60.0, 10080))
LINK, CODE = "https://issuer.example/codex/device?state=marked", "MARK-EDCOD"
DEVICE = (Began(Way.device), Offered(LINK, CODE, NOW + 900))


def after(*events, account=None):
    view = LoginView((Way.device, Way.browser), NOW, stage=Stage.cancelled)
    for event in (Opened(account, NOW), *events):
        view = fold(view, event)
    return view


@pytest.mark.parametrize(
    ("events", "stage"),
    [
        ((), Stage.choosing),
        ((Began(Way.device),), Stage.starting),
        (DEVICE, Stage.waiting),
        ((*DEVICE, Answered()), Stage.finishing),
        ((*DEVICE, Failed("Denied.")), Stage.choosing),
        ((*DEVICE, Misread("Not it.")), Stage.waiting),
        ((*DEVICE, SignedIn(ME, None)), Stage.signed_in),
        ((*DEVICE, Cancelled()), Stage.cancelled),
        ((*DEVICE, Choosing()), Stage.choosing),
        ((SignedOut(),), Stage.signed_out),
    ],
)
def test_each_event_leads_to_its_stage(events, stage):
    assert after(*events).stage is stage


@pytest.mark.parametrize(
    "end", [Failed("Denied."), SignedIn(ME, LIMITS), Cancelled(), Choosing(), Answered()]
)
def test_link_and_code_are_gone_when_nobody_needs_them(end):
    view = after(*DEVICE, end)
    said = [view.headline(), *view.closing_lines(), status_html(view), offer_html(view), repr(view)]
    assert [text for text in said if "marked" in text or "MARK" in text] == []


def test_link_and_code_are_in_no_repr():
    assert "mark" not in repr(after(*DEVICE)).lower()
    assert "mark" not in repr(DEVICE).lower()


@pytest.mark.parametrize("end", [SignedIn(ME, None), Cancelled(), SignedOut()])
def test_what_is_over_stays_over_until_it_is_opened_again(end):
    view = after(end)
    assert fold(view, Began(Way.key)) == view
    assert fold(view, Opened(None, NOW)).stage is Stage.choosing


def test_opening_joins_what_goes_on():
    assert after(*DEVICE, Opened(None, NOW + 5)).code == CODE


def test_who_is_signed_in_already_is_shown_with_what_is_left():
    view = after(LimitsRead(LIMITS), account=ME)
    assert view.stage is Stage.account
    assert "40 % left" in quota_html(view).split("75 % left")[0]
    assert after(Cancelled(), account=ME).parting_lines() == ["Signed in as me@example.com, plan plus."]
    assert after(Cancelled(), account=ME).closing_lines() == ["Signed in."]


def test_a_sign_in_that_no_longer_holds_is_no_account_to_show():
    view = fold(
        LoginView((Way.device,), NOW, stage=Stage.cancelled), Opened(ME, NOW, "Your sign-in has ended.")
    )
    assert (view.stage, view.problem) == (Stage.choosing, "Your sign-in has ended.")


def test_the_end_says_who_and_how_much_is_left_the_tightest_first():
    first, *bars = after(*DEVICE, SignedIn(ME, LIMITS)).parting_lines()
    assert first == "Signed in as me@example.com, plan plus."
    assert ["weekly limit: 40 % left" in bars[0], "5-hour limit: 75 % left" in bars[1]] == [True, True]
    assert after(SignedIn(ApiKeyAccount(), None)).parting_lines() == ["Signed in with an API key."]


def test_what_stays_in_a_notebook_names_nobody():
    for account in (ME, ApiKeyAccount()):
        assert after(*DEVICE, SignedIn(account, LIMITS)).closing_lines() == ["Signed in."]


def test_on_a_server_this_computer_is_not_the_users():
    here, server = (LoginView(tuple(Way), NOW, remote) for remote in (False, True))
    assert here.labels[Way.browser] == "In a browser on this computer"
    assert not any("this computer" in label for label in server.labels.values())
    key = [fold(fold(view, Began(Way.key)), Offered()).headline() for view in (here, server)]
    assert ["server" in text for text in key] == [False, True]


@pytest.mark.parametrize(("seconds", "shown"), [(0, "15:00"), (61, "13:59"), (899.6, "0:00"), (2000, "0:00")])
def test_the_countdown(seconds, shown):
    view = after(Began(Way.device), Offered(LINK, CODE, NOW + 900))
    view = LoginView(**{**vars(view), "now": NOW + seconds})
    assert view.countdown() == shown
    assert shown in countdown_html(view)


def test_controls_that_nobody_touches_go_away():
    assert after(Ticked(NOW + OPEN_SECONDS - 1)).stage is Stage.choosing
    assert "15 minutes" in after(Ticked(NOW + OPEN_SECONDS)).headline()
    assert after(Ticked(NOW + OPEN_SECONDS), account=ME).closing_lines()[0].startswith("Signed in")
    assert after(Ticked(NOW + 800), Began(Way.key), Offered(), Ticked(NOW + 1000)).stage is Stage.waiting


@pytest.mark.parametrize("way", Way)
def test_every_way_says_what_to_do(way):
    assert after(Began(way)).headline() != after(Began(way), Offered(LINK)).headline()
    assert len(after(Began(way), Offered(LINK)).headline()) > 20


def test_only_a_link_that_another_device_can_open_has_a_qr_code():
    assert "<svg" in offer_html(after(*DEVICE))
    assert "<svg" not in offer_html(after(Began(Way.browser), Offered(LINK)))


def test_what_others_said_is_escaped():
    assert "<b>x" not in status_html(after(*DEVICE, Failed("<b>x</b>")))
    offered = offer_html(after(Began(Way.device), Offered('https://x/"><script>', '"><script>')))
    assert "<script>" not in offered


def test_the_over_stages_are_those_without_controls():
    assert {Stage.signed_in, Stage.signed_out, Stage.cancelled} == OVER
