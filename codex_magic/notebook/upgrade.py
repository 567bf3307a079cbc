"""An upgrade of this package under a running kernel: the old code goes on until the kernel is restarted.

Imported by `%load_ext`, so it imports nothing that costs.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .. import __file__ as _FILE
from .. import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_PACKAGE = __package__.partition(".")[0]

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


class _Spared(dict[str, bool]):
    """`skip_modules` of `%autoreload`, which counts all of ours among them, those not imported yet too.

    To reload them one by one mixes two versions of a class, and a turn would wait for an end of the other.
    """

    def __contains__(self, name: object) -> bool:
        ours = isinstance(name, str) and name.partition(".")[0] == _PACKAGE
        return ours or super().__contains__(name)


def spare(shell: InteractiveShell) -> None:
    """Keep `%autoreload` from this package, if it is loaded by now."""
    reloader: Any = getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
    if reloader is not None and not isinstance(reloader.skip_modules, _Spared):
        reloader.skip_modules = _Spared(reloader.skip_modules)


class Installed:
    """What is on disk in place of the files that this kernel has loaded."""

    def __init__(self) -> None:
        self._stamp = _stamp()

    def news(self) -> str | None:
        """A sentence, once for each version that is put in the place of this one."""
        stamp = _stamp()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        version = _version_on_disk()
        if version in (None, __version__):
            return None
        return f"{_PACKAGE} {version} is installed, this kernel runs {__version__}: restart the kernel."


def _stamp() -> int | None:
    try:
        return os.stat(_FILE).st_mtime_ns
    except OSError:
        return None


def _version_on_disk() -> str | None:
    try:
        with open(_FILE, encoding="utf-8") as file:
            found = _VERSION.search(file.read())
    except OSError:
        return None
    return found[1] if found else None
