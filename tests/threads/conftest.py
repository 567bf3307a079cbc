from __future__ import annotations

from collections.abc import Iterator

import pytest

from codex_magic import Codex
from tests.service import LocalService


@pytest.fixture
def codex(service: LocalService) -> Iterator[Codex]:
    with Codex() as codex:
        yield codex
