"""The terminal surface: on a real pseudo-terminal, and into pipes and files."""

from __future__ import annotations

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest

from codex_magic.display.parsing import BlockStream
from codex_magic.display.terminal import terminal_surface
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import (
    AgentMessage,
    CommandExecution,
    Notification,
    ToolCall,
    TurnError,
    TurnStatus,
    Warned,
)

from .scripted import answer, begun, ended, said, seen, start, thought, whole

fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

TEXT = (
    "# Title\n\nFirst *words*.\n\n```python\nx = '<b>'\n\ny = 2\n```\n\n1. one\n\n2. two\n\nlast 你好 🎉 end"
)


def written(notifications: list[Notification]) -> str:
    """What a file gets, painted after every notification."""
    file = io.StringIO()
    surface, view = terminal_surface(file), TurnView()
    surface.update(view)
    for notification in notifications:
        view.feed(notification)
        surface.update(view)
    surface.close(view)
    return file.getvalue()


@pytest.mark.parametrize("chars", [1, 5, 1000])
def test_a_file_gets_the_plain_text_once(chars: int) -> None:
    assert written(answer(TEXT, chars=chars)) == TEXT + "\n"


def test_a_file_gets_a_line_for_everything_else() -> None:
    notifications: list[Notification] = [
        begun(),
        thought("**Looking**"),
        start(ToolCall("t", "look", {"at": "df"})),
        start(AgentMessage("m", "")),
        said("It is "),
        whole(ToolCall("t", "look", {"at": "df"}, status="completed")),
        said("empty."),
        Warned(None, "Slow today."),
        ended(TurnStatus.failed, error=TurnError("Gone.")),
    ]
    assert written(notifications) == (
        'Called look(at="df")\n\nIt is empty.\n\nWarning: Slow today.\n\nError: Gone.\n'
    )
    assert written(notifications) == seen(notifications).plain() + "\n"


def test_a_text_that_was_not_what_its_deltas_said_is_written_whole() -> None:
    assert written([said("Hel"), whole(AgentMessage("m", "Goodbye")), ended()]) == "Hel\n\nGoodbye\n"


def passages(*deltas: str) -> list[str]:
    """The sources of the top-level blocks, in the order in which they are printed."""
    stream = BlockStream()
    final = []
    for delta in deltas:
        stream.feed(delta)
        final += [source for source, _ in stream.read()]
    return [*final, stream.open.source]


def test_passages_of_any_split_are_those_of_the_whole() -> None:
    expected = passages(TEXT)
    assert "".join(expected) == TEXT
    assert [passage.strip().splitlines()[0] for passage in expected] == [
        "# Title",
        "First *words*.",
        "```python",
        "1. one",
        "last 你好 🎉 end",
    ]
    for at in range(len(TEXT)):
        assert passages(TEXT[:at], TEXT[at:]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "````\n```\n\nx\n\n```\n````\n\nafter",
        "~~~\n\n```\n\n~~~\n\nafter",
        "- a\n\n  ```\n\n  x\n  ```\n\n- b\n\nafter",
        "    ```\n\n    x\n\nafter",
    ],
)
def test_a_passage_ends_only_where_nothing_is_open(text: str) -> None:
    assert passages(text) == [text.removesuffix("after"), "after"]


class Terminal:
    """A pseudo-terminal and what is seen on it; a sequence that does more than rich needs is an error."""

    def __init__(self, *, columns: int = 60, rows: int = 20) -> None:
        self._reader, self._writer = os.openpty()
        self.resize(columns, rows)
        self.file = os.fdopen(self._writer, "w", encoding="utf-8")
        self._raw = bytearray()
        # A pseudo-terminal holds a few kilobytes: somebody has to read while others write.
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def resize(self, columns: int, rows: int = 20) -> None:
        fcntl.ioctl(self._writer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _drain(self) -> None:
        while chunk := self._read():
            self._raw += chunk

    def _read(self) -> bytes:
        try:
            return os.read(self._reader, 65536)
        except OSError:  # Linux says EIO when nobody can write any more
            return b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> str:
        """Everything that was written, once the other side is closed."""
        if not self.file.closed:
            self.file.close()
            self._thread.join()
            os.close(self._reader)
        return self._raw.decode()


_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([^\x1b])", re.S)


def screen(raw: str) -> list[str]:
    """The lines a reader sees, scrollback included."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(raw):
        token = _TOKEN.match(raw, at)
        assert token, raw[at : at + 20]
        at = token.end()
        private, number, command, char = token.groups()
        if command is not None:
            assert (private, command) in {("?", "h"), ("?", "l"), ("", "m"), ("", "A"), ("", "K")}, token[0]
            assert not private or number == "25", token[0]
            row -= int(number or 1) if command == "A" else 0
            assert row >= 0
            if command == "K":
                lines[row] = ""
        elif char == "\r":
            column = 0
        elif char == "\n":
            row, column = row + 1, 0
            lines.extend([""] * (row + 1 - len(lines)))
        else:
            assert char.isprintable(), ascii(char)
            lines[row] = lines[row][:column].ljust(column) + char + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.fixture(autouse=True)
def _a_capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def drawn(notifications: list[Notification], **size: int) -> str:
    """The bytes a terminal gets, painted after every notification."""
    with Terminal(**size) as terminal:
        surface, view = terminal_surface(terminal.file), TurnView()
        surface.update(view)
        for notification in notifications:
            view.feed(notification)
            surface.update(view)
        surface.close(view)
        return terminal.close()


@pytest.mark.parametrize("chars", [1, 7, 1000])
def test_a_terminal_ends_with_every_passage_once(chars: int) -> None:
    once = [line for line in screen(drawn(answer(TEXT, chars=1000))) if line]
    lines = [line for line in screen(drawn(answer(TEXT, chars=chars))) if line]
    assert lines == once
    for words in (
        "Title",
        "First words.",
        "x = '<b>'",
        "y = 2",
        " 1 one",
        " 2 two",
        "last 你好 🎉 end",
        "gpt-test",
    ):
        assert sum(words in line for line in lines) == 1


@pytest.mark.parametrize(
    "formula",
    [
        r"\( I = \int_0^1 e^{-x^2}\,dx \)",
        r"$x_1 * y_2 * z_3$",
        r"\[ I^2 = \int\!\int \]",
        r"$$\sum_{i=1}^n i\;$$",
    ],
)
@pytest.mark.parametrize("around", ["Then {} holds.", "- {}", "| a | b |\n|---|---|\n| {} | c |", "{}"])
def test_a_formula_is_its_source(formula: str, around: str) -> None:
    assert formula in " ".join(screen(drawn(answer(around.format(formula)), columns=80)))


def test_the_cursor_comes_back() -> None:
    raw = drawn(answer(TEXT))
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")


def test_a_passage_longer_than_the_screen_scrolls_by_and_stays_once() -> None:
    code = "\n".join(f"line {n}" for n in range(100))
    lines = screen(drawn(answer(f"```\n{code}\n```\n", chars=40), rows=10))
    assert [line.strip() for line in lines if "line" in line] == code.splitlines()


def test_a_terminal_may_change_its_width() -> None:
    with Terminal(columns=60) as terminal:
        surface, view = terminal_surface(terminal.file), TurnView()
        surface.update(view)
        for columns, words in ((60, "a" * 50), (100, " " + "b" * 70), (80, " " + "c" * 75)):
            terminal.resize(columns)
            view.feed(said(words))
            surface.update(view)
        view.feed(ended())
        surface.close(view)
        assert any("c" * 75 in line for line in screen(terminal.close()))


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5A\x85\x08\r\x00&#27;[2J&#x9b;2J[bold]kept[/bold] :smile: [x](http://a.test)"


def test_hostile_text_does_not_drive_the_terminal() -> None:
    raw = drawn(
        [
            begun(HOSTILE),
            thought(f"**{HOSTILE}**"),
            *(said(char) for char in HOSTILE),
            start(CommandExecution("c", HOSTILE)),
            whole(CommandExecution("c", HOSTILE, aggregated_output=HOSTILE)),
            whole(ToolCall("t", HOSTILE, {HOSTILE: HOSTILE}, content_items=({"text": HOSTILE},))),
            Warned(None, HOSTILE),
            ended(TurnStatus.failed, error=TurnError(HOSTILE)),
        ],
        columns=500,
    )
    lines = screen(raw)
    assert any("[bold]kept[/bold] :smile:" in line for line in lines)
    assert "http://a.test" in raw


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = re.compile(r"\x1b\[[\d;]*(?:3[0-7]|38|9[0-7])[;m]")
    assert coloured.search(drawn(answer(TEXT)))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured.search(drawn(answer(TEXT)))


def test_a_dumb_terminal_gets_the_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert drawn(answer(TEXT)).replace("\r\n", "\n") == TEXT + "\n"


def test_printing_meanwhile_goes_above_the_live_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with Terminal() as terminal:
        monkeypatch.setattr(sys, "stdout", terminal.file)
        surface, view = terminal_surface(), TurnView()
        view.feed(said("an open passage"))
        surface.update(view)
        print("from a tool")
        view.feed(ended())
        surface.close(view)
        lines = [line for line in screen(terminal.close()) if line]
    assert lines == ["from a tool", "an open passage"]


def test_a_pause_leaves_the_terminal_to_somebody_else() -> None:
    with Terminal() as terminal:
        surface, view = terminal_surface(terminal.file), TurnView()
        view.feed(said("an open passage\nof two lines"))
        surface.update(view)
        surface.pause()
        terminal.file.write("A question? y\r\n")
        view.feed(said(", and its end"))
        surface.update(view)
        view.feed(ended())
        surface.close(view)
        lines = [line for line in screen(terminal.close()) if line]
    assert lines == ["A question? y", "an open passage of two lines, and its end"]


def test_a_pause_begins_a_new_line_in_a_file() -> None:
    file = io.StringIO()
    surface, view = terminal_surface(file), TurnView()
    view.feed(said("Let me see"))
    surface.update(view)
    surface.pause()
    view.feed(said(" now."))
    surface.close(view)
    assert file.getvalue() == "Let me see\n\n now.\n"


WAIT = """
import sys, threading
from codex_magic.display.pace import Painter
from codex_magic.display.terminal import terminal_surface
from codex_magic.display.view import TurnView
from tests.display.scripted import said

painter = Painter(terminal_surface(), TurnView())
try:
    painter.feed([said("half an answ")])
    sys.stderr.write("ready\\n")
    sys.stderr.flush()
    threading.Event().wait()
finally:
    painter.finish()
"""


def test_ctrl_c_leaves_the_text_and_a_sane_terminal() -> None:
    with Terminal() as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", WAIT], stdout=terminal.file, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
        raw = terminal.close()
    assert [line for line in screen(raw) if line] == [
        "half an answ",
        "Interrupted. Continue with %codex continue.",
    ]
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
