"""The thread store: threads, turns and items in one SQLite file that several kernels share.

Nothing is ever overwritten or copied. A turn that is run again or reverted keeps its row and gets
`removed_at`, a tick of the store's clock; so a fork is its parent's history as of one tick, and
what its parent does later does not change it.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import msgspec

from ..protocol import types
from ..protocol.errors import OptionError, ThreadNotFoundError
from ..protocol.ids import is_number, may_be_one_cell, new_id
from ..protocol.plain import read_struct, shorten
from ..protocol.types import ThreadItem, TurnStatus, UserMessage, encode_item, input_text, item_type
from ..waiting import undivided
from .database import connect, damaged, identity, in_transaction, moved, store_errors, while_locked
from .options import PAGE, ListOptions
from .owner import Owner, is_alive, this_process
from .partial import Piece, pieced_together, replayed_partial

if TYPE_CHECKING:
    from typing_extensions import Unpack

    Items = tuple["ItemRecord", ...]
else:
    Items = tuple  # msgspec can't tell the kinds of items apart

PREVIEW_LENGTH = 120  # characters of the first prompt kept beside a thread, for lists

MOST_OF_NOTEBOOK = 100  # threads of one notebook in a list

_END = 2**63 - 1  # later than every tick, after every position

P = ParamSpec("P")
R = TypeVar("R")


class ThreadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds."""

    id: str
    name: str | None = None
    preview: str = ""
    """The beginning of its first prompt."""
    cwd: str = ""
    provider: str | None = None
    model: str | None = None
    engine: str = "backend"
    created_at: int = 0
    updated_at: int = 0
    archived_at: int | None = None
    forked_from: str | None = None
    """The thread that this one shares its past with."""
    forked_at_seq: int | None = None
    forked_at_position: int | None = None


class ThreadDetails(ThreadRecord, frozen=True):
    turns: tuple[types.Turn, ...] = ()
    """Empty unless asked for."""


class ThreadReadResponse(msgspec.Struct, frozen=True):
    thread: ThreadDetails


class ThreadPage(msgspec.Struct, frozen=True):
    threads: tuple[ThreadRecord, ...]
    next_cursor: str | None
    """Give it to the next call; `None` on the last page."""

    @property
    def data(self) -> tuple[ThreadRecord, ...]:
        """The same under the protocol's name."""
        return self.threads


class ItemRecord(msgspec.Struct, frozen=True):
    item: ThreadItem
    response_items: tuple[dict[str, Any], ...] = ()  # what is sent again with the next turn


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a turn. `thread_id` is another thread's in the shared past of a fork."""

    seq: int = 0
    id: str
    thread_id: str
    position: int = 0
    """Its place in the thread; a re-run has the same."""
    cell_id: str | None = None
    status: TurnStatus = TurnStatus.in_progress
    error: types.TurnError | None = None
    usage: types.ThreadTokenUsage | None = None
    provider: str | None = None
    """Whose encrypted reasoning its items hold: a provider and account, or the app-server."""
    model: str | None = None
    started_at: int = 0
    completed_at: int | None = None
    duration_ms: int | None = None
    removed_at: int | None = None
    replaces: str | None = None
    notebook: str | None = None
    """The id of the notebook that `cell_id` is a cell of."""
    items: Items = ()

    @property
    def asked(self) -> list[str]:
        """What the user has said in it, each time."""
        items = (entry.item for entry in self.items)
        return [input_text(item.content) for item in items if isinstance(item, UserMessage)]

    @property
    def told(self) -> list[str]:
        """What the model has said to the user in it, each time."""
        items = (entry.item for entry in self.items)
        return [item.text for item in items if isinstance(item, types.AgentMessage)]

    def as_turn(self) -> types.Turn:
        """The same in the protocol's shape."""
        values = {name: getattr(self, name) for name in types.Turn.__struct_fields__}
        return types.Turn(**values | {"items": tuple(entry.item for entry in self.items)})


class NotebookRecord(msgspec.Struct, frozen=True):
    id: str
    thread_id: str  # its current thread
    path: str | None  # where it was last seen
    copied_from: str | None = None  # the notebook this one is a copy of, whose turns are its past


class NotebookClaim(NamedTuple):
    """What speaks for one notebook; what a copy inherits speaks for the copy too."""

    notebook: NotebookRecord
    is_named: bool  # its id, or that of one it is a copy of, is the one that was looked for
    answers: frozenset[str]  # ids of its turns among those that were looked for
    own_answers: int  # how many of them are not inherited
    cells: frozenset[str]  # ids of its cells among those that were looked for
    is_kernel: bool  # the kernel belonged to it before
    used_elsewhere: bool  # another kernel of it is alive


_THREAD = ", ".join(ThreadRecord.__struct_fields__)
_TURN_COLUMNS = [field for field in TurnRecord.__struct_fields__ if field != "items"]
_TURN = ", ".join(f"turns.{column}" for column in _TURN_COLUMNS)
_AMONG = "IN (SELECT value FROM json_each(?))"
_OPEN_QUESTIONS = (
    f"FROM partials JOIN turns ON turns.seq = turn AND turns.id = partials.id WHERE turn {_AMONG}"
)
_VISIBLE = """
    turns.thread_id = :thread AND turns.position <= :upto AND turns.seq <= :as_of
    AND (turns.removed_at IS NULL OR turns.removed_at > :as_of)
"""

Method = Callable[Concatenate["Store", P], R]


def _transaction(begin: str) -> Callable[[Method[P, R]], Method[P, R]]:
    def decorate(method: Method[P, R]) -> Method[P, R]:
        @wraps(method)
        def run(self: Store, /, *args: P.args, **kwargs: P.kwargs) -> R:
            work = partial(method, self, *args, **kwargs)
            with self._lock, store_errors(self.path):
                if self._db.in_transaction:  # a step of another method
                    return work()
                if begin == _WRITE:
                    self._check_place()
                return while_locked(lambda: in_transaction(self._db, begin, work), timeout=self._timeout)

        return run

    return decorate


_WRITE = "BEGIN IMMEDIATE"

_reads = _transaction("BEGIN")
_writes = _transaction(_WRITE)


class Store:
    """The file `path`, made with its folder when missing, or ":memory:". Each method is one transaction.

    Any thread may use it, one at a time. Every failure of the file is a `StoreError` that says what to do.
    `timeout`: seconds to wait for other processes' locks. `owner`: who runs its turns, if not this process.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        owner: Owner | None = None,
    ) -> None:
        self.path = Path(path)
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.RLock()
        self._owner = msgspec.json.encode(owner or this_process()).decode()
        with store_errors(self.path):
            if path != ":memory:":
                # Only its owner can read it. One that exists is never opened: closing it would drop the locks
                # another connection of this process holds (https://sqlite.org/howtocorrupt.html, 2.2).
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._db = connect(self.path, timeout=timeout)
            self._place = None if path == ":memory:" else identity(self.path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock, store_errors(self.path):
            self._db.close()

    def _check_place(self) -> None:
        """Raise StoreError where the file is no longer at its path: what is written to it would be lost."""
        with suppress(OSError):  # nobody may tell; a write says why
            if self._place is not None and identity(self.path) != self._place:
                raise moved(self.path)

    # Threads -------------------------------------------------------------------------------------

    @_writes
    def create_thread(self, /, *, thread_id: str | None = None, **values: Any) -> ThreadRecord:
        """Begin a thread with these values of its record; `thread_id` when it has a name already."""
        now = self._now()
        record = ThreadRecord(id=thread_id or new_id(), created_at=now, updated_at=now, **values)
        self._insert("threads", msgspec.structs.asdict(record))
        return record

    @_reads
    def thread(self, thread_id: str) -> ThreadRecord:
        row = self._db.execute(f"SELECT {_THREAD} FROM threads WHERE id = ?", (thread_id,)).fetchone()
        if row is not None:
            return read_struct(dict(row), ThreadRecord)
        if self._db.execute("SELECT 1 FROM threads NOT INDEXED WHERE id = ?", (thread_id,)).fetchone():
            raise damaged(self.path)  # it is there, and its index is not
        raise ThreadNotFoundError(thread_id)

    @_reads
    def has(self, thread_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM threads WHERE id = ?", (thread_id,)).fetchone() is not None

    @_reads
    def threads(self, **options: Unpack[ListOptions]) -> ThreadPage:
        """One page of threads. `search_term` is looked for in names and first prompts, whatever the case."""
        order, later = _chosen(_DIRECTIONS, options.get("sort_direction") or "desc", "sort_direction")
        key = _chosen(_SORT_KEYS, options.get("sort_key") or "updated_at", "sort_key")
        cwd, cursor, limit = options.get("cwd"), options.get("cursor"), options.get("limit") or PAGE
        tests = [f"archived_at IS {'NOT ' if options.get('archived') else ''}NULL"]
        values: list[Any] = []
        folders = [cwd] if isinstance(cwd, str) else cwd
        for column, choices in (("cwd", folders), ("provider", options.get("model_providers"))):
            if choices is not None:
                tests.append(f"{column} IN ({_marks(choices)})")
                values += choices
        if term := options.get("search_term"):
            tests.append("instr(casefold(coalesce(name, '') || char(10) || preview), ?)")
            values.append(term.casefold())
        if cursor is not None:
            value, _, last_id = cursor.partition(":")
            if not value.isdecimal() or len(value) > 18:
                hint = "Pass the next_cursor of the previous page."
                raise OptionError(f"{cursor!r} is not a page of threads.", hint=hint)
            tests.append(f"({key}, id) {later} (?, ?)")
            values += int(value), last_id
        ordered = f"WHERE {' AND '.join(tests)} ORDER BY {key} {order}, id {order} LIMIT ?"
        rows = self._db.execute(f"SELECT {_THREAD} FROM threads {ordered}", (*values, limit + 1)).fetchall()
        threads = tuple(read_struct(dict(row), ThreadRecord) for row in rows[:limit])
        is_last = len(rows) <= limit
        return ThreadPage(threads, None if is_last else f"{getattr(threads[-1], key)}:{threads[-1].id}")

    @_reads
    def turn_counts(self, threads: Sequence[ThreadRecord]) -> dict[str, int]:
        """Return how many turns each thread has now, by its id, shared past included."""
        current = f"SELECT thread_id, count(*) FROM turns WHERE removed_at IS NULL AND thread_id {_AMONG}"
        ids = (_to_json([each.id for each in threads]),)
        own = dict(self._db.execute(f"{current} GROUP BY thread_id", ids).fetchall())
        forks = {each.id: len(self._current(each.id)) for each in threads if each.forked_from}
        return {each.id: own.get(each.id, 0) for each in threads} | forks

    @_reads
    def resolve(self, text: str) -> str:
        """Return the id of the thread a person means: its id, its name, or a unique beginning or end of its id.

        Raises ThreadNotFoundError, or OptionError when there are several.
        """
        parts = "substr(id, 1, length(:text)), substr(id, -length(:text))"
        for test in ("id = :text", "casefold(name) = casefold(:text)", f":text IN ({parts})"):
            sql = f"SELECT id FROM threads WHERE {test} ORDER BY updated_at DESC LIMIT 4"
            ids = [row["id"] for row in self._db.execute(sql, {"text": text})] if text else []
            if len(ids) == 1:
                return str(ids[0])
            if ids:
                several = ", ".join(ids[:3]) + ", ..." * (len(ids) > 3)
                what = f"{text!r} matches several threads: {several}."
                raise OptionError(what, hint="Type more of the ID.")
        raise ThreadNotFoundError(text)

    @_writes
    def set_name(self, thread_id: str, name: str | None) -> None:
        self._update_thread(thread_id, name=name)

    @_writes
    def archive(self, thread_id: str, archived: bool = True) -> None:
        self._update_thread(thread_id, archived_at=self._now() if archived else None)

    # Notebooks -----------------------------------------------------------------------------------

    @_reads
    def notebook_claims(
        self,
        *,
        name: str | None = None,
        answers: Mapping[str, str | None],
        cells: Collection[str],
        kernel: str | None,
        path: str | None,
    ) -> list[NotebookClaim]:
        """Return the notebooks of this id (`name`), these answers (turn ids, each with its cell), cells, kernel or path."""
        turns: dict[str, set[str]] = defaultdict(set)
        cells_of: dict[str, set[str]] = defaultdict(set)
        sql = "SELECT DISTINCT notebook, {} FROM turns WHERE notebook IS NOT NULL AND {} " + _AMONG
        for row in self._db.execute(sql.format("id, cell_id", "id"), (_to_json(list(answers)),)):
            if may_be_one_cell(row["cell_id"], answers[row["id"]]):  # else it was pasted into another
                turns[row["notebook"]].add(row["id"])
        for row in self._db.execute(sql.format("cell_id", "cell_id"), (_to_json(list(cells)),)):
            cells_of[row["notebook"]].add(row["cell_id"])
        row = self._db.execute("SELECT notebook FROM kernels WHERE id = ?", (kernel,)).fetchone()
        current = row["notebook"] if row else None
        rows = self._db.execute(
            # Copies of those found inherit what speaks for them.
            """
            WITH RECURSIVE family (id) AS (
                SELECT value FROM json_each(?) UNION SELECT id FROM notebooks WHERE path = ?
                UNION SELECT notebooks.id FROM notebooks JOIN family ON copied_from = family.id
            )
            SELECT * FROM notebooks WHERE id IN family
            """,
            (_to_json([*turns, *cells_of, current, name]), path),
        ).fetchall()
        others = self._db.execute("SELECT notebook, owner FROM kernels WHERE id IS NOT ?", (kernel,))
        owners = [(row["notebook"], _decoded(row["owner"], Owner)) for row in others]
        ids = {row["id"] for row in rows}
        alive = [each for each, by in owners if each in ids and by and is_alive(by, silent=math.inf)]
        return [
            NotebookClaim(
                read_struct(dict(row), NotebookRecord),
                is_named=name in lineage,
                answers=frozenset().union(*(turns.get(each, ()) for each in lineage)),
                own_answers=len(turns.get(row["id"], ())),
                cells=frozenset().union(*(cells_of.get(each, ()) for each in lineage)),
                is_kernel=current == row["id"],
                used_elsewhere=row["id"] in alive,
            )
            for row, lineage in [(row, self.notebook_lineage(row["id"])) for row in rows]
        ]

    @_reads
    def notebook_prompts(self, notebook_id: str) -> list[tuple[str | None, str]]:
        """Return the prompts of the notebook, each with the cell that asked it."""
        sql = "SELECT cell_id, items.* FROM items JOIN turns ON seq = turn WHERE notebook = ? AND type = 'userMessage'"
        items = [(row["cell_id"], _item_record(row).item) for row in self._db.execute(sql, (notebook_id,))]
        return [(cell, input_text(item.content)) for cell, item in items if isinstance(item, UserMessage)]

    @_reads
    def notebook_lineage(self, notebook_id: str) -> list[str]:
        """Return the notebook, the one it is a copy of, and so on."""
        sql = (
            "WITH RECURSIVE lineage (id) AS (VALUES (?) UNION SELECT copied_from FROM notebooks"
            " JOIN lineage USING (id)) SELECT id FROM lineage WHERE id IS NOT NULL"
        )
        return [row["id"] for row in self._db.execute(sql, (notebook_id,))]

    @_reads
    def notebook_paths(self, threads: Sequence[ThreadRecord]) -> dict[str, str]:
        """Return the notebook files that are on one of these threads, by its id."""
        rows = self._db.execute(
            f"SELECT thread_id, path FROM notebooks WHERE path IS NOT NULL AND thread_id {_AMONG}",
            (_to_json([each.id for each in threads]),),
        ).fetchall()
        return {row["thread_id"]: row["path"] for row in rows}

    @_reads
    def notebook_threads(self, notebook_id: str | None, thread_id: str | None) -> list[ThreadRecord]:
        """Return the threads that the notebook has asked in, the one it is on and their forks, the latest used first.

        At most as many as a page; without what is archived.
        """
        lineage = self.notebook_lineage(notebook_id) if notebook_id else []
        rows = self._db.execute(
            f"WITH own (id) AS (SELECT thread_id FROM turns WHERE notebook {_AMONG} UNION SELECT ?)"
            f" SELECT {_THREAD} FROM threads WHERE (id IN own OR forked_from IN own) AND archived_at IS NULL"
            " ORDER BY updated_at DESC, id DESC LIMIT ?",
            (_to_json(lineage), thread_id, MOST_OF_NOTEBOOK),
        ).fetchall()
        return [read_struct(dict(row), ThreadRecord) for row in rows]

    @_reads
    def forks(self, thread_id: str) -> list[ThreadRecord]:
        """Return what was forked from that thread itself, oldest first, without what is archived."""
        sql = f"SELECT {_THREAD} FROM threads WHERE forked_from = ? AND archived_at IS NULL ORDER BY created_at, id"
        return [read_struct(dict(row), ThreadRecord) for row in self._db.execute(sql, (thread_id,))]

    @_reads
    def versions(self, thread_id: str) -> dict[int, int]:
        """Return how often the turn at each position of the thread was asked, in the thread itself."""
        sql = "SELECT position, count(*) AS times FROM turns WHERE thread_id = ? GROUP BY position"
        return {row["position"]: row["times"] for row in self._db.execute(sql, (thread_id,))}

    @_writes
    def keep_notebook(self, notebook: NotebookRecord, *, kernel: str | None) -> None:
        """Keep which thread a notebook is on and where it is, and that this process is its `kernel`."""
        self.thread(notebook.thread_id)
        if notebook.path is not None:  # whoever was there before is elsewhere now
            self._db.execute("UPDATE notebooks SET path = NULL WHERE path = ?", (notebook.path,))
        # Not REPLACE: that is a deletion, which a foreign key forbids.
        self._db.execute(
            "INSERT INTO notebooks (id, thread_id, path, copied_from) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET thread_id = excluded.thread_id, path = excluded.path",
            (notebook.id, notebook.thread_id, notebook.path, notebook.copied_from),
        )
        if kernel is not None:
            values = {"id": kernel, "notebook": notebook.id, "owner": self._owner}
            self._insert("kernels", values, verb="REPLACE")

    @_writes
    def allow_reading(self, notebook_id: str) -> None:
        """Let the model read the notebook without a question from now on; "" stands for all notebooks."""
        self._insert("readable", {"notebook": notebook_id, "since": self._now()}, verb="REPLACE")

    @_writes
    def forget_reading(self, notebook_ids: Sequence[str]) -> None:
        """Take back what `allow_reading` has allowed."""
        sql = f"DELETE FROM readable WHERE notebook IN ({_marks(notebook_ids)})"
        self._db.execute(sql, tuple(notebook_ids))

    @_reads
    def readable(self) -> dict[str, int]:
        """Return the notebooks that the model may read, "" for all, each with the Unix time of the yes."""
        rows = self._db.execute("SELECT notebook, since FROM readable ORDER BY since").fetchall()
        return {row["notebook"]: row["since"] for row in rows}

    # Turns ---------------------------------------------------------------------------------------

    @_writes
    def begin_turn(
        self,
        thread_id: str,
        *,
        cell_id: str | None = None,
        notebook: str | None = None,
        preview: str = "",
        provider: str | None = None,
        turn_id: str | None = None,
        question: ItemRecord | None = None,
    ) -> TurnRecord:
        """Begin a turn: in the place of the earlier turn of that notebook's cell if there is one, else at the end.

        `preview`: the prompt, whose beginning the thread keeps when it is its first. `question`: all of it,
        in place of the user's message until `add_item` brings that. `provider`: the thread's own too.
        """
        thread, history = self.thread(thread_id), self._current(thread_id)
        old, seq = self._earlier_run(history, cell_id, notebook, preview), self._tick()
        if old is not None:
            self._remove(thread_id, old, seq)
        turn = TurnRecord(
            seq=seq,
            id=turn_id or new_id(),
            thread_id=thread_id,
            position=old["position"] if old else _next_position(history),
            cell_id=cell_id,
            notebook=notebook,
            provider=provider,
            started_at=self._now(),
            replaces=old["id"] if old else None,
        )
        self._insert_turn(turn)
        if question is not None:
            self.add_pieces(turn.id, [Piece(turn.id, question.item, 0, "")], question.response_items)
        self._update_thread(
            thread_id,
            updated_at=turn.started_at,
            archived_at=None,
            provider=provider or thread.provider,
            preview=thread.preview or shorten(preview, PREVIEW_LENGTH),
        )
        return turn

    @_writes
    def add_item(self, turn_id: str, item: ThreadItem, response_items: Sequence[dict[str, Any]] = ()) -> None:
        """Keep an item that is complete, or will never be, in place of its pieces."""
        turn = self._turn_row(turn_id)["seq"]
        self.drop_pieces(turn_id, (item.id, turn_id) if isinstance(item, UserMessage) else (item.id,))
        last = self._db.execute("SELECT max(n) AS n FROM items WHERE turn = ?", (turn,)).fetchone()["n"]
        kept = {"id": item.id, "type": item_type(item), "json": encode_item(item).decode()}
        place = {"turn": turn, "n": 0 if last is None else last + 1}
        self._insert("items", {**place, **kept, "response_items": _to_json(response_items or None)})

    @_writes
    def add_pieces(
        self, turn_id: str, pieces: Sequence[Piece], response_items: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Keep what came of items that are still being produced."""
        place = {"turn": self._turn_row(turn_id)["seq"], "response_items": _to_json(response_items or None)}
        for item_id, item, part, text in pieces:
            kept = {"id": item_id, "json": None if item is None else encode_item(item).decode()}
            self._insert("partials", {**place, **kept, "part": part, "text": text})

    @_writes
    def drop_pieces(self, turn_id: str, item_ids: Sequence[str]) -> None:
        """Forget what came of items that will never be complete."""
        sql = f"DELETE FROM partials WHERE turn = ? AND id IN ({_marks(item_ids)})"
        self._db.execute(sql, (self._turn_row(turn_id)["seq"], *item_ids))

    @_writes
    def place_turn(self, turn_id: str, place: types.TurnPlace) -> None:
        """Keep where the app-server has the turn."""
        at = {"turn": turn_id, "engine_thread": place.thread_id, "engine_turn": place.turn_id}
        self._insert("places", {**at, "past": place.past, "tools": place.tools}, verb="REPLACE")

    @_reads
    def places(self, turn_ids: Sequence[str]) -> tuple[dict[str, types.TurnPlace], set[str]]:
        """Return where the app-server has these turns, and which of them no later one follows there."""
        rows = self._db.execute(
            "SELECT *, NOT EXISTS (SELECT 1 FROM places AS later WHERE later.engine_thread = places.engine_thread"
            f" AND later.n > places.n) AS is_last FROM places WHERE turn {_AMONG}",
            (_to_json(list(turn_ids)),),
        ).fetchall()
        columns = ("engine_thread", "engine_turn", "past", "tools")
        places = {row["turn"]: types.TurnPlace(*(row[name] for name in columns)) for row in rows}
        return places, {row["turn"] for row in rows if row["is_last"]}

    @_reads
    def engine_threads(self, thread_id: str) -> list[str]:
        """Return the app-server's threads that turns of this one are in, the latest first, without shared past."""
        sql = (
            "SELECT engine_thread FROM places JOIN turns ON turns.id = places.turn WHERE turns.thread_id = ?"
            " GROUP BY engine_thread ORDER BY max(places.n) DESC"
        )
        return [row["engine_thread"] for row in self._db.execute(sql, (thread_id,))]

    @_reads
    def known_engine_turns(self, engine_thread: str) -> tuple[str | None, dict[str, str]]:
        """Return which thread here goes on with an app-server's thread, and the turns here by its ids."""
        sql = (
            "SELECT turns.thread_id, turns.id, engine_turn FROM places JOIN turns ON turns.id = places.turn"
            " WHERE engine_thread = ? ORDER BY places.n"
        )
        rows = self._db.execute(sql, (engine_thread,)).fetchall()
        return (rows[-1]["thread_id"] if rows else None), {row["engine_turn"]: row["id"] for row in rows}

    @_writes
    def adopt(
        self, thread: ThreadRecord, turns: Sequence[TurnRecord], places: Mapping[str, types.TurnPlace]
    ) -> ThreadRecord:
        """Take in a thread of elsewhere, or the turns added to it there, after those that are here."""
        here = self._db.execute("SELECT updated_at FROM threads WHERE id = ?", (thread.id,)).fetchone()
        if here is None:
            self._insert("threads", msgspec.structs.asdict(thread))
        for position, turn in enumerate(turns, _next_position(self._current(thread.id))):
            place = {"seq": self._tick(), "position": position, "removed_at": None}
            self._insert_turn(msgspec.structs.replace(turn, **place))
            for entry in turn.items:
                self.add_item(turn.id, entry.item, entry.response_items)
            if turn.id in places:
                self.place_turn(turn.id, places[turn.id])
        latest = max(thread.updated_at, here["updated_at"]) if here else thread.updated_at
        self._update_thread(thread.id, updated_at=latest)
        return self.thread(thread.id)

    @_writes
    def finish_turn(
        self,
        turn_id: str,
        status: TurnStatus,
        *,
        error: types.TurnError | None = None,
        usage: types.ThreadTokenUsage | None = None,
        model: str | None = None,
        duration_ms: int | None = None,
    ) -> None:
        """Close a turn. It wins over `recover`, should another process have taken this one for dead."""
        turn, now = self._turn_row(turn_id), self._now()
        self._db.execute(
            "UPDATE turns SET status = ?, error = ?, usage = ?, model = coalesce(?, model),"
            " completed_at = ?, duration_ms = ?, owner = NULL, cut_off = NULL WHERE seq = ?",
            (status.value, _to_json(error), _to_json(usage), model, now, duration_ms, turn["seq"]),
        )
        self._db.execute("DELETE FROM partials WHERE turn = ? AND id != ?", (turn["seq"], turn_id))
        self._update_thread(turn["thread_id"], updated_at=now)

    @_writes
    def withdraw(self, turn_id: str) -> None:
        """Take out of its thread a turn that came to nothing and had no question."""
        row = self._turn_row(turn_id)
        self._remove(row["thread_id"], row, self._tick())

    @_reads
    def turn(self, turn_id: str) -> TurnRecord:
        """Return one turn with its items, current or not."""
        return self._with_items([self._turn_row(turn_id)])[0]

    @_reads
    def has_turn(self, turn_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM turns WHERE id = ?", (turn_id,)).fetchone() is not None

    @_reads
    def history(
        self,
        thread_id: str,
        *,
        before_position: int | None = None,
        as_of: int = _END,
        include_items: bool = True,
        kinds: Collection[str] = (),
        left_out: Collection[str] = (),
    ) -> list[TurnRecord]:
        """Return the thread's current turns in order, shared past included; those before a turn's position.

        `as_of`: the `seq` of a turn of the thread itself, with which the thread is as it was when that began.
        `kinds`: the types of the items that are enough. `left_out`: the ids of turns that are not wanted.
        """
        rows = self._current(thread_id, _END if before_position is None else before_position - 1, as_of)
        rows = [row for row in rows if row["id"] not in left_out]
        return self._with_items(rows, kinds) if include_items else list(map(_turn_record, rows))

    @_reads
    def held(
        self,
        thread_id: str,
        *,
        cell_id: str | None = None,
        notebook: str | None = None,
        prompt: str = "",
        left_out: Collection[str] = (),
    ) -> dict[str, str]:
        """Return what the model has been told of a notebook in this thread, by the `held` of its contexts.

        For a cell that runs again, with what comes before it. What a compaction may have taken away, a question
        that is not sent again since it failed without an answer, and the turns `left_out`, do not count.
        """
        history = self._current(thread_id)
        if old := self._earlier_run(history, cell_id, notebook, prompt):
            history = [row for row in history if row["position"] < old["position"]]
        history = [row for row in history if row["id"] not in left_out]
        # Neither the text of answers nor the output of commands is read.
        rows = self._db.execute(
            "SELECT turn, type, iif(type = 'userMessage', json, NULL) AS json FROM items"
            f" WHERE turn {_AMONG} UNION ALL SELECT turn, 'userMessage', partials.json {_OPEN_QUESTIONS} ORDER BY turn",
            (_to_json([row["seq"] for row in history]),) * 2,
        )
        items = {turn: list(of_turn) for turn, of_turn in groupby(rows, itemgetter("turn"))}
        held: dict[str, str] = {}
        for row in history:
            of_turn = items.get(row["seq"], [])
            kinds = {item["type"] for item in of_turn}
            messages = [types.decode_item(_decoded(item["json"])) for item in of_turn if item["json"]]
            if "contextCompaction" in kinds:
                held = {key: name for key, name in held.items() if key[0] == "«"}
            elif row["status"] != TurnStatus.failed or kinds - {"userMessage"}:
                parts = [part for each in messages if isinstance(each, UserMessage) for part in each.content]
                for context in (part for part in parts if isinstance(part, types.ContextInput)):
                    held |= context.held
        return held

    @_reads
    def placeholders(self, thread_id: str) -> dict[str, str]:
        """Return the numbers of masked secrets that stand in the texts of the thread, as `held` has them; no names."""
        rows = self._db.execute(
            f"SELECT json FROM items WHERE turn {_AMONG} AND instr(json, '«SECRET_')"
            f" UNION ALL SELECT partials.json {_OPEN_QUESTIONS}",
            (_to_json([row["seq"] for row in self._current(thread_id)]),) * 2,
        )
        numbers = (number for row in rows for number in re.findall(r"«SECRET_(\d+)»", row["json"] or ""))
        return dict.fromkeys((f"«{number}»" for number in numbers), "")

    @_writes
    def fork(self, thread_id: str, *, through: str | None = None, before: str | None = None) -> ThreadRecord:
        """Begin a thread with the same past: all of it, or as far as one turn (`through`: with it, `before`: without).

        Nothing is copied: a turn still in progress is shared too, with the items to come.
        """
        parent, history = self.thread(thread_id), self._current(thread_id)
        upto = _next_position(history) - 1
        if through is not None:
            upto = _find(history, through)["position"]
        elif before is not None:
            upto = _find(history, before)["position"] - 1
        past: dict[str, Any] = {"forked_at_seq": self._tick(0), "forked_at_position": upto}
        same = {name: getattr(parent, name) for name in ("cwd", "provider", "model", "engine")}
        preview = parent.preview if upto >= 0 else ""
        return self.create_thread(forked_from=thread_id, preview=preview, **same, **past)

    @_writes
    def revert(self, thread_id: str, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread."""
        history = self._current(thread_id)
        first, seq = _find(history, before_turn_id), self._tick()
        for row in history:
            if row["position"] >= first["position"]:
                self._remove(thread_id, row, seq)
        self._update_thread(thread_id, updated_at=self._now())

    def recover(self) -> list[TurnRecord]:
        """Mark the turns of dead processes interrupted, in all threads; return them, without items."""
        orphans = self._orphans()
        return self._interrupt(orphans) if orphans else []  # without the lock for writing where it can be

    @_writes
    def renew(self, turn_ids: Sequence[str]) -> None:
        """Give a sign of life for turns that run here, also for one that was taken for dead."""
        self._db.execute(
            "UPDATE turns SET alive_at = ?, owner = ?, status = 'inProgress', cut_off = NULL"
            f" WHERE completed_at IS NULL AND id IN ({_marks(turn_ids)})",
            (self._now(), self._owner, *turn_ids),
        )

    @_writes
    def take_cut_off(self, thread_id: str) -> list[TurnRecord]:
        """Return the thread's own turns whose process died, with what is kept of them; each only once."""
        self.recover()
        of_thread = "WHERE thread_id = ? AND removed_at IS NULL AND cut_off = 1 ORDER BY position"
        turns = self._db.execute(f"SELECT * FROM turns {of_thread}", (thread_id,)).fetchall()
        if turns:
            self._db.execute("UPDATE turns SET cut_off = NULL WHERE thread_id = ?", (thread_id,))
        return self._with_items(turns)

    # Inside --------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock())

    def _tick(self, change: int = 1) -> int:
        if self._db.execute("UPDATE clock SET tick = CAST(tick AS INTEGER) + ?", (change,)).rowcount != 1:
            raise damaged(self.path)
        return int(self._db.execute("SELECT tick FROM clock").fetchone()["tick"])

    def _insert(self, table: str, values: Mapping[str, Any], *, verb: str = "INSERT") -> None:
        sql = f"{verb} INTO {table} ({', '.join(values)}) VALUES ({_marks(values)})"
        self._db.execute(sql, tuple(values.values()))

    def _update_thread(self, thread_id: str, **values: Any) -> None:
        columns = ", ".join(f"{column} = ?" for column in values)
        done = self._db.execute(f"UPDATE threads SET {columns} WHERE id = ?", (*values.values(), thread_id))
        if done.rowcount == 0:
            raise ThreadNotFoundError(thread_id)

    def _insert_turn(self, turn: TurnRecord) -> None:
        values = {column: getattr(turn, column) for column in _TURN_COLUMNS}
        values |= {"error": _to_json(turn.error), "usage": _to_json(turn.usage)}
        self._insert("turns", {**values, "owner": self._owner, "alive_at": turn.started_at})

    def _earlier_run(
        self, history: Sequence[sqlite3.Row], cell_id: str | None, notebook: str | None, prompt: str
    ) -> sqlite3.Row | None:
        if cell_id is None:
            return None
        notebooks = [notebook] if notebook is None else self.notebook_lineage(notebook)
        rows = [row for row in history if row["cell_id"] == cell_id and row["notebook"] in notebooks]
        if not is_number(cell_id):
            return rows[0] if rows else None
        for row, turn in zip(rows, self._with_items(rows), strict=True):
            questions = (each.item.content for each in turn.items if isinstance(each.item, UserMessage))
            if next(map(input_text, questions), None) == prompt:
                return row
        return None

    def _turn_row(self, turn_id: str) -> sqlite3.Row:
        return _find(self._db.execute("SELECT * FROM turns WHERE id = ?", (turn_id,)), turn_id)

    def _with_items(self, rows: Sequence[sqlite3.Row], kinds: Collection[str] = ()) -> list[TurnRecord]:
        """The turns of these rows. Partial items have those that run, that broke off, that got no answer."""
        running = {row["seq"] for row in rows if row["status"] == TurnStatus.in_progress}
        turns = (_to_json([row["seq"] for row in rows]),)
        items: dict[int, list[ItemRecord]] = defaultdict(list)
        condition, in_order = f"WHERE turn {_AMONG}", "ORDER BY turn, n"
        wanted = f"AND type IN ({_marks(kinds)})" if kinds else ""
        for row in self._db.execute(f"SELECT * FROM items {condition} {wanted} {in_order}", (*turns, *kinds)):
            items[row["turn"]].append(_item_record(row))
        pieces = self._db.execute(
            "SELECT turn, CAST(id AS TEXT) AS id, json, response_items, CAST(part AS INTEGER) AS part,"
            f" CAST(text AS TEXT) AS text FROM partials {condition} {in_order}",
            turns,
        )
        for turn, run in groupby(pieces, itemgetter("turn")):
            items[turn] += _partial_records(list(run), is_over=turn not in running)
        return [_turn_record(row, items[row["seq"]]) for row in rows]

    def _current(self, thread_id: str, upto: int = _END, as_of: int = _END) -> list[sqlite3.Row]:
        """The rows of a history by position: of the thread, the one it was forked from, and so on.

        Those are left out that a nearer thread has hidden of a farther one.
        """
        rows: list[sqlite3.Row] = []
        hidden: set[int] = set()
        levels: list[str] = []
        while True:
            fork = self.thread(thread_id)
            levels.append(thread_id)
            level = {"thread": thread_id, "as_of": as_of, "upto": upto}
            turns = self._db.execute(f"SELECT {_TURN} FROM turns WHERE {_VISIBLE}", level)
            rows += [row for row in turns if row["seq"] not in hidden]
            removals = "SELECT turn FROM hidden WHERE thread_id = :thread AND seq <= :as_of"
            hidden.update(row["turn"] for row in self._db.execute(removals, level))
            if fork.forked_from is None or fork.forked_at_seq is None or fork.forked_at_position is None:
                return sorted(rows, key=lambda row: row["position"])
            thread_id, as_of = fork.forked_from, fork.forked_at_seq
            upto = min(upto, fork.forked_at_position)
            if thread_id in levels or not self.has(thread_id):
                raise damaged(self.path)

    def _remove(self, thread_id: str, turn: sqlite3.Row, seq: int) -> None:
        if turn["thread_id"] == thread_id:
            self._db.execute("UPDATE turns SET removed_at = ? WHERE seq = ?", (seq, turn["seq"]))
        else:
            self._db.execute("INSERT INTO hidden VALUES (?, ?, ?)", (thread_id, turn["seq"], seq))

    @_reads
    def _orphans(self) -> list[sqlite3.Row]:
        seen_at = "CAST(coalesce(alive_at, started_at) AS INTEGER) AS seen_at"
        rows = self._db.execute(f"SELECT *, {seen_at} FROM turns WHERE status = 'inProgress'").fetchall()
        owners = [(row, _decoded(row["owner"], Owner)) for row in rows]
        now = self._clock()
        return [row for row, by in owners if by is None or not is_alive(by, silent=now - row["seen_at"])]

    @_writes
    def _interrupt(self, orphans: Sequence[sqlite3.Row]) -> list[TurnRecord]:
        """Mark these, but for those that have ended, given a sign of life or been marked meanwhile."""
        sql = (
            "UPDATE turns SET status = 'interrupted', owner = NULL, cut_off = 1"
            " WHERE seq = :seq AND status = 'inProgress' AND owner IS :owner AND alive_at IS :alive_at"
        )
        marked = [_turn_record(row) for row in orphans if self._db.execute(sql, dict(row)).rowcount]
        return [msgspec.structs.replace(turn, status=TurnStatus.interrupted) for turn in marked]


def _turn_record(row: sqlite3.Row, items: Iterable[ItemRecord] = ()) -> TurnRecord:
    status = row["status"] if row["status"] in list(TurnStatus) else TurnStatus.interrupted
    values = {"error": _decoded(row["error"]), "usage": _decoded(row["usage"]), "status": status}
    return read_struct(dict(row) | values | {"items": tuple(items)}, TurnRecord)


def _item_record(row: sqlite3.Row) -> ItemRecord:
    """Read an item; one that can't be read any more is of an unknown kind, and not sent again."""
    if (item := _decoded(row["json"])) is not None:
        return ItemRecord(types.decode_item(item), _sent(row))
    raw = {"type": "unreadable", "text": str(row["json"])}
    return ItemRecord(types.unknown_item(str(row["id"]), raw))


def _partial_records(rows: Sequence[sqlite3.Row], *, is_over: bool) -> list[ItemRecord]:
    items = [types.decode_item(_decoded(row["json"])) if row["json"] else None for row in rows]
    pieces = [Piece(row["id"], item, row["part"], row["text"]) for row, item in zip(rows, items, strict=True)]
    sent = {row["id"]: _sent(row) for row in rows if row["json"]}
    records = []
    for opened in pieced_together(pieces):
        status = getattr(opened.item, "status", "") or "inProgress"
        if is_over:
            status = "expired" if status == "waiting" else "unfinished"
        item = opened.item if isinstance(opened.item, UserMessage) else opened.partial(status)
        if item is not None:
            records.append(ItemRecord(item, sent.get(opened.item.id) or replayed_partial(item)))
    return records


def _sent(row: sqlite3.Row) -> tuple[dict[str, Any], ...]:
    items = _decoded(row["response_items"])
    return tuple(each for each in items if isinstance(each, dict)) if isinstance(items, list) else ()


def _decoded(text: Any, kind: Any = Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except (msgspec.MsgspecError, TypeError, RecursionError):
        return None


def _to_json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def _next_position(history: Sequence[sqlite3.Row]) -> int:
    return history[-1]["position"] + 1 if history else 0


_DIRECTIONS = {"asc": ("ASC", ">"), "desc": ("DESC", "<")}
_SORT_KEYS = {"created_at": "created_at", "updated_at": "updated_at", "recency_at": "updated_at"}


def _chosen(choices: Mapping[str, R], value: str, name: str) -> R:
    if not isinstance(value, str) or value not in choices:
        raise OptionError(f"{name} can't be {value!r}.", hint=f"It is one of {', '.join(choices)}.")
    return choices[value]


def _find(turns: Iterable[sqlite3.Row], turn_id: str) -> sqlite3.Row:
    for row in turns:
        if row["id"] == turn_id:
            return row
    hint = "List the turns: `%codex history`"
    raise OptionError(f"There is no turn {turn_id!r} in this history.", hint=hint)


class AsyncStore:
    """Runs steps on one `Store` in a worker thread, in order, so that a slow disk never holds up a stream.

    The file is opened with the first step; without a `path` it is kept in memory. `worker`: another store's.
    """

    def __init__(self, path: Path | None, *, worker: ThreadPoolExecutor | None = None) -> None:
        self._path = path or ":memory:"
        self._worker = worker or ThreadPoolExecutor(max_workers=1, thread_name_prefix="codex_magic-store")
        self._owns_worker = worker is None
        self._store: Store | None = None

    async def run(self, step: Callable[[Store], R]) -> R:
        """Run `step` on the store. Raises StoreError, ThreadNotFoundError, OptionError."""
        return await self.begin(step)

    def begin(self, step: Callable[[Store], R]) -> asyncio.Future[R]:
        """Begin to run `step`, which goes on where the loop ends and cancels its tasks."""
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._worker, self._run, step)
        except RuntimeError:  # at the end of the interpreter, workers take nothing more
            done: asyncio.Future[R] = loop.create_future()
            try:
                done.set_result(self._run(step))
            except Exception as error:  # noqa: BLE001  # handed to whoever waits
                done.set_exception(error)
            return done

    def _run(self, step: Callable[[Store], R]) -> R:
        with undivided():
            if self._store is None:
                self._store = Store(self._path)
            return step(self._store)

    def beside(self) -> AsyncStore:
        """An empty store in memory, in the same worker."""
        return AsyncStore(None, worker=self._worker)

    async def close(self) -> None:
        if self._store is not None:
            await self.run(Store.close)
        if self._owns_worker:
            self._worker.shutdown(wait=False)
