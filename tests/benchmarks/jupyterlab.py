"""What a long answer costs in a real JupyterLab: with our extension, without it, and in the usual way.

The answer is held before its last delta and released at once, so that we know when that delta leaves. The usual way
is a cell that shows the whole text so far with `update_display` 20 times a second.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from codex_magic.display import MIME
from codex_magic.local_service.answers import document
from tests.benchmarks.measuring import MS, Row, row, signed_in_service
from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.held import hold
from tests.end_to_end.lab import BUILT, JupyterServer
from tests.end_to_end.notebooks import save_notebook
from tests.service import LocalService

SIZE = 40_000
DELTAS = 2_000
PER_SECOND = 100
MOST_MB, MOST_GROWTH = 0.45, 2.6
MOST_TASK_MS = 100
PATIENCE_SECONDS = 90
"""How long we wait for the usual way, which may never arrive."""

USUAL = f"""
import time
from pathlib import Path
from IPython.display import Markdown, display
from codex_magic.local_service.answers import document
text = document({SIZE})
shown = display(Markdown(""), display_id=True)
begun = time.monotonic()
for number in range({PER_SECOND // 20}, {DELTAS} + 1, {PER_SECOND // 20}):
    time.sleep(max(0, begun + number / {PER_SECOND} - time.monotonic()))
    shown.update(Markdown(text[: number * {SIZE // DELTAS}]))
Path("ending").write_text(str(time.monotonic()))
Path("ending").rename("ended")
"""


class Cost(NamedTuple):
    """`lag`: seconds from the last delta until it is visible. `busy`: seconds that the page's main thread has run."""

    lag: float
    busy: float
    longest_ms: float
    megabytes: float
    is_complete: bool


def main() -> None:
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("no Chromium here: install it or set CHROMIUM to its path")
    if not BUILT.exists():
        sys.exit("the extension is not built: make labextension")
    for each in rows(executable):
        print(json.dumps(each), flush=True)


def rows(executable: str) -> Iterator[Row]:
    with signed_in_service() as service, browser(executable) as chromium:
        with folder() as place, JupyterServer(Path(place)) as server:
            base = usual(chromium, server)
            without = ours(chromium, server, service, SIZE)
        with folder() as place, JupyterServer(Path(place), extended=True) as server:
            live = ours(chromium, server, service, SIZE)
            long = ours(chromium, server, service, 4 * SIZE)
    ratio, work = live.lag / base.lag, live.busy / base.busy
    growth = long.megabytes / live.megabytes
    all_there = live.is_complete and without.is_complete and long.is_complete
    yield row(
        "JupyterLab, 40 KB in 20 s: last delta -> visible, with the extension",
        "<= 0.10x update_display at 20 Hz, complete in page and file",
        f"{ratio:.2f}x ({live.lag:.3f} s; without the extension {without.lag:.2f} s; usual {base.lag:.1f} s), "
        + ("complete" if all_there else "NOT COMPLETE"),
        ratio <= 0.1 and all_there,
    )
    yield row(
        "the same: work of the page's main thread",
        f"<= 0.10x update_display at 20 Hz, no task over {MOST_TASK_MS} ms",
        f"{work:.2f}x ({live.busy:.1f} s; without {without.busy:.1f} s; usual {base.busy:.1f} s), "
        f"longest task {live.longest_ms:.0f} ms",
        work <= 0.1 and live.longest_ms <= MOST_TASK_MS,
    )
    yield row(
        "the same: bytes of the WebSocket, and of four times the text in the same time",
        f"<= {MOST_MB} MB, <= {MOST_GROWTH}x",
        f"{live.megabytes:.2f} MB (without {without.megabytes:.2f}, usual {base.megabytes:.1f}), {growth:.2f}x",
        live.megabytes <= MOST_MB and growth <= MOST_GROWTH,
    )


def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


class Meter:
    """Measures one page from now on."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._devtools = visit.context.new_cdp_session(visit.page)
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        visit.page.evaluate(_WATCH_TASKS)
        self._busy, self._received = self._task_seconds(), visit.received

    def _task_seconds(self) -> float:
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    def cost(self, lag: float, *, is_complete: bool) -> Cost:
        longest = self._visit.page.evaluate("window.longestTask")
        megabytes = (self._visit.received - self._received) / 1e6
        return Cost(lag, self._task_seconds() - self._busy, longest, megabytes, is_complete)


_WATCH_TASKS = """() => {
    window.longestTask = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) window.longestTask = Math.max(window.longestTask, entry.duration);
    }).observe({ type: 'longtask' });
}"""


def ours(chromium: Browser, server: JupyterServer, service: LocalService, size: int) -> Cost:
    chars = size // DELTAS
    question = f"%%codex --context none\npace: {PER_SECOND} chars={chars}\nrepeat {size}"
    path = save_notebook(server.folder / f"ours{size}.ipynb", "%load_ext codex_magic", question)
    visit = Visit(chromium, server, path)
    visit.run_cell(0)
    meter = Meter(visit)
    hold(service, after=DELTAS - 1, delta_chars=chars)
    visit.start_all()
    service.wait_for_hold(timeout=3 * DELTAS / PER_SECOND)
    begun = time.monotonic()
    service.release()
    last = last_paragraph(document(size))
    show(visit, last)
    lag = time.monotonic() - begun
    visit.page.wait_for_function(ENDED)
    cost = meter.cost(lag, is_complete=False)
    visit.save()
    kept = nbformat.read(path, as_version=4).cells[-1].outputs
    is_kept = len(kept) == 1 and last in kept[0].data["text/markdown"]
    visit.close()
    return cost._replace(is_complete=is_kept)


def usual(chromium: Browser, server: JupyterServer) -> Cost:
    """No more lag than we wait."""
    visit = Visit(chromium, server, save_notebook(server.folder / "usual.ipynb", USUAL))
    meter = Meter(visit)
    visit.start_all()
    ended = server.folder / "ended"
    while not ended.exists():
        visit.page.wait_for_timeout(100)
    with suppress(PlaywrightTimeout):
        show(visit, last_paragraph(document(SIZE)))
    cost = meter.cost(time.monotonic() - float(ended.read_text()), is_complete=True)
    visit.close()
    return cost


ENDED = f"""window.jupyterapp.shell.currentWidget.content.model.sharedModel.getCell(1).getOutputs()
    .some(output => output.data?.['{MIME}']?.state === 'done')"""
"""A kernel that answers on another channel calls itself idle in the middle of a cell."""


def last_paragraph(text: str) -> str:
    return text.rpartition("\n\n")[2].strip()


def show(visit: Visit, words: str) -> None:
    """Wait until the page shows `words`."""
    visit.page.wait_for_function(
        "words => [...document.querySelectorAll('.jp-OutputArea')].some("
        "area => area.textContent.replace(/\\s+/g, ' ').includes(words))",
        arg=words,
        timeout=MS * PATIENCE_SECONDS,
    )


if __name__ == "__main__":
    main()
