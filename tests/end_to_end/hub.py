"""A real JupyterHub behind its own proxy, whose users run kernels through it as their pages do."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any
from uuid import uuid4

import httpx
import pytest
import websocket

from tests.environments import python_of
from tests.home import OFFLINE

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0  # for a hub or a server of a user, on a machine that does much else

CONFIG = """
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {environment!r}
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{
    "name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens", "list:users"],
}}]
"""


class Hub:
    """Started by `hub`. Its REST API is asked as a service of it, as the idle culler is."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.url, self.homes = url, folder / "homes"
        self.api = httpx.Client(
            base_url=f"{url}hub/api/", headers={"Authorization": f"token {token}"}, timeout=START_SECONDS
        )

        self._users: list[User] = []

    def close(self) -> None:
        for each in self._users:
            each.http.close()
        self.api.close()

    def user(self, name: str) -> User:
        """Make a user, with a token of their own, and start their server."""
        self.api.post(f"users/{name}").raise_for_status()
        token = self.api.post(f"users/{name}/tokens", json={}).raise_for_status().json()["token"]
        user = User(self, name, token)
        self._users.append(user)
        user.start()
        return user


class User:
    """Somebody on the hub, who has nothing but the address of the proxy and a token."""

    def __init__(self, hub: Hub, name: str, token: str) -> None:
        self.name, self.home, self._hub = name, hub.homes / name, hub
        self._headers = {"Authorization": f"token {token}"}
        self.http = httpx.Client(
            base_url=f"{hub.url}user/{name}/", headers=self._headers, timeout=START_SECONDS
        )

    def start(self) -> None:
        """Start the server, and read its progress until it is ready."""
        self._hub.api.post(f"users/{self.name}/server").raise_for_status()
        with self._hub.api.stream("GET", f"users/{self.name}/server/progress") as events:
            told = [json.loads(line[5:]) for line in events.iter_lines() if line.startswith("data:")]
        assert told[-1].get("ready"), told

    def cull(self) -> None:
        """Stop the server as the idle culler does: its kernels end without a word."""
        self._hub.api.delete(f"users/{self.name}/server").raise_for_status()
        while self._hub.api.get(f"users/{self.name}").json()["servers"]:
            pass

    @contextmanager
    def notebook(self, path: str) -> Iterator[Kernel]:
        """Open a notebook as a page does, and be its kernel's front end."""
        about = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.http.post("api/sessions", json=about).raise_for_status().json()
        address = str(self.http.base_url).replace("http://", "ws://")
        address += f"api/kernels/{session['kernel']['id']}/channels?session_id={uuid4().hex}"
        channels = websocket.create_connection(address, header=self._headers, timeout=START_SECONDS)
        try:
            yield Kernel(channels)
        finally:
            channels.close()


class Kernel:
    """One kernel, over the WebSocket that the proxy passes on."""

    def __init__(self, channels: websocket.WebSocket) -> None:
        self._channels, self._session = channels, uuid4().hex

    def send(self, kind: str, content: Mapping[str, Any], channel: str = "shell") -> str:
        header = {
            "msg_id": uuid4().hex,
            "msg_type": kind,
            "session": self._session,
            "username": "",
            "version": "5.3",
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": channel,
        }
        self._channels.send(json.dumps({**message, "buffers": []}))
        return header["msg_id"]

    def messages(self) -> Iterator[dict[str, Any]]:
        while True:
            data = self._channels.recv()
            if isinstance(data, str):
                yield json.loads(data)

    def run(self, code: str, *, attended: bool = False, until: Callable[[str], bool] | None = None) -> str:
        """Run a cell and return all it shows, as Markdown where it has that; or up to where `until` is true."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": attended}
        request, shown = self.send("execute_request", content), ""
        for message in self.messages():
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            data = content.get("data") or {}
            if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                shown += data.get("text/markdown") or data.get("text/plain", "")
            elif message["msg_type"] == "stream":
                shown += content["text"]
            elif message["msg_type"] == "error":
                shown += content["evalue"]
            elif message["msg_type"] in ("comm_open", "comm_msg"):
                shown += json.dumps({"comm": content["comm_id"], **data.get("state", {})}) + "\n"
            is_idle = message["msg_type"] == "status" and content["execution_state"] == "idle"
            if (until is None and is_idle) or (until is not None and until(shown)):
                return shown
        raise AssertionError("the kernel's connection ended")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def hub(folder: Path, variables: Mapping[str, str]) -> Iterator[Hub]:
    """Run a hub below a base URL, with npm's proxy. `variables`: of all users' servers."""
    python = python_of("hub")
    node, proxy = (
        shutil.which("node"),
        python.parent.parent / "node/node_modules/.bin/configurable-http-proxy",
    )
    if node is None or not proxy.exists():
        pytest.fail(f"make environments installs what this test needs: there is no {proxy}")
    url, token = f"http://127.0.0.1:{free_port()}/hub-base/", secrets.token_hex(16)
    config = CONFIG.format(
        url=url,
        hub_port=free_port(),
        api_port=free_port(),
        proxy=[node, str(proxy)],
        homes=str(folder / "homes" / "{username}"),
        python=str(python),
        token=token,
        environment={**variables, "PYTHONPATH": os.pathsep.join([str(ROOT), str(OFFLINE)])},
    )
    (folder / "homes").mkdir()
    (folder / "jupyterhub_config.py").write_text(config)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CODEX_")}
    process = subprocess.Popen(
        [python, "-m", "jupyterhub", "--config", "jupyterhub_config.py"],
        cwd=folder,
        env={**environment, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    reader = Thread(target=(log := _Log(process.stdout)).read)
    reader.start()
    try:
        log.wait_until("JupyterHub is now running")
        running = Hub(url, token, folder)
        try:
            yield running
        finally:
            running.close()
    finally:
        process.terminate()  # the hub ends its proxy and the servers of its users
        process.wait(START_SECONDS)
        reader.join(START_SECONDS)
        process.stdout.close()


class _Log:
    """What the hub writes, read as it comes, so that it never waits for a reader."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines, self._news = lines, Condition()
        self._text, self._ended = "", False

    def read(self) -> None:
        for line in self._lines:
            with self._news:
                self._text += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_until(self, words: str) -> None:
        with self._news:
            self._news.wait_for(lambda: words in self._text or self._ended, START_SECONDS)
            assert words in self._text, self._text
