"""`make demo`: runs the quickstart in a real kernel and paints its answers here while they arrive.

Usage: demo.py [FOLDER]   where the executed notebook and a page of it go; `out` unless given.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.padding import Padding
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text

from codex_magic.display import MIME
from codex_magic.display.terminal import markdown

NOTEBOOK = Path(__file__).with_name("01_quickstart.ipynb")

FOLDED = re.compile(r"<details[^>]*><summary>(.*?)</summary>.*?</details>\n?", re.DOTALL)
"""What a notebook folds away, and a terminal can't: its title stays."""
TAGS = re.compile(r"</?(?:small|blockquote|b|code)\b[^>]*>|\[\]\(#_\)")
"""What sets a line small or bold, an error apart, and dollars from each other."""

INDENT = 4
"""Columns before an output."""

STYLE = """<style>.jp-RenderedMarkdown pre, .jp-RenderedMarkdown pre span { font-family: monospace }
.jp-RenderedMarkdown pre { margin-bottom: 1em } .jp-RenderedMarkdown th { text-align: left }</style>"""
"""nbconvert sets the code of an answer in the font of its text, and the heads of its tables in the middle."""


def main(folder: Path, console: Console) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    console.width = width = console.width  # else it follows the variable, too
    os.environ["COLUMNS"] = str(width - INDENT)  # what the kernel's tables have to fit
    with own_home():
        PaintedClient(notebook, console).execute()
    executed, page = save(notebook, folder)
    console.print(f"\nThe executed notebook: {executed}\nThe same as a page:    {page}", soft_wrap=True)


@contextmanager
def own_home() -> Iterator[None]:
    """The demo's threads and IPython settings go to a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="codex_magic-demo-", ignore_cleanup_errors=True) as home:
        os.environ["CODEX_MAGIC_HOME"] = os.environ["IPYTHONDIR"] = home
        yield


def save(notebook: NotebookNode, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder.resolve() / NOTEBOOK.name
    nbformat.write(notebook, executed)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    page = executed.with_suffix(".html")
    page.write_text(html.replace("</head>", f"{STYLE}</head>", 1), encoding="utf-8")
    return executed, page


class PaintedClient(NotebookClient):
    """Runs a notebook and shows each cell: what it says, then its outputs as they grow."""

    def __init__(self, notebook: NotebookNode, console: Console) -> None:
        super().__init__(
            notebook,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        )
        self.console = console

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> NotebookNode:
        self.console.print()
        if cell.cell_type == "markdown":
            self.console.print(Markdown(cell.source))
            return await super().async_execute_cell(cell, *args, **kwargs)
        self.console.print(Syntax(cell.source, "python", background_color="default", word_wrap=True))
        with Live(
            Tail(cell), console=self.console, refresh_per_second=10, transient=True, redirect_stdout=False
        ):
            await super().async_execute_cell(cell, *args, **kwargs)
        self.console.print(painted(cell))
        return cell


class Tail:
    """The end of a cell's outputs, as much as fits on the screen."""

    def __init__(self, cell: NotebookNode) -> None:
        self.cell = cell

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(painted(self.cell), options.update(height=None))
        for line in lines[-(console.height - 2) :]:
            yield from line
            yield Segment.line()


def painted(cell: NotebookNode) -> RenderableType:
    return Padding(Group(*map(_output, cell.outputs)), (0, 0, 0, INDENT))


def _output(output: NotebookNode) -> RenderableType:
    if output.output_type == "stream":
        return Text.from_ansi(output.text)
    if output.output_type == "error":
        return Text.from_ansi("\n".join(output.traceback))
    if MIME in output.data:
        return markdown(TAGS.sub("", FOLDED.sub(r"*\1 …*\n", output.data["text/markdown"])))
    return Text(output.data.get("text/plain", ""))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"), Console())
