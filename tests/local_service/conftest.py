from __future__ import annotations

from collections.abc import Iterator

import pytest

from codex_magic.local_service import LocalService
from tests.local_service.raw_client import RawClient


@pytest.fixture
def client(service: LocalService) -> Iterator[RawClient]:
    client = RawClient(service)
    yield client
    client.http.close()
