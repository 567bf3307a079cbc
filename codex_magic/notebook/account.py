"""The `%codex` commands about who is signed in, and what to do when a cell needs that."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import TYPE_CHECKING

from ..auth.storage import Storage
from ..protocol.account import ChatgptAccount
from ..protocol.errors import (
    AccountChangedError,
    AuthError,
    CodexError,
    ConfigurationError,
    LoginError,
    NotSignedInError,
    OptionError,
)
from ..responses.provider import Provider
from ..threads.relay import Relay
from . import quota
from .drive import Steps, finished
from .login_text import log_in_by_text
from .login_view import LoginView, Stage, Way, who
from .options import ParsedLine
from .outcome import CellFailed
from .say import say, say_error, say_table

if TYPE_CHECKING:
    from .session import Session

LOGIN_USAGE = f"%codex login [{' | '.join(Way)}]"

_LIKE_A_KEY = re.compile(r"\b(?:sk|sess)-\w")


# Commands ----------------------------------------------------------------------------------------


def takes_login(rest: str) -> bool:
    """`%codex login is broken` is a question, but a key must never be sent as one."""
    return not rest or rest.split()[0] in set(Way) or bool(_LIKE_A_KEY.search(rest))


def log_in(session: Session, rest: str) -> Steps[None]:
    way = _way(rest)
    if not session.page.changes:
        raise ConfigurationError("A sign-in needs a cell to itself.", hint="Run %codex login in one.")
    flow = session.login
    yield from finished(flow.open())
    if session.has_widgets:
        from .login_widget import LoginWidget

        LoginWidget(flow, session.page).show()
        if way is not None:
            flow.begin(way)
    elif flow.view.stage is Stage.account and way is None:
        account = flow.view.account
        flow.cancel()
        say(
            session,
            "Signed in." if session.rich else f"Signed in {who(account)}.",
            f"{LOGIN_USAGE} changes the account, %codex logout signs out.",
        )
    else:
        yield from log_in_by_text(session, way or _text_way(session))


def _way(rest: str) -> Way | None:
    if not rest:
        return None
    if rest in set(Way):
        return Way(rest)
    if _LIKE_A_KEY.search(rest) or rest.startswith(Way.key.value):
        raise OptionError(
            "A key does not belong in a cell.",
            hint="Take it out again, since notebooks and histories are kept; %codex login key asks for it.",
        )
    raise OptionError(f"%codex login takes one word, not {len(rest.split())}.", hint=f"Usage: {LOGIN_USAGE}")


def _text_way(session: Session) -> Way:
    """A notebook that nobody sits before has no browser either."""
    return Way.device if session.rich else session.login.ways[0]


def log_out(session: Session, _: str) -> Steps[None]:
    account = (yield from finished(session.codex.submit(session.codex.asynchronous.account()))).account
    yield from finished(session.login.sign_out())
    lines = ["Signed out." if account is not None else "Nobody was signed in."]
    if os.environ.get("OPENAI_API_KEY"):
        lines.append("OPENAI_API_KEY is still set, and is used by %codex provider openai.")
    say(session, *lines)


def show_account(session: Session, _: str) -> None:
    rows = account_rows(session, session.provider())
    say_table(
        session, ("", ""), rows, note="%codex login signs in or changes the account, %codex logout signs out."
    )


def show_usage(session: Session, _: str) -> Steps[None]:
    usage = yield from finished(session.codex.submit(session.usage(session.provider())))
    rows = [
        (quota.name(window), quota.bar(window), f"{quota.left(window)} % left", quota.resets(window))
        for window in quota.windows(usage.limits)
    ]
    if not rows:
        say(session, "The service names no limits for this account.")
        return
    say_table(session, ("", "", "", ""), rows, note=f"Plan: {usage.plan}" if usage.plan else "")


def account_rows(session: Session, provider: Provider) -> list[tuple[str, object]]:
    """Who the provider takes this user for, and where that is kept; no secrets."""
    from .session import LOCAL

    if provider.name == LOCAL:
        return [("signed in", "a made-up account of the local service")]
    if provider.name not in ("chatgpt", "openai"):
        return [("signed in", "with a key" if provider.auth else "no sign-in needed")]
    storage = Storage.of(session.settings)
    stored = storage.read()
    if provider.name == "openai":
        kept = storage.name if stored is not None and stored.api_key else "OPENAI_API_KEY"
        return [("signed in", "with an API key"), ("kept in", kept)]
    if stored is None or stored.access_token is None:
        return [("signed in", f"no: {NotSignedInError().hint}")]
    rows: list[tuple[str, object]] = [
        ("signed in", who(ChatgptAccount(stored.email or stored.account_id, stored.plan))),
        ("kept in", storage.name),
    ]
    if stored.expires_at is not None:
        until = datetime.fromtimestamp(stored.expires_at).astimezone()
        rows.append(("good until", f"{until:%a %d %b %H:%M}, and renewed before that"))
    return rows


# A cell that needs a sign-in ---------------------------------------------------------------------


def helps(error: CodexError, session: Session, options: ParsedLine) -> bool:
    """Whether signing in, here and now, would let the cell go on."""
    provider = options.text("provider") or session.magics.provider or "chatgpt"
    mendable = isinstance(error, AuthError) and not isinstance(error, (AccountChangedError, LoginError))
    waits = session.has_widgets or "wait-login" in options.values
    # Where a server runs the cells no widget is drawn, but there is a person who reads.
    reads = not session.page.has_controls and "no-wait-login" not in options.values
    return mendable and provider == "chatgpt" and session.page.changes and (waits or reads)


def sign_in_first(session: Session, error: CodexError, options: ParsedLine, output: str) -> Steps[None]:
    """Sign in, in place of the output that shows `error`. Raises CellFailed if nobody did."""
    flow = session.login
    yield from finished(flow.open(str(error)))
    try:
        if not session.has_widgets:
            view = yield from log_in_by_text(session, _text_way(session), output)
        else:
            view = yield from _by_widget(session, output, waits="no-wait-login" not in options.values)
    except KeyboardInterrupt:
        say_error(session, error)
        raise
    if view.stage is not Stage.signed_in:
        say_error(session, error)
        raise CellFailed(str(error)) from error


def _by_widget(session: Session, output: str, *, waits: bool) -> Steps[LoginView]:
    from .login_widget import LoginWidget

    flow = session.login
    widget = LoginWidget(flow, session.page, in_blocking_cell=session.blocking)
    widget.show(output)
    if session.blocking and flow.view.stage is Stage.choosing:
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
