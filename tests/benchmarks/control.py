"""How soon a click is answered while a synchronous cell keeps the kernel busy, in several ipykernels.

Beside each click stands the round trip of `kernel_info_request` over the same channel, while the kernel has nothing
to do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import MS, Row, row, shown, signed_in_service
from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import START_SECONDS, Kernel
from tests.peers.agent import escalated

VERSIONS = ("6.30.1", "7.1.0")
"""Beside the one that is installed."""

CLICKS = 9
SETTLED_SECONDS = 0.2
BAR = 3

APPROVE = f"get_ipython().run_cell_magic('codex', '--agent', {escalated('true')!r})"
STOP = "get_ipython().run_cell_magic('codex', '', 'repeat 40000')"
BUSY = "import time; end = time.monotonic() + 2\nwhile time.monotonic() < end: pass"


def main() -> None:
    with signed_in_service(), tempfile.TemporaryDirectory() as folder:
        for each in [version("ipykernel"), *VERSIONS]:
            place = Path(folder) / each
            if each in VERSIONS and not installed(each, place):
                print(json.dumps(shown(f"ipykernel {each}", "can't be installed here")), flush=True)
                continue
            os.environ["PYTHONPATH"] = os.pathsep.join([str(place), str(Path.cwd())])
            for found in rows(each):
                print(json.dumps(found), flush=True)


def installed(wanted: str, place: Path) -> bool:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place)]
    return (
        subprocess.run([*command, f"ipykernel=={wanted}"], capture_output=True, check=False).returncode == 0
    )


def rows(kernel_version: str) -> Iterator[Row]:
    with Kernel() as kernel:
        assert kernel.value("__import__('ipykernel').__version__") == repr(kernel_version)
        for line in ("%load_ext codex_magic", "%codex provider local"):
            kernel.execute(line)
        page = ExtendedFrontEnd(kernel)
        for name, cell, click in (("Approve", APPROVE, approve), ("Stop", STOP, stop)):
            pairs = [
                (clicked(page, cell, click), settled(lambda: idle_seconds(kernel))) for _ in range(CLICKS)
            ]
            ours, idle = (statistics.median(column) for column in zip(*pairs, strict=True))
            yield row(
                f"ipykernel {kernel_version}, busy synchronous cell: click on {name} -> answer",
                f"<= {BAR}x an idle kernel_info over the control channel",
                f"{ours / idle:.2f}x ({ours * MS:.1f} ms, {idle * MS:.1f} ms)",
                ours <= BAR * idle,
            )
        busy = kernel.send(BUSY)
        page.until(
            lambda: any(
                each["msg_type"] == "execute_input" and each["parent_header"]["msg_id"] == busy
                for each in page.messages
            )
        )
        computing = [seconds(lambda: page.tell("stop", id="")) for _ in range(CLICKS)]
        ours = statistics.median(computing)
        theirs = statistics.median(idle_seconds(kernel) for _ in range(CLICKS))
        list(kernel.messages(busy))
        yield shown(
            f"ipykernel {kernel_version}, a cell that computes: any click -> answer",
            f"{ours * MS:.1f} ms; kernel_info over the control channel {theirs * MS:.1f} ms",
        )


def settled(measure: Callable[[], float]) -> float:
    """Measure when both sides have come to rest, as when a person looks at what is there."""
    time.sleep(SETTLED_SECONDS)
    return measure()


def seconds(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def idle_seconds(kernel: Kernel) -> float:
    def ask() -> None:
        message = kernel.client.session.msg("kernel_info_request", {})
        kernel.client.control_channel.send(message)
        kernel.client.get_control_msg(timeout=START_SECONDS)

    return seconds(ask)


def clicked(page: ExtendedFrontEnd, cell: str, click: Callable[[ExtendedFrontEnd, str], float]) -> float:
    page.messages.clear()
    request = page.run(cell)
    took = click(page, page.attach())
    page.idle(request)
    return took


def approve(page: ExtendedFrontEnd, id: str) -> float:
    card = page.card(id)
    return settled(lambda: seconds(lambda: page.choose(card, "Approve")))


def stop(page: ExtendedFrontEnd, id: str) -> float:
    return settled(lambda: seconds(lambda: page.tell("stop", id=id)))


if __name__ == "__main__":
    main()
