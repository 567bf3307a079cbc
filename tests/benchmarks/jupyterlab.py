"""How far the screen lags behind a long answer in a real JupyterLab, without an extension there.

The answer is held before its last delta and released at once, so that we know when that delta leaves. Beside
it stands how far the usual way lags, a cell that calls `display()` of the whole text for every delta.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import nbformat
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from codex_magic.local_service.answers import document
from tests.benchmarks.measuring import MS, Row, row, signed_in_service
from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.held import hold
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.notebooks import save_notebook
from tests.service import LocalService

SIZE = 40_000
DELTAS = 2_000
PER_SECOND = 100
LAG_BAR = 0.25
PATIENCE_SECONDS = 90
"""How long we wait for the usual way, which may never arrive."""

SECTIONS = document(SIZE).count("\n## ") + 1

OURS = ["%load_ext codex_magic", f"%%codex\npace: {PER_SECOND} chars={SIZE // DELTAS}\nrepeat {SIZE}"]

USUAL = f"""
import time
from pathlib import Path
from IPython.display import Markdown, display
from codex_magic.local_service.answers import document
text = document({SIZE})
shown = display(Markdown(""), display_id=True)
begun = time.monotonic()
for number in range(1, {DELTAS} + 1):
    time.sleep(max(0, begun + number / {PER_SECOND} - time.monotonic()))
    shown.update(Markdown(text[: number * {SIZE // DELTAS}]))
Path("ending").write_text(str(time.monotonic()))
Path("ending").rename("ended")
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
        print(json.dumps(ours(chromium, server, service, usual(chromium, server))), flush=True)


def ours(chromium: Browser, server: JupyterServer, service: LocalService, base: float) -> Row:
    path = save_notebook(server.folder / "ours.ipynb", *OURS)
    visit = Visit(chromium, server, path)
    hold(service, after=DELTAS - 1, delta_chars=SIZE // DELTAS)
    visit.start_all()
    service.wait_for_hold(timeout=3 * DELTAS / PER_SECOND)
    begun = time.monotonic()
    service.release()
    show(visit, last_paragraph(document(SIZE)))
    lag = time.monotonic() - begun
    visit.page.wait_for_function(f"({IDLE}) && ({SHOWN}) === {SECTIONS}")
    visit.save()
    kept = nbformat.read(path, as_version=4).cells[-1].outputs
    complete = len(kept) == 1 and last_paragraph(document(SIZE)) in kept[0].data["text/markdown"]
    visit.close()
    return row(
        "JupyterLab: last delta -> visible, 40 KB in 20 s",
        f"<= {LAG_BAR}x display() for each, complete in page and file",
        f"{lag / base:.2f}x ({lag:.2f} s; {base:.2f} s), {'complete' if complete else 'NOT COMPLETE'}",
        lag / base <= LAG_BAR and complete,
    )


def usual(chromium: Browser, server: JupyterServer) -> float:
    """Seconds from the last `display()` until the page shows it; no more than we wait."""
    path = save_notebook(server.folder / "usual.ipynb", USUAL)
    visit = Visit(chromium, server, path)
    visit.start_all()
    ended = server.folder / "ended"
    while not ended.exists():
        visit.page.wait_for_timeout(100)
    with suppress(PlaywrightTimeout):
        show(visit, last_paragraph(document(SIZE)))
    lag = time.monotonic() - float(ended.read_text())
    visit.close()
    return lag


SHOWN = "document.querySelectorAll('.jp-OutputArea-output h2').length"
IDLE = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"


def last_paragraph(text: str) -> str:
    return text.rpartition("\n\n")[2].strip()


def show(visit: Visit, words: str) -> None:
    """Wait until the page shows `words`."""
    visit.page.wait_for_function(
        "words => document.querySelector('.jp-OutputArea:has(h2)')?.textContent.replace(/\\s+/g, ' ').includes(words)",
        arg=words,
        timeout=MS * PATIENCE_SECONDS,
    )


if __name__ == "__main__":
    main()
