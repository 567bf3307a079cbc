"""Values as a model reads them: `describe(value)` is a text within a budget of tokens, with pictures if it has any.

A value is code of somebody else: it may lie, raise, hang or be huge. So its describer runs in a thread of its own
for two seconds at most, and what it has said until then is the description.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..protocol.plain import encodable, without_controls
from ..protocol.types import ImageInput
from . import arrays, figures, frames, plain, programs
from .registry import Look, Part, Picture, find, register, static, type_name
from .short import headline as first_line
from .short import short
from .tokens import clip, estimate

__all__ = ["Description", "Look", "Picture", "abandoned", "describe", "headline", "register"]

KINDS = (arrays, figures, frames, plain, programs)
"""The files of describers; each registers its own."""

MOST_ABANDONED = 8
"""Threads that look at values for too long already; no other value is looked at beside them."""

ENDING_TOKENS = 30
"""Kept free for the words about what is missing."""

MOST_BYTES = 2_000_000
"""Of one picture."""

HOOKS = ("__codex__", "_repr_llm_")
BUNDLE = "text/llm+plain"


@dataclass(frozen=True)
class Description:
    text: str
    images: tuple[ImageInput, ...] = ()
    note: str = ""
    """What the user should know: that looking at the value failed or took too long."""


def describe(
    value: object, *, name: str = "", rows: int = 5, tokens: int = 800, seconds: float = 2.0
) -> Description:
    """Describe a value in at most `tokens`; with `rows=0` how it is built, and nothing of what it holds.

    Nothing is consumed, computed or changed, and whatever the value does, this returns within `seconds`.
    """
    look = Look(rows, tokens)
    return _within(seconds, f"{name}: " if name else "", look, value, lambda: _parts(value, look))


def headline(value: object, *, rows: int = 5, seconds: float = 0.2) -> str:
    """Describe a value in one line: its type and its size."""
    look = Look(rows, 60)
    return _within(seconds, "", look, value, lambda: [first_line(value, rows)]).text.partition("\n")[0]


def headlines(values: Mapping[str, object], *, rows: int = 5, seconds: float = 2.0) -> list[str]:
    """Describe each value in a line after its name; by its type alone where `seconds` for all of them are over.

    All in one thread: each of many would wait for its turn beside a busy one.
    """
    lines: list[str] = []
    done = threading.Event()

    def look() -> None:
        with suppress(BaseException):  # the top of a thread; a value may raise anything
            for name, value in values.items():
                lines.append(_plain(f"{name}: {first_line(value, rows)}"))
        done.set()

    if abandoned() < MOST_ABANDONED:
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        if not done.wait(seconds):
            _threads.append(thread)
    seen = [*lines]
    return [*seen, *(f"{name}: {type_name(value)}" for name, value in [*values.items()][len(seen) :])]


def abandoned() -> int:
    """Count the threads that still look at values although nobody waits for them."""
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    return len(_threads)


_threads: list[threading.Thread] = []


def _parts(value: object, look: Look) -> Iterable[Part]:
    """What the value's class says about it, if it does; else what its describer says."""
    if look.rows and (own := _own_words(value)):
        return [own]
    described = find(value)(value, look)
    return [described] if isinstance(described, str) else described


def _own_words(value: object) -> str:
    for hook in HOOKS:
        if static(value, hook) is not None:
            own = getattr(value, hook)()
            return own if type(own) is str else short(own, 2000, quote=False)
    bundle = getattr(static(value, "_repr_mimebundle_"), "__code__", None)
    if bundle is None or BUNDLE not in bundle.co_consts:  # others may compute what nobody reads
        return ""
    made = value._repr_mimebundle_(include=[BUNDLE])  # type: ignore[attr-defined]
    data = made[0] if type(made) is tuple else made
    return data.get(BUNDLE, "") if type(data) is dict else ""


def _within(
    seconds: float, begin: str, look: Look, value: object, parts: Callable[[], Iterable[Part]]
) -> Description:
    page = _Page(begin, look.tokens)
    if abandoned() >= MOST_ABANDONED:
        page.end(f"{MOST_ABANDONED} other values are still being looked at.")
        return page.description(value)
    thread = threading.Thread(target=_fill, args=[page, value, look, parts], daemon=True)
    thread.start()
    if not page.done.wait(seconds):
        _threads.append(thread)
        page.end(f"it takes longer than {seconds:g} s.")
    return page.description(value)


def _fill(page: _Page, value: object, look: Look, parts: Callable[[], Iterable[Part]]) -> None:
    try:
        page.take(parts())
    except BaseException as failure:  # noqa: BLE001 - the top of a thread; a value may raise anything
        page.end(f"it raised {type_name(failure)}{_reason(failure) if look.rows else ''}.")
        if not page.lines:
            fallback = find(object())(value, look)
            page.take([fallback] if isinstance(fallback, str) else fallback)
    finally:
        page.done.set()


def _reason(failure: BaseException) -> str:
    first = next(iter(BaseException.args.__get__(failure)), None)  # type: ignore[attr-defined]
    return f": {short(first, 80, quote=False)}" if issubclass(type(first), str) else ""


class _Page:
    """What a describer has said so far. One thread writes it; another may take it as it is."""

    def __init__(self, begin: str, tokens: int) -> None:
        self.lines: list[str] = []
        self.done = threading.Event()
        self._begin = begin
        self._tokens = tokens
        self._left = max(tokens - ENDING_TOKENS, tokens // 2)
        self._images: list[ImageInput] = []
        self._ending = ""
        self._note = ""

    def take(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if self.done.is_set() or not self._add(part):
                return

    def end(self, reason: str) -> None:
        self._note = f"Described {'in part' if self.lines else 'by its type only'}: {reason}"

    def _add(self, part: Part) -> bool:
        """Whether there is room for more."""
        if not part:
            return True
        if isinstance(part, Picture):
            if len(part.data) <= MOST_BYTES:
                data = base64.b64encode(part.data).decode()
                self._images.append(ImageInput(f"data:{part.mime};base64,{data}"))
            return True
        whole = _plain(part[: 20 * self._tokens])
        text = clip(self._begin + whole, self._left)
        cut = len(text) < len(self._begin + whole) or len(part) > 20 * self._tokens
        self.lines.append(text)
        self._left -= estimate(text + "\n")
        self._begin = ""
        if cut:
            self._ending = f"… (cut at {self._tokens} tokens)"
        return not cut

    def description(self, value: object) -> Description:
        self.done.set()
        lines = [*self.lines] or [self._begin + type_name(value)]
        ending = f"({self._note})" if self._note else self._ending
        text = "\n".join([*lines, ending] if ending else lines)
        return Description(clip(_plain(text), self._tokens), tuple(self._images), self._note)


def _plain(text: str) -> str:
    return without_controls(encodable(text))
