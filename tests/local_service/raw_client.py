"""A client that knows nothing: it sends JSON and reads events line by line."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.service import LocalService


class RawClient:
    """Signed in to a service, and sending requests that it takes."""

    def __init__(self, service: LocalService) -> None:
        self.service = service
        tokens = service.issue_tokens()
        self.headers = {
            "Authorization": f"Bearer {tokens.access_token}",
            "ChatGPT-Account-ID": tokens.account_id,
        }
        self.http = httpx.Client(trust_env=False, timeout=20)

    def body(self, prompt: str = "hello", **changes: Any) -> dict[str, Any]:
        body = {
            "model": "local-large",
            "instructions": "Answer.",
            "input": [user(prompt)],
            "store": False,
            "stream": True,
        }
        return {key: value for key, value in (body | changes).items() if value is not None}

    def post(
        self, prompt: str = "hello", *, headers: dict[str, str] | None = None, **changes: Any
    ) -> httpx.Response:
        url = self.service.base_url + "/responses"
        return self.http.post(url, json=self.body(prompt, **changes), headers=self.headers | (headers or {}))

    def events(self, prompt: str = "hello", **changes: Any) -> list[dict[str, Any]]:
        response = self.post(prompt, **changes)
        assert response.status_code == 200, response.text
        return parse(response.content)

    def text(self, prompt: str, **changes: Any) -> str:
        return text_of(self.events(prompt, **changes))


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def parse(stream: bytes) -> list[dict[str, Any]]:
    data = [line for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in data]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
