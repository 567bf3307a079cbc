"""`python -m codex_magic doctor`: the checks of `%codex doctor`, for a terminal and for machines where nobody looks."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import Sequence

from .display.table import aligned, without_marks
from .doctor.examination import Case, examine
from .doctor.findings import HEADS, MARKS, exit_code, report, rows, summary
from .protocol.plain import without_controls

DESCRIPTION = """\
Look at all that an answer needs: network, certificates, sign-in, models, one smallest question (it costs a few tokens),
the WebSocket, the agent's program and its sandbox, the store, the JupyterLab extension, versions.
Ends with 1 where a check failed (✗), else with 0: notes (·), warnings (!) and what was skipped (–) don't count."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m codex_magic")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("doctor", help="say what is wrong on this machine", description=DESCRIPTION)
    command.add_argument("--offline", action="store_true", help="ask no server, and send no question")
    command.add_argument("--report", action="store_true", help="write text for a bug report, without names")
    if isinstance(sys.stdout, io.TextIOWrapper):  # of a pipe on Windows, or where there is no locale
        sys.stdout.reconfigure(errors="backslashreplace")
    chosen = parser.parse_args(arguments)
    case = Case.of_environment(is_offline=chosen.offline)
    findings = asyncio.run(examine(case))
    if chosen.report:
        lines = [report(findings, case.addresses)]
    else:
        plain = [tuple(map(without_marks, row)) for row in rows(findings, has_marks=_prints_marks())]
        lines = [*aligned([HEADS, *plain], wraps=True), "", summary(findings)]
    print(without_controls("\n".join(lines)))  # noqa: T201  # what a program prints
    return exit_code(findings)


def _prints_marks() -> bool:
    """Whether the terminal or file has characters for the marks; else they are words."""
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError, AttributeError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
