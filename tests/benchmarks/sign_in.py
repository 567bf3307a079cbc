"""What a valid sign-in costs a request, and what a token from the disk costs a script."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from codex_magic.auth import get_token
from codex_magic.auth.http import ApiKeyAuth, ChatGPTAuth
from codex_magic.auth.sign_in import TokenSource
from codex_magic.auth.storage import auth_path
from codex_magic.protocol.settings import Settings
from tests.benchmarks.measuring import Row, ratio, signed_in_service

REQUESTS = 300
ROUNDS = 7
SIGN_IN_BAR = 1.5
DISK_BAR = 20


def main() -> None:
    with signed_in_service() as service:
        settings = Settings.from_env()
        config = "# a setting\n" * 50 + '[model_providers.x]\nname = "x"\n'
        (settings.codex_home / "config.toml").write_text(config)
        token = json.loads(auth_path(settings.codex_home).read_text())["tokens"]["access_token"]
        chatgpt, fixed = ChatGPTAuth(TokenSource.of(settings)), ApiKeyAuth(token)
        rows = [overhead(chatgpt, fixed), from_disk(auth_path(settings.codex_home))]
        assert httpx.get(service.chatgpt_url + "/wham/usage", auth=chatgpt).status_code == 200
    for found in rows:
        print(json.dumps(found))


def overhead(chatgpt: httpx.Auth, fixed: httpx.Auth) -> Row:
    """Against a fixed bearer token, over a transport that costs next to nothing."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with httpx.Client(transport=transport) as client:

        def ask(auth: httpx.Auth) -> float:
            return each(lambda: client.get("http://service", auth=auth))

        mine, bases = zip(*((ask(chatgpt), ask(fixed)) for _ in range(ROUNDS)), strict=True)
    return ratio("a request with a valid sign-in", "a fixed key", SIGN_IN_BAR, mine, bases)


def from_disk(path: Path) -> Row:
    """Against the JSON of auth.json alone."""
    pairs = [(each(get_token), each(lambda: json.loads(path.read_text()))) for _ in range(ROUNDS)]
    mine, bases = zip(*pairs, strict=True)
    return ratio("get_token from disk", "reading auth.json", DISK_BAR, mine, bases)


def each(work: Callable[[], object]) -> float:
    """CPU seconds of one of many."""
    start = time.process_time()
    for _ in range(REQUESTS):
        work()
    return (time.process_time() - start) / REQUESTS


if __name__ == "__main__":
    main()
