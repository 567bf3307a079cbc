"""Functions, classes and modules with their source; exceptions with their frames; what runs, without running it."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import re
import textwrap
import traceback
import types
from collections.abc import Iterator
from typing import Any

from .registry import Look, mro_of, namespace, register, static, type_name
from .short import cut, doc_line, short

FRAMES = 12
"""Of a traceback: the last ones, where it went wrong."""

SOURCELESS = (OSError, TypeError, SyntaxError, IndexError)
"""What `inspect` raises for what was typed elsewhere or is not written in Python."""


@register(types.FunctionType, types.MethodType, functools.partial)
def function(value: Any, look: Look) -> Iterator[str]:
    """The signature is in the source; what has none shows it alone."""
    partial = type(value) is functools.partial
    inner = value.func if partial else getattr(value, "__func__", value)
    name = getattr(inner, "__qualname__", type_name(inner))
    yield f"{'functools.partial of' if partial else type_name(value)} {name}{place(inner)}"
    if partial and look.rows:
        yield f"arguments: {short(value.args)}, {short(value.keywords)}"
    yield source(inner) or doc_line(getattr(inner, "__doc__", None))


@register(
    types.BuiltinFunctionType, "builtins.method_descriptor", "builtins.wrapper_descriptor", "numpy.ufunc"
)
def builtin(value: Any, look: Look) -> Iterator[str]:
    signature = getattr(value, "__text_signature__", None) or "(...)"
    yield f"built-in {value.__name__}{signature.replace('$module, ', '').replace('$self, ', '')}"
    yield doc_line(value.__doc__)


@register(type)
def cls(value: type, look: Look) -> Iterator[str]:
    order = [short_name(each) for each in mro_of(value)[1:-1]]
    yield f"class {short_name(value)}" + (f"({', '.join(order)})" if order else "")
    honest = static(value, "__getattribute__") is type.__getattribute__
    if text := _source_by_method(value) or (source(value) if honest else ""):
        yield text
        return
    own = namespace(value)
    yield doc_line(own.get("__doc__"))
    yield cut(f"holds: {', '.join(name for name in own if not name.startswith('_'))}", 600)


@register("enum.EnumMeta", "enum.EnumType")
def enumeration(value: Any, look: Look) -> Iterator[str]:
    members = namespace(value).get("_member_map_", {})
    yield f"enum {short_name(value)} of {len(members)} members"
    for name, member in members.items():
        yield f"{name} = {short(member._value_)}" if look.rows else name


@register(types.ModuleType)
def module(value: types.ModuleType, look: Look) -> Iterator[str]:
    held = object.__getattribute__(value, "__dict__")  # a lazy module stays unloaded
    yield f"module {held.get('__name__')}"
    version = held.get("__version__")
    facts = {"version": version if type(version) is str else None, "file": held.get("__file__")}
    yield from (f"{name}: {short(fact, 200, quote=False)}" for name, fact in facts.items() if fact)
    yield doc_line(held.get("__doc__"))
    kinds = {"classes": type, "functions": types.FunctionType, "modules": types.ModuleType}
    public = {name: each for name, each in [*held.items()] if type(name) is str and not name.startswith("_")}
    for title, kind in kinds.items():
        names = [name for name, each in public.items() if issubclass(type(each), kind)]
        if names:
            yield cut(f"{title}: {', '.join(names)}", 700)


@register(BaseException)
def exception(value: BaseException, look: Look) -> Iterator[str]:
    seen: list[BaseException] = []
    current: BaseException | None = value
    word = ""
    while current is not None and not any(current is each for each in seen) and len(seen) < 5:
        seen.append(current)
        yield f"{word}{type_name(current)}{_message(current) if look.rows else ''}"
        yield from _frames(current)
        for each in getattr(current, "exceptions", ())[:5]:
            yield f"  holds {type_name(each)}{_message(each) if look.rows else ''}"
        cause = current.__cause__
        word = "caused by " if cause is not None else "while handling "
        current = current.__context__ if cause is None and not current.__suppress_context__ else cause


def _message(value: BaseException) -> str:
    text = str(value)
    return f": {text[:2000].strip()}" if text else ""


def _frames(value: BaseException) -> Iterator[str]:
    every = [*traceback.walk_tb(value.__traceback__)]
    if len(every) > FRAMES:
        yield f"  … {len(every) - FRAMES} frames before"
    for frame, line in every[-FRAMES:]:
        text = linecache.getline(frame.f_code.co_filename, line).strip()
        place = f"  {shown_file(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"
        yield f"{place}: {cut(text, 160)}" if text else place


@register(types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
def running(value: Any, look: Look) -> Iterator[str]:
    prefix = {"generator": "gi", "coroutine": "cr"}.get(type_name(value), "ag")
    own, frame = getattr(value, f"{prefix}_code"), getattr(value, f"{prefix}_frame")
    busy = getattr(value, f"{prefix}_running")
    state = "finished" if frame is None else "running" if busy else f"at line {frame.f_lineno}"
    yield f"{type_name(value)} {value.__qualname__}, {state}; nothing was taken from it"
    # inspect looks upwards for a `def`, which an expression has not.
    expression = own.co_name.startswith("<")
    yield linecache.getline(own.co_filename, own.co_firstlineno).strip() if expression else source(own)


def source(value: Any) -> str:
    """The source, without what it is indented by; "" where there is none."""
    try:
        return textwrap.dedent(inspect.getsource(value)).rstrip()
    except SOURCELESS:
        return ""


def _source_by_method(value: type) -> str:
    """Of a class that was typed in a cell, which `inspect` does not find there: read around one of its methods."""
    codes = [held.__code__ for held in namespace(value).values() if type(held) is types.FunctionType]
    name = short_name(value).rpartition(".")[2]
    for file, line in {code.co_filename: code.co_firstlineno for code in codes}.items():
        lines = linecache.getlines(file)
        try:
            nodes: list[Any] = [*ast.walk(ast.parse("".join(lines)))]
        except SyntaxError:
            continue
        for node in nodes:
            named = isinstance(node, ast.ClassDef) and node.name == name
            if named and node.lineno <= line <= node.end_lineno:
                return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])).rstrip()
    return ""


def place(value: Any) -> str:
    code = getattr(value, "__code__", None)
    return f", {shown_file(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""


def shown_file(name: str) -> str:
    """A cell's file is an invention of the kernel; of another one the last parts say enough."""
    if "ipykernel" in name or name.startswith("<ipython-input"):
        return "cell"
    return "/".join(re.split(r"[\\/]", name)[-3:])


def short_name(cls: type) -> str:
    name: str = type.__dict__["__qualname__"].__get__(cls)
    return name.rpartition("<locals>.")[2]
