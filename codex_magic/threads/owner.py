"""Who runs a turn, so that a turn left in progress can be told from one whose process died.

A process is its number and its start time: numbers are used again, and mean something on its own machine
only. Of a process elsewhere (another machine or container) all that is known is when it last gave a sign of
life, which it does as long as a turn of it runs.
"""

from __future__ import annotations

import os
import socket
import sys

import msgspec
import psutil

RENEW_SECONDS = 5.0  # between two signs of life

SILENT_SECONDS = 30.0
"""After which a process that we can't look at counts as dead: more than clocks of machines differ by. One that
was only suspended takes its turns back with its next sign."""


class Owner(msgspec.Struct, frozen=True):
    host: str
    pid: int
    start: str | None  # when the process began, in seconds; `None` where it can't be asked
    machine: str | None = None  # where its number means something


def this_process() -> Owner:
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, str(_start_seconds(psutil.Process(pid))), _machine())


def is_alive(owner: Owner, *, silent: float) -> bool:
    """Return whether the process still runs; `silent`: seconds since its last sign, where we can't be sure.

    Signs from the future, by clocks that differ or were set, count no more than old ones.
    """
    if (owner.machine or owner.host) in (_machine(), socket.gethostname()):
        try:
            process = psutil.Process(owner.pid)
            if process.status() == psutil.STATUS_ZOMBIE:  # its parent has not asked for its exit status yet
                return False
            if owner.start is not None:
                return abs(_start_seconds(process) - float(owner.start)) < 1
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            pass
    return abs(silent) < SILENT_SECONDS


def _start_seconds(process: psutil.Process) -> float:
    """Count from the boot on Linux, where psutil adds the clock's time of the boot, which moves as clocks are set."""
    boot = psutil.boot_time() if sys.platform == "linux" else 0.0
    return float(process.create_time() - boot)


def _machine() -> str:
    """The boot, and the container's own process numbers; without Linux's words for them the host's name."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
