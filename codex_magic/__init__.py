"""Work with OpenAI's Codex inside a notebook: `%load_ext codex_magic`, then `%%codex` cells."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@cache
def _exports() -> dict[str, str]:
    """Public name -> its module, by the stub beside this file. Read at first use, so `%load_ext` stays cheap."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = re.findall(r"^ +from \.(\S+) import (\([^)]*\)|.*)", stub, re.MULTILINE)
    return {
        name: f"{__name__}.{module}" for module, names in imports for name in re.findall(r"(\w+) as", names)
    }


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_exports())
    if name not in _exports():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # With its name: one of them is a module.
    return getattr(__import__(_exports()[name], fromlist=[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_exports()])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext codex_magic`: add `%codex`, `%%codex` and what they need."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext codex_magic`: take them away again."""
    from .notebook.magics import unload

    unload(shell)
