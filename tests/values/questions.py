"""What the local service was asked."""

from __future__ import annotations

import os

from tests.service import LocalService, RecordedRequest


def questions(service: LocalService) -> list[RecordedRequest]:
    return [request for request in service.requests if request.path.endswith("/responses")]


def prompts(service: LocalService) -> list[str]:
    """The text of each question, as it came."""
    return [each.json["input"][-1]["content"][-1]["text"] for each in questions(service)]


def shout(row: str) -> str:
    """A question that tells in which process it was made."""
    return f"echo: {row.upper()} {os.getpid()}"
