"""A real IPython shell in this process, as a terminal has it."""

import atexit
from collections.abc import Callable, Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.known import some

Ask = Callable[[str], str]


@pytest.fixture
def shell(home) -> Iterator[InteractiveShell]:
    """The shell with the extension loaded."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    some(shell.extension_manager).load_extension("codex_magic")
    yield shell
    some(shell.extension_manager).unload_extension("codex_magic")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell, capsys) -> Ask:
    """Run a cell and return what it printed. A traceback fails the test."""

    def run(source: str) -> str:
        capsys.readouterr()
        shell.run_cell(source)
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return told.out

    return run
