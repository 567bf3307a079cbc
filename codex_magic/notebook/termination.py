"""SIGTERM, with which servers end kernels: what came of running turns is written first."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from ..threads.sync import keep_running


def keep_at_termination() -> None:
    """Unless somebody else has plans for the signal."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals are the main thread's
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def leave_termination() -> None:
    """Undo it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    keep_running()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
