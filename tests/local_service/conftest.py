from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local_service.raw_client import RawClient
from tests.service import LocalService


@pytest.fixture
def client(service: LocalService) -> Iterator[RawClient]:
    client = RawClient(service)
    yield client
    client.http.close()
