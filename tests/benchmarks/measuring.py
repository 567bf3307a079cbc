"""What the benchmarks of a running notebook share: their rows, and a service to be signed in to."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codex_magic.local_service import LocalService, start
from tests.home import home_variables, service_variables

Row = dict[str, Any]

MS = 1000


@contextmanager
def signed_in_service() -> Iterator[LocalService]:
    """A local service, and this process and its children in a new home that is signed in to it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, start() as service:
        service.sign_in(Path(home) / ".codex")
        os.environ.update(home_variables(Path(home)) | service_variables(service))
        yield service


def row(what: str, bar: str, measured: str, holds: bool | None) -> Row:
    return {"what": what, "bar": bar, "measured": measured, "holds": holds}


def at_most(what: str, bar_ms: float, seconds: list[float]) -> Row:
    """The median against its bar, and the spread."""
    median = statistics.median(seconds) * MS
    spread = f"{min(seconds) * MS:.0f}..{max(seconds) * MS:.0f}"
    return row(what, f"<= {bar_ms} ms median", f"{median:.1f} ms ({spread})", median <= bar_ms)
