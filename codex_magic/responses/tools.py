"""Python functions as tools: what a model is told of them, and what its calls mean to them. Pure.

A function's schema comes from its type hints, its words from its docstring. Nothing is run here; bare
requests and turns on either engine take the same tools.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, overload

import msgspec

from ..protocol.errors import InvalidRequestError, ServiceError
from ..protocol.plain import decode_json
from ..protocol.types import Sandbox, ToolCallApproval
from . import inputs
from .inputs import Item, plain
from .parameters import FunctionTool
from .response import Response
from .schema import Schema, fitted, read_custom, schema_of, strict_schema

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LITE_NAMESPACE = "functions"
"""Where Responses Lite puts the tools that have no namespace."""


class ToolCallError(ValueError):
    """A call by the model that can't be run, in words for the model."""


QuestionFor = Callable[[ToolCallApproval], Awaitable[ToolCallApproval | None]]


# Tools -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """A function the model may call, and what the model is told of it. Calling it calls the function."""

    function: Callable[..., Any]
    """Plain or a coroutine function. In a turn of a thread, a plain one runs in a thread of its own."""
    definition: Mapping[str, Any]
    """As it stands in a request."""
    input_schema: Mapping[str, Any] = field(repr=False)
    """The JSON schema of its arguments before that was made strict; a freeform tool's is one `input`."""
    bind: Callable[[str], functools.partial[Any]] = field(repr=False)
    """The function with the arguments that the text of a call holds. Raises ToolCallError."""
    namespace: str | None = None
    needs_approval: bool | None = None
    """Somebody is asked before each call, and the answer nobody gave is no. `None`: where the model was offered the tool
    because the notebook has it, and not where it was handed to the question by `tools=`."""
    needs: Sandbox = Sandbox.read_only
    """What it may change, by its author's word: a turn in a narrower sandbox does not run it.

    It is no sandbox of the operating system: a function that says `read_only` and writes, writes.
    """
    question_for: QuestionFor | None = field(default=None, repr=False)
    """Chooses what somebody is asked before a call, `None` for nothing; in place of `needs_approval`."""
    is_optional: bool = False
    """A thread that the agent's program keeps without it goes on without it, and is not begun anew for it."""

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def is_custom(self) -> bool:
        return bool(self.definition["type"] == "custom")

    def __post_init__(self) -> None:
        for name in filter(None, (self.name, self.namespace)):
            if not _NAME.fullmatch(name):
                what = f"{name!r} is not a valid tool name: use up to 64 letters, digits, _ and -."
                raise _unusable(what, 'Choose another: tool(function, name="...")')
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):  # `f?` tells of the function
            if (value := getattr(_inner(self.function), name, None)) is not None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "__wrapped__", self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class Namespace:
    """Tools under one name, so that theirs can be short. `tools` as in a request."""

    name: str
    description: str
    tools: Sequence[Any]


class ToolOptions(TypedDict, total=False):
    """What `tool` takes beside the function."""

    name: str | None
    description: str | None
    strict: bool | None
    input_schema: Mapping[str, Any] | None
    namespace: str | None
    needs_approval: bool | None
    needs: Sandbox | str
    question_for: QuestionFor | None
    is_optional: bool


@overload
def tool(function: Callable[..., Any], **options: Unpack[ToolOptions]) -> Tool: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool | None = None,
    input_schema: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    needs_approval: bool | None = None,
    needs: Sandbox | str = Sandbox.read_only,
    question_for: QuestionFor | None = None,
    is_optional: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """A function as a tool: `tool(f)`, or a decorator, `@tool` or `@tool(name="f")`.

    In a notebook with the extension, `%%codex` cells offer the model each tool that a name of the notebook holds;
    everywhere else it is handed over: `thread.run(..., tools=[f])`, `client.responses.run_tools(..., tools=[f])`.

    Its description is the docstring's first paragraph; what Google's, NumPy's or Sphinx's manner says of
    the parameters is told too, and so is a text in `Annotated[int, "..."]`. Types may be what `schema_of`
    reads: dataclasses, TypedDict, Literal, Enum, Optional, pydantic's models. Or `input_schema` says it
    all: the JSON schema of its keyword arguments, which are then given as they come. With `strict` the
    service holds the model to the schema; `None`: where the types allow.

    namespace: the group that the model sees it in; names have to differ inside one only.
    needs_approval: whether somebody is asked before each call; `None`: in a notebook's cells, and not where the tool
        was handed over. The rest: see `Tool`.

    Raises InvalidRequestError for a function that can't be one (`*args`, types that JSON can't hold, a method of a class).
    """

    def made(function: Callable[..., Any]) -> Tool:
        if isinstance(function, Tool):
            function = function.function

        def bind(text: str) -> functools.partial[Any]:
            try:
                return functools.partial(function, **_read_arguments(text, schema, kind))
            except (ValueError, RecursionError) as error:
                raise ToolCallError(f"The arguments do not fit: {_one_line(str(error))}") from error

        own_name = name or _own_name(function)
        kind, schema = None, dict(input_schema or {})
        summary, described = "", dict[str, str]()
        if not description or input_schema is None:
            summary, described = _read_docstring(_inner(function))
        if input_schema is None:
            kind, schema = _arguments(function, own_name, described)
        parameters, is_strict = schema, False
        try:
            if strict is not False:
                parameters, is_strict = strict_schema(parameters), True
        except InvalidRequestError:
            if strict:
                raise
        definition = plain(FunctionTool(own_name, description or summary, parameters, is_strict))
        more = namespace or None, needs_approval, Sandbox(needs), question_for, is_optional
        return Tool(function, definition | {"type": "function"}, schema, bind, *more)

    return made if function is None else made(function)


def custom_tool(
    function: Callable[[str], Any],
    *,
    name: str | None = None,
    description: str | None = None,
    grammar: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    needs_approval: bool | None = None,
    needs: Sandbox | str = Sandbox.read_only,
) -> Tool:
    """A function of one text as a freeform tool: the model writes no JSON, but what `grammar` allows.

    `grammar`: `{"type": "grammar", "syntax": "lark", "definition": ...}`, or of the syntax `regex`, in Rust's
    dialect; without it, any text. All else as for `tool`.
    """
    definition: dict[str, Any] = {"type": "custom", "name": name or _own_name(function)}
    definition["description"] = description or _read_docstring(function)[0]
    if grammar is not None:
        definition["format"] = dict(grammar)
    bind = functools.partial(functools.partial, function)
    return Tool(function, definition, _ONE_TEXT, bind, namespace or None, needs_approval, Sandbox(needs))


_ONE_TEXT: Schema = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def web_search(*, live: bool = False, **options: Any) -> dict[str, Any]:
    """Search by the service: in its own copy of the web, or `live`. Not with the effort `minimal`."""
    return {"type": "web_search", "external_web_access": live, **options}


def image_generation(**options: Any) -> dict[str, Any]:
    """Pictures by the service, in the answer: items `image_generation_call`, whose `result` is base64."""
    return {"type": "image_generation", **options}


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.func if isinstance(function, functools.partial) else function


def _own_name(function: Callable[..., Any]) -> str:
    return str(getattr(_inner(function), "__name__", type(_inner(function)).__name__))


def _unusable(what: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(what, hint=hint, param="tools")


# Arguments ---------------------------------------------------------------------------------------


def _arguments(function: Callable[..., Any], name: str, described: Mapping[str, str]) -> tuple[type, Schema]:
    """Return the parameters of a function as a struct, and its schema with what is said of each."""
    parameters = _parameters(function, name)
    inner = _inner(function)
    target = inner if inspect.isroutine(inner) else type(inner).__call__
    try:
        hints = typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except (NameError, TypeError) as error:
        what = f"The type hints of {name!r} can't be read: {error}."
        raise _unusable(what, "Use types that are defined where the function is.") from error
    kinds = {each: hints.get(each, Any) for each in parameters}
    unset = msgspec.field(default_factory=lambda: msgspec.UNSET)
    required = {each for each in parameters if parameters[each].default is _NONE}
    fields = [(each, kind) if each in required else (each, kind, unset) for each, kind in kinds.items()]
    struct = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
    try:
        schema = schema_of(struct)
    except InvalidRequestError as error:
        bad = (f"parameter {each!r}" for each, kind in kinds.items() if not _has_schema(kind))
        which = next(bad, "parameters")
        what = f"The {which} of {name!r} can't be described to a model: {error.message.partition(': ')[2]}"
        raise _unusable(what, str(error.hint)) from error
    schema.pop("title", None)
    for each, kind in kinds.items():
        part = schema["properties"][each] = dict(schema["properties"][each])
        notes = [note for note in getattr(kind, "__metadata__", ()) if isinstance(note, str)]
        if words := next(filter(None, [*notes, described.get(each)]), ""):
            part["description"] = words
        default = parameters[each].default
        if default is not _NONE and default is not None:
            # one that JSON can't hold is kept from the model, and used all the same
            with suppress(TypeError, msgspec.ValidationError):
                part["default"] = msgspec.to_builtins(default)
    return struct, schema


def _has_schema(kind: Any) -> bool:
    try:
        schema_of(kind)
    except InvalidRequestError:
        return False
    return True


def _read_arguments(text: str, schema: Schema, kind: type | None) -> dict[str, Any]:
    """Return what the model sent for a struct's fields, or plain values where somebody wrote the schema.

    Raises ValueError, RecursionError.
    """
    fitting = fitted(decode_json(text or "{}"), schema, schema, checks=kind is None)
    if kind is None:
        return msgspec.convert(fitting, dict[str, Any])
    values = msgspec.structs.asdict(msgspec.convert(fitting, kind, dec_hook=read_custom))
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


_NONE = inspect.Parameter.empty


def _read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the first paragraph and what is said of each parameter, each in one line."""
    import docstring_parser  # when the first tool is made: no cell waits for it before

    text = inspect.getdoc(function) or ""
    summary, described = text.partition("\n\n")[0], {}
    with suppress(docstring_parser.ParseError):
        # Below a line of ours, a docstring whose first line is a section is read as one.
        parsed = docstring_parser.parse(f"Summary.\n\n{text}")
        summary = (parsed.long_description or "").partition("\n\n")[0]
        described = {
            name.strip(" *"): _one_line(each.description or "")
            for each in parsed.params
            for name in each.arg_name.split(",")
        }
    is_heading = re.match(r"(Args|Arguments|Parameters)(:|\n-)", summary)
    return "" if is_heading else _one_line(summary), described


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parameters(function: Callable[..., Any], name: str) -> dict[str, inspect.Parameter]:
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        what = f"The parameters of {name!r} can't be read: {error}."
        raise _unusable(what, "Pass its input_schema.") from error
    first, inner = next(iter(parameters), None), _inner(function)
    owner = str(getattr(inner, "__qualname__", "")).rpartition(".")[0]
    if first in ("self", "cls") and inspect.isfunction(inner) and owner and not owner.endswith("<locals>"):
        what = f"{name!r} is a method: a model can't be told its {first!r}."
        raise _unusable(what, f"Make it a tool where the object is there: tool(object.{name})")
    for each in parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            what = f"The function {name!r} takes {each}, which a model can't be told."
            raise _unusable(what, "Name each parameter.")
        if each.kind is each.POSITIONAL_ONLY:
            what = f"The parameter {each.name!r} of {name!r} can't be given by name."
            raise _unusable(what, "Leave out the / in its signature.")
    return parameters


# Calls -------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True):
    """One call by the model, of a function or a custom tool."""

    call_id: str
    name: str
    text: str
    """JSON for a function, anything for a custom tool."""
    namespace: str | None = None
    is_custom: bool = False

    def parsed_arguments(self) -> Any:
        """Return the JSON as plain values. Raises ValueError when it is none."""
        return decode_json(self.text or "{}")

    def output(self, result: Any) -> Item:
        """Return `result` as the item that answers this call."""
        make = inputs.custom_tool_call_output if self.is_custom else inputs.function_call_output
        return make(self.call_id, result)


def plain_result(result: Any) -> Any:
    """Return a function's result as values that JSON can hold. Raises TypeError where there are none."""

    def shown(value: Any) -> Any:
        held = plain(value)  # pydantic's models
        return str(value) if held is value else held

    return msgspec.to_builtins(result, enc_hook=shown)


def calls(response: Response | Iterable[Item]) -> list[Call]:
    """Return the calls of the model in their order. Raises ServiceError for a call without name or id."""
    made = []
    for item in response.output if isinstance(response, Response) else response:
        if (kind := item.get("type")) not in ("function_call", "custom_tool_call"):
            continue
        is_custom = kind == "custom_tool_call"
        text = item.get("input" if is_custom else "arguments") or ""
        fields = {name: item.get(name) for name in ("call_id", "name", "namespace")}
        try:
            made.append(msgspec.convert({**fields, "text": text, "is_custom": is_custom}, Call))
        except msgspec.ValidationError as error:
            raise ServiceError("The service sent a tool call that can't be read.") from error
    return made


class Toolbox:
    """The tools of a turn: what to tell the model, and what to run for a call.

    Takes functions, `Tool`s, `Namespace`s, and definitions of the service's own tools. Raises
    InvalidRequestError for a definition that has no function to run, and for two tools of one name.
    """

    def __init__(self, tools: Iterable[Any] = (), *, runs: bool = True) -> None:
        """`runs`: whether calls are run here; else somebody answers them."""
        self.definitions: list[dict[str, Any]] = []
        self._runs = runs
        self._tools: dict[tuple[str | None, str], Tool] = {}
        self._groups: dict[str, list[dict[str, Any]]] = {}
        for tool_like in tools:
            self._take(tool_like)

    def find(self, namespace: str | None, name: str) -> Tool | None:
        """Return the tool that a call with these names means."""
        within = None if namespace == LITE_NAMESPACE else namespace
        return self._tools.get((within, name)) or self._tools.get((namespace, name))

    def called(self, call: Call) -> Tool:
        """Return the tool to run. Raises ToolCallError when there is none of that name."""
        tool = self.find(call.namespace, call.name)
        if tool is None:
            names = ", ".join(name for _, name in self._tools)
            there_are = f"There are: {names}." if names else "There are none here: answer without."
            raise ToolCallError(f"There is no tool {call.name!r}. {there_are}")
        return tool

    def _take(self, tool_like: Any, namespace: str | None = None) -> None:
        if isinstance(tool_like, Namespace):
            self._place(tool_like.name, tool_like.description)
            for each in tool_like.tools:
                self._take(each, tool_like.name)
        elif callable(tool_like) and not isinstance(tool_like, type):
            made = tool_like if isinstance(tool_like, Tool) else tool(tool_like)
            namespace = namespace or made.namespace
            if (namespace, made.name) in self._tools:
                raise _unusable(f"There are two tools {made.name!r}.", 'Name one: tool(f, name="...")')
            self._tools[namespace, made.name] = made
            self._place(namespace).append(dict(made.definition))
        else:
            definition = plain(tool_like)
            if not isinstance(definition, Mapping):
                hint = "Pass functions, or the dicts of the service's own tools."
                raise _unusable(f"{tool_like!r} is not a tool.", hint)
            if self._runs and definition.get("type") in ("function", "custom"):
                what = f"The tool {definition.get('name')!r} has no function to run."
                raise _unusable(what, "Pass the function itself, or use create() and answer its calls.")
            self._place(namespace).append(dict(definition))

    def _place(self, namespace: str | None, description: str = "") -> list[dict[str, Any]]:
        """Return the definitions of a namespace, which this begins; `None` is outside of all."""
        if namespace is None:
            return self.definitions
        if namespace not in self._groups:
            tools = self._groups[namespace] = []
            group = {"type": "namespace", "name": namespace, "description": description, "tools": tools}
            self.definitions.append(group)
        return self._groups[namespace]
