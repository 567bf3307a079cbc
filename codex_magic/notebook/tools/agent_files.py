"""The files that one turn of the agent changes: below its folder, and elsewhere those that it asks about.

Of what differs at its end, its own are the files that its changes name, and those that changed while a command of it
ran: whatever else works in the folder meanwhile is not its doing. Notebooks are a page's, which saves them at any time.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ...engines.approvals import Approvals
from ...protocol import types
from ...waiting import awaited, in_thread
from .files import LARGEST, Change, Entry, FileChanges, Picture, look

SLACK_NS = 1_000_000_000
"""A command has begun before its begin is told: the program does not wait."""


class AgentFiles:
    """Made when a turn is asked for; `begin` before the agent hears of it, `end` when it is over."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.spans: list[tuple[int, int]] = []
        """When commands ran, in nanoseconds."""
        self._picture: Picture | None = None
        self._elsewhere: dict[str, Entry | None] = {}
        self._named: dict[str, set[str]] = {}  # by item
        self._running: dict[str, int] = {}  # since when each command runs

    async def begin(self) -> list[str]:
        """Take a picture of the folder; return what of it can't be put back."""
        self._picture = await awaited(in_thread(lambda: Picture(self.folder), daemon=True))
        return self._picture.left_out

    def hear(self, notification: types.Notification) -> None:
        if not isinstance(notification, types.ItemStarted | types.ItemCompleted):
            return
        item, is_over = notification.item, isinstance(notification, types.ItemCompleted)
        if isinstance(item, types.FileChange):
            is_done = item.status not in types.NEVER_DONE and item.status != "waiting"
            self._named[item.id] = set(self._paths(item.changes)) if is_done else set()
        elif isinstance(item, types.CommandExecution):
            if is_over:
                self._stop(item.id)
            elif item.status == "inProgress":
                self._running.setdefault(item.id, time.time_ns() - SLACK_NS)

    def _stop(self, item_id: str) -> None:
        if (begun := self._running.pop(item_id, None)) is not None:
            self.spans.append((begun, time.time_ns()))

    def asking(self, approvals: Approvals) -> Callable[[types.ApprovalRequest], Coroutine[Any, Any, Any]]:
        """Return the same approvals, before which what a change names is kept, and after which a command begins."""

        async def ask(request: types.ApprovalRequest) -> Any:
            if isinstance(request, types.FileChangeApproval):
                await awaited(in_thread(lambda: self._keep(request), daemon=True))
            if isinstance(request, types.CommandApproval):
                self._running.pop(request.item_id, None)  # it may wait for an hour
            answer = approvals(request)
            answer = await answer if inspect.isawaitable(answer) else answer
            if isinstance(request, types.CommandApproval):
                await awaited(in_thread(self._pass_over, daemon=True))
                self._running[request.item_id] = time.time_ns()
            return answer

        return ask

    def _keep(self, request: types.FileChangeApproval) -> None:
        for path in self._paths(request.changes):
            if self._picture is None or not path.startswith(self._picture.folder + os.sep):
                self._elsewhere.setdefault(path, look(path, most=LARGEST))

    def _paths(self, changes: tuple[dict[str, Any], ...]) -> list[str]:
        paths = [str(each.get("path")) for each in changes]
        kinds = [each["kind"] for each in changes if isinstance(each.get("kind"), dict)]
        paths += [str(kind["move_path"]) for kind in kinds if kind.get("move_path")]
        parts = (os.path.split(os.path.join(self.folder, path)) for path in paths)
        return [os.path.join(os.path.realpath(folder), name) for folder, name in parts]

    def end(self) -> FileChanges | None:
        """Return what the turn has changed; `None` where it never began."""
        if self._picture is None:
            return None
        for item_id in [*self._running]:
            self._stop(item_id)
        found = self._picture.changes()
        own, _ = self._divided(found)
        named = self._all_named()
        for path, before in self._elsewhere.items():
            now = look(path, most=LARGEST)
            if path in named and (before is None or not before.is_same(now)) and (before or now):
                own.append(Change(path, before, now))
        return FileChanges(found.folder, own)

    def _pass_over(self) -> None:
        """Take what others have changed so far, while a question waited, for what was there before."""
        if self._picture is not None and not self._running:
            _, others = self._divided(self._picture.changes())
            self._picture.renew(others)

    def _all_named(self) -> set[str]:
        return set[str]().union(*self._named.values())

    def _divided(self, found: FileChanges) -> tuple[list[Change], list[Change]]:
        """Return what the turn has changed, and what others have."""
        named, own, others = self._all_named(), list[Change](), list[Change]()
        made = set[str]()  # by the turn, with all that they hold, which a renamed folder has brought
        for each in found.changes:  # a folder before what it holds
            if os.path.dirname(each.path) in made or self._is_own(each, named):
                own.append(each)
                made |= {each.path} if each.before is None else set()
            else:
                others.append(each)
        return own, others

    def _is_own(self, change: Change, named: set[str]) -> bool:
        path = change.path
        if path in named or any(each.startswith(path + os.sep) for each in named):
            return True
        if path.endswith(".ipynb"):
            return False
        changed = _changed_at(path)
        return any(begun <= changed <= ended for begun, ended in self.spans)


def _changed_at(path: str) -> int:
    """Return when a path was changed last, or the folder that it was deleted from."""
    while True:
        try:
            return os.lstat(path).st_ctime_ns
        except OSError:
            path = os.path.dirname(path)
