"""The `%codex` commands about who is signed in, and what to do when a cell needs that."""

from __future__ import annotations

import getpass
import math
import os
import re
import time

from ..auth.storage import Storage
from ..protocol import errors
from ..protocol.errors import CodexError, ConfigurationError, LoginError, OptionError
from ..protocol.ids import new_id
from ..protocol.plain import without_controls
from ..protocol.types import ChatgptAccount
from ..responses.provider import Provider
from ..waiting import Relay, Steps, finished
from . import login
from .environment import is_remote, may_ask
from .login import LoginView, Stage, Way, plan_note, who
from .options import ParsedLine
from .screen import lines_of, words
from .session import LOCAL, Session
from .shell import CellFailed
from .typed import interruptible

LOGIN_ARGUMENTS = f"[{' | '.join(Way)}]"
LOGIN_USAGE = f"%codex login {LOGIN_ARGUMENTS}"
_NOTE = "Change the account: `%codex login` · Sign out: `%codex logout`"

_LIKE_A_KEY = re.compile(r"\b(?:sk|sess)-\w")


def takes_login(rest: str) -> bool:
    """`%codex login is broken` is a question, but a key must never be sent as one."""
    return rest.split()[0] in set(Way) or bool(_LIKE_A_KEY.search(rest))


def log_in(session: Session, rest: str) -> Steps[None]:
    if rest and rest not in set(Way):
        if _LIKE_A_KEY.search(rest) or rest.startswith(Way.key):
            hint = "Delete it (and consider revoking it), then run `%codex login key`."
            raise OptionError("Don't put API keys in cells: notebooks and history are saved.", hint=hint)
        problem = f"`%codex login` takes one word, not {len(rest.split())}."
        raise OptionError(problem, hint=f"Usage: `{LOGIN_USAGE}`")
    way = Way(rest) if rest else None
    screen, flow = session.screen, session.login
    if not screen.page.changes:
        raise ConfigurationError("A sign-in needs a cell of its own.", hint="Run `%codex login` in one.")
    yield from finished(flow.open())
    if screen.has_widgets:
        from .widgets import LoginWidget

        LoginWidget(flow, screen.page).show()
        if way is not None:
            flow.begin(way)
    elif flow.view.stage is Stage.account and way is None:
        headline = "Signed in." if screen.rich else flow.view.headline()
        flow.cancel()
        screen.say(headline, _NOTE)
    else:
        yield from _sign_in_by_text(session, way or _text_way(session), new_id())


def log_out(session: Session, _: str) -> Steps[None]:
    try:
        account = (yield from session.wait(session.codex.account())).account
        line = "Signed out." if account is not None else "You were not signed in."
    except ConfigurationError:
        line = f"Signed out. {Storage.of(session.env).name} could not be read, and was removed."
    yield from finished(session.login.sign_out())
    has_key = bool(os.environ.get("OPENAI_API_KEY"))
    still = "OPENAI_API_KEY is still set; `%codex provider openai` uses it."
    session.screen.say(line, *[still] * has_key)


def show_account(session: Session, _: str) -> None:
    session.screen.table(("", ""), account_rows(session, session.provider(), named=True), note=_NOTE)


def show_usage(session: Session, _: str) -> Steps[None]:
    usage = yield from session.wait(session.usage(session.provider()))
    windows = login.windows(usage.limits)
    if not windows:
        session.screen.say("The service reports no limits for this account.")
        return
    bars, note = list(map(login.left, windows)), f"Plan: {usage.plan.capitalize()}" if usage.plan else ""
    rows = [(login.name(each), f"{login.left(each)} % left", login.resets(each)) for each in windows]
    session.screen.table(("", "", ""), rows, bars=bars, note=note)


def account_rows(session: Session, provider: Provider, *, named: bool = False) -> list[tuple[str, object]]:
    """Return how the provider is signed in to, and where that is kept; no secrets, and no e-mail unless `named`."""
    if provider.name == LOCAL:
        return [("Account", "a made-up account of the local service")]
    if provider.name not in ("chatgpt", "openai"):
        return [("Account", "signed in with a key" if provider.auth else "no sign-in needed")]
    storage = Storage.of(session.env)
    stored = storage.read()
    if provider.name == "openai":
        place = storage.name if stored is not None and stored.api_key else "OPENAI_API_KEY"
        return [("Account", "signed in with an API key"), ("Kept in", place)]
    if stored is None or stored.access_token is None:
        return [("Account", "not signed in: `%codex login`")]
    account = f"{plan_note(stored.plan)}; e-mail: `%codex account`"
    if named:
        account = f" {who(ChatgptAccount(stored.email or stored.account_id, stored.plan))}"
    rows: list[tuple[str, object]] = [("Account", f"signed in{account}"), ("Kept in", storage.name)]
    if until := login.moment(stored.expires_at):
        rows.append(("Good until", f"{until}, renewed automatically"))
    return rows


def can_sign_in(session: Session, error: CodexError, options: ParsedLine) -> bool:
    """Whether signing in, here and now, would let the cell continue."""
    screen = session.screen
    provider = options.text("provider") or session.settings.provider or "chatgpt"
    helps = isinstance(error, errors.AuthError)
    helps = helps and not isinstance(error, errors.AccountChangedError | LoginError)
    waits = screen.has_widgets or "wait-login" in options.values
    # Where a server runs the cells no widget is drawn, but there is a person who reads.
    reads = not screen.page.has_controls and "no-wait-login" not in options.values
    return helps and provider == "chatgpt" and screen.page.changes and (waits or reads)


def sign_in_first(session: Session, error: CodexError, options: ParsedLine, output: str) -> Steps[None]:
    """Sign in, in place of the output that shows `error`. Raises CellFailed if nobody did."""
    waits = "no-wait-login" not in options.values
    reason = f"{error.message} Your question waits and is sent afterwards." if waits else error.message
    yield from finished(session.login.open(reason))
    try:
        if session.screen.has_widgets:
            view = yield from _sign_in_by_widget(session, output, waits=waits)
        else:
            view = yield from _sign_in_by_text(session, _text_way(session), output)
    except KeyboardInterrupt:
        session.screen.error(error)
        raise
    if view.stage is not Stage.signed_in:
        session.screen.error(error)
        raise CellFailed(str(error)) from error


def _sign_in_by_widget(session: Session, output: str, *, waits: bool) -> Steps[LoginView]:
    from .widgets import LoginWidget

    flow, screen = session.login, session.screen
    widget = LoginWidget(flow, screen.page, in_blocking_cell=screen.blocked)
    widget.show(output)
    if screen.blocked and flow.view.stage is Stage.choosing:
        flow.begin(Way.device)  # the one way that needs no click
    relay: Relay[LoginView] = Relay()
    flow.subscribe(relay.put)
    try:
        while True:
            yield relay.ready(), None
            view = relay.take()[-1]
            if view.over or not waits:
                return view
    except KeyboardInterrupt:
        flow.leave(relay.put)
        widget.leave()
        raise
    finally:
        flow.leave(relay.put)


_NOBODY = {
    Way.paste: ("No one is here to paste an address.", "Use `%codex login device`."),
    Way.key: ("No one is here to paste a key.", "Set OPENAI_API_KEY, or sign in from a terminal."),
}

_PROMPTS = {Way.paste: "Address (not shown): ", Way.key: "API key (not shown): "}

PATIENCE_SECONDS = 10  # between two prompts for Enter: the service is polled for a code every few seconds


def _text_way(session: Session) -> Way:
    """A notebook that nobody sits before has no browser either."""
    return Way.device if session.screen.rich else session.login.ways[0]


def _sign_in_by_text(session: Session, way: Way, output: str) -> Steps[LoginView]:
    """Sign in, in place of that output, to the end. Raises LoginError, ConfigurationError, KeyboardInterrupt."""
    if way in _NOBODY and not may_ask(session.shell):
        raise ConfigurationError(_NOBODY[way][0], hint=_NOBODY[way][1])
    screen, flow, lines = session.screen, session.login, _Lines(session, output)
    # A page without controls may show nothing before its cell has ended; a prompt it does show.
    prompts = screen.rich and not screen.page.has_controls and may_ask(session.shell)
    answers, entered_at = -1, -math.inf
    relay, view = Relay[LoginView](), flow.view
    flow.begin(way, open_browser=not screen.rich and not is_remote())
    flow.subscribe(relay.put)
    try:
        while True:
            yield relay.ready(), None
            view = relay.take()[-1]
            if view.stage is Stage.choosing and view.way is not None and view.problem:
                raise LoginError(view.problem, hint="")
            lines.show(view)
            if view.over:
                return view
            waits = view.stage is Stage.waiting
            if waits and view.way in _PROMPTS:
                if answers != view.misread:  # once for each answer that is needed
                    answers = view.misread
                    flow.enter(getpass.getpass(_PROMPTS[way]))
            elif waits and prompts and view.now - entered_at >= PATIENCE_SECONDS:
                with interruptible():
                    input(f"{lines}\nPress Enter when you are done: ")
                entered_at = time.time()
    finally:
        flow.leave(relay.put)
        if lines and not view.over:  # what was only needed meanwhile stays in no notebook
            lines.write(["The sign-in was not finished."])


class _Lines:
    """The lines on screen: one output in a notebook, whose last state holds no code; lines in a terminal."""

    def __init__(self, session: Session, output: str) -> None:
        self._page = session.screen.page if session.screen.rich else None
        self._id = output
        self._shown: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._shown)

    def __bool__(self) -> bool:
        return bool(self._shown)

    def show(self, view: LoginView) -> None:
        line = view.closing_line() if view.over and self._page is not None else view.headline()
        self.write([line] if view.over or not view.problem else [view.problem, line], view.link, view.code)

    def write(self, lines: list[str], link: str | None = None, code: str | None = None) -> None:
        plain = [line.replace("`", "") for line in lines]
        plain += [f"  {part}" for part in (link, code) if part is not None]
        if plain == self._shown:
            return
        if self._page is not None:
            markdown = [*map(words, lines), f"<{link}>" if link else "", f"**{words(code)}**" if code else ""]
            text = {"text/markdown": lines_of(filter(None, markdown)), "text/plain": "\n".join(plain)}
            self._page.show(self._id, text)
        elif new := [line for line in plain if line not in self._shown]:
            print(without_controls("\n".join(new)))  # noqa: T201  # a terminal reads standard output
        self._shown = plain
