"""What a real kernel adds between the socket and the screen, and what it sends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from codex_magic.local_service import LocalService
from tests.benchmarks.measuring import Row, at_most, row, signed_in_service
from tests.end_to_end.held import hold
from tests.end_to_end.kernel import Kernel, Message

LOAD_MS = 40
FIRST_CELL_MS = 250
FIRST_PAINT_MS = 15
STOP_MS = 250
BYTES_OF_40_KB = 1_400_000
GROWTH = 1.5

PER_DELTA = """
from IPython.display import Markdown, display
from codex_magic.local_service.prose import document
text = document(40_000)
shown = display(Markdown(""), display_id=True)
for end in range(20, len(text) + 1, 20):
    shown.update(Markdown(text[:end]))
"""
"""The usual way: the whole text again for every delta of 20 characters."""


def main() -> None:
    with signed_in_service() as service:
        for measure in (loading, first_cell, in_a_warm_kernel):
            for row in measure(service):
                print(json.dumps(row), flush=True)


def loading(_: LocalService) -> Iterator[Row]:
    code = (
        "import time; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); start = time.perf_counter();"
        "shell.run_line_magic('load_ext', 'codex_magic'); print(time.perf_counter() - start)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(15)]
    yield at_most("%load_ext codex_magic in a fresh IPython, over bare", LOAD_MS, times)


def first_cell(service: LocalService) -> Iterator[Row]:
    """From the execute request to the question on the service's socket, with all lazy imports."""
    times = []
    for _ in range(5):
        with Kernel() as kernel:
            kernel.execute("%load_ext codex_magic")
            count = 1 + sum(request.path.endswith("/responses") for request in service.requests)
            begun = time.monotonic()
            request = kernel.send("%%codex\necho: first")
            times.append(service.wait_for_request("/responses", 30, count=count).at - begun)
            list(kernel.messages(request))
    yield at_most("first cell: execute request -> question on the socket", FIRST_CELL_MS, times)


def in_a_warm_kernel(service: LocalService) -> Iterator[Row]:
    with Kernel() as kernel:
        kernel.execute("%load_ext codex_magic")
        kernel.execute("%codex echo: warm")
        yield first_paint(service, kernel)
        yield interrupting(service, kernel)
        yield from sent(kernel)


def first_paint(service: LocalService, kernel: Kernel) -> Row:
    """From the release of a held answer to the kernel's first message that shows some of it."""
    times = []
    for number in range(21):
        hold(service, after=0)
        request = kernel.send("%codex echo: shown at last")
        service.wait_for_hold(count=number + 1)
        begun = time.monotonic()
        service.release()
        for message in kernel.messages(request):
            if "show" in str(message["content"].get("data")) and len(times) == number:
                times.append(time.monotonic() - begun)
    return at_most("first delta on the socket -> first iopub message with it", FIRST_PAINT_MS, times)


def interrupting(service: LocalService, kernel: Kernel) -> Row:
    times = []
    for _ in range(11):
        hold(service, after=5)
        request = kernel.send("%codex echo: some words before the stop, and more")
        seen = []
        begun = 0.0
        for message in kernel.messages(request):
            seen.append(message)
            if "before" in str(message["content"].get("data")) and not begun:
                begun = time.monotonic()
                kernel.interrupt()
        times.append(time.monotonic() - begun)
        service.release()
    return at_most("interrupt -> idle", STOP_MS, times)


def sent(kernel: Kernel) -> Iterator[Row]:
    """Bytes of everything a front end is sent for one answer, 2,000 deltas in 20 s."""
    small = answer_bytes(kernel, "%%codex --new\npace: 100 chars=20\nrepeat 40000")
    large = answer_bytes(kernel, "%%codex --new\npace: 100 chars=80\nrepeat 160000")
    usual = answer_bytes(kernel, PER_DELTA)
    yield row(
        "kernel bytes, 40 KB at 100 deltas/s",
        f"<= {BYTES_OF_40_KB / 1e6} MB",
        f"{small / 1e6:.2f} MB (usual way: {usual / 1e6:.1f} MB)",
        small <= BYTES_OF_40_KB,
    )
    ratio = large / small
    yield row(
        "the same, 160 KB in the same time",
        f"<= {GROWTH}x",
        f"{ratio:.2f}x ({large / 1e6:.2f} MB)",
        ratio <= GROWTH,
    )


def answer_bytes(kernel: Kernel, code: str) -> int:
    messages = list(kernel.messages(kernel.send(code)))
    return sum(
        len(json.dumps(wire(message), ensure_ascii=False, default=str).encode()) for message in messages
    )


def wire(message: Message) -> Message:
    parts = ("header", "parent_header", "metadata", "content")
    return {part: message[part] for part in parts}


if __name__ == "__main__":
    main()
