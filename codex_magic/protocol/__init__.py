"""The vocabulary every other layer speaks: items, turns, notifications, errors, settings.

Import from the modules below, not from here: `%load_ext` must be able to read settings without
paying for msgspec.
"""

from collections.abc import Callable
from typing import Any

_host: Callable[[], Any] | None = None


def use_host(host: Callable[[], Any] | None) -> None:
    """Let `host` return the `values.host.Host` of a call from now on; `None`: a script's.

    It stands here because `%load_ext` reads no module that it can do without.
    """
    global _host
    _host = host


def notebook_host() -> Any:
    """Return the `values.host.Host` of the notebook that calls; `None` in a script."""
    return _host() if _host is not None else None
