"""What the local service was asked."""

from __future__ import annotations

from tests.service import LocalService, RecordedRequest


def questions(service: LocalService) -> list[RecordedRequest]:
    return [request for request in service.requests if request.path.endswith("/responses")]


def prompts(service: LocalService) -> list[str]:
    """The text of each question, as it came."""
    return [each.json["input"][-1]["content"][-1]["text"] for each in questions(service)]
