"""Accounts, sign-ins and what answers a session, in the app-server protocol's own words."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from .types import Struct


class ApiKeyAccount(Struct, frozen=True, tag="apiKey"):
    """Signed in with an API key; nothing else is known."""

    @property
    def type(self) -> str:
        return "apiKey"


class ChatgptAccount(Struct, frozen=True, tag="chatgpt"):
    email: str | None = None
    plan_type: str | None = None
    """`plus`, `pro`, `business` ...: an open list."""

    @property
    def type(self) -> str:
        return "chatgpt"


Account = ApiKeyAccount | ChatgptAccount


class GetAccountResponse(Struct, frozen=True):
    account: Account | None = None
    """`None`: not signed in."""
    requires_openai_auth: bool = True
    """False for a provider that needs no sign-in."""


class LoginState(str, Enum):
    pending = "pending"
    success = "success"
    failed = "failed"
    cancelled = "cancelled"


class LoginUpdated(Struct, frozen=True):
    """What a sign-in in progress tells; the last one is not `pending`."""

    login_id: str
    state: LoginState
    error: str | None = None
    """One sentence, then what to do next."""


class AccountLoginCompleted(Struct, frozen=True):
    """The end of a sign-in."""

    method: ClassVar[str] = "account/login/completed"
    login_id: str | None
    success: bool
    error: str | None = None


class CancelLoginAccountStatus(str, Enum):
    canceled = "canceled"
    not_found = "notFound"


class CancelLoginAccountResponse(Struct, frozen=True):
    status: CancelLoginAccountStatus
    """`not_found`: it was over already."""


class ServerInfo(Struct, frozen=True):
    name: str
    version: str


class InitializeResponse(Struct, frozen=True):
    """How the engine introduces itself: the codex program, or this package."""

    user_agent: str
    server_info: ServerInfo
    codex_home: str
    platform_family: str
    """`unix` or `windows`."""
    platform_os: str
    """`linux`, `macos` or `windows`."""
