"""What answers a session: the codex program, or this package itself."""

from __future__ import annotations

from .types import Struct


class ServerInfo(Struct, frozen=True):
    name: str
    version: str


class InitializeResponse(Struct, frozen=True):
    """How the engine introduces itself, in the app-server protocol's words."""

    user_agent: str
    server_info: ServerInfo
    codex_home: str
    platform_family: str
    """`unix` or `windows`."""
    platform_os: str
    """`linux`, `macos` or `windows`."""
