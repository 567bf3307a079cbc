"""What becomes of an answer besides being shown: a value in a variable, code in the next cell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from ..context.describe import headline
from ..context.lookups import PYTHON
from ..protocol.errors import AuthError, InvalidOutputError, OptionError
from ..protocol.types import TurnResult, TurnStatus
from ..values.host import Host, Stored
from ..values.tables import library, table
from ..waiting import Steps
from .environment import may_ask
from .mentioned import Mentioned
from .options import answers
from .replay import is_helpless
from .session import Session, Task
from .typed import read_typed_line

if TYPE_CHECKING:
    from ..context.secrets import OutgoingMask
    from ..protocol.settings import Settings
    from ..protocol.types import RateLimits
    from ..responses.client import AsyncClient
    from ..responses.parameters import Parameters
    from ..responses.provider import Provider
    from ..responses.structured import Format
    from ..threads.turns import AsyncTurnHandle

_CELL = {"type": ["string", "number", "boolean", "null"]}
RECORDS = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}, "description": "their names"},
        "rows": {
            "type": "array",
            "items": {"type": "array", "items": _CELL},
            "description": "each with one value for each column; null where there is none",
        },
    },
    "required": ["columns", "rows"],
}
"""A table of columns that nobody knows before: a strict schema allows no records without named fields."""

AGAIN = """\


An earlier answer to this did not fit; you see it and what is wrong with it. Answer again, with nothing but JSON that
fits the schema."""

Ask = Callable[[Session, Task], Steps[TurnResult | None]]


class Answer:
    """What a cell's options do with its answer. Raises OptionError, InvalidRequestError for what can't be."""

    def __init__(self, session: Session, task: Task) -> None:
        self._session, options = session, task.options
        self._name, named = options.text("output"), options.text("schema")
        for name in ("schema", "df"):
            if options.values.get(name) and self._name is None:
                what = f"--{name} needs the name of a variable."
                raise OptionError(what, hint=f"For example: `%%codex -o answer --{name} ...`")
        for name in ("code", "run"):
            if options.values.get(name) and options.values.get("background"):
                raise OptionError(f"--{name} can't wait in the background.", hint="Leave --background out.")
        self._library = library(session.shell.user_ns) if options.values.get("df") else None
        self._is_in_background = bool(options.values.get("background"))
        self._has_rows = self._library is not None and named is None
        self._format = self._read_schema(named) if named or self._library else None
        self.failure: InvalidOutputError | None = None

    def _read_schema(self, named: str | None) -> Format[Any]:
        from ..responses.structured import Format

        kind = RECORDS if named is None else schema_named(self._session, named)
        if self._library and named is not None:
            is_plain = isinstance(kind, Mapping)
            is_list = get_origin(kind) is list
            kind = {"type": "array", "items": kind} if is_plain else kind if is_list else list[kind]  # type: ignore[valid-type]
        return Format(kind)

    @property
    def schema(self) -> dict[str, Any] | None:
        return self._format.strict if self._format is not None else None

    def take(self, handle: AsyncTurnHandle | None) -> None:
        """Bind the value of a turn that is over, or say that there is none; see `failure`."""
        if self._name is None or (handle is not None and isinstance(handle.exception, AuthError)):
            return  # after a sign-in the same is asked again
        result, say = handle.result if handle else None, self._session.screen.say
        if result is None or result.status is not TurnStatus.completed:
            how = "failed" if result and result.status is TurnStatus.failed else "was interrupted"
            say(f"`{self._name}` was not set: the turn {how}.")
            return
        self.failure = None
        try:
            value = result if self._format is None else self._value(result.final_response or "")
        except InvalidOutputError as failure:
            failure.hint = f"`{self._name}` was not set."
            self.failure = failure
            if self._is_in_background:
                say(str(failure))
            return
        self._session.shell.user_ns[self._name] = value
        if self._format is not None:
            say(f"`{self._name}`: {headline(value)}")

    def _value(self, text: str) -> Any:
        """Raises InvalidOutputError."""
        assert self._format is not None
        value = self._format.value(text)
        if self._library is None:
            return value
        if not self._has_rows:
            from ..values.tables import records

            return records(value, library=self._library)
        try:
            return table(value["columns"], _even(value), library=self._library)
        except (ValueError, TypeError) as error:
            problem = f"The answer makes no table: {error}"
            raise InvalidOutputError(problem, text=text, response=None) from error


def _even(value: Mapping[str, Any]) -> list[list[Any]]:
    """Return the rows. Raises ValueError where one is longer or shorter than the columns are many."""
    columns = len(value["columns"])
    for number, row in enumerate(value["rows"]):
        if len(row) != columns:
            raise ValueError(f"row {number} has {len(row)} values for {columns} columns.")
    return list(value["rows"])


def schema_named(session: Session, text: str) -> Any:
    """Return the type that an expression stands for, or the JSON schema of a file. Raises OptionError."""
    if text.endswith(".json"):
        try:
            schema = json.loads(Path(text).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(f"--schema: {text} can't be read as JSON.", hint=str(error)) from error
        return schema
    try:
        return session.shell.ev(text)  # type: ignore[no-untyped-call]  # IPython's
    except Exception as error:  # a user's expression
        hint = f"{type(error).__name__}: {error}. It is a type, an expression of one, or a file (.json)."
        raise OptionError(f"--schema: {text} can't be evaluated.", hint=hint) from error


def save_answer(session: Session, task: Task, ask: Ask) -> Steps[TurnResult | None]:
    """Ask, and do with the answer what the cell's options say; once more where it does not fit. Raises CodexError."""
    saving = Answer(session, task)
    task = task._replace(saving=saving)
    result = yield from ask(session, task)
    if saving.failure is not None:
        failure = saving.failure
        session.screen.say(f"{failure.message} Asking once more.")
        # As data, like all that a model wrote: an expression in it is not evaluated.
        wrong = Mentioned("the answer that did not fit", f"{failure.text}\n\n{failure.message}")
        again = task._replace(prompt=task.prompt + AGAIN, brings=[*task.brings, wrong])
        result = yield from ask(session, again)
        if saving.failure is not None:
            raise saving.failure
    options = task.options.values
    if result is not None and result.status is TurnStatus.completed and (options.keys() & {"code", "run"}):
        answer = result.final_response or ""
        yield from _use_code(session, answer, puts="code" in options, runs="run" in options)
    return result


def _use_code(session: Session, answer: str, *, puts: bool, runs: bool) -> Steps[None]:
    """Put the last code block of an answer into the next cell, or run it here after a yes."""
    from .assist import _put, code_blocks  # few cells do

    blocks = code_blocks(answer)
    code = next((code for language, code in reversed(blocks) if language in PYTHON), None)
    if code is None and (runs or not blocks):
        session.screen.say(f"The answer has no {'Python code' if blocks else 'code'}.")
        return
    code = session.mask.restore(code if code is not None else blocks[-1][1])
    is_whole = _put(session, code) if puts else not re.search(r"«SECRET_\d+»", code)
    if runs and is_whole:
        from .rerun import run_after_yes

        yield from run_after_yes(session, code)
    elif runs:
        session.screen.say("It did not run: a secret in it is not known here.")


class NotebookHost(Host):
    """What `codex_magic.ask` and `map` go by in a notebook: its settings, its mask, the person who is there."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.rows = session.settings.sample_rows

    @property
    def settings(self) -> Settings:
        return self._session.env

    def provider(self, choice: str | Provider | None) -> Provider:
        return self._session.provider(choice) if choice is None or isinstance(choice, str) else choice

    def parameters(self) -> Parameters:
        settings = self._session.settings
        return {
            "model": settings.model or None,
            "reasoning": settings.effort or None,
            "verbosity": settings.verbosity or None,
            "service_tier": settings.tier or None,
        }

    @property
    def stored(self) -> Stored:
        word, session = answers(self._session.answers), self._session
        if word != "auto":
            return "only" if word == "replay" else "no"
        return "first" if is_helpless(session.shell, session.service, session.env) else "no"

    async def limits(self, service: AsyncClient) -> RateLimits | None:
        return (await self._session.usage(service.provider)).limits if service.provider.is_codex else None

    def mask(self) -> OutgoingMask:
        return self._session.known_secrets()

    def says_yes(self, question: str) -> bool:
        if not may_ask(self._session.shell):
            return False
        try:
            line = read_typed_line(question, "Send them? [y/N] ")
        except (EOFError, OSError, RuntimeError):  # there is no line to be had
            return False
        return (line or "").strip().lower() in ("y", "yes")
