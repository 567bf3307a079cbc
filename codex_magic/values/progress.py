"""How far `map` is: a bar of tqdm where it is installed, else one of rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pydoc import locate

Show = Callable[[int, str], object]
"""Shows how many rows are done, and words beside the bar."""


@contextmanager
def bar(total: int, *, shown: bool) -> Iterator[Show]:
    """Show a bar for so many rows, with the time left."""
    if not shown or not total:
        yield lambda done, words: None
    elif (tqdm := locate("tqdm.auto.tqdm")) is not None:
        with tqdm(total=total, unit=" rows") as drawn:  # type: ignore[operator]  # a class, says `locate`

            def show(done: int, words: str) -> None:
                drawn.set_postfix_str(words, refresh=False)
                drawn.update(done - drawn.n)

            yield show
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[words]}")
        with Progress(*columns) as progress:
            task = progress.add_task("", total=total, words="")
            yield lambda done, words: progress.update(task, completed=done, words=words)
