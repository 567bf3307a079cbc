"""What a request tells of the notebook, and scripted words on it that use its real names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

_PART = re.compile(r"^# %% (.+)\n", re.MULTILINE)
_COLUMN = re.compile(r"^(.+?) (\w+\[[^\]]*\]|\S+?)(?:: .*)?$", re.MULTILINE)
_NUMBER = re.compile(r"u?int|float|decimal", re.IGNORECASE)
_GROUP = re.compile(r"str|object|category|bool")
_TROUBLE = re.compile(r"\b(error|traceback|exception|fix|fails?|failed|wrong)\b", re.IGNORECASE)


def parts(context: str) -> dict[str, str]:
    """Return what is told, by its title: `In[3], failed`, `@df`, `The last error`."""
    pieces = _PART.split(context)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def remark(context: str, known: str, question: str) -> str | None:
    """Return words on the table or the error that came with the question; `known`: all that was ever told."""
    told = parts(context)
    for title, body in told.items():
        if title.endswith(", which failed"):
            cell, _, report = body.partition("\n# The error\n")
            return _on_error(title.partition(",")[0], cell.strip(), report, known)
    error = parts(known).get("The last error")
    if error and _TROUBLE.search(question):
        label, _, report = error.partition(" ")
        cell = next((body for title, body in parts(known).items() if title.partition(",")[0] == label), "")
        return _on_error(label, cell.strip(), report, known)
    for title, body in told.items():
        about, is_table, columns = body.partition("\ncolumns:\n")
        if title.startswith("@") and is_table:
            named = dict(_COLUMN.findall(re.split(r"^first \d", columns, maxsplit=1, flags=re.MULTILINE)[0]))
            return _on_table(title.removeprefix("@"), about.partition("\n")[0], named, question)
    return None


def cells(context: str) -> str:
    """Return the labels of the cells that are told of, and how each ended if it did not end well."""
    ends = dict(re.findall(r"^# %% (In\[\d+\])(, failed)?", context, re.MULTILINE)[::-1])
    return ", ".join(f"`{label}`{' (failed)' * bool(ends[label])}" for label in reversed(ends))


def _on_error(label: str, cell: str, report: str, known: str) -> str:
    problem = report.partition("\n")[0]
    words = set(re.findall(r"[^\W\d]\w+", known))
    for wrong in re.findall(r"'(\w+)'", problem):
        if near := get_close_matches(wrong, words - {wrong}, 1):
            code = re.sub(rf"\b{re.escape(wrong)}\b", near[0], cell)
            found = f"Nothing is named `{wrong}` there; what comes closest in your notebook is `{near[0]}`."
            return f"`{label}` failed with\n\n    {problem}\n\n{found}\n\n```python\n{code}\n```"
    nothing = "No name in your notebook comes close to one in that line."
    return f"`{label}` failed with\n\n    {problem}\n\n{nothing}"


def _on_table(name: str, about: str, columns: Mapping[str, str], question: str) -> str:
    numbers = [column for column, kind in columns.items() if _NUMBER.match(kind)]
    numbers.sort(key=lambda column: column.lower() not in question.lower())
    groups = [column for column, kind in columns.items() if _GROUP.match(kind)]
    if not (numbers and groups and about.startswith("pandas.")):
        code = f"{name}.describe()"
    elif re.search(r"\b(plot|chart|figure)", question, re.IGNORECASE):
        code = f'{name}.groupby("{groups[0]}")["{numbers[0]}"].mean().plot(kind="bar")'
    else:
        code = f'{name}.groupby("{groups[0]}")[{numbers[:3]!r}].agg(["sum", "mean"])'.replace("'", '"')
    rows = "\n".join(f"| `{column}` | {kind} |" for column, kind in columns.items())
    return f"You sent `{name}`: {about}.\n\n| column | type |\n|:--|:--|\n{rows}\n\n```python\n{code}\n```"
