"""The sign-in as text: for terminals, and for notebooks that run where no widget can be shown."""

from __future__ import annotations

import getpass
import math
from typing import TYPE_CHECKING

from ..protocol.errors import ConfigurationError, LoginError
from ..protocol.ids import new_id
from ..threads.relay import Relay
from .drive import Steps
from .environment import is_remote, may_ask
from .login_view import LoginView, Stage, Way
from .say import lines_of, words
from .typed import interruptible

if TYPE_CHECKING:
    from .session import Session

_NOBODY = {
    Way.paste: ("There is nobody here to give an address.", "Use %codex login device."),
    Way.key: ("There is nobody here to give a key.", "Set OPENAI_API_KEY, or sign in from a terminal."),
}

_PROMPTS = {Way.paste: "Address (it stays hidden): ", Way.key: "API key (it stays hidden): "}

PRESS_ENTER = "Press Enter when you have done so: "

PATIENCE_SECONDS = 10
"""After Enter, until it is asked for again: the service is asked about a code every few seconds."""


def log_in_by_text(session: Session, way: Way, output: str | None = None) -> Steps[LoginView]:
    """Sign in one way, in place of that output, and wait for the end. Raises LoginError, ConfigurationError, KeyboardInterrupt."""
    if way in _NOBODY and not may_ask(session.shell):
        sentence, hint = _NOBODY[way]
        raise ConfigurationError(sentence, hint=hint)
    relay: Relay[LoginView] = Relay()
    flow, lines = session.login, _Lines(session, output or new_id())
    flow.begin(way, open_browser=not session.rich and not is_remote())
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
            if lines.asks(view):
                flow.give(getpass.getpass(_PROMPTS[way]))
            elif lines.wait_for_enter(view):
                with interruptible():
                    input(f"{lines}\n{PRESS_ENTER}")
    finally:
        flow.leave(relay.put)
        lines.close()


class _Lines:
    """What was said so far: one output in a notebook, whose last state holds no code; lines in a terminal.

    A page without controls may show nothing before its cell has ended; a prompt it does show.
    """

    def __init__(self, session: Session, output: str) -> None:
        self._page = session.page if session.rich else None
        self._id = output
        self._said: list[str] = []
        self._asked = -1
        self._prompts = session.rich and not session.page.has_controls and may_ask(session.shell)
        self._entered_at: float | None = -math.inf
        self._over = False

    def show(self, view: LoginView) -> None:
        self._over = view.over
        closing = view.closing_lines() if self._page is not None else view.parting_lines()
        lines = closing if view.over else [view.problem, view.headline()]
        self._tell([line for line in lines if line], view.link, view.code)

    def asks(self, view: LoginView) -> bool:
        """Whether it is time to ask, once for each answer that is needed."""
        due = view.stage is Stage.waiting and view.way in _PROMPTS and self._asked != view.misread
        if due:
            self._asked = view.misread
        return due

    def wait_for_enter(self, view: LoginView) -> bool:
        """Whether it is time to say in a prompt what there is to do elsewhere."""
        if self._entered_at is None:  # the first view after the prompt
            self._entered_at = view.now
        elsewhere = view.stage is Stage.waiting and view.way not in _PROMPTS
        due = self._prompts and elsewhere and view.now - self._entered_at >= PATIENCE_SECONDS
        if due:
            self._entered_at = None
        return due

    def __str__(self) -> str:
        return "\n".join(self._said)

    def close(self) -> None:
        """Nothing that was only needed meanwhile stays in a notebook."""
        if self._said and not self._over:
            self._tell(["The sign-in was not finished."])

    def _tell(self, lines: list[str], link: str | None = None, code: str | None = None) -> None:
        plain = [*lines, *(f"  {part}" for part in (link, code) if part is not None)]
        if plain == self._said:
            return
        if self._page is not None:
            markdown = [
                *map(words, lines),
                *([f"<{link}>"] if link else []),
                *([f"**{words(code)}**"] if code else []),
            ]
            text = {"text/markdown": lines_of(markdown), "text/plain": "\n".join(plain)}
            self._page.show(self._id, text)
        else:
            for line in plain:
                if line not in self._said:
                    print(line)  # noqa: T201  # a terminal reads standard output
        self._said = plain
