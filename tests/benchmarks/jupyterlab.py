"""How far the screen lags behind a long answer in a real JupyterLab, without an extension there.

The answer is held before its last delta and released at once, so that we know when that delta leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from codex_magic.local_service import LocalService
from codex_magic.local_service.prose import document
from tests.benchmarks.measuring import Row, row, signed_in_service
from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.held import hold
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.notebooks import save_notebook

SIZE = 40_000
DELTAS = 2_000
PER_SECOND = 100
LAG_SECONDS = 0.7
PATIENCE_SECONDS = 30
"""How long we wait for the usual way, which may never arrive."""

SECTIONS = document(SIZE).count("\n## ") + 1

OURS = ["%load_ext codex_magic", f"%%codex\npace: {PER_SECOND} chars={SIZE // DELTAS}\nrepeat {SIZE}"]

USUAL = f"""
import time
from IPython.display import Markdown, display
from codex_magic.local_service.prose import document
text = document({SIZE})
shown = display(Markdown(""), display_id=True)
begun = time.monotonic()
for number in range(1, {DELTAS} + 1):
    time.sleep(max(0, begun + number / {PER_SECOND} - time.monotonic()))
    shown.update(Markdown(text[: number * {SIZE // DELTAS}]))
"""
"""The whole text again for every delta."""


def main() -> None:
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("no Chromium here: install it or set CHROMIUM to its path")
    with (
        signed_in_service() as service,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        JupyterServer(Path(folder)) as server,
        browser(executable) as chromium,
    ):
        print(json.dumps(ours(chromium, server, service)), flush=True)
        print(json.dumps(usual(chromium, server)), flush=True)


def ours(chromium: Browser, server: JupyterServer, service: LocalService) -> Row:
    path = save_notebook(server.folder / "ours.ipynb", *OURS)
    visit = Visit(chromium, server, path)
    hold(service, after=DELTAS - 1, delta_chars=SIZE // DELTAS)
    visit.start_all()
    service.wait_for_hold(timeout=3 * DELTAS / PER_SECOND)
    service.release()
    lag = shown_after(visit, last_paragraph(document(SIZE)))
    visit.page.wait_for_function(f"({IDLE}) && ({SHOWN}) === {SECTIONS}")
    visit.save()
    kept = nbformat.read(path, as_version=4).cells[-1].outputs
    complete = len(kept) == 1 and last_paragraph(document(SIZE)) in kept[0].data["text/markdown"]
    visit.close()
    return row(
        "JupyterLab: last delta -> visible, 40 KB in 20 s",
        f"<= {LAG_SECONDS} s, complete in page and file",
        f"{lag:.2f} s, {'complete' if complete else 'NOT COMPLETE'}",
        lag <= LAG_SECONDS and complete,
    )


def usual(chromium: Browser, server: JupyterServer) -> Row:
    visit = Visit(chromium, server, save_notebook(server.folder / "usual.ipynb", USUAL))
    visit.start_all()
    time.sleep(DELTAS / PER_SECOND)
    begun = time.monotonic()
    try:
        visit.page.wait_for_function(f"({SHOWN}) === {SECTIONS}", timeout=PATIENCE_SECONDS * 1000)
        measured = f"{time.monotonic() - begun:.1f} s"
    except PlaywrightTimeout:
        measured = (
            f"not there after {PATIENCE_SECONDS} s ({visit.page.evaluate(SHOWN)} of {SECTIONS} sections)"
        )
    visit.close()
    return row("the same, redrawn whole for every delta", "(beside)", measured, None)


SHOWN = "document.querySelectorAll('.jp-OutputArea-output h2').length"
IDLE = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"


def last_paragraph(text: str) -> str:
    return text.rpartition("\n\n")[2].strip()


def shown_after(visit: Visit, words: str) -> float:
    """Seconds until the page shows `words`."""
    begun = time.monotonic()
    visit.page.wait_for_function(
        "words => document.querySelector('.jp-OutputArea:has(h2)').textContent.replace(/\\s+/g, ' ').includes(words)",
        arg=words,
    )
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
