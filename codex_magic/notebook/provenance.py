"""`%codex provenance` and `%codex trace`: where each answer comes from, and where the time of the last one went."""

from __future__ import annotations

import re
from functools import partial

from ..context.tokens import estimate
from ..display.items import seconds
from ..protocol import types
from ..protocol.plain import shorten
from ..threads.store import Store, TurnRecord
from ..values.journal import Journal
from ..waiting import Steps
from .context import tokens_words
from .screen import count
from .session import Session


def show_provenance(session: Session, _: str) -> Steps[None]:
    """Show for each turn of the thread which model answered, with what, and whether its cell was edited since."""
    sources = session.sources()
    numbers = {run.cell: run.number for run in session.runs.so_far()[0]}
    thread = yield from session.wait(session.thread())
    turns = yield from session.wait(thread.history())
    if not turns:
        session.screen.say("This thread is empty.")
        return

    def facts(_: Store) -> list[tuple[str, str]]:
        with Journal(session.env.home) as journal:
            return [_asked(journal, turn, sources) for turn in turns]

    rows = []
    asked = yield from session.wait(session.codex.store.run(facts))
    for n, (turn, (effort, since)) in enumerate(zip(turns, asked, strict=True), 1):
        number = numbers.get(turn.cell_id) if turn.cell_id is not None else None
        usage = turn.usage.total if turn.usage is not None else None
        tokens = f"{usage.input_tokens:,} in, {usage.output_tokens:,} out" if usage else ""
        took = seconds(turn.duration_ms) if turn.duration_ms is not None else ""
        cell = f"In[{number}]" if number is not None else ""
        rows.append((n, cell, turn.model or "", effort, tokens, took, since, sent_words(turn)))
    heads = ("#", "Cell", "Model", "Effort", "Tokens", "Took", "Since then", "Sent")
    session.screen.table(heads, rows, note="All that went along with the last question: `%codex peek`")


def _asked(journal: Journal, turn: TurnRecord, sources: dict[str, str]) -> tuple[str, str]:
    """Return a turn's effort, and what has become of its cell."""
    effort, source = journal.asked(turn.id) or ("", b"")
    if not source or turn.cell_id is None:
        return effort, ""
    if turn.cell_id not in sources:
        return effort, "not found"
    return effort, "" if journal.key("source", sources[turn.cell_id]) == source else "edited"


def sent_words(turn: TurnRecord) -> str:
    """Say what went along with a question besides its words."""
    words: list[str] = []
    tokens = 0
    items = [entry.item for entry in turn.items]
    asked = [part for item in items if isinstance(item, types.UserMessage) for part in item.content]
    for part in asked:
        if isinstance(part, types.ContextInput):
            titles = re.findall(r"^# %% (.+)$", part.value, re.MULTILINE)
            words += [count(len(titles), "cell")] if part.name == "notebook" else titles
            tokens += estimate(part.value)
    images = sum(isinstance(part, types.ImageInput) for part in asked)
    words += [count(images, "image")] if images else []
    return f"{shorten(', '.join(words), 60)} · {tokens_words(tokens)}" if words else ""


def show_trace(session: Session, _: str) -> None:
    """Show where the time of the last turn went."""
    if session.trace is None:
        session.screen.say("Nothing was asked since this kernel started.")
        return
    phases = session.trace.phases
    whole = sum(phases.values()) or 1.0
    share = partial("{:.0f} %".format)
    rows = [(name, f"{each:.2f} s", share(100 * each / whole)) for name, each in phases.items() if each]
    rows += [("all", f"{whole:.2f} s", ""), ("display", f"{session.trace.display:.2f} s", "beside the rest")]
    session.screen.table(("Phase", "Time", "Share"), rows)
