"""What the panel and the status bar of our JupyterLab extension ask and do: each request is answered by one function.

They come over the control channel, also while a cell runs, and are answered in threads of their own. Nothing here
approves anything: a question is answered where all of it is shown.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..context.secrets import OutgoingMask
from ..net import scrub
from ..protocol import types
from ..protocol.errors import CodexError, ConfigurationError, StoreError
from ..protocol.plain import shorten, without_controls
from ..threads.options import CONTINUE
from ..threads.store import Store, ThreadRecord, TurnRecord
from . import login, options
from .question import Question
from .session import LOCAL, RunningTurn, Session

log = logging.getLogger(__name__)

MOST_THREADS = 200
"""In one page of a list."""

TURNS = 50
"""In one page of a thread."""

HEAD_CHARS = 120
"""Of a question or an answer in a list."""

MASKED_CHARS = 4 * HEAD_CHARS
"""Of a text that is shortened after it was masked: a key that is cut in two is none that can be recognised."""

Reply = dict[str, Any]


def answer(session: Session, content: Mapping[str, Any]) -> Reply:
    """Return the answer to one request; what is refused has an `error` to show where there is one."""
    try:
        reply = _answer(session, content)
    except CodexError as error:
        return {"ok": False, "error": scrub(error.message), "hint": scrub(error.hint)}
    except Exception:  # the top of a thread: the page waits for its answer
        log.exception("a request of the panel failed")
        what = "That failed unexpectedly. The kernel's log has the details."
        return {"ok": False, "error": what, "hint": ""}
    return {"ok": False} if reply is None else {"ok": True, **reply}


def _answer(session: Session, content: Mapping[str, Any]) -> Reply | None:
    """`None`: nothing we know. Raises CodexError."""
    match content:
        case {"op": "status"}:
            return _status(session)
        case {"op": "usage"}:
            session.blocking.call(session.usage(session.provider()))
            return {"limits": _limits(session)}
        case {"op": "models"}:
            return {"models": _models(session)}
        case {"op": "choose", "model": str(model), "effort": str(effort)}:
            return _choose(session, model, effort)
        case {"op": "sign-out"}:
            session.login.sign_out().result()
            return {}
        case {"op": "threads", "here": bool(here), "search": str(search), "archived": bool(archived)}:
            cursor, limit = content.get("cursor"), content.get("limit")
            if isinstance(cursor, str | None) and type(limit) is int and 0 < limit <= MOST_THREADS:
                filters = {"search_term": search.strip() or None, "archived": archived}
                return _threads(session, here=here, **filters, cursor=cursor, limit=limit)
        case {"op": "turns", "thread": str(thread)} if isinstance(content.get("before"), int | None):
            return _turns(session, thread, content.get("before"))
        case {"op": "turn", "thread": str(thread), "turn": str(turn)}:
            return _turn(session, thread, turn)
        case {"op": "thread", "act": str(act), "thread": str(thread)} if act in ACTS:
            return ACTS[act](session, thread, content)
        case {"op": "sent", "thread": str(thread), "turn": str(turn)}:
            return _sent(session, thread, turn)
    return None


# Status ------------------------------------------------------------------------------------------


def _status(session: Session) -> Reply:
    problem, provider = "", ""
    account: Reply = {"kind": "none", "text": ""}
    try:
        chosen = session.provider()
        provider, account = chosen.name, _account(session, chosen.name)
    except ConfigurationError as error:
        problem = scrub(error.message)
    model = session.model_in_use() if provider else session.settings.model
    running = list(session.running)
    numbers = [*(each.number for each in list(session.ended)), *(each.number for each in running)]
    return {
        "account": account,
        "problem": problem,
        "provider": provider,
        "model": model,
        "effort": session.settings.effort,
        "engine": session.settings.engine,
        "limits": _limits(session),
        "thread": session.blocking.call(session.current_id()),
        "notebook": session.blocking.call(session.notebook_id()),
        "newest": max(numbers, default=0),
        "running": [_running(session, each) for each in running],
        "waiting": [_waiting(session, each) for each in session.extension.questions.waiting()],
    }


def _account(session: Session, provider: str) -> Reply:
    """Return how the provider is signed in to: `chatgpt`, `key`, `local`, `other`, or `none` where it is not."""
    if provider == LOCAL:
        return {"kind": "local", "text": "A made-up account of the local service"}
    if provider not in ("chatgpt", "openai"):
        return {"kind": "other", "text": scrub(provider)}
    if provider == "openai":
        return {"kind": "key", "text": "An API key"}
    account = session.blocking.account().account
    if not isinstance(account, types.ChatgptAccount):
        return {"kind": "none", "text": ""}
    return {"kind": "chatgpt", "text": login.who(account).removeprefix("as ")}


def _limits(session: Session) -> list[Reply]:
    """Return what is left of each window, the one that stops you first in front."""
    windows = login.windows(session.rate_limits) if session.rate_limits is not None else []
    facts = {"name": login.name, "left": login.left, "resets": login.resets}
    return [{name: fact(each) for name, fact in facts.items()} for each in windows]


def _models(session: Session) -> list[Reply]:
    models = session.blocking.call(session.codex.models(provider=session.provider()))
    return [
        {"name": each.slug, "efforts": list(each.efforts), "effort": each.default_reasoning_level or ""}
        for each in models
    ]


def _choose(session: Session, model: str, effort: str) -> Reply:
    """Set both; empty stands for the default. Raises OptionError, ModelNotFoundError."""
    effort = options.checked("effort", effort) if effort else ""
    if model and model != session.settings.model:
        session.blocking.call(session.check_model(model))
    session.settings.model, session.settings.effort = model, effort
    return _status(session)


def _running(session: Session, turn: RunningTurn) -> Reply:
    handle = turn.handle
    return {
        "id": turn.output,
        "text": _head(_masked(session)(turn.prompt[:MASKED_CHARS])),
        "cell": turn.context.kernel.cell,
        "number": turn.cell,
        "thread": handle.thread_id if handle is not None else None,
        "turn": handle.id if handle is not None else None,
        "seconds": int(time.monotonic() - turn.began),
    }


def _waiting(session: Session, question: Question) -> Reply:
    """Return what a question is about, in one line, and where its card is: nothing that answers it."""
    turn = next((each for each in list(session.running) if each.output == question.output), None)
    text = question.text
    about = text.passages[0].title or text.passages[0].text if text.passages else text.title
    return {
        "id": question.output,
        "number": question.number,
        "title": text.title,
        "about": _head(_masked(session)(about[:MASKED_CHARS])),
        "cell": turn.context.kernel.cell if turn is not None else None,
    }


# Threads -----------------------------------------------------------------------------------------


def _threads(session: Session, *, here: bool, cursor: str | None, limit: int, **filters: Any) -> Reply:
    """Return this notebook's threads, or a page of all."""
    current = session.blocking.call(session.current_id())
    notebook = session.blocking.call(session.notebook_id())

    def read(store: Store) -> Reply:
        page = store.threads(cursor=cursor, limit=limit, **filters) if not here else None
        threads = page.threads if page else store.notebook_threads(notebook, current)
        paths, turns = store.notebook_paths(threads), store.turn_counts(threads)
        rows = [
            {**_thread(each, mask), "turns": turns[each.id], "notebook": Path(paths.get(each.id, "")).name}
            for each in threads
        ]
        return {"threads": rows, "cursor": page.next_cursor if page else None, "current": current}

    mask = _masked(session)
    return session.blocking.call(session.codex.store.run(read))


def _thread(record: ThreadRecord, mask: Callable[[str], str]) -> Reply:
    position = record.forked_at_position
    return {
        "id": record.id,
        "name": mask(record.name or ""),
        "about": mask(record.preview),
        "used": record.updated_at,
        "archived": record.archived_at is not None,
        "forked_from": record.forked_from,
        "forked_at": None if position is None else position + 1,
    }


def _turns(session: Session, thread_id: str, before: int | None) -> Reply:
    """Return the thread with its last turns, or those before a position, and what was forked at them."""
    running = {each.handle.id: each for each in list(session.running) if each.handle is not None}
    mask = _masked(session)

    def read(store: Store) -> Reply:
        with suppress(StoreError):  # it can still be read
            store.recover()
        record, forks, versions = store.thread(thread_id), store.forks(thread_id), store.versions(thread_id)
        all_turns = store.history(thread_id, before_position=before, include_items=False)
        left_out = [each.id for each in all_turns[:-TURNS]]
        turns = store.history(thread_id, before_position=before, left_out=left_out)
        rows = [
            {
                **_turn_row(each, mask),
                "running": running[each.id].output if each.id in running else None,
                "versions": versions.get(each.position, 1),
                "forks": [_thread(fork, mask) for fork in forks if fork.forked_at_position == each.position],
            }
            for each in turns
        ]
        return {"thread": _thread(record, mask), "turns": rows, "more": len(all_turns) > len(rows)}

    return session.blocking.call(session.codex.store_of(thread_id).run(read))


def _turn_row(turn: TurnRecord, mask: Callable[[str], str]) -> Reply:
    question, reply = next(iter(turn.asked), ""), next(reversed(turn.told), "")
    return {
        "id": turn.id,
        "position": turn.position,
        "question": "↳ continued" if question == CONTINUE else _head(mask(question[:MASKED_CHARS])),
        "answer": _head(re.sub("[*#>`|]", "", mask(reply[:MASKED_CHARS]))),
        "state": turn.status.value,
        "cell": turn.cell_id,
    }


def _turn(session: Session, thread_id: str, turn_id: str) -> Reply | None:
    """Return a turn as its output would show it."""
    from .export import view

    def read(store: Store) -> TurnRecord | None:
        is_in_thread = any(each.id == turn_id for each in store.history(thread_id, include_items=False))
        return store.turn(turn_id) if is_in_thread else None

    turn = session.blocking.call(session.codex.store_of(thread_id).run(read))
    if turn is None:
        return None
    mask = _masked(session)
    parts = view(turn).bundle().items()
    bundle = {kind: mask(part) if isinstance(part, str) else part for kind, part in parts}
    return {"bundle": bundle, "question": mask(next(iter(turn.asked), ""))}


def _new(session: Session, _: str, content: Mapping[str, Any]) -> Reply:
    return {"thread": session.blocking.call(session.new_thread()).id}


def _resume(session: Session, thread_id: str, content: Mapping[str, Any]) -> Reply:
    return {"thread": session.blocking.call(session.resume(thread_id)).id}


def _fork(session: Session, thread_id: str, content: Mapping[str, Any]) -> Reply | None:
    """Go on in a fork: of all of it, or up to a `turn`."""
    turn = content.get("turn")
    if not isinstance(turn, str | None):
        return None

    async def fork() -> str:
        return (await session.use(await session.codex.thread_fork(thread_id, last_turn_id=turn))).id

    return {"thread": session.blocking.call(fork())}


def _rename(session: Session, thread_id: str, content: Mapping[str, Any]) -> Reply | None:
    name = content.get("name")
    if not isinstance(name, str) or not (name := shorten(without_controls(name), HEAD_CHARS)):
        return None

    async def rename() -> None:
        await (await session.codex.thread_resume(thread_id)).set_name(name)

    session.blocking.call(rename())
    return {}


def _archive(session: Session, thread_id: str, content: Mapping[str, Any]) -> Reply:
    session.blocking.call(session.codex.thread_archive(thread_id))
    return {}


def _unarchive(session: Session, thread_id: str, content: Mapping[str, Any]) -> Reply:
    session.blocking.call(session.codex.thread_unarchive(thread_id))
    return {}


ACTS: dict[str, Callable[[Session, str, Mapping[str, Any]], Reply | None]] = {
    "new": _new,
    "resume": _resume,
    "fork": _fork,
    "rename": _rename,
    "archive": _archive,
    "unarchive": _unarchive,
}
"""What can be done to a thread."""


def _sent(session: Session, thread_id: str, turn_id: str) -> Reply:
    """Return what a turn was sent with, part by part; without one, the last question."""
    from .peek import is_whole, request_of, request_rows, request_texts

    request = session.blocking.call(request_of(session, turn_id, thread_id))
    if request is None:
        return {"rows": [], "texts": [], "whole": False}
    rows = [[str(cell) for cell in row] for row in request_rows(session, request)]
    texts, _ = request_texts(request)
    mask = _masked(session)
    shown = [[name, mask(text)] for name, text in texts.items()]
    return {"rows": rows, "texts": shown, "whole": is_whole(request)}


def _head(text: str) -> str:
    return shorten(" ".join(text.split()), HEAD_CHARS)


def _masked(session: Session) -> OutgoingMask:
    """Return a mask that knows the notebook's secrets, with numbers of its own: no question is sent with these."""
    return OutgoingMask(of=session.mask)
