"""`%codex export`: the conversation of a notebook as a file that others can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..display.view import TurnView
from ..protocol.errors import OptionError
from ..threads.options import CONTINUE
from ..threads.store import TurnRecord
from ..waiting import Steps
from .gathering import folder_of
from .screen import count
from .session import Session


def export(session: Session, path: str) -> Steps[None]:
    """Write the turns of this thread to a new file. Raises OptionError for a name that will not do."""
    file = Path(path).expanduser()
    write = WRITERS.get(file.suffix.lower())
    if write is None:
        hint = f"It writes {', '.join(WRITERS)} files."
        raise OptionError(f"`%codex export` can't write {file.name}.", hint=hint)
    thread = yield from session.wait(session.thread())
    turns = yield from session.wait(thread.history())
    if not turns:
        session.screen.say("This thread is empty: there is nothing to export.")
        return
    text = write(thread.record.name or "A conversation with Codex", turns, _clean(session))
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise OptionError(f"{path} is there already.", hint="Choose another name, or remove it.") from None
    except OSError as error:
        raise OptionError(f"{path} can't be written.", hint=str(error.strerror)) from error
    session.screen.say(f"Exported {count(len(turns), 'turn')} to {path}.")


Clean = Callable[[str], str]


def _clean(session: Session) -> Clean:
    """Return what takes secrets out of a text, and folders of this machine."""
    mask = session.known_secrets()
    folders = {str(folder_of(session.path).resolve()): ".", str(Path.home()): "~"}

    def clean(text: str) -> str:
        text = mask(text)
        for folder, short in sorted(folders.items(), key=lambda each: -len(each[0])):
            text = text.replace(folder, short) if len(folder) > 1 else text
        return text

    return clean


def question(turn: TurnRecord) -> str:
    """Return what the user said in a turn."""
    return "(continued)" if turn.asked == [CONTINUE] else "\n\n".join(turn.asked)


def view(turn: TurnRecord) -> TurnView:
    return TurnView.of(turn.as_turn(), turn.thread_id, usage=turn.usage, model=turn.model)


def as_markdown(title: str, turns: Sequence[TurnRecord], clean: Clean) -> str:
    from ..display.safe_markdown import marked

    parts = [f"# {marked(clean(title))}"]
    for turn in turns:
        asked = "\n".join(f"> {marked(line)}" if line else ">" for line in clean(question(turn)).split("\n"))
        parts += ["---", asked, clean(view(turn).markdown())]
    return "\n\n".join(parts) + "\n"


def as_page(title: str, turns: Sequence[TurnRecord], clean: Clean) -> str:
    from ..display.document import html_page

    return html_page(clean(title), as_markdown(title, turns, clean))


def as_notebook(title: str, turns: Sequence[TurnRecord], clean: Clean) -> str:
    from ..display.safe_markdown import marked

    cells: list[dict[str, Any]] = [
        {"id": "title", "cell_type": "markdown", "metadata": {}, "source": f"# {marked(clean(title))}"}
    ]
    for n, turn in enumerate(turns, 1):
        shown = view(turn)
        data = {"text/markdown": clean(shown.markdown()), "text/plain": clean(shown.plain())}
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        asked = f"%%codex\n{clean(question(turn))}"
        code = {"cell_type": "code", "metadata": {}, "execution_count": n, "source": asked}
        cells.append({"id": f"turn-{n}", **code, "outputs": [output]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def as_json(title: str, turns: Sequence[TurnRecord], clean: Clean) -> str:
    rows = []
    for turn in turns:
        usage = turn.usage.total if turn.usage is not None else None
        rows.append(
            {
                "question": clean(question(turn)),
                "answer": clean("\n\n".join(turn.told)),
                "status": turn.status.value,
                "model": turn.model,
                "asked_at": datetime.fromtimestamp(turn.started_at, timezone.utc).isoformat(),
                "seconds": None if turn.duration_ms is None else turn.duration_ms / 1000,
                "tokens": usage and {"input": usage.input_tokens, "output": usage.output_tokens},
            }
        )
    return json.dumps({"title": clean(title), "turns": rows}, indent=1, ensure_ascii=False) + "\n"


WRITERS = {".md": as_markdown, ".ipynb": as_notebook, ".json": as_json, ".html": as_page}
