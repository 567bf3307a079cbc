"""The tools of a notebook: which of the user's own are offered, which are off, and how often each was called.

The user's own are the `Tool`s that the notebook's names hold. So a cell that runs again replaces its tool, `del` takes
it away, and what is imported by name is offered while what a library defines for itself is not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ...engines.tools import TAKEN
from ...protocol.plain import shorten
from ...protocol.types import MCP, NEVER_DONE, ToolCall
from ...responses.tools import Tool

RESULT_CHARS = 60  # of the last result, in a table


class Calls(NamedTuple):
    """How often a tool ran, and what became of the last call, in Unix seconds and words."""

    number: int
    at: int
    last: str


class ToolRegistry:
    """What a kernel knows of its tools beside their definitions. A name is `tool`, `namespace.tool` or an MCP server's."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.calls: dict[str, Calls] = {}
        self._mentioned: set[str] = set()

    def is_on(self, name: str) -> bool:
        """Whether neither the tool nor the server that it is part of is turned off."""
        return self.off.isdisjoint((name, name.partition(".")[0]))

    def own(self, names: Mapping[str, Any], taken: frozenset[str]) -> tuple[list[Tool], dict[str, str]]:
        """Return the user's tools among the notebook's names, and why others can't be offered. `taken`: names of ours."""
        offered: dict[str, Tool] = {}
        problems: dict[str, str] = {}
        for tool in _tools(names):
            name = shown_name(tool.name, tool.namespace)
            if name in taken | TAKEN:
                problems[name] = "the name is taken by a tool of Codex"
            elif name in offered and offered[name].function is not tool.function:
                problems[name] = "another tool has this name"
            else:
                offered[name] = tool
        return list(offered.values()), problems

    def offered(self, names: Mapping[str, Any], taken: frozenset[str], notes: list[str]) -> list[Tool]:
        """Return those that are on; they ask unless their author says otherwise. What can't be offered is noted once."""
        own, problems = self.own(names, taken)
        for name in problems.keys() - self._mentioned:
            self._mentioned.add(name)
            notes.append(f"Your tool `{name}` is not offered: {problems[name]}. Rename it: `@tool(name=...)`")
        on = (tool for tool in own if self.is_on(shown_name(tool.name, tool.namespace)))
        return [replace(tool, needs_approval=tool.needs_approval is not False) for tool in on]

    def note(self, item: ToolCall) -> None:
        """Count a call that is over; one that was not allowed did not run."""
        from ...display.items import FRAME, seconds  # a question is on its way before it is imported

        name = shown_name(item.tool, item.namespace)
        ran = item.status not in NEVER_DONE
        texts = (str(part.get("text", part.get("type"))) for part in item.content_items or ())
        text = FRAME.sub("", " ".join(texts))
        result = shorten(" ".join(text.split()), RESULT_CHARS) if ran else item.status
        is_failure = item.success is False and ran
        words = filter(None, ("failed" if is_failure else "", seconds(item.duration_ms), result))
        before = self.calls.get(name)
        number = (before.number if before else 0) + ran
        self.calls[name] = Calls(number, int(time.time()), " · ".join(words))


def shown_name(name: str, namespace: str | None) -> str:
    """Return what the user calls a tool by."""
    # Some models put all into `functions`.
    group = (namespace or "").removeprefix("functions").removeprefix(MCP)
    return f"{group}.{name}" if group else name


def _tools(names: Mapping[str, Any]) -> Iterator[Tool]:
    for name, value in dict(names).items():
        if type(value) is Tool and name[0] != "_":  # `_` and its like are IPython's history
            yield _current(value)


def _current(tool: Tool) -> Tool:
    """Return what has taken the place of a tool whose module was loaded again."""
    made_in, name = (getattr(tool.function, each, "") for each in ("__module__", "__qualname__"))
    module = sys.modules.get(made_in) if made_in != "__main__" else None
    now = getattr(module, name, None)
    return now if type(now) is Tool and now.name == tool.name else tool
