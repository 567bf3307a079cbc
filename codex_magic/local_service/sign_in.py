"""The HTTP endpoints and pages of the sign-in service."""

from __future__ import annotations

from .endpoints import Endpoint

SIGN_IN_ROUTES: list[tuple[str, type[Endpoint]]] = []
