"""Values of a running notebook: they cost nothing until one is mentioned, and none breaks the cell that mentions it."""

from __future__ import annotations

import subprocess
import sys

from tests.context.hostile_values import HANGING
from tests.end_to_end.kernel import Kernel, markdown
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


def test_a_cell_that_mentions_every_hostile_value_is_answered(service: LocalService) -> None:
    with Kernel() as kernel:
        kernel.execute("%load_ext codex_magic")
        kernel.execute("from tests.context.hostile_values import HANGING, LYING, RAISING, touched")
        kernel.execute("makers = [*HANGING.values(), *LYING.values(), *RAISING.values()]")
        kernel.execute("globals().update({f'odd_{at}': make() for at, make in enumerate(makers)})")
        count = int(kernel.value("len(makers)"))
        mentions = " ".join(f"@odd_{at}" for at in range(count))
        outputs = kernel.execute(f"%%codex\necho: {mentions}")
        assert "error" not in {each["output_type"] for each in outputs}
        assert markdown(outputs).count("longer than 2\u00a0s") == len(HANGING)
        sent = next(each.body.decode() for each in service.requests if each.path.endswith("/responses"))
        assert [at for at in range(count) if f"odd_{at}" not in sent] == []
        assert kernel.value("touched") == "[]"
