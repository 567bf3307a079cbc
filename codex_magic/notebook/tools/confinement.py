"""What holds a forked copy of the kernel: from the inside, since a program that starts sandboxes would lose the memory.

Linux has Landlock for files and seccomp for all else, macOS has Seatbelt; each is put on by a process itself, needs no
rights, and can't be taken off again. All of this is called in the copy, which has one thread.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import re
import resource
import signal
import socket
import stat
import struct
import sys
from collections.abc import Collection
from contextlib import suppress

_LINUX, _MACOS = platform.system() == "Linux", platform.system() == "Darwin"

FILES, REST = "files", "network and processes"
"""What is held, in words."""

MOST_SHARED_BYTES = 256_000_000
"""Of a shared part of memory without a file, which is copied."""

MOST_FILE_BYTES = 200_000_000
"""Of one file."""


class NotConfined(Exception):
    """The copy shares something with the kernel that can't be cut off."""


def leave_parent(seconds: float, most_bytes: int, spare_bytes: int) -> None:
    """Make the copy a group of processes of its own that ends with the kernel, or after its time.

    `spare_bytes`: of memory, for `raise_memory`.
    """
    signal.set_wakeup_fd(-1)  # the parent's event loop would hear of the copy's signals
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.setsid()
    if _LINUX:
        _libc().prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # where memory ends nevertheless, it ends for the copy
    signal.alarm(int(seconds) + 5)  # should the kernel be too busy to end it
    _lower(resource.RLIMIT_CPU, int(seconds) + 2, 1)
    _lower(resource.RLIMIT_CORE, 0, 0)
    _lower(resource.RLIMIT_FSIZE, MOST_FILE_BYTES, 0)
    _lower(resource.RLIMIT_DATA, _data_bytes() + most_bytes, spare_bytes)


def _lower(which: int, to: int, spare: int) -> None:
    _, hard = resource.getrlimit(which)
    bounds = [to, to + spare] if hard == resource.RLIM_INFINITY else [min(to, hard), min(to + spare, hard)]
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (bounds[0], bounds[1]))


def raise_memory() -> None:
    """Let the copy use what was kept back of its memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _data_bytes() -> int:
    if not _LINUX:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/status") as file:
        sizes = re.findall(r"^VmData:\s*(\d+) kB", file.read(), re.M)
    return int(sizes[0]) * 1024


def cut_off(output: int, errors: int, keep: Collection[int]) -> None:
    """Give the copy open files of its own, at the same places: what both had open would move, or be written to, for
    both. Files are opened anew for reading; connections are dead. Raises NotConfined, OSError."""
    dead, peer = socket.socketpair()
    peer.close()
    for number in map(int, os.listdir("/dev/fd")):
        if number > 2 and number not in keep and number != dead.fileno():
            with suppress(OSError):  # closed meanwhile: the one that has listed them
                _replace(number, dead.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    _own_memory()


def _replace(number: int, dead: int) -> None:
    kind = os.fstat(number)
    if stat.S_ISCHR(kind.st_mode) and _LINUX and os.major(kind.st_rdev) == 1:
        return  # /dev/null and its like
    new = dead
    if stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode):
        with suppress(OSError):
            new = _open_anew(number)
        if new != dead and stat.S_ISREG(kind.st_mode):
            os.lseek(new, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(new, number, inheritable=False)
    if new != dead:
        os.close(new)


def _open_anew(number: int) -> int:
    if _LINUX:
        return os.open(f"/proc/self/fd/{number}", os.O_RDONLY)
    path = fcntl.fcntl(number, 50, bytes(1024)).rstrip(b"\0")  # F_GETPATH
    return os.open(path, os.O_RDONLY)


_SHARED = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) .w.s ([0-9a-f]+) \S+ \d+\s*(.*)$", re.M)
"""A line of /proc/self/maps about memory that is shared and may be written."""


def _own_memory() -> None:
    """Make memory that is shared with the kernel, or with a file, the copy's own: `numpy.memmap` has such."""
    if not _LINUX:
        return
    with open("/proc/self/maps") as file:
        maps = _SHARED.findall(file.read())
    place = _libc().mmap
    place.restype = ctypes.c_void_p
    place.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    rights, private_fixed = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | 0x10
    for begin, end, offset, path in ((int(b, 16), int(e, 16), int(o, 16), p) for b, e, o, p in maps):
        file_number = -1
        if path.startswith("/") and not path.endswith(" (deleted)") and not path.startswith("/dev/"):
            with suppress(OSError):
                file_number = os.open(path, os.O_RDONLY)
        if file_number >= 0:
            made = place(begin, end - begin, rights, private_fixed, file_number, offset)
            os.close(file_number)
        elif end - begin <= MOST_SHARED_BYTES:
            data = ctypes.string_at(begin, end - begin)
            made = place(begin, end - begin, rights, private_fixed | mmap.MAP_ANONYMOUS, -1, 0)
            ctypes.memmove(begin, data, len(data))
        else:
            raise NotConfined(f"{(end - begin) / 1e6:,.0f} MB of memory are shared with other processes")
        if made != begin:
            raise NotConfined("memory is shared with other processes")


def confine(folder: str) -> dict[str, str]:
    """Refuse what reaches beyond the copy, and `folder`; return by what `FILES` and `REST` are held, where they are."""
    held = {}
    if _LINUX:
        if _landlock(folder):
            held[FILES] = "Landlock"
        if _seccomp():
            held[REST] = "seccomp"
    elif _MACOS and _seatbelt(folder):
        held = dict.fromkeys((FILES, REST), "Seatbelt")
    return held


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _landlock_version() -> int:
    return int(_libc().syscall(444, None, ctypes.c_size_t(0), 1))


def _landlock(folder: str) -> bool:
    """Let no file be made, written, renamed or deleted but below `folder`. Linux: include/uapi/linux/landlock.h."""
    version = _landlock_version()
    if version < 1:
        return False
    write = 1 << 1
    writing = write | sum(1 << bit for bit in range(4, 13))  # remove and make
    writing |= (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)  # refer, truncate
    tcp, scoped = (3 if version >= 4 else 0), (3 if version >= 6 else 0)  # bind, connect; sockets, signals
    rules = struct.pack("QQQ", writing, tcp, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    libc = _libc()
    number = int(libc.syscall(444, ctypes.c_char_p(rules), ctypes.c_size_t(size), 0))
    if number < 0:
        return False
    for path, rights in ((os.devnull, write), (folder, writing)):
        place = os.open(path, os.O_RDONLY)
        libc.syscall(445, number, 1, ctypes.c_char_p(struct.pack("=Qi", rights, place)), 0)
        os.close(place)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    is_held = libc.syscall(446, number, 0) == 0
    os.close(number)
    return bool(is_held)


_MACHINES = {"x86_64": (0xC000003E, 0, 317), "aarch64": (0xC00000B7, 1, 277)}
"""The architecture's number in seccomp's data, its column below, and the number of `seccomp` itself."""

_CALLS = (
    # Processes, and what reaches into others.
    "fork 57 - vfork 58 - execve 59 221 execveat 322 281 ptrace 101 117 process_vm_writev 311 271 "
    "pidfd_send_signal 424 424 pidfd_open 434 434 pidfd_getfd 438 438 rt_sigqueueinfo 129 138 "
    "rt_tgsigqueueinfo 297 240 tkill 200 130 setpriority 141 140 ioprio_set 251 30 process_madvise 440 440 "
    "sched_setaffinity 203 122 sched_setparam 142 118 sched_setscheduler 144 119 sched_setattr 314 274 "
    # Connections.
    "socket 41 198 connect 42 203 io_uring_setup 425 425 shmget 29 194 shmat 30 196 shmctl 31 195 "
    "semget 64 190 semop 65 193 semctl 66 191 semtimedop 220 192 msgget 68 186 msgsnd 69 189 msgrcv 70 188 "
    "msgctl 71 187 mq_open 240 180 mq_unlink 241 181 add_key 248 217 request_key 249 218 keyctl 250 219 "
    # What Landlock lets through of files.
    "chmod 90 - fchmod 91 52 chown 92 - fchown 93 55 lchown 94 - fchownat 260 54 fchmodat 268 53 "
    "fchmodat2 452 452 utime 132 - utimes 235 - futimesat 261 - utimensat 280 88 setxattr 188 5 "
    "lsetxattr 189 6 fsetxattr 190 7 removexattr 197 14 lremovexattr 198 15 fremovexattr 199 16 "
    "setxattrat 463 463 removexattrat 466 466 truncate 76 45 quotactl 179 60 "
    # The machine, where a kernel runs as root.
    "mount 165 40 umount2 166 39 pivot_root 155 41 chroot 161 51 unshare 272 97 setns 308 268 bpf 321 280 "
    "perf_event_open 298 241 open_tree 428 428 move_mount 429 429 fsopen 430 430 fsmount 432 432 "
    "mount_setattr 442 442 reboot 169 142 kexec_load 246 104 init_module 175 105 delete_module 176 106 "
    "finit_module 313 273 swapon 167 224 settimeofday 164 170 clock_settime 227 112 adjtimex 159 171 "
    "sethostname 170 161 setdomainname 171 162 acct 163 89"
).split()
"""Calls that are refused: name, and number on each architecture, `-` where it has none."""

_OWN = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
"""Calls whose first argument has to be the copy itself, or nothing."""

_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), 435, 0x10000

_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026
"""What the filter returns: go on, EPERM, and ENOSYS, after which the C library tries the older `clone`."""


def _seccomp() -> bool:
    """Start no process but threads, open no connection, signal nobody else."""
    machine = platform.machine()
    if machine not in _MACHINES or sys.maxsize < 2**32 or sys.byteorder != "little":
        return False
    architecture, column, number = _MACHINES[machine]
    program = _filter(architecture, column, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    count = len(program) // 8
    about = struct.pack("HxxxxxxQ", count, ctypes.addressof(buffer))
    libc = _libc()
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    return bool(libc.syscall(number, 1, 0, ctypes.c_char_p(about)) == 0)


def _filter(architecture: int, column: int, own: int) -> bytes:
    """Return a program of classic BPF. Each instruction: code, jumps if true and if false, operand."""
    load, equal, above, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06

    def refuse(answer: int) -> tuple[int, int, int, int]:
        return (end, 0, 0, answer)

    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), refuse(_REFUSE), (load, 0, 0, 0)]
    if column == 0:
        steps += [(above, 0, 1, 0x40000000), refuse(_REFUSE)]  # the x32 calls of the same architecture
    numbers = [_CALLS[index + 1 + column] for index in range(0, len(_CALLS), 3)]
    for call in (int(each) for each in numbers if each != "-"):
        steps += [(equal, 0, 1, call), refuse(_REFUSE)]
    steps += [(equal, 0, 1, _CLONE3), refuse(_UNKNOWN)]
    steps += [
        (equal, 0, 4, _CLONE[column]),
        (load, 0, 0, 16),
        (any_bit, 0, 1, _CLONE_THREAD),
        refuse(_ALLOW),
        refuse(_REFUSE),
    ]
    for call in (each[column] for each in _OWN.values()):
        steps += [
            (equal, 0, 5, call),
            (load, 0, 0, 16),
            (equal, 2, 0, own),
            (equal, 1, 0, 0),
            refuse(_REFUSE),
            refuse(_ALLOW),
        ]
    return b"".join(struct.pack("HBBI", *step) for step in [*steps, refuse(_ALLOW)])


_SEATBELT = b"""(version 1)
(allow default)
(deny file-write*)
(allow file-write-data (literal "/dev/null"))
(deny network*)
(deny process-fork)
(deny process-exec*)
(deny signal)
(allow signal (target self))
"""


def _seatbelt(folder: str) -> bool:
    try:
        initialise = ctypes.CDLL("/usr/lib/libSystem.dylib").sandbox_init
    except (OSError, AttributeError):
        return False
    problem = ctypes.c_char_p()
    allowed = f'(allow file-write* (subpath "{folder}"))'.encode()
    return bool(initialise(_SEATBELT + allowed, ctypes.c_uint64(0), ctypes.byref(problem)) == 0)
