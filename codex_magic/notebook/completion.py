"""What Tab completes inside a question: mentions, each with what it stands for. No property is run for it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from ..context.describe import headline
from ..context.mentions import NAME, WORDS, begins_mention
from ..context.registry import attributes, mro, type_name

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MOST = 300
"""Offers of one kind."""

SECONDS = 0.3
"""For looking at values; those after that are offered without a word on them."""

WORD_CHARS = 40

_PLACES = {
    "In[": "a cell by its number",
    "Out[": "its result",
    "cell:": "a cell by its place",
    "git:diff": "changes",
}
_FRAME_PACKAGES = ("pandas.", "polars.", "modin.", "cudf.", "geopandas.", "dask_expr.", "dask.")

Offer = tuple[str, Any]
"""A text behind the `@`, and the value it stands for, or a `_Word` on it."""


class _Word(str):
    """What is said of an offer that is no value."""


def is_question(context: CompletionContext) -> bool:
    """Whether the cursor is below `%%codex`."""
    lines = context.full_text.split("\n")[: context.cursor_line]
    head = next((line for line in lines if line.strip() and line[0] != "#"), "")
    return re.match(r"%%codex(?:\s|$)", head) is not None


def complete(shell: InteractiveShell, context: CompletionContext) -> SimpleMatcherResult:
    """Complete a mention or the name of a variable in a question; nothing else is offered in prose."""
    text = context.text_until_cursor
    at = text.rfind("@")
    offers = _offers(shell, text[at + 1 :]) if at >= 0 and begins_mention(text, at) else None
    if offers is not None:
        symbol, begin = text[at:], "@"
    else:
        name = re.search(rf"(?:(?<![\w@.]){NAME})?$", text)
        symbol, begin = name[0] if name else "", ""
        offers = _starting(_variables(shell), symbol) if symbol else []
    found = [SimpleCompletion(f"{begin}{each}", type=word) for each, word in _with_words(offers)]
    # What is typed stands for nothing to add: where we offer nothing, IPython offers all it has.
    found = found or [SimpleCompletion(symbol)]
    return {"completions": found, "matched_fragment": symbol, "suppress": True, "ordered": True}


def _offers(shell: InteractiveShell, fragment: str) -> list[Offer] | None:
    """Return what may continue a mention; `None` where it is over."""
    for pattern, source in _SOURCES.items():
        if typed := pattern.fullmatch(fragment):
            return [*islice(source(shell, typed), MOST)]
    return None


def _numbers(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    kind, begin = typed.groups()
    if kind == "Out":
        results: Mapping[int, Any] = shell.user_ns.get("Out", {})
        yield from ((f"Out[{n}]", value) for n, value in [*results.items()][::-1] if str(n).startswith(begin))
        return
    sources = [*enumerate(shell.user_ns.get("In", ()))][1:]
    for number, source in reversed(sources):
        if str(number).startswith(begin):
            yield f"In[{number}]", _Word(" ".join(source.split()))


def _quoted_files(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    for path, word in _files(typed[1]):
        yield (f'"{path}' if path.endswith("/") else f'"{path}"'), word


def _keys(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    base, mark, begin = typed.groups()
    for key, value in entries(_value(shell.user_ns, base)):
        is_plain = mark != "'" and isinstance(key, str) and '"' not in key
        text = f'"{key}"' if is_plain else repr(key)
        if str(key).startswith(begin):
            yield f"{base}[{text}]", value


def _names(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    base, begin = typed.groups()
    value = _value(shell.user_ns, base)
    for name, held in _starting(_attributes(value), begin):
        yield f"{base}.{name}", held
    yield from _plain_files(shell, typed)


def _anything(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    begin = typed[0]
    variables = _starting(_variables(shell), begin)
    yield from (each for each in variables if not _is_definition(each[1]))
    yield from _starting([(name, _Word(word)) for name, word in (WORDS | _PLACES).items()], begin)
    yield from _plain_files(shell, typed)
    yield from (each for each in variables if _is_definition(each[1]))


def _is_definition(value: object) -> bool:
    return issubclass(type(value), ModuleType | FunctionType | type)


def _plain_files(shell: InteractiveShell, typed: re.Match[str]) -> Iterator[Offer]:
    yield from ((path, word) for path, word in _files(typed[0]) if not re.search(r"[^\w.+~/-]", path))


_PATH = rf"{NAME}(?:\.{NAME}|\[(?:-?\d+|\"[^\"\n]*\"|'[^'\n]*')\])*"
_SOURCES: dict[re.Pattern[str], Callable[[InteractiveShell, re.Match[str]], Iterable[Offer]]] = {
    re.compile(r"(In|Out)\[(\d*)"): _numbers,
    re.compile(r'"([^"\n]*)'): _quoted_files,
    re.compile(rf"({_PATH})\[([\"']?)([^\"'\]\n]*)"): _keys,
    re.compile(rf"({_PATH})\.({NAME}|)"): _names,
    re.compile(rf"(?:{NAME})?(?:git:\w*|cell:)?"): _anything,
    re.compile(r"[\w.+~/-]*"): _plain_files,
}
"""What stands behind an `@` so far -> what may come."""


def _variables(shell: InteractiveShell) -> list[Offer]:
    hidden = shell.user_ns_hidden
    return [
        (name, value)
        for name, value in sorted(shell.user_ns.items())
        if name[:1] != "_" and (name not in hidden or hidden[name] is not value) and name not in ("In", "Out")
    ]


def _starting(offers: Iterable[Offer], begin: str) -> list[Offer]:
    lower = begin.lower()
    return [(name, value) for name, value in offers if name.lower().startswith(lower)]


def _value(namespace: Mapping[str, Any], path: str) -> Any:
    """Return what a path of attributes and keys names, as far as that is stored and not computed."""
    name, *steps = re.findall(rf"{NAME}|\[[^\]]*\]", path)
    value = namespace.get(name)
    for step in steps:
        if step[0] != "[":
            value = dict(attributes(value)).get(step)
        else:
            held_at = {f"[{key!r}]": held for key, held in entries(value)}
            value = held_at.get(step, held_at.get(step.replace('"', "'")))
    return value


def entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys or columns of a value, with what they hold."""
    if type(value) is dict:
        yield from islice(list(value.items()), MOST)
    elif type(value) is list or type(value) is tuple:
        yield from islice(enumerate(value), MOST)
    elif type_name(value).startswith(_FRAME_PACKAGES) and type_name(value).endswith("Frame"):
        kinds = getattr(value, "dtypes", None)
        kinds = list(kinds) if kinds is not None else []
        columns = zip(map(str, value.columns), map(_Word, kinds), strict=False)
        yield from islice(columns, MOST)


def _attributes(value: Any) -> Iterator[Offer]:
    stored = dict(attributes(value))
    yield from ((name, held) for name, held in stored.items() if name[:1] != "_")
    if issubclass(type(value), ModuleType):
        return
    columns = [(name, word) for name, word in entries(value) if isinstance(name, str) and name.isidentifier()]
    yield from columns if type(value) is not dict else ()
    seen = stored.keys() | {name for name, _ in columns}
    for kind in mro(value)[:-1]:
        for name, held in vars(kind).items():
            if name[:1] != "_" and name not in seen:
                seen |= {name}
                yield name, _Word("function" if callable(held) else "attribute")


def _files(begin: str) -> list[Offer]:
    """Return the files and folders whose path continues what is typed; hidden ones where a dot is."""
    folder, slash, name = begin.rpartition("/")
    try:
        with os.scandir(Path(folder + slash or ".").expanduser()) as entries:
            begun = (each for each in islice(entries, 10 * MOST) if each.name.startswith(name))
            folders = {each.name: each.is_dir() for each in begun if each.name[0] != "." or name[:1] == "."}
    except OSError:
        return []
    return sorted(
        (f"{folder}{slash}{each}{'/' * is_folder}", _Word("folder" if is_folder else "file"))
        for each, is_folder in folders.items()
    )


def _with_words(offers: Iterable[Offer]) -> Iterator[tuple[str, str]]:
    """Yield each offer with its type and size in a few words, as long as there is time for that."""
    until = time.monotonic() + SECONDS
    for name, value in dict(offers).items():
        if type(value) is not _Word and time.monotonic() < until:
            value = headline(value, seconds=0.1)
        word = str(value) if type(value) is _Word or type(value) is str else type_name(value)
        word = word if len(word) <= WORD_CHARS else word[: WORD_CHARS - 1] + "…"
        yield name, word.replace(" ", "\N{NO-BREAK SPACE}")  # JupyterLab would break it into lines
