"""What a sign-in looks like so far: events are folded in, texts come out.

Pure: no clock, no output, no IO. Links and codes are there only while somebody needs them; the end of
every sign-in has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from ..protocol.account import Account, ChatgptAccount
from ..protocol.types import RateLimits
from . import quota

OPEN_SECONDS = 15 * 60
"""How long controls that nobody touches stay on screen: as long as a device code is good."""


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
    """For the person."""
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

LABELS_ON_A_SERVER = LABELS | {Way.browser: "In a browser on the server's own screen"}
"""Where the user's browser runs on another machine than the kernel."""

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
    """How often what the person gave was not it."""
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
    def takes_address(self) -> bool:
        """The browser way too: its page may end on a machine that can't reach this one."""
        return self.stage is Stage.waiting and self.way in (Way.paste, Way.browser)

    @property
    def takes_key(self) -> bool:
        return self.stage is Stage.waiting and self.way is Way.key

    @property
    def labels(self) -> dict[Way, str]:
        return LABELS_ON_A_SERVER if self.remote else LABELS

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
        if self.expires_at is None:
            return ""
        seconds = max(0, round(self.expires_at - self.now))
        return f"{seconds // 60}:{seconds % 60:02}"

    def closing_lines(self) -> list[str]:
        """What stays in a notebook when it is over: no address and no quota, since notebooks are passed on."""
        return ["Signed in."] if self.stage is Stage.signed_in else [self.headline()]

    def parting_lines(self) -> list[str]:
        """What a terminal says then, which keeps nothing."""
        if self.stage is not Stage.signed_in or self.limits is None:
            return [self.headline()]
        bars = [f"{quota.bar(window)} {quota.sentence(window)}" for window in quota.windows(self.limits)]
        return [self.headline(), *bars]


def who(account: Account | None) -> str:
    """`as me@example.com, plan plus`"""
    if not isinstance(account, ChatgptAccount):
        return "with an API key"
    plan = f", plan {account.plan_type}" if account.plan_type else ""
    return f"as {account.email or 'a ChatGPT account'}{plan}"


# Events ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """Somebody asked for the controls. `account`: who is signed in; `problem`: why that does not do."""

    account: Account | None
    now: float
    problem: str = ""


@dataclass(frozen=True)
class Choosing:
    """Another account, or another way."""


@dataclass(frozen=True)
class Began:
    way: Way


@dataclass(frozen=True)
class Offered:
    """The service is ready; now it is the person's turn."""

    link: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    expires_at: float | None = None


@dataclass(frozen=True)
class Answered:
    """The person has done what there was to do."""


@dataclass(frozen=True)
class Misread:
    """What the person gave was not it; the sign-in goes on waiting."""

    problem: str


@dataclass(frozen=True)
class Failed:
    problem: str


@dataclass(frozen=True)
class SignedIn:
    account: Account
    limits: RateLimits | None


@dataclass(frozen=True)
class LimitsRead:
    limits: RateLimits


@dataclass(frozen=True)
class SignedOut:
    pass


@dataclass(frozen=True)
class Cancelled:
    pass


@dataclass(frozen=True)
class Ticked:
    now: float


Event = (
    Opened
    | Choosing
    | Began
    | Offered
    | Answered
    | Misread
    | Failed
    | SignedIn
    | LimitsRead
    | SignedOut
    | Cancelled
    | Ticked
)


def fold(view: LoginView, event: Event) -> LoginView:
    """The view after `event`. What is over stays over until it is opened again."""
    if view.over and not isinstance(event, Opened):
        return view
    return _FOLDS[type(event)](view, event)


def _at(view: LoginView, stage: Stage, **changes: Any) -> LoginView:
    """The view in another stage, without what only the last one needed."""
    cleared = {"link": None, "code": None, "expires_at": None, "problem": "", "misread": 0}
    return replace(view, stage=stage, touched_at=view.now, **{**cleared, **changes})


def _opened(view: LoginView, event: Opened) -> LoginView:
    view = replace(view, now=event.now)
    if view.stage in (Stage.starting, Stage.waiting, Stage.finishing):
        return replace(view, touched_at=event.now)  # joins what goes on
    stage = Stage.choosing if event.account is None or event.problem else Stage.account
    return _at(view, stage, way=None, account=event.account, limits=None, problem=event.problem)


def _offered(view: LoginView, event: Offered) -> LoginView:
    return _at(view, Stage.waiting, link=event.link, code=event.code, expires_at=event.expires_at)


def _misread(view: LoginView, event: Misread) -> LoginView:
    return replace(view, problem=event.problem, misread=view.misread + 1, touched_at=view.now)


def _cancelled(view: LoginView, _: Cancelled) -> LoginView:
    """Who is signed in already stays so."""
    return _at(view, Stage.signed_in if view.stage is Stage.account else Stage.cancelled, way=None)


def _limits_read(view: LoginView, event: LimitsRead) -> LoginView:
    return replace(view, limits=event.limits) if view.stage is Stage.account else view


def _ticked(view: LoginView, event: Ticked) -> LoginView:
    view = replace(view, now=event.now)
    waits_for_nobody = view.stage in (Stage.starting, Stage.finishing)
    if waits_for_nobody or event.now - view.touched_at < OPEN_SECONDS:
        return view
    if view.stage is Stage.account:
        return _at(view, Stage.signed_in)
    return _at(
        view, Stage.cancelled, problem="Nobody signed in within 15 minutes. %codex login starts again."
    )


_FOLDS: dict[type[Any], Callable[[LoginView, Any], LoginView]] = {
    Opened: _opened,
    Choosing: lambda view, _: _at(view, Stage.choosing, way=None),
    Began: lambda view, event: _at(view, Stage.starting, way=event.way),
    Offered: _offered,
    Answered: lambda view, _: _at(view, Stage.finishing),
    Misread: _misread,
    Failed: lambda view, event: _at(view, Stage.choosing, problem=event.problem),
    SignedIn: lambda view, event: _at(
        view, Stage.signed_in, way=None, account=event.account, limits=event.limits
    ),
    LimitsRead: _limits_read,
    SignedOut: lambda view, _: _at(view, Stage.signed_out, way=None, account=None, limits=None),
    Cancelled: _cancelled,
    Ticked: _ticked,
}
