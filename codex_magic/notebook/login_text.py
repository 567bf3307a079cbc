"""The sign-in as text: for terminals, and for notebooks that run where no widget can be shown."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from ..protocol.errors import ConfigurationError, LoginError
from ..protocol.ids import new_id
from ..threads.relay import Relay
from .drive import Steps
from .environment import is_remote, may_ask
from .login_view import LoginView, Stage, Way
from .say import lines_of, publish, words

if TYPE_CHECKING:
    from .session import Session

_NOBODY = {
    Way.paste: ("There is nobody here to give an address.", "Use %codex login device."),
    Way.key: ("There is nobody here to give a key.", "Set OPENAI_API_KEY, or sign in from a terminal."),
}

_PROMPTS = {Way.paste: "Address (it stays hidden): ", Way.key: "API key (it stays hidden): "}


def log_in_by_text(session: Session, way: Way) -> Steps[LoginView]:
    """Sign in one way and wait for the end. Raises LoginError, ConfigurationError, KeyboardInterrupt."""
    if way in _NOBODY and not may_ask(session.shell):
        sentence, hint = _NOBODY[way]
        raise ConfigurationError(sentence, hint=hint)
    relay: Relay[LoginView] = Relay()
    flow, page = session.login, _Page(session)
    flow.begin(way, open_browser=not session.rich and not is_remote())
    flow.subscribe(relay.put)
    try:
        while True:
            yield relay.ready(), None
            view = relay.take()[-1]
            if view.stage is Stage.choosing and view.way is not None and view.problem:
                raise LoginError(view.problem, hint="")
            page.show(view)
            if view.over:
                return view
            if page.asks(view):
                flow.give(getpass.getpass(_PROMPTS[way]))
    finally:
        flow.leave(relay.put)
        page.close()


class _Page:
    """What was said so far: one output in a notebook, whose last state holds no code; lines in a terminal."""

    def __init__(self, session: Session) -> None:
        self._rich = session.rich
        self._display_id = new_id()
        self._said: list[str] = []
        self._asked = -1
        self._over = False

    def show(self, view: LoginView) -> None:
        self._over = view.over
        closing = view.closing_lines() if self._rich else view.parting_lines()
        lines = closing if view.over else [view.problem, view.headline()]
        self._tell([line for line in lines if line], view.link, view.code)

    def asks(self, view: LoginView) -> bool:
        """Whether it is time to ask, once for each answer that is needed."""
        due = view.stage is Stage.waiting and view.way in _PROMPTS and self._asked != view.misread
        if due:
            self._asked = view.misread
        return due

    def close(self) -> None:
        """Nothing that was only needed meanwhile stays in a notebook."""
        if self._said and not self._over:
            self._tell(["The sign-in was not finished."])

    def _tell(self, lines: list[str], link: str | None = None, code: str | None = None) -> None:
        plain = [*lines, *(f"  {part}" for part in (link, code) if part is not None)]
        if plain == self._said:
            return
        if self._rich:
            markdown = [
                *map(words, lines),
                *([f"<{link}>"] if link else []),
                *([f"**{words(code)}**"] if code else []),
            ]
            text = {"text/markdown": lines_of(markdown), "text/plain": "\n".join(plain)}
            publish(text, display_id=self._display_id, update=bool(self._said))
        else:
            for line in plain:
                if line not in self._said:
                    print(line)  # noqa: T201  # a terminal reads standard output
        self._said = plain
