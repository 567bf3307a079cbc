"""What the local service answers: the items of a response, chosen by what the request says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from . import prose
from .conversation import Body, Conversation, Prompt, Tool, input_items, read_conversation
from .samples import sample


@dataclass(frozen=True)
class Thought:
    """A reasoning item; without parts when no summary was asked for."""

    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    text: str
    phase: str = "final_answer"
    cited: str | None = None
    """A web address that the message names as its source."""


@dataclass(frozen=True)
class Refusal:
    """The model's own refusal, which arrives as content and not as an error."""

    text: str


@dataclass(frozen=True)
class Call:
    tool: Tool
    arguments: str


@dataclass(frozen=True)
class Search:
    query: str


@dataclass(frozen=True)
class Drawing:
    prompt: str


@dataclass(frozen=True)
class Compaction:
    content: dict[str, Any]


Item = Thought | Message | Refusal | Call | Search | Drawing | Compaction
Script = tuple[Item, ...]


def answer(body: Body, talk: Conversation | None = None) -> Script:
    """The items to stream for one request, in order; `talk` is what else than the body itself it says."""
    talk = talk or read_conversation(body)
    items = input_items(body)
    if items and items[-1].get("type") == "compaction_trigger":
        return (Compaction(talk.compaction()),)
    return (*thoughts(body), *_reply(body, talk))


def thoughts(body: Body) -> Script:
    reasoning = body.get("reasoning")
    if reasoning is None or reasoning.get("effort") == "none":
        return ()
    return (Thought(prose.THOUGHTS if reasoning.get("summary") in _SUMMARIES else ()),)


_SUMMARIES = ("auto", "concise", "detailed")


def _reply(body: Body, talk: Conversation) -> Script:
    calls = _calls(body, talk)
    if calls:
        aloud = "aloud" in talk.prompt.text
        said = "I will use " + " and ".join(f"`{call.tool.name}`" for call in calls) + "."
        return (Message(said, phase="commentary"), *calls) if aloud else calls
    if structured := _structured(body, talk):
        return (structured,)
    if talk.prompt.echo is not None:
        return (Message(talk.prompt.echo),)
    if _SEARCH.search(talk.prompt.text) and any(tool.kind.startswith("web_search") for tool in talk.tools):
        return (Search(_title(talk.prompt.text)), _cited(talk))
    if _DRAW.search(talk.prompt.text) and any(tool.kind == "image_generation" for tool in talk.tools):
        return (Drawing(_title(talk.prompt.text)), Message(_prepared("A prepared picture.")(talk, None)))
    if _REFUSE.search(talk.prompt.text):
        return (Refusal("The local service was asked to refuse, and so it does."),)
    return (Message(_text(talk)),)


_SEARCH = re.compile(r"\bsearch the web\b", re.I)
_DRAW = re.compile(r"\bdraw\b", re.I)
_REFUSE = re.compile(r"^refuse\b", re.I)


# Tools -------------------------------------------------------------------------------------------

_USE = re.compile(
    r"\buse the tools? (?P<names>[\w.-]+(?:(?:, | and )[\w.-]+)*)(?: (?P<times>\d+) times)?(?: with (?=\{))?",
    re.I,
)


def _calls(body: Body, talk: Conversation) -> tuple[Call, ...]:
    """The calls of this round; none when all that was asked for is done."""
    if body.get("tool_choice") == "none":
        return ()
    rounds = _asked_rounds(talk)
    if talk.rounds < len(rounds):
        calls = rounds[talk.rounds]
        return calls if body.get("parallel_tool_calls", True) else calls[:1]
    return _forced(body.get("tool_choice"), talk) if not talk.rounds else ()


def _asked_rounds(talk: Conversation) -> list[tuple[Call, ...]]:
    """Each `use the tool ...` of the prompt is one round, repeated when it says so."""
    rounds: list[tuple[Call, ...]] = []
    for asked in _USE.finditer(talk.prompt.text if talk.prompt.echo is None else ""):
        given = _json_at(talk.prompt.text, asked.end())
        names = re.split(r", | and ", asked["names"].rstrip("."))
        calls = tuple(
            _call(tool, given)
            for name in names
            for tool in talk.tools
            if tool.is_callable and tool.is_named(name)
        )
        if calls:
            rounds += [calls] * int(asked["times"] or 1)
    return rounds


def _json_at(text: str, start: int) -> str | None:
    """The JSON object that begins at `start`, exactly as it is written there."""
    if not text.startswith("{", start):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None
    return text[start:end]


def _call(tool: Tool, given: str | None) -> Call:
    if tool.kind == "custom":
        return Call(tool, _plain(given))
    if given is not None:
        return Call(tool, given)
    return Call(tool, json.dumps(sample(tool.parameters), ensure_ascii=False))


def _plain(given: str | None) -> str:
    """For a tool that takes plain text, which `{"input": TEXT}` gives as it is."""
    if given is None:
        return "local service"
    value = json.loads(given)
    return value["input"] if list(value) == ["input"] and isinstance(value["input"], str) else given


def _forced(choice: object, talk: Conversation) -> tuple[Call, ...]:
    callable_tools = [tool for tool in talk.tools if tool.is_callable]
    if choice == "required":
        return tuple(_call(tool, None) for tool in callable_tools[:1])
    if isinstance(choice, dict) and "name" in choice:
        return tuple(_call(tool, None) for tool in callable_tools if tool.name == choice["name"])
    return ()


# Structured answers ------------------------------------------------------------------------------


def _structured(body: Body, talk: Conversation) -> Message | None:
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        value = sample(wanted["schema"], text=_title(talk.prompt.text) or "local service")
        return Message(json.dumps(value, ensure_ascii=False))
    if wanted.get("type") == "json_object":
        return Message(json.dumps({"scripted": True, "question": talk.prompt.text, "turn": talk.turn}))
    return None


# Text --------------------------------------------------------------------------------------------


def _text(talk: Conversation) -> str:
    if talk.prompt.echo is not None:
        return talk.prompt.echo
    if talk.outputs:
        return _quoting(talk)
    for pattern, write in _SCRIPTED:
        if found := pattern.search(talk.prompt.text):
            return write(talk, found)
    return _prepared(prose.OVERVIEW)(talk, None)


def _quoting(talk: Conversation) -> str:
    """The answer after tool calls shows what came back, each result in a fence longer than any in it."""
    shown = []
    for output in talk.outputs:
        fence = "`" * max([2, *(len(run) for run in re.findall("`+", output))]) + "`"
        shown.append(f"{fence}\n{output}\n{fence}")
    came = "The tool gave:" if len(shown) == 1 else f"The {len(shown)} calls gave:"
    return "\n\n".join([prose.NOTICE, came, *shown]) + "\n"


def _prepared(text: str) -> Callable[[Conversation, object], str]:
    def write(talk: Conversation, _: object) -> str:
        return "\n\n".join([prose.NOTICE, text.strip("\n"), *_references(talk)]) + "\n"

    return write


def _references(talk: Conversation) -> list[str]:
    """What arrived besides the question, so that a reader (or a test) sees that it did."""
    notes = []
    if talk.images:
        notes.append(f"*With {talk.images} image{'s' if talk.images > 1 else ''}.*")
    if talk.earlier:
        notes.append(f"*This is turn {talk.turn}; before it you asked: “{_title(talk.earlier[-1])}”*")
    elif talk.compacted:
        notes.append(f"*This is turn {talk.turn}; the {talk.compacted} before it were compacted.*")
    return notes


def _repeat(talk: Conversation, found: re.Match[str]) -> str:
    return prose.document(int(found[1]))


def _long(talk: Conversation, _: object) -> str:
    return _prepared(prose.document(prose.LONG_CHARS))(talk, None)


def _so_far(talk: Conversation, _: object) -> str:
    asked = [f"{n}. {_title(question)}" for n, question in enumerate(talk.earlier, talk.compacted + 1)]
    listed = "\n".join(asked) or "Nothing: this is the first question that arrived."
    return _prepared("You asked so far:\n\n" + listed)(replace(talk, earlier=()), None)


def _continue(talk: Conversation, _: object) -> str:
    """The rest of the previous answer when it was cut off; else a remark that it was whole."""
    if not talk.earlier:
        return _prepared("There is no answer to continue.")(talk, None)
    before = replace(talk, prompt=Prompt(talk.earlier[-1]), earlier=talk.earlier[:-1], outputs=())
    whole = _text(before) if not _CONTINUE.search(before.prompt.text) else ""
    if talk.last_answer and whole.startswith(talk.last_answer) and whole != talk.last_answer:
        return whole[len(talk.last_answer) :]
    return _prepared("The previous answer was complete; there is nothing to add.")(talk, None)


def _title(text: str) -> str:
    """The first line that says something, at most 80 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79] + "…"


def _cited(talk: Conversation) -> Message:
    address = "https://example.com/local-service"
    text = f"{prose.NOTICE}\n\nNothing was searched. [A prepared source]({address}) stands for a result.\n"
    return Message(text, cited=address)


_CONTINUE = re.compile(r"^(please )?(continue|go on)\b", re.I)

_SCRIPTED: tuple[tuple[re.Pattern[str], Callable[[Conversation, Any], str]], ...] = (
    (re.compile(r"\brepeat (\d+)\b", re.I), _repeat),
    (_CONTINUE, _continue),
    (re.compile(r"\b(did I ask|so far)\b", re.I), _so_far),
    (re.compile(r"\bhaiku\b", re.I), _prepared(prose.HAIKU)),
    (re.compile(r"\b(plot|chart|figure|matplotlib)", re.I), _prepared(prose.PLOT)),
    (re.compile(r"\b(pandas|data ?frame|group ?by)", re.I), _prepared(prose.PANDAS)),
    (re.compile(r"\b(math|integral|formula|equation)", re.I), _prepared(prose.MATH)),
    (re.compile(r"\b(error|traceback|exception|fix)\b", re.I), _prepared(prose.ERROR)),
    (re.compile(r"\b(bash|shell|terminal)\b", re.I), _prepared(prose.BASH)),
    (re.compile(r"\btable\b", re.I), _prepared(prose.TABLE)),
    (re.compile(r"\blong\b", re.I), _long),
    (re.compile(r"\b(explain|what does|how does)\b", re.I), _prepared(prose.EXPLAIN)),
)
