"""Commands that ask with a prompt of ours: about the cell that failed, a cell, a function, the notebook.

The prompts are Markdown files that users may copy and change; what they speak of goes along as data.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.metadata
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ..context.describe import describe, headline
from ..context.lookups import PYTHON
from ..context.mentions import value_at
from ..context.registry import attributes, mro
from ..protocol.errors import OptionError
from ..protocol.plain import did_you_mean, shorten
from ..protocol.types import AgentMessage, ThreadItem, TurnResult, TurnStatus
from ..threads.store import TurnRecord
from ..waiting import Steps
from . import options
from .completion import entries
from .environment import is_attended, is_run_by_server
from .mentioned import Mentioned
from .options import ParsedLine
from .runs import Run, error_text
from .screen import count
from .session import Session, Task
from .shell import CellFailed, CellStopped

PACKAGED = Path(__file__).parent / "prompts"

ABOUT = {
    "fix": "correct the cell that failed",
    "explain": "explain a cell",
    "review": "review the notebook",
    "test": "write tests",
    "doc": "write documentation",
    "optimize": "make a cell faster",
}

SOURCE_TOKENS = 3_000
"""Of a function or class with its source."""

VALUE_TOKENS = 200
"""Of a variable where a cell failed."""

MOST_VARIABLES = 10
MOST_KEYS = 30
RUNS_BEFORE = 15
FRAMES = 3
"""Of the user's own code, those nearest to the error."""

NO_OPTIONS = ParsedLine({}, "")


def fix(session: Session, rest: str) -> Steps[Task]:
    """Ask for the failed cell anew; the answer's code goes into the next cell, and with `--rerun` runs in this one
    after a yes. Raises OptionError."""
    cell_options = only_options("fix", rest)
    run, error = _failure(session)
    name = f"In[{run.number}]"
    brings = [Mentioned(f"{name}, which failed", _report(session, run, error))]
    yield from ()  # there is nothing to wait for

    def insert(session: Session, result: TurnResult) -> Steps[None]:
        blocks = code_blocks(_answer_text(result.items))
        code = next((code for language, code in blocks if language in PYTHON), None)
        if code is None:
            return
        code = session.mask.restore(code)
        if code.strip() == run.source.strip():
            session.screen.say("The code of the answer is that of the failed cell.")
            return
        before, after = run.source.splitlines(), code.splitlines()
        lines = difflib.unified_diff(before, after, name, "corrected", lineterm="")
        session.screen.code("\n".join(lines), "diff")
        is_whole = _put(session, code)
        if is_whole and cell_options.values.get("rerun"):
            from .rerun import run_after_yes  # few cells do

            yield from run_after_yes(session, code, run)

    return Task(_prompt(session, "fix", cell=name), cell_options, brings, insert)


def review(session: Session, rest: str) -> Steps[Task]:
    yield from ()  # there is nothing to wait for
    cell_options = only_options("review", rest)
    if session.settings.context == "none":
        cell_options = ParsedLine({"context": "above", **cell_options.values}, "")
    return Task(_prompt(session, "review"), cell_options)


def code(session: Session, rest: str) -> Steps[None]:
    """Put a code block of the last answer into the next cell."""
    blocks = code_blocks((yield from _last_answer(session)))
    number = int(rest or 1)
    if not blocks:
        session.screen.say("The last answer has no code.")
    elif not 1 <= number <= len(blocks):
        session.screen.say(f"The last answer has {count(len(blocks), 'code block')}.")
    else:
        others = f" It is block {number} of {len(blocks)}: `%codex code {number % len(blocks) + 1}`"
        language, text = blocks[number - 1]
        _put(session, session.mask.restore(text, language), others * (len(blocks) > 1))


def prompts(session: Session, rest: str) -> None:
    """List the prompts, or copy them to a folder whose copies are used from then on."""
    if rest:
        folder = Path(rest).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        new = [name for name in ABOUT if not (folder / f"{name}.md").exists()]
        for name in new:
            (folder / f"{name}.md").write_bytes((PACKAGED / f"{name}.md").read_bytes())
        session.settings.prompts = str(folder.resolve())
        kept = f" {count(len(ABOUT) - len(new), 'file')} stayed as it was." if len(new) < len(ABOUT) else ""
        always = f'`c.CodexMagics.prompts = "{folder.resolve()}"` in ipython_config.py'
        copied = f"Copied {count(len(new), 'prompt')} to {folder}.{kept}"
        session.screen.say(f"{copied} They are used from now on; for good: {always}")
        return
    heads = ("Command", "What it asks for", "Its prompt")
    files = {name: _own_file(session, name) or "built in" for name in ABOUT}
    rows = [(f"`%codex {name}`", about, files[name]) for name, about in ABOUT.items()]
    session.screen.table(heads, rows, note="Copy and change them: `%codex prompts FOLDER`")


def testable(session: Session) -> list[str]:
    """Return the user's functions and classes."""
    shell = session.shell
    names = [name for name, value in shell.user_ns.items() if issubclass(type(value), FunctionType | type)]
    return [name for name in names if name[:1] != "_" and name not in shell.user_ns_hidden]


def only_options(name: str, rest: str) -> ParsedLine:
    """Return the options of a command that takes nothing else. Raises OptionError."""
    cell_options = options.parse_line(rest)
    if cell_options.rest:
        hint = f"To send it as a question: `%codex -- {name} {rest}`"
        raise OptionError(f"`%codex {name}` takes options only.", hint=hint)
    return cell_options


def _own_file(session: Session, name: str) -> Path | None:
    """Return the user's own prompt of that name, if there is one."""
    path = Path(session.settings.prompts or session.env.home / "prompts").expanduser() / f"{name}.md"
    return path if path.is_file() else None


def _prompt(session: Session, name: str, /, **words: str) -> str:
    """Return the text of a prompt's file without comments, its words in braces replaced. Raises OptionError."""
    try:
        path = _own_file(session, name) or PACKAGED / f"{name}.md"
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        problem = f"The prompt of `%codex {name}` can't be read: {error}."
        raise OptionError(problem, hint="See `%codex prompts`.") from None
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", value)
    return text.strip()


def _about_cell(session: Session, rest: str, *, name: str) -> Steps[Task]:
    """Ask about the cell of that number, else the one that ran last. Raises OptionError."""
    yield from ()  # there is nothing to wait for
    from ..context.cells import is_ours

    runs, _ = session.runs.so_far()
    wanted = [run for run in runs if (run.number == int(rest) if rest else not is_ours(run.source))]
    if not wanted:
        problem = f"No cell {rest} has run." if rest else "No cell has run yet."
        raise OptionError(problem, hint=f"Name one by its number: `%codex {name} 3`")
    run = wanted[-1]
    parts = [run.source, f"# It failed:\n{run.error}" if run.error else ""]
    results = session.shell.user_ns.get("Out", {})
    if run.number in results:
        described = describe(results[run.number], rows=session.settings.sample_rows)
        parts.append(f"# Its result:\n{described.text}")
    title = f"In[{run.number}]"
    brings = [Mentioned(title, "\n\n".join(filter(None, parts)))]
    return Task(_prompt(session, name, cell=title), NO_OPTIONS, brings)


def _about_value(session: Session, wanted: str, *, name: str) -> Steps[Task]:
    """Ask about a function or class. Raises OptionError."""
    yield from ()  # there is nothing to wait for
    namespace = session.shell.user_ns
    try:
        value = value_at(namespace, wanted)
    except LookupError:
        near = did_you_mean(wanted, testable(session)).strip()
        hint = near or f"Define it first. To send it as a question: `%codex -- {name} {wanted}`"
        raise OptionError(f"Nothing is named `{wanted}`.", hint=hint) from None
    described = describe(value, name=wanted, rows=session.settings.sample_rows, tokens=SOURCE_TOKENS)
    source = _source(session, value, wanted)
    text = described.text if source.strip() in described.text else f"{described.text}\n\n{source}"
    return Task(_prompt(session, name, name=wanted), NO_OPTIONS, [Mentioned(wanted, text, described.images)])


explain, optimize = (partial(_about_cell, name=name) for name in ("explain", "optimize"))
test, doc = (partial(_about_value, name=name) for name in ("test", "doc"))


def _source(session: Session, value: Any, name: str) -> str:
    """Return the source of a function or class, also of a class of a cell, which Python does not find."""
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        head = rf"^(?:@.*\n)*(?:async def|def|class) +{re.escape(name)}\b.*"
        definition = re.compile(rf"{head}(?:\n(?:[ \t].*)?)*", re.MULTILINE)
        found = (definition.search(run.source) for run in reversed(session.runs.so_far()[0]))
        return next((each[0].strip() for each in found if each), "")


def _last_answer(session: Session) -> Steps[str]:
    """Return the text of the last answer of this notebook's thread."""
    thread = yield from session.wait(session.thread())
    session.mask = yield from session.wait(session.mask_of(thread))
    session.known_secrets()
    turns: list[TurnRecord] = yield from session.wait(thread.history())
    turn = next((turn for turn in reversed(turns) if turn.status is not TurnStatus.in_progress), None)
    return _answer_text([entry.item for entry in turn.items] if turn else [])


def _answer_text(items: Iterable[ThreadItem]) -> str:
    return "\n\n".join(item.text for item in items if isinstance(item, AgentMessage))


_LANGUAGE = re.compile(r"\s*([^\s{]*)")  # R Markdown writes {python}


def code_blocks(markdown: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a text: language and code."""
    from ..display.parsing import parse_blocks  # its parser is loaded with the first answer

    fences = (token for token in parse_blocks(markdown, {}) if token.type == "fence")
    return [(_LANGUAGE.findall(token.info)[0].lower(), token.content.removesuffix("\n")) for token in fences]


def _put(session: Session, code: str, about: str = "") -> bool:
    """Put code into the next cell, and show it where no front end does that. Returns whether it can run as it is."""
    left = sorted(set(re.findall(r"«SECRET_\d+»", code)))
    names = session.mask.names_in(code)
    known = f" ({', '.join(names)})" if names else ""
    note = f" Fill in {', '.join(left)}{known}: no lookup is known for it." if left else ""
    if is_attended(session.shell) and not is_run_by_server(session.shell):
        session.shell.set_next_input(code)
        session.screen.say(f"The code is in the next cell.{about}{note}")
    else:
        session.screen.code(code, "python")
        session.screen.say(f"This front end adds no cells: copy the code.{about}{note}")
    return not left


def _failure(session: Session) -> tuple[Run, BaseException]:
    """Return the last cell that failed and its error. Raises OptionError."""
    if session.runs.failure is not None:
        return session.runs.failure
    error = getattr(sys, "last_value", None)  # before the extension was loaded
    name_of = getattr(session.shell.compile, "format_code_name", lambda name: None)
    if isinstance(error, BaseException) and not isinstance(error, CellFailed | CellStopped):
        labels = [name_of(frame.f_code.co_filename) for frame, _ in walk_tb(error.__traceback__)]
        numbers = [int(found[1]) for label in labels if label and (found := re.search(r"(\d+)", label[1]))]
        for run in reversed(session.runs.so_far()[0]):
            if run.number in numbers and not run.at:
                return run, error
    raise OptionError("No cell has failed.", hint="Run the cell first. To ask about it: `%codex -- fix ...`")


def _report(session: Session, run: Run, error: BaseException) -> str:
    frames = _own_frames(session, error)
    missing = dict.fromkeys([*_misses(error, frames, session.shell.user_ns), *_unknown(session, run)])
    parts = {
        "": run.source,
        "The error": run.error or error_text(session.shell, error),
        "Variables where it failed": _variables(frames, session.settings.sample_rows),
        "What does not exist": "\n".join(missing),
        "What ran before, in this order": _before(session, run),
    }
    return "\n\n".join(f"# {head}\n{text}" if head else text for head, text in parts.items() if text)


Frames = list[tuple[FrameType, str]]
"""Of the user's own code, the one nearest to the error first, each with its failing line."""


def _own_frames(session: Session, error: BaseException) -> Frames:
    import linecache

    name_of = getattr(session.shell.compile, "format_code_name", lambda name: None)
    own = [
        (frame, linecache.getline(frame.f_code.co_filename, line).strip())
        for frame, line in walk_tb(error.__traceback__)
        if name_of(frame.f_code.co_filename) or _is_own(frame.f_code.co_filename)
    ]
    return own[::-1][:FRAMES]


def _is_own(path: str) -> bool:
    """Whether a file is the user's: below the working folder and in no environment."""
    try:
        inside = Path(path).resolve().relative_to(Path.cwd().resolve())
    except (OSError, ValueError):
        return False
    return not {"site-packages", ".venv", "venv", "lib"} & set(inside.parts)


def _variables(frames: Frames, rows: int) -> str:
    """Describe what the failing lines name, and the parameters and local variables of functions."""
    shown: dict[str, str] = {}
    for frame, line in frames:
        known = frame.f_globals | frame.f_locals
        names = re.findall(r"(?<![\w.])[^\W\d]\w*", line)
        if frame.f_locals is not frame.f_globals:
            names += frame.f_locals
        for name in dict.fromkeys(names):
            value = known.get(name, builtins)
            is_data = not (issubclass(type(value), ModuleType) or callable(value) or name[:2] == "__")
            if is_data and name not in shown and len(shown) < MOST_VARIABLES:
                shown[name] = describe(value, name=name, rows=rows, tokens=VALUE_TOKENS, seconds=0.5).text
    return "\n\n".join(shown.values())


def _misses(error: BaseException, frames: Frames, namespace: dict[str, Any]) -> Iterator[str]:
    """Say what the error looked for in vain, and what comes near."""
    match error:
        case NameError(name=str(name)):
            yield f"The name {name}{_near(name, [*namespace, *dir(builtins)])}"
        case AttributeError(name=str(name), obj=obj):
            names = [*dict(attributes(obj)), *(each for kind in mro(obj) for each in vars(kind))]
            names += [str(key) for key, _ in entries(obj)]
            yield f"The attribute {name} of {headline(obj)}{_near(name, names)}"
        case ModuleNotFoundError(name=str(name)):
            installed = [*importlib.metadata.packages_distributions(), *sys.stdlib_module_names]
            yield f"The module {name}{_near(name.partition('.')[0], installed)}"
        case FileNotFoundError(filename=str(name)):
            folder = Path(name).parent
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            yield f"The file {name}{_near(Path(name).name, names)}"
        case LookupError(args=[said, *_]):
            yield from _missing_keys(said, frames)


def _missing_keys(said: object, frames: Frames) -> Iterator[str]:
    wanted = [said] if not isinstance(said, str) else [said, *re.findall(r"'([^']+)'", said)]
    for frame, line in frames:
        known = frame.f_globals | frame.f_locals
        for name in dict.fromkeys(re.findall(r"(?<![\w.])[^\W\d]\w*", line)):
            keys = [key for key, _ in entries(known.get(name))]
            for key in wanted:
                if keys and key not in keys and (key == said or repr(key) in line or str(key) in line):
                    texts = [str(each) for each in keys]
                    listed = ", ".join(texts[:MOST_KEYS]) + (" ..." if len(texts) > MOST_KEYS else "")
                    yield f"The key {key!r} of {name}{_near(str(key), texts)} It has: {listed}"


def _near(name: str, names: Iterable[str]) -> str:
    lower = {each.lower(): each for each in names}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    return f" (near: {', '.join(near)})." if near else "."


def _unknown(session: Session, run: Run) -> Iterator[str]:
    """Name what the cell uses and nothing defines, here or in it."""
    try:
        tree = ast.parse(session.shell.input_transformer_manager.transform_cell(run.source))
    except (SyntaxError, ValueError):
        return
    nodes = [*ast.walk(tree)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            bound |= {node.name or ""}
        elif isinstance(node, ast.arg):
            bound |= {node.arg}
        elif isinstance(node, ast.alias):
            bound |= {(node.asname or node.name).partition(".")[0]}
    namespace = session.shell.user_ns
    for name in dict.fromkeys(name.id for name in names):
        if name not in bound and name not in namespace and not hasattr(builtins, name):
            yield f"The name {name}{_near(name, [*namespace, *bound, *dir(builtins)])}"


def _before(session: Session, run: Run) -> str:
    runs = [each for each in session.runs.so_far()[0] if each.number < run.number]
    more = len(runs) - RUNS_BEFORE
    left_out = f"... {count(more, 'run')} before these\n" if more > 0 else ""
    lines = [
        f"In[{each.number}]{' (failed)' if each.error else ''}: {shorten(each.source, 70)}"
        for each in runs[-RUNS_BEFORE:]
    ]
    return left_out + "\n".join(lines)
