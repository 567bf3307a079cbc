"""Asking a human. The answer that nobody gave is no."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    ApprovalDecision,
    ApprovalRequest,
    Decision,
)
from .calling import call

log = logging.getLogger(__name__)

Approvals = Callable[[ApprovalRequest], Any]
"""Gives an `ApprovalDecision`, its wire word (`"accept"`), or an awaitable of one. Anything else is no."""


async def ask(approvals: Approvals | None, request: ApprovalRequest) -> ApprovalDecision:
    """The decision; `decline` for no answer, one we can't read, and a front end that fails or gives up."""
    if approvals is None:
        return Decision.decline
    try:
        answer = await call(approvals, request)
    except Exception:  # whatever broke, it was no yes
        log.warning("asking about %s failed, which is a no", request.method, exc_info=True)
        return Decision.decline
    if isinstance(answer, AcceptWithExecpolicyAmendment | ApplyNetworkPolicyAmendment):
        return answer
    try:
        return Decision(answer)
    except ValueError:
        return Decision.decline
