"""What a docstring says of a function and of each parameter: Google's, NumPy's and Sphinx's manner. Pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_FIELD = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)")
_GOOGLE = re.compile(r"(?:Args|Arguments|Parameters|Keyword Args|Keyword Arguments):\s*$")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\)\s*)?:\s*(.*)")
_NUMPY = re.compile(r"(?:Other )?Parameters\s*$")
_NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_RULE = re.compile(r"-{3,}\s*$")
_SECTION = re.compile(r"[A-Z][A-Za-z ]*:\s*$")


class Described(NamedTuple):
    summary: str
    """The first paragraph, in one line."""
    parameters: dict[str, str]


def read_docstring(text: str | None) -> Described:
    """Empty where it says nothing."""
    lines = inspect.cleandoc(text or "").splitlines()
    found: dict[str, str] = {}
    for read in (_sphinx, _google, _numpy):
        for name, words in read(lines):
            found.setdefault(name, _joined(words))
    return Described(_joined(_first_paragraph(lines)), {name: said for name, said in found.items() if said})


def _first_paragraph(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.strip() or any(kind.match(line) for kind in (_FIELD, _SECTION, _NUMPY)):
            return
        yield line


def _sphinx(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    for at, line in enumerate(lines):
        if found := _FIELD.match(line.strip()):
            rest = _taken(lines[at + 1 :], lambda line: _indent(line) > 0)
            yield found[1], [found[2], *rest]


def _google(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    for at, line in enumerate(lines):
        if _GOOGLE.match(line):
            body = list(_taken(lines[at + 1 :], lambda line: _indent(line) > 0))
            yield from _entries(body, _GOOGLE_ENTRY)


def _numpy(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    for at, line in enumerate(lines[:-1]):
        if _NUMPY.match(line) and _RULE.match(lines[at + 1]):
            yield from _entries(_until_next_rule(lines[at + 2 :]), _NUMPY_ENTRY)


def _entries(body: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """Names stand at the least indent of `body`, what is said of them deeper or behind them."""
    least = min((_indent(line) for line in body if line.strip()), default=0)
    for at, line in enumerate(body):
        found = pattern.match(line.strip()) if _indent(line) == least else None
        if found is not None:
            rest = list(_taken(body[at + 1 :], lambda line: _indent(line) > least))
            said = [found[2]] if pattern.groups > 1 else []
            for name in found[1].split(","):
                yield name.strip().lstrip("*"), [*said, *rest]


def _taken(lines: Iterable[str], belongs: Callable[[str], bool]) -> Iterator[str]:
    for line in lines:
        if line.strip() and not belongs(line):
            return
        yield line


def _until_next_rule(lines: list[str]) -> list[str]:
    ends = [at - 1 for at, line in enumerate(lines) if _RULE.match(line)]
    return lines[: ends[0]] if ends else lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: Iterable[str]) -> str:
    return " ".join(" ".join(lines).split())
