"""What the local service answers: the items of a response, chosen by what the request says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from . import prose
from .conversation import Body, Conversation, Item, Prompt, Tool, input_items, read_conversation, seal
from .pictures import encoded_picture
from .samples import sample


def answer(body: Body, owner: str, talk: Conversation | None = None) -> list[Item]:
    """Return the items to stream for one request, in order and without ids.

    What is sealed is sealed for `owner`. `talk` stands in for what the body says, where that is more.
    """
    talk = talk or read_conversation(body)
    items = input_items(body)
    if items and items[-1].get("type") == "compaction_trigger":
        return [{"type": "compaction", "encrypted_content": seal(owner, talk.compaction())}]
    return [*thoughts(body, owner), *_reply(body, talk)]


def thoughts(body: Body, owner: str) -> list[Item]:
    """A reasoning item where the request has some effort for it; its summary only where one is wanted."""
    reasoning = body.get("reasoning")
    if reasoning is None or reasoning.get("effort") == "none":
        return []
    texts = prose.THOUGHTS if reasoning.get("summary") in ("auto", "concise", "detailed") else ()
    summary = [{"type": "summary_text", "text": text} for text in texts]
    thought: Item = {"type": "reasoning", "summary": summary}
    if "reasoning.encrypted_content" in (body.get("include") or []):
        thought["encrypted_content"] = seal(owner, {"thought": len(texts)})
    return [thought]


def _reply(body: Body, talk: Conversation) -> list[Item]:
    question = talk.prompt.text
    hosted = {tool.kind for tool in talk.tools if not tool.is_callable}
    if calls := _calls(body, talk):
        names = " and ".join(f"`{call['name']}`" for call in calls)
        return [*([_message(f"I will use {names}.", "commentary")] if "aloud" in question else []), *calls]
    if structured := _structured(body, talk):
        return [_message(structured)]
    if talk.prompt.echo is not None:
        return [_message(talk.prompt.echo)]
    can_search = any(kind.startswith("web_search") for kind in hosted)
    if can_search and re.search(r"\bsearch the web\b", question, re.I):
        action = {"type": "search", "query": _title(question)}
        return [{"type": "web_search_call", "action": action}, _cited()]
    if re.search(r"\bdraw\b", question, re.I) and "image_generation" in hosted:
        prompt = _title(question)
        drawing = {"result": encoded_picture(prompt), "revised_prompt": prompt}
        return [
            {"type": "image_generation_call", **drawing},
            _message(_prepared("A prepared picture.", talk)),
        ]
    if re.search(r"^refuse\b", question, re.I):
        refusal = {"type": "refusal", "refusal": "The local service was asked to refuse, and so it does."}
        return [{**_message(""), "content": [refusal]}]
    return [_message(_text(talk))]


def _message(text: str, phase: str = "final_answer", annotations: Sequence[Item] = ()) -> Item:
    part = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    return {"type": "message", "role": "assistant", "phase": phase, "content": [part]}


def _cited() -> Item:
    url = "https://example.com/local-service"
    text = f"{prose.NOTICE}\n\nNothing was searched. [A prepared source]({url}) stands for a result.\n"
    place = {"start_index": text.index(url), "end_index": text.index(url) + len(url)}
    citation = {"type": "url_citation", "url": url, "title": "A prepared source", **place}
    return _message(text, annotations=[citation])


# Tools -------------------------------------------------------------------------------------------

_USE = re.compile(
    r"\buse the tools? (?P<names>[\w.-]+(?:(?:, | and )[\w.-]+)*)(?: (?P<times>\d+) times)?(?: with (?=\{))?",
    re.I,
)
"""Each such order in a prompt is one round of calls, repeated when it says so."""


def _calls(body: Body, talk: Conversation) -> list[Item]:
    """The calls of this round; none when all that was asked for is done."""
    choice = body.get("tool_choice")
    if choice == "none":
        return []
    rounds: list[list[Item]] = []
    for order in _USE.finditer(talk.prompt.text if talk.prompt.echo is None else ""):
        arguments = _json_at(talk.prompt.text, order.end())
        names = re.split(r", | and ", order["names"].rstrip("."))
        calls = [
            _call(tool, arguments) for name in names for tool in talk.callable_tools if tool.is_named(name)
        ]
        rounds += [calls] * int(order["times"] or 1) if calls else []
    if talk.rounds < len(rounds):
        calls = rounds[talk.rounds]
        return calls if body.get("parallel_tool_calls", True) else calls[:1]
    if talk.rounds:
        return []
    forced = choice.get("name") if isinstance(choice, dict) else None
    first = talk.callable_tools[:1] if choice == "required" else []
    return [_call(tool) for tool in first or [tool for tool in talk.callable_tools if tool.name == forced]]


def _json_at(text: str, start: int) -> str | None:
    """The JSON object that begins at `start`, exactly as it is written there."""
    with suppress(ValueError):
        if text.startswith("{", start):
            return text[start : json.JSONDecoder().raw_decode(text, start)[1]]
    return None


def _call(tool: Tool, arguments: str | None = None) -> Item:
    """A call with these arguments, or made-up ones; `{"input": TEXT}` is plain text for a tool that takes that."""
    named = {"name": tool.name} | ({"namespace": tool.namespace} if tool.namespace is not None else {})
    if tool.kind == "function":
        arguments = arguments or json.dumps(sample(tool.parameters), ensure_ascii=False)
        return {"type": "function_call", **named, "arguments": arguments}
    value = json.loads(arguments or '{"input": "local service"}')
    is_text = list(value) == ["input"] and isinstance(value["input"], str)
    return {"type": "custom_tool_call", **named, "input": value["input"] if is_text else arguments}


def _structured(body: Body, talk: Conversation) -> str | None:
    """JSON, where the request wants it, of its schema."""
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        value = sample(wanted["schema"], text=_title(talk.prompt.text) or "local service")
        return json.dumps(value, ensure_ascii=False)
    if wanted.get("type") == "json_object":
        return json.dumps({"scripted": True, "question": talk.prompt.text, "turn": talk.turn})
    return None


# Text --------------------------------------------------------------------------------------------


def _text(talk: Conversation) -> str:
    if talk.outputs:
        return _quoting(talk.outputs)
    for pattern, text in _SCRIPTED:
        if match := re.search(pattern, talk.prompt.text, re.I):
            return _prepared(prose.text(text), talk) if isinstance(text, str) else text(talk, match)
    return _prepared(prose.text("overview"), talk)


def _quoting(outputs: Sequence[str]) -> str:
    """The answer after tool calls shows what came back, each result in a fence longer than any in it."""
    shown = []
    for output in outputs:
        fence = "`" * max([2, *(len(run) for run in re.findall("`+", output))]) + "`"
        shown.append(f"{fence}\n{output}\n{fence}")
    came = "The tool gave:" if len(shown) == 1 else f"The {len(shown)} calls gave:"
    return "\n\n".join([prose.NOTICE, came, *shown]) + "\n"


def _prepared(text: str, talk: Conversation) -> str:
    """A text and what arrived besides the question, so that a reader (or a test) sees that it did."""
    notes = []
    if talk.images:
        notes.append(f"*With {talk.images} image{'s' if talk.images > 1 else ''}.*")
    if talk.earlier:
        notes.append(f"*This is turn {talk.turn}; before it you asked: “{_title(talk.earlier[-1])}”*")
    elif talk.compacted:
        notes.append(f"*This is turn {talk.turn}; the {talk.compacted} before it were compacted.*")
    return "\n\n".join([prose.NOTICE, text.strip("\n"), *notes]) + "\n"


def _so_far(talk: Conversation, _: object) -> str:
    questions = [f"{n}. {_title(question)}" for n, question in enumerate(talk.earlier, talk.compacted + 1)]
    listed = "\n".join(questions) or "Nothing: this is the first question that arrived."
    return _prepared("You asked so far:\n\n" + listed, replace(talk, earlier=()))


def _continue(talk: Conversation, _: object) -> str:
    """The rest of the previous answer when it was cut off; else a remark that it was whole."""
    if not talk.earlier:
        return _prepared("There is no answer to continue.", talk)
    before = replace(talk, prompt=Prompt(talk.earlier[-1]), earlier=talk.earlier[:-1], outputs=())
    whole = "" if re.search(CONTINUE, before.prompt.text, re.I) else _text(before)
    if talk.last_answer and whole.startswith(talk.last_answer) and whole != talk.last_answer:
        return whole[len(talk.last_answer) :]
    return _prepared("The previous answer was complete; there is nothing to add.", talk)


def _title(text: str) -> str:
    """The first line that says something, at most 80 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79] + "…"


CONTINUE = r"^(please )?(continue|go on)\b"

_SCRIPTED: tuple[tuple[str, str | Callable[[Conversation, re.Match[str]], str]], ...] = (
    (r"\brepeat (\d+)\b", lambda _, match: prose.document(int(match[1]))),
    (CONTINUE, _continue),
    (r"\b(did I ask|so far)\b", _so_far),
    (r"\bhaiku\b", "haiku"),
    (r"\b(plot|chart|figure|matplotlib)", "plot"),
    (r"\b(pandas|data ?frame|group ?by)", "pandas"),
    (r"\b(math|integral|formula|equation)", "math"),
    (r"\b(error|traceback|exception|fix)\b", "error"),
    (r"\b(bash|shell|terminal)\b", "bash"),
    (r"\btable\b", "table"),
    (r"\blong\b", lambda talk, _: _prepared(prose.document(6000), talk)),
    (r"\b(explain|what does|how does)\b", "explain"),
)
"""What a question is answered with, by the first pattern in it."""
