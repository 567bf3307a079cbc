"""A forked child that does something and tells what came of it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0
"""Seconds; a child that hangs is killed then."""


def in_child(work: Callable[[], Any]) -> str:
    """What `work` gave in a forked child, as text, or the failure that it ended with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(work())
        except BaseException as error:  # noqa: BLE001  # told to the parent
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    try:
        if not select.select([reading], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
            return "hangs"
        with open(reading, "rb", closefd=False) as pipe:
            return pipe.read().decode()
    finally:
        os.close(reading)
        os.waitpid(child, 0)
