"""What a mention may name: the user's variables, and files of the notebook's folder."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ..context import mentions
from ..protocol.plain import utf16_length
from .gathering import folder_of

MOST_FILES = 500


def marks(shell: Any, text: str) -> list[dict[str, Any]]:
    """Return what an editor marks in a question, with begin and end in UTF-16 units; from any thread."""
    folder, files = folder_and_files(None)
    found = mentions.marks(text, names_of(shell), is_file=partial(is_file_in, folder), files=files)
    return [
        {"begin": utf16_length(text[: each.begin]), "end": utf16_length(text[: each.end]), "note": note}
        for each, note in found
    ]


def names_of(shell: Any) -> dict[str, Any]:
    """Return the user's own names; a cell may be defining some at this moment."""
    hidden = shell.user_ns_hidden
    return {name: value for name, value in shell.user_ns.copy().items() if name not in hidden}


def folder_and_files(path: str | None) -> tuple[Path, list[str]]:
    """Return the folder of the notebook with this path, and the names of files in it."""
    folder, files = folder_of(path), []
    with suppress(OSError):  # the folder is gone
        folder = folder.resolve()
        files = [each.name for each in islice(folder.iterdir(), MOST_FILES) if each.is_file()]
    return folder, files


def file_in(folder: Path, target: str) -> Path | None:
    """Return a file of the folder or below it."""
    try:
        path = (folder / Path(target).expanduser()).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def is_file_in(folder: Path, target: str) -> bool:
    return file_in(folder, target) is not None
