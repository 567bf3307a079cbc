"""Signing in: who we are, where that is kept, and how it is renewed.

The names below are for scripts; they are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .functions import (
        DEFAULT_TOKEN_PATH,
        TokenData,
        build_headers,
        finish_login,
        get_account_id,
        get_token,
        login,
        refresh,
        start_login,
    )
    from .oauth import PendingLogin

__all__ = [
    "DEFAULT_TOKEN_PATH",
    "PendingLogin",
    "TokenData",
    "build_headers",
    "finish_login",
    "get_account_id",
    "get_token",
    "login",
    "refresh",
    "start_login",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import functions

        return getattr(functions, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
