"""Notebook files, made and run."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

from tests.end_to_end.kernel import own_sockets
from tests.known import some

FOLDER = Path(__file__).parent.parent.parent / "notebooks"

QUICKSTART = nbformat.read(FOLDER / "01_quickstart.ipynb", as_version=4)


def notebook_of(*sources: str) -> NotebookNode:
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(
        cells=[new_code_cell(source) for source in sources], metadata={"kernelspec": kernelspec}
    )


def save_notebook(path: Path, *sources: str) -> Path:
    nbformat.write(notebook_of(*sources), path)
    return path


class _Client(NotebookClient):
    async def _async_check_alive(self) -> None:
        """Called every second. jupyter_client sends through a second handle of an asyncio socket, which can take
        the notice of a reply that comes at the same moment (as with an Output widget's state); without a look at
        the socket nobody reads that reply."""
        self.log.debug("events of the shell's socket: %s", some(self.kc).shell_channel.socket.events)
        await super()._async_check_alive()


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run every cell with nbclient, which raises if one fails."""
    _Client(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        config=Config(KernelManager=own_sockets()),
    ).execute()
    return notebook
