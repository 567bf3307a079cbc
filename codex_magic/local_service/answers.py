"""What the local service answers: items chosen by what the request says, with nothing made up about the world."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from . import seen
from .conversation import Body, Conversation, Item, Prompt, Tool, input_items, read_conversation, seal
from .samples import sample

PICTURE = base64.b64encode(Path(__file__).with_name("picture.png").read_bytes()).decode()

NOTICE = "*A scripted answer from the local service: no model was asked.*"


def answer(body: Body, owner: str, talk: Conversation | None = None) -> list[Item]:
    """Return the items to stream, in order and without ids; `talk` stands in for what the body says."""
    talk = talk or read_conversation(body)
    items = input_items(body)
    if items and items[-1].get("type") == "compaction_trigger":
        done = {"rounds": talk.rounds, "outputs": talk.outputs} if talk.rounds else {}
        memory = {"turns": talk.turn, "last": talk.prompt.text[:200], **done}
        return [{"type": "compaction", "encrypted_content": seal(owner, memory)}]
    return [*thoughts(body, owner), *_reply(body, talk)]


def thoughts(body: Body, owner: str) -> list[Item]:
    """Return a reasoning item where the request has some effort for it; its summary where one is wanted."""
    reasoning = body.get("reasoning")
    if reasoning is None or reasoning.get("effort") == "none":
        return []
    shows = reasoning.get("summary") in ("auto", "concise", "detailed")
    texts = prepared("thoughts").split("\n---\n") if shows else []
    summary = [{"type": "summary_text", "text": text} for text in texts]
    thought: Item = {"type": "reasoning", "summary": summary}
    if "reasoning.encrypted_content" in (body.get("include") or []):
        thought["encrypted_content"] = seal(owner, {"thought": len(texts)})
    return [thought]


def _reply(body: Body, talk: Conversation) -> list[Item]:
    if calls := _calls(body, talk):
        return calls
    if structured := _structured(body, talk):
        return [message(structured)]
    if talk.prompt.echo is not None:
        return [message(talk.prompt.echo)]
    is_search = re.search(r"\bsearch the web\b", talk.prompt.text, re.I)
    if is_search and any(tool.kind.startswith("web_search") for tool in talk.tools):
        action = {"type": "search", "query": _title(talk.prompt.text)}
        return [{"type": "web_search_call", "action": action}, _cited()]
    return [message(_text(talk))]


def message(text: str, phase: str = "final_answer", annotations: Sequence[Item] = ()) -> Item:
    part = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    return {"type": "message", "role": "assistant", "phase": phase, "content": [part]}


def _cited() -> Item:
    url = "https://example.com/local-service"
    text = f"{NOTICE}\n\nNothing was searched. [A prepared source]({url}) stands for a result.\n"
    place = {"start_index": text.index(url), "end_index": text.index(url) + len(url)}
    citation = {"type": "url_citation", "url": url, "title": "A prepared source", **place}
    return message(text, annotations=[citation])


_USE = re.compile(
    r"\buse the tools? (?P<names>[\w.-]+(?:(?:, | and )[\w.-]+)*)(?: (?P<times>\d+) times)?(?: with (?=\{))?",
    re.I,
)
"""Each such order in a prompt is one round of calls, repeated when it says so."""

_ABOUT_VARIABLES = re.compile(r"\b(which|what) variables\b", re.I)
"""A question that a client's own tool answers."""


def _calls(body: Body, talk: Conversation) -> list[Item]:
    """Return the calls of this round; none when all that was asked for is done."""
    choice = body.get("tool_choice")
    if choice == "none":
        return []
    rounds: list[list[Item]] = []
    text = talk.prompt.text if talk.prompt.echo is None else ""
    for order in _USE.finditer(text):
        arguments = None
        with suppress(ValueError):  # those that follow are sent exactly as they are written
            arguments = text[order.end() : json.JSONDecoder().raw_decode(text, order.end())[1]]
        names = re.split(r", | and ", order["names"].rstrip("."))
        tools = [tool for name in names for tool in talk.callable_tools if tool.is_named(name)]
        rounds += [[_call(tool, arguments) for tool in tools]] * int(order["times"] or 1) if tools else []
    if not rounds and _ABOUT_VARIABLES.search(text):
        rounds = [[_call(tool, "{}")] for tool in talk.callable_tools if tool.is_named("list_variables")]
    if talk.rounds < len(rounds):
        calls = rounds[talk.rounds]
        return calls if body.get("parallel_tool_calls", True) else calls[:1]
    if talk.rounds:
        return []
    forced = choice.get("name") if isinstance(choice, dict) else None
    first = talk.callable_tools[:1] if choice == "required" else []
    return [_call(tool) for tool in first or [tool for tool in talk.callable_tools if tool.name == forced]]


def _call(tool: Tool, arguments: str | None = None) -> Item:
    """Return a call with these arguments, or made-up ones; of a tool that takes text, with `{"input": TEXT}`."""
    named = {"name": tool.name} | ({"namespace": tool.namespace} if tool.namespace is not None else {})
    if tool.kind == "function":
        arguments = arguments or json.dumps(sample(tool.parameters), ensure_ascii=False)
        return {"type": "function_call", **named, "arguments": arguments}
    value = json.loads(arguments or '{"input": "local service"}')
    is_text = list(value) == ["input"] and isinstance(value["input"], str)
    return {"type": "custom_tool_call", **named, "input": value["input"] if is_text else arguments}


def _structured(body: Body, talk: Conversation) -> str | None:
    """Return JSON, where the request wants it, of its schema."""
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        value = sample(wanted["schema"], text=_title(talk.prompt.text) or "local service")
        return json.dumps(value, ensure_ascii=False)
    if wanted.get("type") == "json_object":
        return json.dumps({"scripted": True, "question": talk.prompt.text, "turn": talk.turn})
    return None


def _text(talk: Conversation) -> str:
    if talk.outputs:
        return _quoting(talk.outputs)
    if remark := seen.remark(talk.context, talk.known, talk.prompt.text):
        return _prepared(remark, talk)
    for pattern, text in _SCRIPTED:
        if match := re.search(pattern, talk.prompt.text, re.I):
            return _prepared(prepared(text), talk) if isinstance(text, str) else text(talk, match)
    return _prepared(prepared("overview"), talk)


def _quoting(outputs: Sequence[str]) -> str:
    """Show what tool calls gave, each result in a fence longer than any in it, without frames around data."""
    outputs = [re.sub(r"</?external_\w+>", "", output) for output in outputs]
    fences = ["`" * (1 + max([2, *map(len, re.findall("`+", output))])) for output in outputs]
    shown = [f"{fence}\n{output}\n{fence}" for fence, output in zip(fences, outputs, strict=True)]
    came = "The tool gave:" if len(shown) == 1 else f"The {len(shown)} calls gave:"
    return "\n\n".join([NOTICE, came, *shown]) + "\n"


def _prepared(text: str, talk: Conversation) -> str:
    """Return a text and what arrived besides the question, so that a reader (or a test) sees that it did."""
    notes = []
    if cells := seen.cells(talk.context):
        notes.append(f"*With these cells of your notebook: {cells}.*")
    if secrets := sorted(set(re.findall(r"«SECRET_\d+»", talk.prompt.text + talk.context))):
        notes.append(f"*In place of secrets it read {', '.join(secrets)}.*")
    if talk.images:
        notes.append(f"*With {talk.images} image{'s' if talk.images > 1 else ''}.*")
    if talk.earlier:
        notes.append(f"*This is turn {talk.turn}; before it you asked: “{_title(talk.earlier[-1])}”*")
    elif talk.compacted:
        notes.append(f"*This is turn {talk.turn}; the {talk.compacted} before it were compacted.*")
    return "\n\n".join([NOTICE, text.strip("\n"), *notes]) + "\n"


def _so_far(talk: Conversation, _: object) -> str:
    questions = [f"{n}. {_title(question)}" for n, question in enumerate(talk.earlier, talk.compacted + 1)]
    listed = "\n".join(questions) or "Nothing: this is the first question that arrived."
    return _prepared("You asked so far:\n\n" + listed, replace(talk, earlier=()))


def _continue(talk: Conversation, _: object) -> str:
    """Return the rest of the previous answer when it was cut off; else a remark that it was whole."""
    if not talk.earlier:
        return _prepared("There is no answer to continue.", talk)
    before = replace(talk, prompt=Prompt(talk.earlier[-1]), earlier=talk.earlier[:-1], outputs=())
    whole = "" if re.search(_CONTINUE, before.prompt.text, re.I) else _text(before)
    if talk.last_answer and whole.startswith(talk.last_answer) and whole != talk.last_answer:
        return whole[len(talk.last_answer) :]
    return _prepared("The previous answer was complete; there is nothing to add.", talk)


def _title(text: str) -> str:
    """Return the first line that says something, at most 80 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79] + "…"


_CONTINUE = r"^(please )?(continue|go on)\b"


def _suggestion(_: Conversation, code: re.Match[str]) -> str:
    """Continue code at its cursor by a comment, which any line of it may have."""
    return f"  # scripted, after `{code[1]}`"


_SCRIPTED: tuple[tuple[str, str | Callable[[Conversation, re.Match[str]], str]], ...] = (
    (r"(?<!\S)(\S*)[ ]*<cursor/>", _suggestion),
    (r"\brepeat (\d+)\b", lambda _, match: document(int(match[1]))),
    (_CONTINUE, _continue),
    (r"\b(did I ask|so far)\b", _so_far),
    (r"\bhaiku\b", "haiku"),
    (r"\b(plot|chart|figure|matplotlib)", "plot"),
    (r"\b(pandas|data ?frame|group ?by)", "pandas"),
    (r"\b(math|integral|formula|equation)", "math"),
    (r"\b(error|traceback|exception|fix)\b", "error"),
    (r"\b(bash|shell|terminal)\b", "bash"),
    (r"\btable\b", "table"),
    (r"\blong\b", lambda talk, _: _prepared(document(6000), talk)),
    (r"\b(explain|what does|how does)\b", "explain"),
)
"""What a question is answered with, by the first pattern in it."""


@cache
def prepared(name: str) -> str:
    """Return the file `texts/NAME.md`, without the line break at its end."""
    return (Path(__file__).parent / "texts" / f"{name}.md").read_text(encoding="utf-8").rstrip("\n")


def document(length: int) -> str:
    """Return exactly `length` characters of Markdown: whole sections, then plain words."""
    written, section, number = "", "", 0
    while len(written) + len(section) <= length:
        written, number = written + section, number + 1
        topic = _TOPICS[number % len(_TOPICS)]
        named = {"topic": topic, "name": topic.lower(), "number": number, "next": number + 1}
        numbers = {"size": 100 + 37 * number, "share": 10 + number % 40}
        section = prepared("section").format(**named, **numbers) + "\n\n"
    missing = length - len(written)
    filler = "And so on, word by word, until the asked length is reached. "
    return written + (filler * (missing // len(filler) + 1))[:missing]


_TOPICS = "Sorting Searching Caching Hashing Sampling Parsing Fitting Scheduling".split()
