"""Start and stop the local service: a thread of its own with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from ssl import SSLContext
from typing import TypeVar

from tornado.httpserver import HTTPServer
from tornado.routing import Matcher
from tornado.web import Application

from .accounts import Account, Tokens
from .endpoints import ROUTES, Endpoint, NotFound, State
from .stream import Pace

T = TypeVar("T")
Service = TypeVar("Service", bound="LocalService")

Routes = Sequence[tuple[str | Matcher, type[Endpoint]]]


def start(*, pace: Pace | None = None, open_access: bool = False) -> LocalService:
    """Start to listen on 127.0.0.1, with `open_access` to requests without credentials too."""
    return LocalService(lambda url: State(url, pace=pace or Pace(), open_access=open_access))


class LocalService:
    """A running service; made by `start`. Its methods may be called from any thread but its own."""

    def __init__(
        self,
        state: Callable[[str], State],
        *,
        port: int = 0,
        routes: Routes = (),
        tls: SSLContext | None = None,
    ) -> None:
        """Open a port of this machine (0: any free one; OSError: it is taken). `routes` come before the service's own."""
        listener = socket.create_server(("127.0.0.1", port))
        listener.setblocking(False)
        self.url = self.issuer = f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        self.chatgpt_url = self.url + "/backend-api"
        self.base_url = self.chatgpt_url + "/codex"
        """Responses base of the Codex backend."""
        self.api_url = self.url + "/v1"
        """Responses base in the manner of the public API."""
        self._state = state(self.url)
        known = {"state": self._state}
        application = Application(
            [(at, endpoint, known) for at, endpoint in [*routes, *ROUTES]],
            default_handler_class=NotFound,
            default_handler_args=known,
            log_function=lambda handler: None,  # else each refusal is written into the user's notebook
        )
        server = HTTPServer(application, ssl_options=tls, max_body_size=256 * 1024 * 1024)
        # tornado needs a selector loop, which is not the default on Windows
        self._loop = asyncio.SelectorEventLoop()
        self._stop = asyncio.Event()
        listening = threading.Event()

        def run() -> None:
            with contextlib.closing(self._loop) as loop:
                loop.run_until_complete(self._serve(server, listener, listening))

        self._thread = threading.Thread(target=run, name="codex-magic-local-service", daemon=True)
        self._thread.start()
        listening.wait()

    def sign_in(self, codex_home: Path, tokens: Tokens | None = None) -> Tokens:
        """Write an auth.json as the official client does after a sign-in, and return its tokens."""
        tokens = tokens or self._call(lambda: self._state.sign_in.issue(Account()))
        kept = dataclasses.asdict(tokens)
        del kept["expires_in"]
        content = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": kept}
        content["last_refresh"] = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}000Z"
        codex_home.mkdir(parents=True, exist_ok=True)
        file = os.open(codex_home / "auth.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(file, "w", encoding="utf-8") as writing:
            json.dump(content, writing, indent=2)
        return tokens

    def close(self) -> None:
        """Stop at once, also in the middle of answers. Closing twice is fine."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self: Service) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, function: Callable[[], T]) -> T:
        """Run a function on the service's loop, where all its state lives."""

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    async def _serve(self, server: HTTPServer, listener: socket.socket, listening: threading.Event) -> None:
        server.add_socket(listener)
        listening.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
        # the answers that wait for a release, a silence or their next delta
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
