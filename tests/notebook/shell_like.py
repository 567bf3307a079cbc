"""Stand-ins for IPython's shell: as much of one as a question about the front end looks at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def shell_like(**attributes: object) -> InteractiveShell:
    return cast("InteractiveShell", SimpleNamespace(**attributes))
