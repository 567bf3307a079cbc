"""How far `map` is: a bar of tqdm where it is installed, else one of rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pydoc import locate
from typing import Any, Protocol


class Bar(Protocol):
    def show(self, done: int, words: str) -> None: ...


class _Tqdm:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, done: int, words: str) -> None:
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(done - self._bar.n)


class _Rich:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def show(self, done: int, words: str) -> None:
        self._bar.update(self._task, completed=done, words=words)


class _Nothing:
    def show(self, done: int, words: str) -> None:
        pass


@contextmanager
def bar(total: int, *, shown: bool) -> Iterator[Bar]:
    """Show a bar for so many rows, with the time left."""
    if not shown or not total:
        yield _Nothing()
    elif (tqdm := locate("tqdm.auto.tqdm")) is not None:
        with tqdm(total=total, unit=" rows") as inner:  # type: ignore[operator]  # a class, says `locate`
            yield _Tqdm(inner)
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[words]}")
        with Progress(*columns) as progress:
            yield _Rich(progress, progress.add_task("", total=total, words=""))
