"""Code mode: a model has one tool, `exec`, whose JavaScript calls all others on the object `tools`.

What is on that object is declared in `exec`'s own description, in TypeScript.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .conversation import Tool

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


def find_exec(tools: Iterable[Tool]) -> Tool | None:
    """The tool that runs scripts, where there is one."""
    return next((tool for tool in tools if (tool.kind, tool.name) == ("custom", "exec")), None)


def declared(tool: Tool) -> dict[str, bool]:
    """The names on the object `tools`, and of each whether it takes plain text."""
    return {name: bool(is_text) for name, is_text in _DECLARATION.findall(tool.description)}


def find_nested(name: str, names: Iterable[str]) -> str | None:
    """The JavaScript name of a tool: `-` is not for names, and a namespace stands before two `_`."""
    spelled = re.sub(r"\W", "_", name.replace(".", "__"))
    return next((each for each in names if each == spelled or each.endswith(f"__{spelled}")), None)


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
