"""Describing values costs nothing until a value is described."""

from __future__ import annotations

import subprocess
import sys

from tests.end_to_end.kernel import Kernel
from tests.service import LocalService

LOADED = "sorted(name for name in __import__('sys').modules if name.startswith('codex_magic.context'))"


def test_a_first_cell_without_mentions_loads_no_describer(service: LocalService) -> None:
    with Kernel() as kernel:
        kernel.execute("%load_ext codex_magic")
        assert "context" not in kernel.value(LOADED)
        kernel.execute("%%codex\necho: hello")
        assert "describe" not in kernel.value(LOADED)


def test_describing_imports_no_library() -> None:
    code = """
import sys
from codex_magic.context.describe import describe
before = {*sys.modules}
describe(type("DataFrame", (), {"__module__": "pandas"})())
print(*{name.partition(".")[0] for name in {*sys.modules} - before})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*run.stdout.split()} & {"pandas", "numpy", "polars", "pyarrow", "matplotlib", "IPython"} == set()
