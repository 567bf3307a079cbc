"""The sign-in as text: for terminals, and for notebooks that run where no widget can be shown."""

from __future__ import annotations

import getpass
import threading
import webbrowser
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
    flow.begin(way)
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
        self._opened = False

    def show(self, view: LoginView) -> None:
        lines = view.closing_lines() if view.over else [view.problem, view.headline()]
        lines = [line for line in lines if line]
        if self._rich:
            self._update(lines, view)
        else:
            self._print(lines, view)

    def asks(self, view: LoginView) -> bool:
        """Whether it is time to ask, once for each answer that is needed."""
        due = view.stage is Stage.waiting and view.way in _PROMPTS and self._asked != view.misread
        if due:
            self._asked = view.misread
        return due

    def close(self) -> None:
        """Nothing of what was only needed meanwhile stays in a notebook."""
        if self._rich and self._said and self._opened:
            self._publish(["The sign-in was cancelled."], ["The sign-in was cancelled."])

    def _update(self, lines: list[str], view: LoginView) -> None:
        plain, markdown = list(lines), [words(line) for line in lines]
        if view.link is not None:
            plain.append(view.link)
            markdown.append(f"<{view.link}>")
        if view.code is not None:
            plain.append(view.code)
            markdown.append(f"**{words(view.code)}**")
        if plain != self._said:
            self._publish(plain, markdown)
        self._opened = not view.over

    def _publish(self, plain: list[str], markdown: list[str]) -> None:
        text = {"text/markdown": lines_of(markdown), "text/plain": "\n".join(plain)}
        publish(text, display_id=self._display_id, update=bool(self._said))
        self._said = plain

    def _print(self, lines: list[str], view: LoginView) -> None:
        lines += [f"  {part}" for part in (view.link, view.code) if part is not None]
        news = [line for line in lines if line not in self._said]
        if not news:
            return
        print(*news, sep="\n")  # noqa: T201  # a terminal reads standard output
        self._said = lines
        if view.link is not None and view.way is Way.browser and not is_remote():
            threading.Thread(target=webbrowser.open, args=[view.link], daemon=True).start()
