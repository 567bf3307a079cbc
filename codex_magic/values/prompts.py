"""The question for each row: a function's result, or a text with the row's values in it."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

from ..protocol.errors import OptionError
from ..protocol.plain import encodable
from .asking import plain_text

_MARKER = re.compile(r"\{\{[ \t]*([^{}\n]+?)[ \t]*\}\}")


AT_ONCE = 50
"""Rows that are handed to a worker together: to hand one over may take longer than its work."""


class Prompt(NamedTuple):
    """`data` is sent beside the text, as data."""

    text: str
    data: str | None = None


def filled(text: str, row: Any) -> Prompt:
    """Put the row's values where they are named: `{{ value }}`, or `{{ NAME }}` of a column. Other braces stay.

    A text that names nothing of the row is asked about the whole of it.
    """
    named = {str(name): value for name, value in row.items()} if isinstance(row, Mapping) else {}
    named.setdefault("value", row)
    if not any(name in named for name in _MARKER.findall(text)):
        return Prompt(text, encodable(plain_text(row)))
    return Prompt(_MARKER.sub(lambda each: plain_text(named[each[1]]) if each[1] in named else each[0], text))


def prompts(
    prompt: str | Callable[[Any], Any], rows: list[Any], executor: Any = None
) -> list[Prompt | Exception]:
    """Return the question for each row, or what the function raised for it.

    The function runs in `executor`, e.g. on the machines where the data is.
    """
    if isinstance(prompt, str):
        return [_result(partial(filled, prompt), row) for row in rows]
    if executor is None:
        return [_result(prompt, row) for row in rows]
    submit = _submit(executor, _each_here if isinstance(executor, ProcessPoolExecutor) else _each_anywhere())
    parts = [rows[begin : begin + AT_ONCE] for begin in range(0, len(rows), AT_ONCE)]
    sent = [(submit(prompt, part), part) for part in parts]
    return [_result(_raised, made) for future, part in sent for made in _made(future, part)]


def _made(future: Any, part: list[Any]) -> list[Any]:
    try:
        return list(future.result())
    except Exception as error:  # noqa: BLE001  # a worker that died, or an exception that can't be sent
        return [error] * len(part)


def _each_here(function: Callable[[Any], Any], rows: list[Any]) -> list[Any]:
    """Return what the function makes of each row, or what it raises."""
    made: list[Any] = []
    for row in rows:
        try:
            made.append(function(row))
        except Exception as error:  # noqa: BLE001  # it is one row's
            made.append(error)
    return made


def _each_anywhere() -> Callable[..., list[Any]]:
    """Return the same as a function that is sent whole: on other machines there may be no codex_magic."""
    copy = FunctionType(_each_here.__code__, {"__builtins__": builtins}, "each")
    copy.__module__ = "__main__"
    return copy


def _raised(made: Any) -> Any:
    if isinstance(made, Exception):
        raise made
    return made


def _result(function: Callable[[Any], Any], argument: Any) -> Prompt | Exception:
    try:
        made = function(argument)
    except Exception as error:  # noqa: BLE001  # a function or a value of the user's: the other rows go on
        return error
    if not isinstance(made, Prompt | str):
        return TypeError(f"The prompt is a {type(made).__name__}, not a text.")
    prompt = made if isinstance(made, Prompt) else Prompt(made)
    return prompt._replace(text=encodable(prompt.text))


def _submit(executor: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what hands work to an Executor, to a Dask client (it has the same method) or to Ray (the module)."""
    if isinstance(executor, Executor) or hasattr(executor, "submit"):
        return partial(executor.submit, function)
    if hasattr(executor, "remote"):
        remote = executor.remote(function)
        return lambda *work: remote.remote(*work).future()
    hint = "Pass a concurrent.futures.Executor, a Dask client or the module ray."
    raise OptionError(f"executor can't be a {type(executor).__name__}.", hint=hint)
