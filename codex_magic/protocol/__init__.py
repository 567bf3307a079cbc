"""The vocabulary every other layer speaks: items, turns, notifications, errors, settings.

Import from the modules below, not from here: `%load_ext` must be able to read settings without
paying for msgspec.
"""

from collections.abc import Callable
from typing import Any

notebook_host: Callable[[], Any] | None = None
"""Returns the `values.host.Host` of a notebook; it stands here because `%load_ext` imports nothing it can do without."""
