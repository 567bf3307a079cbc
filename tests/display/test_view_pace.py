"""When a view is painted: at once, then by its length, and always at the end."""

from __future__ import annotations

import json

import pytest

from codex_magic.display.pace import Painter
from codex_magic.display.page import NOTEBOOK, Pace
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import AgentMessage, Notification

from .scripted import answer, begun, ended, said, start

MESSAGE_OVERHEAD = 650
"""Headers and signature of an iopub message, in bytes."""

SECTION = (
    '## Section\n\nThe mean of `x` is $\\bar{x} = \\frac{1}{n}\\sum x_i$, and "that" is it.\n\n'
    "```python\ndef mean(x):\n    return sum(x) / len(x)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n\n"
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A surface that keeps when it was painted and how many bytes a kernel would have sent."""

    def __init__(self, clock: Clock, pace: Pace = NOTEBOOK) -> None:
        self.pace = pace
        self.clock = clock
        self.times: list[float] = []
        self.calls: list[str] = []
        self.bytes = 0

    def _paint(self, call: str, view: TurnView) -> None:
        self.calls.append(call)
        self.times.append(self.clock())
        self.bytes += len(json.dumps(view.bundle(), ensure_ascii=False).encode()) + MESSAGE_OVERHEAD

    def update(self, view: TurnView) -> None:
        self._paint("update", view)

    def pause(self) -> None:
        self.calls.append("pause")

    def close(self, view: TurnView) -> None:
        self._paint("close", view)


def run(notifications: list[Notification], *, per_second: float) -> Recorder:
    """Drive a painter as a loop does, the notifications coming evenly."""
    clock = Clock()
    surface = Recorder(clock)
    painter = Painter(surface, TurnView(), clock=clock)
    for notification in notifications:
        arrives = clock.now + 1 / per_second
        while (due := painter.due()) is not None and clock.now + due < arrives:
            clock.now += due
            painter.tick()
        clock.now = arrives
        painter.feed([notification])
    painter.finish()
    return surface


def test_the_first_text_is_painted_at_once() -> None:
    clock = Clock()
    surface = Recorder(clock)
    painter = Painter(surface, TurnView(), clock=clock)
    painter.feed([begun()])
    painter.feed([start(AgentMessage("m", ""))])
    assert surface.calls == ["update"]
    painter.feed([said("H")])
    assert surface.calls == ["update", "update"]
    painter.feed([said("e")])
    assert surface.calls == ["update", "update"]
    assert painter.due() == pytest.approx(NOTEBOOK.floor)


def test_nothing_new_is_never_due() -> None:
    painter = Painter(Recorder(Clock()), TurnView(), clock=Clock())
    painter.feed([])
    assert painter.due() is None
    painter.feed([begun()])
    assert painter.due() is None


def test_the_end_is_painted_whatever_the_clock_says_and_only_once() -> None:
    clock = Clock()
    surface = Recorder(clock)
    painter = Painter(surface, TurnView(), clock=clock)
    painter.feed([begun(), said("a"), said("b"), ended()])
    painter.finish()
    painter.finish()
    assert surface.calls == ["update", "close"]
    assert painter.due() is None


def test_a_place_can_be_taken_before_there_is_anything_to_show() -> None:
    surface = Recorder(Clock())
    painter = Painter(surface, TurnView(), clock=Clock())
    painter.open()
    painter.open()
    painter.feed([begun(), said("a")])
    assert surface.calls == ["update", "update"]


def test_all_there_is_is_painted_before_a_pause() -> None:
    surface = Recorder(Clock())
    painter = Painter(surface, TurnView(), clock=Clock())
    painter.feed([begun(), said("a")])
    painter.feed([said("b")])
    painter.pause()
    painter.pause()
    assert surface.calls == ["update", "update", "pause", "pause"]


def test_a_turn_nobody_ended_is_interrupted() -> None:
    painter = Painter(Recorder(Clock()), TurnView())
    painter.feed([said("a")])
    painter.finish()
    assert painter.view.state == "interrupted"


def test_what_a_surface_raises_passes_through_with_the_view_fed() -> None:
    class Broken(Recorder):
        def _paint(self, call: str, view: TurnView) -> None:
            raise OSError("gone")

    painter = Painter(Broken(Clock()), TurnView())
    with pytest.raises(OSError, match="gone"):
        painter.feed([said("kept")])
    assert painter.view.plain() == "kept"


def test_at_most_30_messages_in_any_second() -> None:
    times = run(answer(SECTION * 20, chars=2), per_second=1000).times
    assert max(sum(1 for t in times if at <= t < at + 1) for at in times) <= 30


def test_the_bytes_of_an_answer_are_bounded() -> None:
    """40 KB at 100 deltas a second, and 160 KB in the same time."""
    text = (SECTION * 1000)[:160_000]
    small = run(answer(text[:40_000], chars=20), per_second=100)
    large = run(answer(text, chars=80), per_second=100)
    assert small.bytes <= 1_400_000
    assert large.bytes <= 1.5 * small.bytes
