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

RENEW_SECONDS = 5.0
"""Between two signs of life."""

SILENT_SECONDS = 30.0
"""After which a process that we can't look at counts as dead: more than clocks of machines differ by. One that
was only suspended takes its turns back with its next sign."""


class Owner(msgspec.Struct, frozen=True):
    host: str
    pid: int
    start: str | None
    """When the process began, in the system's own unit; `None` where it can't be asked."""
    machine: str | None = None
    """Where its number means something."""


def this_process() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), _start_time(os.getpid()), _machine())


def is_alive(owner: Owner, *, silent: float) -> bool:
    """Whether the process still runs; `silent`: seconds since its last sign, for those we can't be sure of.

    Signs from the future, by clocks that differ or were set, count no more than old ones.
    """
    if (owner.machine or owner.host) in (_machine(), socket.gethostname()):
        if not _exists(owner.pid):
            return False
        start = _start_time(owner.pid)
        if start is not None and owner.start is not None:
            return start == owner.start
    return abs(silent) < SILENT_SECONDS


def _machine() -> str:
    """The boot, and the container's own process numbers; without Linux's words for them the host's name."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.GetExitCodeProcess.argtypes = [wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD)]
    _kernel32.GetProcessTimes.argtypes = [wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4]
    _kernel32.CloseHandle.argtypes = [wintypes.HANDLE]

    _QUERY_LIMITED_INFORMATION = 0x1000
    _STILL_ACTIVE = 259
    _ACCESS_DENIED = 5

    def _exists(pid: int) -> bool:
        handle = _kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return ctypes.get_last_error() == _ACCESS_DENIED
        try:
            code = wintypes.DWORD()
            _kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
            return code.value == _STILL_ACTIVE
        finally:
            _kernel32.CloseHandle(handle)

    def _start_time(pid: int) -> str | None:
        handle = _kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return None
        try:
            created, ended, kernel, user = (wintypes.FILETIME() for _ in range(4))
            refs = [ctypes.byref(each) for each in (created, ended, kernel, user)]
            if not _kernel32.GetProcessTimes(handle, *refs):
                return None
            return str((created.dwHighDateTime << 32) | created.dwLowDateTime)
        finally:
            _kernel32.CloseHandle(handle)

else:

    def _exists(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _start_time(pid: int) -> str | None:
        """Linux's /proc/<pid>/stat, field 22 (ticks since boot), counted after the name, which may hold spaces."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, *fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        return _ENDED if state in (b"Z", b"X") else fields[18].decode()

    _ENDED = "ended"  # killed, but its parent has not asked for its exit status yet
