"""What a valid sign-in costs a request, and what a token from the disk costs a script."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import httpx

from codex_magic.auth import get_token
from codex_magic.auth.http import ApiKeyAuth, ChatGPTAuth
from codex_magic.auth.storage import auth_path
from codex_magic.auth.tokens import TokenSource
from codex_magic.protocol.settings import Settings
from tests.benchmarks.measuring import MS, Row, row, signed_in_service

REQUESTS = 300
ROUNDS = 7


def main() -> None:
    with signed_in_service() as service:
        settings = Settings.from_env()
        config = "# a setting\n" * 50 + '[model_providers.x]\nname = "x"\n'
        (settings.codex_home / "config.toml").write_text(config)
        token = json.loads(auth_path(settings.codex_home).read_text())["tokens"]["access_token"]
        chatgpt, fixed = ChatGPTAuth(TokenSource.of(settings)), ApiKeyAuth(token)
        rows = [overhead(chatgpt, fixed), from_disk()]
        assert httpx.get(service.chatgpt_url + "/wham/usage", auth=chatgpt).status_code == 200
    for found in rows:
        print(json.dumps(found))


def overhead(chatgpt: httpx.Auth, fixed: httpx.Auth) -> Row:
    """Against a fixed bearer token, over a transport that costs next to nothing."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with httpx.Client(transport=transport) as client:

        def ask(auth: httpx.Auth) -> float:
            return each(lambda: client.get("http://service", auth=auth))

        differences = [ask(chatgpt) - ask(fixed) for _ in range(ROUNDS)]
    seconds = statistics.median(differences)
    return row("a valid sign-in, per request", "<= 0.2 ms", f"{seconds * MS:.3f} ms", seconds * MS <= 0.2)


def from_disk() -> Row:
    seconds = statistics.median(each(get_token) for _ in range(ROUNDS))
    return row("get_token from disk", "<= 2 ms", f"{seconds * MS:.2f} ms", seconds * MS <= 2)


def each(work: Callable[[], object]) -> float:
    """Seconds for one of many."""
    start = time.perf_counter()
    for _ in range(REQUESTS):
        work()
    return (time.perf_counter() - start) / REQUESTS


if __name__ == "__main__":
    main()
