"""What our extension of JupyterLab and Notebook 7 tells the kernel, over the control channel, and hears from it.

That channel is read in a thread of its own, also while a cell runs. What the page says of its cells is checked where
it is read.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .. import __version__
from ..protocol.plain import common_beginning, utf16_length
from ..waiting import in_thread
from .errands import Errand, Report
from .gathering import Region
from .open_questions import OpenQuestions

if TYPE_CHECKING:
    from .shell import CellLog

POLLOUT = 2
"""ZeroMQ's own; only a kernel has it, and a stream to flush."""

REPLY, DELTA, SUGGESTION = "codex_reply", "codex_delta", "codex_suggestion"

PROTOCOL = 1
"""Of the messages; `labextension/src/protocol.ts` has the same."""

WAIT_SECONDS = 0.05
"""What the page says of a cell and the cell itself come over two channels, in any order."""

MOST_CELLS = 256
"""Remembered of one kernel, as many as may run together; a cell that runs again says everything anew."""

MOST_REPEATED = 256
"""Runs and additions that are known when a page sends one again because it has heard nothing."""

MOST_ENDED = 16
"""Answers that a page which is loaded again can still have from here; the store has them all."""

PANEL = frozenset("status usage models choose sign-out threads turns turn thread sent".split())
"""What the panel and the status bar ask; `panel.py` answers."""

_ABOUT = {"protocol": PROTOCOL, "version": __version__}
MOST_REGIONS = 16
MOST_PICTURE_CHARS = 4_000_000
"""Of one region; a page makes it smaller than that."""

_PICTURE = r"(?:data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+=*)?"

Send = Callable[[dict[str, Any]], None]


def is_for_panel(content: object) -> bool:
    """Whether the panel asks; a page may say anything, of any type."""
    if not isinstance(content, dict) or content.get("protocol") != PROTOCOL:
        return False
    op = content.get("op")
    return isinstance(op, str) and op in PANEL


class Stream:
    """An answer that grows, for whatever page follows it. From any thread.

    A piece says from where on the text is another, in UTF-16 units as a page counts, and its number.
    """

    def __init__(
        self,
        id: str,
        cell: str | None,
        send: Send,
        about: Callable[[], dict[str, Any] | None],
        client: str | None = None,
    ) -> None:
        """`client`: the session of who sent the cell, to whom the output comes by itself."""
        self.is_followed = False
        self._id, self._cell, self._send, self._about, self._client = id, cell, send, about, client
        self._lock = threading.Lock()
        self._number, self._text, self._asks = 0, "", False
        self._last: Mapping[str, Any] | None = None

    def attach(self) -> dict[str, Any]:
        """Return the text so far, or the last bundle; from now on the pages hear the rest."""
        with self._lock:
            self.is_followed = self._last is None
            begun = {"cell": self._cell, "client": self._client, "n": self._number, "text": self._text}
            return {**begun, "bundle": self._last, "asks": self._asks}

    def grow(self, text: str) -> None:
        with self._lock:
            if self.is_followed and text != self._text:
                begin = common_beginning(self._text, text)
                self._tell({"o": utf16_length(text[:begin]), "t": text[begin:]})
            self._text = text

    def ask(self, asks: bool) -> None:
        """Tell that questions wait, or others than before, or none any more."""
        with self._lock:
            is_news, self._asks = asks or self._asks, asks
            if self.is_followed and is_news:
                self._tell({"asks": asks})

    def send(self, piece: dict[str, Any]) -> None:
        """Tell the pages that follow something beside the text."""
        with self._lock:
            if self.is_followed:
                self._tell(piece)

    def end(self, bundle: Mapping[str, Any], *, is_shown: bool = False) -> None:
        """Tell the end. With `is_shown` the output has brought the bundle, and a page that was loaded again since
        the answer began, which hears no more of that output, attaches to have it."""
        with self._lock:
            self._last = bundle
            about = self._about()
            if self.is_followed or about is not None:
                self._tell({"bundle": None if is_shown else dict(bundle), **(about or {})})
            self.is_followed = False

    @property
    def has_ended(self) -> bool:
        return self._last is not None

    def _tell(self, piece: dict[str, Any]) -> None:
        self._number += 1
        self._send({"id": self._id, "n": self._number, **piece})


class Controlled(Protocol):
    """A turn that runs; both from any thread."""

    def stop(self) -> None: ...

    def steer(self, text: str) -> None: ...


class Suggesting(Protocol):
    """What answers requests for suggestions; both from any thread."""

    def take(self, content: Mapping[str, Any]) -> None: ...

    def drop(self, id: str) -> None: ...


class Extension:
    """What the page says of the cells that ask Codex, and the answers it draws; from any thread."""

    def __init__(
        self,
        kernel: Any,
        log: CellLog | None = None,
        panel: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
        *,
        suggesting: Callable[[Send], Suggesting] | None = None,
    ) -> None:
        """`panel`: answers what the page's panel asks, in any thread; it may take its time."""
        self.is_attached = False
        """Whether the page has ever said something."""
        self.protocol: object = None
        """What the page's last message said of its own version of the messages."""
        self.said: Mapping[str, Any] | None = None
        """What the page said last of its notebook."""
        self.notebook: str | None = None
        """The id of this kernel's notebook, once it has asked something; the page keeps it in the metadata."""
        self._kernel, self._log, self._panel, self._make_suggesting = kernel, log, panel, suggesting
        self._suggesting: Suggesting | None = None
        self._runs: dict[str, Mapping[str, Any]] = {}
        self._said = threading.Condition()
        self._streams: dict[str, Stream] = {}
        self.questions = OpenQuestions()
        self.turns: dict[str, Controlled] = {}
        """Those that are not over, by the id of their answer."""
        self._once: deque[str] = deque(maxlen=MOST_REPEATED)
        self.regions: dict[str, Region] = {}
        """Parts of outputs that somebody marked, by the ids that questions name."""
        self._unkept: dict[str, str] = {}
        """The answers that no page is known to have whole, each with its cell."""
        self._errands: dict[str, Errand] = {}
        self._is_deaf = False
        """Whether no page has taken the last errand, and none has said anything since."""

    def stream(self, id: str, cell: str | None = None, client: str | None = None) -> Stream:
        """Return a new stream, of that cell's answer; the oldest ones are forgotten."""
        with self._said:
            ended = [each for each, stream in self._streams.items() if stream.has_ended]
            for each in ended[:-MOST_ENDED]:
                del self._streams[each]
                self._unkept.pop(each, None)
            if cell is not None:
                self._unkept[id] = cell
            self._streams[id] = Stream(id, cell, self._send, self._about_end, client)
            return self._streams[id]

    def _about_end(self) -> dict[str, Any] | None:
        """What a page, if there is one, hears with the end of an answer."""
        return {"notebook": self.notebook} if self.is_attached else None

    def _stream_of(self, id: str) -> Stream | None:
        with self._said:
            return self._streams.get(id)

    def ask(self, id: str) -> None:
        """Tell the pages of that answer whether its turn asks something; they fetch what it is."""
        if (stream := self._stream_of(id)) is not None:
            stream.ask(bool(self.questions.waiting(id)))

    async def send_errand(self, id: str, work: Mapping[str, Any], page: str = "") -> Report | None:
        """Have a page that draws this answer do something; `None`: none is there. Called in an event loop.

        `page`: the session of the one that may; empty for any.
        One that is about to draw it hears of the errand then. Where a server runs the cells, their outputs are its.
        """
        with self._said:
            stream = self._streams.get(id)
            is_there = self.is_attached and (self.said or {}).get("executor") != "server"
        if stream is None or not is_there or self._is_deaf:
            return None
        errand = Errand(id, work, page)
        self._errands[errand.id] = errand
        try:
            stream.send({"errand": errand.id})
            report = await errand.reported()
            self._is_deaf = report is None
            return report
        finally:
            del self._errands[errand.id]

    def end_run(self, id: str, errand: str, *, failed: bool) -> None:
        """Tell the pages of that answer that the cell which ran for this errand has come to its end."""
        if (stream := self._stream_of(id)) is not None:
            stream.send({"ran": errand, "failed": failed})

    def go(self, id: str, errand: str) -> None:
        """Tell the page that has taken this errand to do it now, after the end of that answer."""
        self._send({"id": id, "n": 0, "go": errand})

    def restarted(self, cell: str | None) -> object:
        """Return what the page says of the restart after which it runs this cell; `None`: it says nothing."""
        with self._said:
            return self._runs.get(cell or "", {}).get("restarted")

    def _send(self, piece: dict[str, Any], kind: str = DELTA) -> None:
        # Whatever request it comes from, the page knows the answer by its id.
        kernel = self._kernel
        kernel.session.send(kernel.iopub_socket, kind, piece, parent={}, ident=kind.encode())

    def hear(self, stream: Any, identity: Any, message: dict[str, Any]) -> None:
        """Answer one message of the control channel, before anything that follows takes its time.

        Where two clients share one ZeroMQ identity, as those of one kernel manager do, the replies to both go to the
        one that connected last. A page that hears none asks for it `aloud`, to be published as well. What reads the
        store or the network is answered later, by a thread of its own: nobody waits behind it.
        """
        content: Any = message.get("content")
        session = self._kernel.session

        def send(reply: dict[str, Any]) -> None:
            if isinstance(content, dict) and content.get("aloud") is True:
                session.send(self._kernel.iopub_socket, REPLY, reply, parent=message, ident=REPLY.encode())
            session.send(stream, REPLY, reply, message, ident=identity)
            stream.flush(POLLOUT)  # else it would leave when all that follows has had its time

        if self._panel is not None and is_for_panel(content):

            def reply(answered: Future[dict[str, Any]]) -> None:
                # A socket belongs to its thread.
                stream.io_loop.add_callback(send, {**_ABOUT, **answered.result()})

            in_thread(partial(self._panel, content), daemon=True).add_done_callback(reply)
            return
        self._handle(content, send, message)

    def answer(self, content: object) -> dict[str, Any]:
        """Take in one request; return what it is answered."""
        replies: list[dict[str, Any]] = []
        self._handle(content, replies.append)
        return replies[0]

    def _handle(self, content: object, send: Send, message: Mapping[str, Any] | None = None) -> None:
        """Send the answer to a request, then do what it leads to."""
        follow: list[Callable[[], None]] = []
        send(self._reply(content, follow, message))
        for act in follow:
            act()

    def _reply(
        self, content: object, follow: list[Callable[[], None]], message: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return the answer to a request; what it leads to is added to `follow`."""
        self.protocol = content.get("protocol") if isinstance(content, dict) else None
        if not isinstance(content, dict) or content.get("protocol") != PROTOCOL:
            return {"ok": False, **_ABOUT}
        self._is_deaf = False
        said = self._answer(content, follow, message)
        return {"ok": said is not None, **_ABOUT, **(said or {})}

    def _answer(
        self, content: dict[str, Any], follow: list[Callable[[], None]], message: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """`None`: refused, since it is nothing we know, or about something that is over."""
        match content:
            case {"op": "run", "cell": str(cell)}:
                with self._said:
                    if self._is_repeated(content.get("once")):
                        return {}
                    self.is_attached, self.said = True, content
                    self._unkept = {id: each for id, each in self._unkept.items() if each != cell}
                    self._runs.pop(cell, None)
                    while len(self._runs) >= MOST_CELLS:
                        del self._runs[next(iter(self._runs))]
                    self._runs[cell] = content
                    self._said.notify_all()
                return {}
            case {"op": "here"}:
                with self._said:
                    self.is_attached, self.said = True, content
                return {}
            case {"op": "answers"}:
                with self._said:
                    return {"answers": [{"id": id, "cell": cell} for id, cell in self._unkept.items()]}
            case {"op": "kept", "id": str(id)}:
                with self._said:
                    self._unkept.pop(id, None)
                return {}
            case {"op": "attach", "id": str(id)}:
                with self._said:
                    self.is_attached = True
                    stream = self._streams.get(id)
                if stream is None:
                    return None
                open_errands = [each.id for each in list(self._errands.values()) if each.output == id]
                follow += [partial(stream.send, {"errand": each}) for each in open_errands]
                return {**stream.attach(), "notebook": self.notebook}
            case {"op": "marks", "text": str(text)} if self._log is not None:
                from .naming import marks  # most questions are written without a page

                return {"marks": marks(self._log.shell, text)}
            case {
                "op": "region",
                "id": str(id),
                "cell": str(cell),
                "picture": str(picture),
                "text": str(text),
            } if len(picture) <= MOST_PICTURE_CHARS and re.fullmatch(_PICTURE, picture):
                while len(self.regions) >= MOST_REGIONS:
                    del self.regions[next(iter(self.regions))]
                self.regions[id] = Region(cell, picture, text)
                return {}
            case {"op": "failure", "cell": str(cell), "number": int(number)} if self._log is not None:
                return {"failure": self._log.failure_of(cell, number)}
            case {
                "op": "suggest",
                "id": str(),
                "cell": str(),
                "before": str(),
                "after": str(),
                "model": str(),
                "budget": int(),
            } if self._make_suggesting is not None:
                if self._suggesting is None:
                    self._suggesting = self._make_suggesting(partial(self._send, kind=SUGGESTION))
                follow.append(partial(self._suggesting.take, content))
                return {}
            case {"op": "drop", "id": str(id)} if self._suggesting is not None:
                follow.append(partial(self._suggesting.drop, id))
                return {}
            case {"op": "approvals", "id": str(id)}:
                return {"card": self._card(id)}
            case {"op": "decide", "question": str(id), "choice": str(choice), "reason": str(reason)}:
                question = self.questions.find(id)
                decision = question.decision(choice, reason) if question is not None else None
                if question is not None and decision is not None:
                    question.page = question.page or _page_of(message)
                    follow.append(partial(question.answer, decision))
                    return {"holds": question.claim(decision)}
            case {"op": "stop", "id": str(id)}:
                if (turn := self.turns.get(id)) is not None:
                    follow.append(turn.stop)
                    return {}
            case {"op": "steer", "id": str(id), "text": str(text), "once": str(once)}:
                if (turn := self.turns.get(id)) is not None:
                    if not self._is_repeated(once) and text.strip():
                        follow.append(partial(turn.steer, text))
                    return {}
            case {"op": "errand", "id": str(id), "once": str(once)}:
                errand = self._errands.get(id)
                is_its = errand is not None and errand.take(once, _page_of(message))
                return {"work": errand.work} if errand is not None and is_its else None
            case {"op": "errand_done", "id": str(id), "once": str(once)}:
                if (errand := self._errands.get(id)) is not None:
                    follow.append(partial(errand.finish, once, content, message))
                    return {}
        return None

    def _is_repeated(self, once: object) -> bool:
        """Whether a message with this mark came before; a page may leave it out."""
        if not isinstance(once, str) or not once:
            return False
        is_known = once in self._once
        self._once.append(once)
        return is_known

    def _card(self, id: str) -> dict[str, Any] | None:
        """Return the question that the turn of this answer waits for, which counts as shown from now on."""
        waiting = self.questions.waiting(id)
        following = waiting[1].text.title if len(waiting) > 1 else ""
        return waiting[0].card(len(waiting), following) if waiting else None

    def run(self, cell: str | None, source: str = "") -> Mapping[str, Any] | None:
        """Return, once, what the page said of the notebook when it ran this cell; `None` where it says nothing.

        A cell that a server runs comes without its id and is found by its source. Waits for a page that has
        spoken before; such a page may be closed by now, so it waits shortly.
        """
        if not self.is_attached or not (cell or source):
            return None

        def known() -> str | None:
            if cell is not None:
                return cell if cell in self._runs else None
            runs = reversed(self._runs.items())
            return next((each for each, said in runs if _source_of(said) == source), None)

        end = time.monotonic() + WAIT_SECONDS
        with self._said:
            while (running := known()) is None and (left := end - time.monotonic()) > 0:
                self._said.wait(left)
            return self._runs.pop(running) if running is not None else None


def _page_of(message: Mapping[str, Any] | None) -> str:
    """Return the session of the page that sent a message."""
    return str(message["header"]["session"]) if message is not None else ""


def _source_of(run: Mapping[str, Any]) -> str | None:
    """Return the source of the cell that a page runs; the page says it as it likes."""
    cells = run.get("cells")
    for each in cells if isinstance(cells, list) else ():
        if isinstance(each, dict) and each.get("id") == run["cell"]:
            return str(each.get("source", "")).rstrip("\n")
    return None
