"""A region of an output that somebody marks in real JupyterLab, by dragging or by keys, and what goes along of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit, opening
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.service import LocalService

pytestmark = EXTENDED

SVG = """from IPython.display import SVG
SVG('<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">'
    '<rect width="150" height="200" fill="red"/><rect x="150" width="150" height="200" fill="blue"/></svg>')"""

PNG = """import struct, zlib
from IPython.display import Image
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
row = b'\\0' + b'\\xff\\0\\0' * 150 + b'\\0\\0\\xff' * 150
head = struct.pack('>IIBBBBB', 300, 200, 8, 2, 0, 0, 0)
Image(b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(row * 200)) + chunk(b'IEND', b''))"""

TABLE = """from IPython.display import HTML
HTML('<table><thead><tr><th></th><th>item</th><th>price</th></tr></thead><tbody>'
     + ''.join(f'<tr><th>{n}</th><td>tea {n}</td><td>{n * 100}</td></tr>' for n in range(5)) + '</tbody></table>')"""

COLOURS = """async ([address]) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const at = share => [...context.getImageData(image.width * share, image.height / 2, 1, 1).data].join();
    return [at(0.1), at(0.9)];
}"""
RED, BLUE = "255,0,0,255", "0,0,255,255"


Opener = Callable[[str], Visit]


@pytest.fixture
def shown(chromium_browser: Browser, server: JupyterServer) -> Iterator[Opener]:
    """Opens a notebook in which this cell has run."""
    with opening(chromium_browser, server) as open_notebook:

        def shown(source: str) -> Visit:
            visit = open_notebook(notebook_of("%load_ext codex_magic", source))
            visit.run_cell(0)
            visit.run_cell(1)
            return visit

        yield shown


def begin(visit: Visit) -> Locator:
    """Begin to mark, from the context menu of the output; returns what is dragged over."""
    output = visit.page.locator(".jp-OutputArea-child").last
    output.click(button="right")
    visit.page.get_by_text("Ask Codex About a Region of This Output").click()
    overlay = visit.page.locator(".cdx-region")
    expect(overlay).to_be_focused()
    return overlay


def drag(visit: Visit, target: Locator, left: float, right: float, *, top: float, bottom: float) -> None:
    """Drag from one corner to the other, in shares of what is there."""
    box = target.bounding_box()
    assert box is not None
    mouse = visit.page.mouse
    mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"])
    mouse.down()
    mouse.move(box["x"] + right * box["width"], box["y"] + bottom * box["height"], steps=3)
    mouse.up()


def ask(visit: Visit, service: LocalService) -> tuple[str, list[dict[str, Any]]]:
    """Ask in the cell that was made; returns what was mentioned, and the parts of the message that asks."""
    made = visit.page.locator(".jp-CodeCell .cm-content").nth(2)
    expect(made).to_contain_text("@region:")
    expect(visit.page.locator(".jp-CodeCell").nth(2).locator(".cdx-no")).to_have_count(0)
    visit.page.keyboard.type("Why?")
    visit.run_cell(2)
    *context, last = service.requests[-1].json["input"]
    return context[-1]["content"][0]["text"], last["content"]


@pytest.mark.parametrize("source", [SVG, PNG], ids=["svg", "png"])
def test_a_drag_over_a_plot_sends_that_part_and_its_cell(
    shown: Opener, service: LocalService, source: str
) -> None:
    visit = shown(source)
    begin(visit)
    plot = visit.page.locator(".jp-OutputArea-output :is(svg, img)").last
    drag(visit, plot, 0.3, 0.95, top=0.1, bottom=0.9)
    context, (words, picture) = ask(visit, service)
    assert "Why?" in words["text"]
    assert "from IPython.display import" in context
    assert visit.page.evaluate(COLOURS, [picture["image_url"]]) == [RED, BLUE]


def test_of_a_table_the_rows_go_along_as_text(shown: Opener, service: LocalService) -> None:
    visit = shown(TABLE)
    begin(visit)
    rows = visit.page.locator(".jp-OutputArea-output tbody tr")
    drag(visit, rows.nth(2), 0.5, 0.99, top=0.2, bottom=0.8)
    context, parts = ask(visit, service)
    assert [part["type"] for part in parts] == ["input_text"]
    lines = context.partition("A part of the output of")[2].splitlines()[1:]
    assert [line.split("\t")[-1] for line in lines[:2]] == ["price", "200"]
    assert lines[2] == ""


def test_keys_mark_a_region_too(shown: Opener, service: LocalService) -> None:
    visit = shown(SVG)
    begin(visit)
    frame = visit.page.locator(".cdx-region-frame")
    before = frame.bounding_box()
    for key in ("Shift+ArrowLeft", "Shift+ArrowUp", "ArrowRight"):
        visit.page.keyboard.press(key)
    after = frame.bounding_box()
    assert before is not None
    assert after is not None
    assert (after["width"], after["x"]) == (before["width"] - 10, before["x"] + 10)
    visit.page.keyboard.press("Enter")
    _, parts = ask(visit, service)
    assert [part["type"] for part in parts] == ["input_text", "input_image"]


def test_escape_leaves_it_and_nothing_is_asked(shown: Opener) -> None:
    visit = shown(SVG)
    overlay = begin(visit)
    visit.page.keyboard.press("Escape")
    expect(overlay).to_have_count(0)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(2)


def test_after_a_restart_of_the_kernel_the_region_is_sent_again(shown: Opener, service: LocalService) -> None:
    visit = shown(SVG)
    begin(visit)
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(3)
    visit.restart_kernel()
    visit.kernel_idle()
    visit.run_cell(0)
    _, parts = ask(visit, service)
    assert [part["type"] for part in parts] == ["input_text", "input_image"]
