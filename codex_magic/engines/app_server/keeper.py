"""A small process that keeps one app-server for the sessions of a user, and ends it after the last of them.

Sessions hold a connection to it for as long as they live, so that it learns of the end of each, however
that came. What it does then: the turns of that session are interrupted, as they would be with a process
of its own, and with the last session the app-server ends. Nobody answers for a session that is gone.

Lines of JSON. A session says `{"run": N, "thread": ID}` before a turn and is told `{"go": N}` when no
other runs in that thread, before that perhaps `{"wait": N}`; it says `{"done": N}` after the turn, `{"kill": true}` when the app-server
does not do as it is told. At first it is told `{"pid": N}`, at the end `{"ended": CODE, "said": [..]}`.

Only the standard library, and little of that: it starts in 30 ms, before the first turn.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .frames import HELLO, TEXT, WELCOME, Frames, frame

FIRST_SECONDS = 10.0
"""For the session that started the keeper to come."""

STOP_SECONDS = 5.0
"""For the turn of a session that is gone to end, which takes some 10 ms."""

IDLE_LOOKS = 3
LOOK_SECONDS = 0.01
"""Between two looks at a thread. At the first a turn may be about to begin, and take no interrupt."""

ENDING_SECONDS = 1.0
"""For the app-server to end by itself, which takes some 20 ms."""

_PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""

TAKEN = 3
"""Exit code when another keeper has the place."""

_CHUNK = 1 << 16


class Taken(Exception):
    """Another keeper has this place."""


class Session:
    """A connection. `tickets`: the threads it runs turns in, or waits to, by its own numbers."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.rest = b""
        self.tickets: dict[int, str] = {}

    def tell(self, **message: Any) -> None:
        with suppress(OSError):  # it has gone, which its next reading tells
            self.connection.sendall(json.dumps(message).encode() + b"\n")


class Keeper:
    def __init__(self, place: str, command: list[str], environment: dict[str, str]) -> None:
        """Raises Taken. `place`: the path of its socket; those of the app-server and the lock are beside it."""
        self._place = place
        self._command = command
        self._environment = environment
        self._lock = _locked(place + ".lock")
        _end_orphan(self._lock, server_place(place))
        self._selector = selectors.DefaultSelector()
        self._sessions: dict[socket.socket, Session] = {}
        self._queues: dict[str, deque[tuple[Session, int]]] = {}
        self._said: deque[bytes] = deque(maxlen=20)
        self._left: list[socket.socket] = []
        _unlink(place)  # of one that was killed: the lock is ours
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(place)
        self._listener.listen(64)

    def run(self) -> None:
        """Until the last session has gone, or the app-server."""
        died = _when_a_child_dies()
        pid, stderr = _spawn(
            [*self._command, "app-server", "--listen", f"unix://{server_place(self._place)}"],
            self._environment,
        )
        os.pwrite(self._lock, b"%-32d" % pid, 0)
        code = None
        try:
            code = self._serve(pid, stderr, died)
        finally:
            _unlink(self._place)
            self._listener.close()
            if code is None:
                _end(pid)
            _kill_group(pid)  # the program may be a script that has started the real one
        self._hear(stderr)
        said = [line.decode(errors="replace") for line in self._said]
        for session in self._sessions.values():
            session.tell(ended=code, said=said)
        _unlink(server_place(self._place))
        _unlink(self._place + ".lock")

    def _serve(self, pid: int, stderr: int, died: socket.socket) -> int | None:
        """The exit code of the app-server; `None` when nobody needs it any more."""
        for source in (self._listener, stderr, died):
            self._selector.register(source, selectors.EVENT_READ)
        had_sessions = False
        while self._sessions or not had_sessions:
            ready = self._selector.select(None if had_sessions else FIRST_SECONDS)
            if not ready:
                return None
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._welcome(pid)
                    had_sessions = True
                elif key.fileobj == stderr:
                    self._hear(stderr)
                elif key.fileobj is died:
                    died.recv(_CHUNK)
                else:
                    self._listen(self._sessions[key.fileobj], pid)  # type: ignore[index]  # it is a socket
            code = _exit_code(pid)
            if code is not None:
                return code
        return None

    def _welcome(self, pid: int) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(ENDING_SECONDS)
        self._selector.register(connection, selectors.EVENT_READ)
        self._sessions[connection] = session = Session(connection)
        session.tell(pid=pid)

    def _hear(self, stderr: int) -> None:
        try:
            chunk = os.read(stderr, _CHUNK)
        except BlockingIOError:
            return
        self._said.extend(chunk.splitlines())
        if not chunk and stderr in self._selector.get_map():
            self._selector.unregister(stderr)

    def _listen(self, session: Session, pid: int) -> None:
        try:
            chunk = session.connection.recv(_CHUNK)
        except OSError:
            chunk = b""
        if not chunk:
            self._take_leave(session)
            return
        *lines, session.rest = (session.rest + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "run" in message:
                self._queue(session, message["run"], message["thread"])
            elif "done" in message:
                self._done(session, message["done"])
            elif "kill" in message and not self._runs_for_others(session):
                _kill_group(pid)

    def _take_leave(self, session: Session) -> None:
        self._selector.unregister(session.connection)
        del self._sessions[session.connection]
        running = [t for n, t in session.tickets.items() if self._queues[t][0] == (session, n)]
        if running:
            interrupt(server_place(self._place), running)
        for number in list(session.tickets):
            self._done(session, number)
        if self._sessions:
            session.connection.close()
        else:  # who closes properly waits for this, which comes with the end of this process
            self._left.append(session.connection)

    def _queue(self, session: Session, number: int, thread: str) -> None:
        session.tickets[number] = thread
        queue = self._queues.setdefault(thread, deque())
        queue.append((session, number))
        if len(queue) == 1:
            session.tell(go=number)
        else:
            session.tell(wait=number)

    def _done(self, session: Session, number: int) -> None:
        thread = session.tickets.pop(number)
        queue = self._queues[thread]
        was_first = queue[0] == (session, number)
        queue.remove((session, number))
        if not queue:
            del self._queues[thread]
        elif was_first:
            following, its_number = queue[0]
            following.tell(go=its_number)

    def _runs_for_others(self, session: Session) -> bool:
        return any(queue[0][0] is not session for queue in self._queues.values())


def server_place(place: str) -> str:
    return place + ".s"


def interrupt(path: str, threads: list[str]) -> None:
    """End the turns that run in these threads of the app-server, and wait until they have ended."""
    deadline = time.monotonic() + STOP_SECONDS
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STOP_SECONDS)
            connection.connect(path)
            asking = _Asking(connection, deadline)
            client = {"name": "codex_magic", "title": "codex_magic", "version": "keeper"}
            asking.answer("initialize", clientInfo=client, capabilities={"experimentalApi": True})
            for thread in threads:
                idle = 0
                while idle < IDLE_LOOKS:
                    # Without a turn's id it is the one that runs. The answer may never come.
                    asking.ask("turn/interrupt", threadId=thread, turnId="")
                    status = asking.answer("thread/read", threadId=thread).get("status", {})
                    idle = 0 if status.get("type") == "active" else idle + 1
                    time.sleep(LOOK_SECONDS)
    except (OSError, ValueError):
        pass  # the app-server has ended or does not listen; nothing more can be done from here


class _Asking:
    """Requests over a WebSocket, one after the other."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._frames = Frames()
        self._last = 0
        connection.sendall(HELLO)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._received()
        if not head.startswith(WELCOME):
            raise ConnectionError
        self._come = self._frames.feed(head.partition(b"\r\n\r\n")[2])

    def ask(self, method: str, **params: Any) -> None:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        self._connection.sendall(frame(TEXT, json.dumps(message).encode()))

    def answer(self, method: str, **params: Any) -> dict[str, Any]:
        """What it says of the thread, if that was asked; nothing when it refuses."""
        self.ask(method, **params)
        while True:
            for _, payload in self._come:
                message = json.loads(payload)
                if message.get("id") == self._last and "method" not in message:
                    thread: dict[str, Any] = message.get("result", {}).get("thread", {})
                    return thread
            self._come = self._frames.feed(self._received())

    def _received(self) -> bytes:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        chunk = self._connection.recv(_CHUNK)
        if not chunk:
            raise ConnectionError
        return chunk


def _locked(path: str) -> int:
    """Ours until this process has ended. Raises Taken."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # One that ended in between has removed the file that we opened.
        if os.fstat(lock).st_ino == os.stat(path).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    raise Taken


def _spawn(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """The process, and where to read what it writes to stderr. On Linux it does not outlive this one."""
    reading, writing = os.pipe()
    with_us = _dying_with_parent()
    pid = os.fork()
    if pid == 0:
        try:
            with_us()
            os.setpgid(0, 0)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a child would too
                signal.signal(number, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDWR)
            for ours, standard in ((nothing, 0), (nothing, 1), (writing, 2)):
                os.dup2(ours, standard)
            os.execve(command[0], command, environment)
        finally:
            os._exit(127)
    os.close(writing)
    os.set_blocking(reading, False)
    return pid, reading


def _dying_with_parent() -> Callable[[], object]:
    if sys.platform != "linux":
        return lambda: None
    import ctypes  # nowhere else is there a use for it

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_orphan(lock: int, path: str) -> None:
    """End the app-server of a keeper that was killed, where it could outlive that: it holds the socket."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
        _kill_group(int(os.read(lock, 32)))
    except (OSError, ValueError):
        pass  # there is none


def _when_a_child_dies() -> socket.socket:
    """Readable then."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(os.dup(writing.fileno()))
    return reading


def _exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _end(pid: int) -> None:
    """At first it waits for questions to be answered; told twice it does not."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        os.kill(pid, number)
        deadline = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < deadline:
            if _exit_code(pid) is not None:
                return
            time.sleep(0.005)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def main() -> None:
    """`keeper PLACE COMMAND...`: exit code 0 once sessions can come, TAKEN when another keeper has this place."""
    place, *command = sys.argv[1:]
    try:
        keeper = Keeper(place, command, dict(os.environ))
    except Taken:
        sys.exit(TAKEN)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    try:
        keeper.run()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
