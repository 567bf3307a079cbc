"""A line that a person types after a question was shown, and never one that was typed before.

What waits in the terminal is dropped when the question is there, and a line that comes together with others
was pasted, not typed.
"""

from __future__ import annotations

import _thread
import builtins
import getpass
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

QUIET_SECONDS = 0.2
"""How long nothing must come before the prompt is shown, and after the line: longer than a pasted or typed text
pauses."""


class Superseded(Exception):
    """What the line was to answer has its answer."""


def read_typed_line(
    legend: str, prompt: str, *, hidden: bool = False, answered: Future[Any] | None = None
) -> str | None:
    """`None`: what came is no answer, and is dropped.

    Raises EOFError, OSError, RuntimeError where there is no line to be had, and KeyboardInterrupt. `hidden`:
    do not show it, by which a front end of a kernel drops what was typed before. `answered`: raise Superseded in a
    kernel when that is done.
    """
    with interruptible():
        if getattr(builtins.input, "__module__", None) == "builtins":  # a kernel has its own in its place
            print(legend)  # noqa: T201  # a terminal reads standard output
            return _from_terminal(prompt)
        # A kernel drops what a front end has sent before it asks.
        read = getpass.getpass if hidden else builtins.input
        with _ended_by(answered):
            return read(f"{legend}\n{prompt}")


if sys.platform == "win32":
    import msvcrt

    def _from_terminal(prompt: str) -> str | None:
        _drop()
        typed = input(prompt)
        return None if _drop() else typed

    def _drop() -> bool:
        """Whether anything came before it was quiet."""
        anything, since = False, time.monotonic()
        while time.monotonic() < since + QUIET_SECONDS:
            if msvcrt.kbhit():
                msvcrt.getwch()
                anything, since = True, time.monotonic()
            else:
                time.sleep(0.01)
        return anything

else:
    import os
    import select
    import termios

    def _from_terminal(prompt: str) -> str | None:
        """Through the terminal's own line discipline: what readline has read ahead could not be dropped."""
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        lines, keys = list(before), list(before)
        lines[0] |= termios.ICRNL
        lines[3] |= termios.ICANON | termios.ECHO | termios.ISIG
        keys[3] = (keys[3] | termios.ISIG) & ~(termios.ICANON | termios.ECHO)
        sys.stdout.flush()
        try:
            termios.tcsetattr(terminal, termios.TCSADRAIN, keys)
            _drop(terminal)
            print(prompt, end="", flush=True)  # noqa: T201
            termios.tcsetattr(terminal, termios.TCSAFLUSH, lines)
            typed = os.read(terminal, 4096)
            termios.tcsetattr(terminal, termios.TCSADRAIN, keys)
            pasted = _drop(terminal)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        if not typed:
            raise EOFError
        return None if pasted or not typed.endswith(b"\n") else typed.decode(errors="replace")

    def _drop(terminal: int) -> bool:
        """Whether anything came before it was quiet."""
        anything = False
        while select.select([terminal], [], [], QUIET_SECONDS)[0] and os.read(terminal, 4096):
            anything = True
        return anything


@contextmanager
def interruptible() -> Iterator[None]:
    """An async cell takes Ctrl-C as its cancellation, which a line being read would not notice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _ended_by(done: Future[Any] | None) -> Iterator[None]:
    """Raise Superseded in the block, which reads a line in the main thread, when `done` is."""
    if done is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    lock, is_reading, is_sent = threading.Lock(), True, False

    def wake(_: object) -> None:
        nonlocal is_sent
        with lock:
            if is_reading:
                is_sent = True
                _thread.interrupt_main()

    try:
        done.add_done_callback(wake)
        yield
        with lock:
            is_reading = False
        while is_sent:  # the interrupt is under way, and must not reach anything else
            time.sleep(0.01)
    except KeyboardInterrupt:
        if is_sent:
            raise Superseded from None
        raise
    finally:
        is_reading = False
