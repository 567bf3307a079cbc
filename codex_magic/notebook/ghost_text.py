"""Suggestions as ghost text in a terminal: IPython's own suggester, which asks a model where its history knows nothing.

IPython's seam for models (`llm_provider_class`) imports jupyter_ai, so this is one level below: the suggester itself,
which prompt_toolkit asks with each change of the text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.terminal.shortcuts import auto_suggest

from ..waiting import awaited, in_thread
from .gathering import Kernel
from .suggestions import Cursor, Suggested, Suggestions, is_code

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .shell import NotebookSettings

PAUSE_SECONDS = 0.3
"""So long nothing must be typed before a model is asked."""


class GhostText(auto_suggest.NavigableAutoSuggestFromHistory):
    """What was typed before comes first, as it does without us; `suggestions`: made at the first use."""

    def __init__(
        self, suggestions: Callable[[], Suggestions], settings: NotebookSettings, *, uses_history: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # IPython's
        self._suggestions, self._settings = suggestions, settings
        self._uses_history = uses_history

    def get_suggestion(self, buffer: Any, document: Any) -> Any:
        return super().get_suggestion(buffer, document) if self._uses_history else None

    async def get_suggestion_async(self, buffer: Any, document: Any) -> Any:
        """Return the rest of the code; `None` once something else is typed, which closes the request too."""
        known = self.get_suggestion(buffer, document)
        is_open = document.is_cursor_at_the_end_of_line and is_code(document.text_before_cursor)
        if known is not None or not is_open:
            return known
        typed = asyncio.Event()

        def note(_: object) -> None:
            typed.set()

        buffer.on_text_changed += note
        buffer.on_cursor_position_changed += note
        typing: asyncio.Future[Any] = asyncio.ensure_future(typed.wait())
        asking: asyncio.Future[Suggested] | None = None
        try:
            if (await asyncio.wait({typing}, timeout=PAUSE_SECONDS))[0]:
                return None
            asking = asyncio.ensure_future(self._ask(document))
            await asyncio.wait({typing, asking}, return_when=asyncio.FIRST_COMPLETED)
            if typed.is_set() or not asking.done() or not (text := asking.result().text):
                return None
            return auto_suggest.Suggestion(text)  # type: ignore[attr-defined]  # prompt_toolkit's
        finally:
            buffer.on_text_changed -= note
            buffer.on_cursor_position_changed -= note
            for each in (typing, asking):
                if each is not None:
                    each.cancel()

    async def _ask(self, document: Any) -> Suggested:
        suggestions = await awaited(in_thread(self._suggestions, daemon=True))  # its imports take a while
        runs, settings = suggestions.runs, self._settings
        kernel = Kernel(runs.so_far()[0], None, "", runs.began)
        before, after = document.text_before_cursor, document.text_after_cursor
        cursor = Cursor(before, after, kernel, settings.suggestion_model, settings.suggestion_tokens)
        return await asyncio.wrap_future(suggestions.suggest(cursor))


def turn(shell: InteractiveShell, suggestions: Callable[[], Suggestions], settings: NotebookSettings) -> None:
    """Use the suggester as long as the settings say so, and the one that IPython had otherwise."""
    terminal: Any = shell
    present = terminal.auto_suggest
    if settings.suggestions == isinstance(present, GhostText):
        return
    if isinstance(present, auto_suggest.NavigableAutoSuggestFromHistory):
        present.disconnect()
    if not settings.suggestions:
        terminal._set_autosuggestions()
        present = terminal.auto_suggest
    else:
        present = GhostText(suggestions, settings, uses_history=present is not None)
    terminal.auto_suggest = present
    if terminal.pt_app is not None:
        terminal.pt_app.auto_suggest = present
        if isinstance(present, auto_suggest.NavigableAutoSuggestFromHistory):
            present.connect(terminal.pt_app)
