"""What a sign-in looks like so far, in words; and how much of a plan is left.

Pure: no clock, no output, no IO. Links and codes are there only while somebody needs them; the end of
every sign-in has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from ..protocol.errors import window_name
from ..protocol.types import Account, ChatgptAccount, RateLimits, RateLimitWindow

OPEN_SECONDS = 15 * 60  # controls that nobody touches stay on screen as long as a device code is good


class Way(str, Enum):
    """How to sign in; the values are the words of `%codex login`."""

    device = "device"
    browser = "browser"
    paste = "paste"
    key = "key"


class Stage(str, Enum):
    choosing = "choosing"
    account = "account"
    """Signed in already: what can be done about that."""
    starting = "starting"
    waiting = "waiting"
    """It is the person's turn."""
    finishing = "finishing"
    signed_in = "signed in"
    signed_out = "signed out"
    cancelled = "cancelled"


OVER = frozenset({Stage.signed_in, Stage.signed_out, Stage.cancelled})

LABELS = {
    Way.device: "With a code, in any browser",
    Way.browser: "In a browser on this computer",
    Way.paste: "In a browser elsewhere, by pasting an address",
    Way.key: "With an API key",
}

_STARTING = {
    Way.device: "Asking for a code …",
    Way.browser: "Opening a port for your browser …",
    Way.paste: "Making a link …",
    Way.key: "",
}

_WAITING = {
    Way.device: "Open the link in any browser, sign in there and type this code. Type it nowhere else.",
    Way.browser: "Open the link, sign in there, and come back. Should the browser end at a page it can't show, "
    "give its address back here.",
    Way.paste: "Open the link and sign in. The browser ends at a page it can't show, with 127.0.0.1 in its "
    "address: copy that whole address and give it back here.",
    Way.key: "Give an API key of platform.openai.com. It is stored in your home folder, and not in the notebook.",
}

_WAITING_ON_A_SERVER = _WAITING | {
    Way.key: "Give an API key of platform.openai.com. It is stored in your home folder on this server, and not in "
    "the notebook.",
}


@dataclass(frozen=True)
class LoginView:
    """`ways`: the fitting one first. Times are Unix seconds."""

    ways: tuple[Way, ...]
    now: float
    remote: bool = False
    """The kernel runs on another machine than the user's browser."""
    stage: Stage = Stage.choosing
    way: Way | None = None
    link: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    problem: str = ""
    """A sentence about what went wrong last, and what to do next."""
    misread: int = 0
    """How often what the person entered could not be read."""
    account: Account | None = None
    limits: RateLimits | None = None
    touched_at: float = 0.0

    def __post_init__(self) -> None:
        if not self.touched_at:
            object.__setattr__(self, "touched_at", self.now)

    @property
    def over(self) -> bool:
        return self.stage in OVER

    @property
    def labels(self) -> dict[Way, str]:
        server = {Way.browser: "In a browser on the server's own screen"}
        return LABELS | server if self.remote else LABELS

    def headline(self) -> str:
        """What is going on, and what to do; one or two sentences."""
        match self.stage:
            case Stage.choosing:
                return "Sign in to Codex. How?"
            case Stage.account | Stage.signed_in:
                return f"Signed in {who(self.account)}."
            case Stage.starting if self.way is not None:
                return _STARTING[self.way]
            case Stage.waiting if self.way is not None:
                return (_WAITING_ON_A_SERVER if self.remote else _WAITING)[self.way]
            case Stage.signed_out:
                return "Signed out."
            case Stage.cancelled:
                return self.problem or "The sign-in was cancelled. %codex login starts it again."
        return "Finishing the sign-in …"

    def countdown(self) -> str:
        """`14:59`, or nothing when nothing runs out."""
        seconds = max(0, round((self.expires_at or 0) - self.now))
        return "" if self.expires_at is None else f"{seconds // 60}:{seconds % 60:02}"

    def closing_lines(self) -> list[str]:
        """What stays in a notebook when it is over: no address and no quota, since notebooks are passed on."""
        return ["Signed in."] if self.stage is Stage.signed_in else [self.headline()]

    def parting_lines(self) -> list[str]:
        """What a terminal says then, which keeps nothing."""
        limits = windows(self.limits) if self.stage is Stage.signed_in and self.limits else []
        return [self.headline(), *(f"{bar(window)} {sentence(window)}" for window in limits)]

    def opened(self, account: Account | None, now: float, problem: str = "") -> LoginView:
        """Begin anew, or join what goes on. `account`: who is signed in; `problem`: why that does not do."""
        if self.stage in (Stage.starting, Stage.waiting, Stage.finishing):
            return replace(self, now=now, touched_at=now)
        stage = Stage.choosing if account is None or problem else Stage.account
        fresh = replace(self, now=now, stage=Stage.choosing)
        return fresh.at(stage, way=None, account=account, limits=None, problem=problem)

    def at(self, stage: Stage, **changes: Any) -> LoginView:
        """The view in another stage, without what only this one needed. What is over stays over."""
        cleared = {"link": None, "code": None, "expires_at": None, "problem": "", "misread": 0}
        new = {"stage": stage, "touched_at": self.now, **cleared, **changes}
        return self if self.over else replace(self, **new)

    def misunderstood(self, problem: str) -> LoginView:
        """What the person entered could not be read; the sign-in still waits."""
        if self.over:
            return self
        return replace(self, problem=problem, misread=self.misread + 1, touched_at=self.now)

    def cancelled(self) -> LoginView:
        """Who is signed in already stays so."""
        return self.at(Stage.signed_in if self.stage is Stage.account else Stage.cancelled, way=None)

    def with_limits(self, limits: RateLimits) -> LoginView:
        return replace(self, limits=limits) if self.stage is Stage.account else self

    def ticked(self, now: float) -> LoginView:
        """Let time pass; controls that nobody touches are taken away."""
        if self.over:
            return self
        view = replace(self, now=now)
        if self.stage in (Stage.starting, Stage.finishing) or now - self.touched_at < OPEN_SECONDS:
            return view
        if self.stage is Stage.account:
            return view.at(Stage.signed_in)
        problem = "Nobody signed in within 15 minutes. %codex login starts again."
        return view.at(Stage.cancelled, problem=problem)


def who(account: Account | None) -> str:
    """`as me@example.com, plan plus`"""
    if not isinstance(account, ChatgptAccount):
        return "with an API key"
    plan = f", plan {account.plan_type}" if account.plan_type else ""
    return f"as {account.email or 'a ChatGPT account'}{plan}"


def windows(limits: RateLimits) -> list[RateLimitWindow]:
    """Return the windows there are, the one that will stop you first in front."""
    present = [window for window in (limits.primary, limits.secondary) if window is not None]
    return sorted(present, key=lambda window: -window.used_percent)


def name(window: RateLimitWindow) -> str:
    """`5-hour limit`"""
    minutes = window.window_duration_mins
    return f"{window_name(minutes)} limit" if minutes else "limit"


def left(window: RateLimitWindow) -> int:
    """Percent."""
    return max(0, round(100 - window.used_percent))


def resets(window: RateLimitWindow) -> str:
    """When it is whole again, in local time; empty when the service did not say."""
    at = window.resets_at
    return "" if at is None else f"resets {datetime.fromtimestamp(at).astimezone():%a %d %b %H:%M}"


def sentence(window: RateLimitWindow) -> str:
    return ", ".join(filter(None, [f"{name(window)}: {left(window)} % left", resets(window)]))


def bar(window: RateLimitWindow) -> str:
    """Return 20 characters, full ones for what is left."""
    full = round(left(window) / 5)
    return "█" * full + "░" * (20 - full)
