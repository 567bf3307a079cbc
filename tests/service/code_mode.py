"""Code mode: a model has one tool, `exec`, whose JavaScript calls all others on the object `tools`.

What is on that object is declared in `exec`'s own description, in TypeScript.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from codex_magic.local_service import answers
from codex_magic.local_service.conversation import Body, Item, Tool, input_items, read_conversation

_DECLARATION = re.compile(r"declare const tools: \{ (\w+)\((input: string)?")
_RUNNING = re.compile(r"Script running with cell ID (\S+)")
_HEADER = re.compile(
    r"Script (?:completed|failed|terminated|running with cell ID \S+)\nWall time \S+ seconds\nOutput:\n*"
)

# a tool's pictures arrive as data URLs, each a line of its text or the `image_url` of an object
_SHOW = """\
function show(result) {
  const lines = typeof result === "string" ? result.split("\\n") : [result];
  const isPicture = (line) => String(line?.image_url ?? line).startsWith("data:image/");
  const words = lines.filter((line) => !isPicture(line));
  if (words.length) text(words.length > 1 ? words.join("\\n") : words[0]);
  for (const picture of lines.filter(isPicture)) image(picture);
}
"""


class Nested(Tool):
    """A tool that only scripts can call; in JavaScript `-` is not for names, and a namespace stands before two `_`."""

    def is_named(self, name: str) -> bool:
        spelled = re.sub(r"\W", "_", name.replace(".", "__"))
        return self.name == spelled or self.name.endswith(f"__{spelled}")


def answer(body: Body, owner: str) -> list[Item]:
    """As ever, but where there is `exec` all tools of a round are called by one script."""
    talk = read_conversation(body)
    tool = find_tool(talk.tools, "custom", "exec")
    if tool is None:
        return answers.answer(body, owner)
    running = running_cell(talk.outputs[-1]) if talk.outputs else None
    wait = find_tool(talk.tools, "function", "wait")
    if running is not None and wait is not None and input_items(body)[-1].get("type") != "compaction_trigger":
        # a script that takes long is waited for, which is a call of its own
        return [*answers.thoughts(body, owner), call(wait, arguments=json.dumps({"cell_id": running}))]
    nested = nested_tools(tool)
    seen = replace(
        talk,
        tools=(*talk.tools, *nested),
        rounds=talk.rounds - sum(running_cell(output) is not None for output in talk.outputs),
        outputs=tuple(text for each in talk.outputs if (text := printed(each)) or running_cell(each) is None),
    )
    planned = answers.answer({**body, "parallel_tool_calls": True}, owner, seen)
    names = {each.name for each in nested}
    calls = [item for item in planned if item.get("name") in names]
    if not calls:
        return planned
    arguments = {item["name"]: item.get("arguments") or json.dumps(item["input"]) for item in calls}
    others = [item for item in planned if item not in calls]
    return [*others, call(tool, input=script(arguments))]


def call(tool: Tool, **given: str) -> Item:
    named = (
        {"name": tool.name} if tool.namespace is None else {"name": tool.name, "namespace": tool.namespace}
    )
    return {"type": "function_call" if tool.kind == "function" else "custom_tool_call", **named, **given}


def find_tool(tools: Iterable[Tool], kind: str, name: str) -> Tool | None:
    return next((tool for tool in tools if (tool.kind, tool.name) == (kind, name)), None)


def nested_tools(tool: Tool) -> list[Nested]:
    """What `exec` declares; some of it takes plain text."""
    return [
        Nested("custom" if is_text else "function", name, None, {"type": "object"}, "")
        for name, is_text in _DECLARATION.findall(tool.description)
    ]


def script(calls: Mapping[str, str]) -> str:
    """JavaScript that makes these calls, name to argument, and shows what each gives."""
    return _SHOW + "".join(f"show(await tools.{name}({argument}));\n" for name, argument in calls.items())


def running_cell(output: str) -> str | None:
    """The id of the script that has given this much and is still running."""
    found = _RUNNING.match(output)
    return found[1] if found else None


def printed(output: str) -> str:
    """What a script gave, without the report about it; all of an output that has none."""
    header = _HEADER.match(output)
    return output[header.end() :] if header else output
