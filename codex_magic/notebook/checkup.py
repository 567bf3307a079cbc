"""`%codex doctor`: what is wrong with this notebook's way to an answer, as a table or as text for a bug report."""

from __future__ import annotations

from ..doctor.examination import Case, examine
from ..doctor.findings import HEADS, report, rows, summary
from ..doctor.machine import Page
from ..protocol.errors import CodexError
from ..responses.provider import Provider
from ..waiting import Steps
from .extension import PROTOCOL
from .session import Session


def doctor(session: Session, rest: str) -> Steps[None]:
    """Show the table, or the report; nothing of it is sent anywhere."""
    chosen = rest.split()
    provider: Provider | CodexError
    try:
        provider = session.provider()
    except CodexError as error:
        provider = error
    extension = session.extension
    case = Case(
        settings=session.env,
        provider=provider,
        model=session.settings.model or None,
        engine="backend" if session.settings.engine == "backend" else "app-server",
        page=Page(session.screen.rich, extension.is_attached, extension.protocol, PROTOCOL),
        is_offline="--offline" in chosen,
    )
    findings = yield from session.wait(examine(case))
    if "--report" in chosen:
        session.screen.code(report(findings, case.addresses))
        return
    note = f"{summary(findings)} For a bug report: `%codex doctor --report`"
    session.screen.table(HEADS, rows(findings), note=note, wraps=True)
