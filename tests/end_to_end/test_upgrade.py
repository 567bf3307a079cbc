"""The package is upgraded under a running kernel, with `%autoreload` on: the old code goes on, and says so."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import codex_magic
from tests.end_to_end.kernel import Kernel, markdown
from tests.service import LocalService

RELOAD = "%load_ext autoreload\n%autoreload 2"
LOAD = "%load_ext codex_magic"
WORD = "restart the kernel"


@pytest.fixture
def package(service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which kernels import."""
    copy = tmp_path / "site" / "codex_magic"
    shutil.copytree(Path(codex_magic.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(copy.parent), os.environ["PYTHONPATH"]]))
    return copy


@pytest.fixture
def fresh(package: Path, tmp_path: Path) -> Iterator[Kernel]:
    with Kernel(tmp_path) as kernel:
        yield kernel


def upgrade(package: Path, version: str = "9.9.9") -> None:
    """As pip does it: other files, in which the classes are other classes."""
    for path in sorted(package.rglob("*.py")):
        text = path.read_text()
        if path == package / "__init__.py":
            text = re.sub(r'(?m)^__version__ = ".+"$', f'__version__ = "{version}"', text)
        text = re.sub(
            r"(?m)^(class (\w+)\((?:Struct|msgspec\.Struct)[^\n]*:)$",
            r"\1\n    __added__: typing.ClassVar[int] = 1",
            text,
        )
        text = text.replace(
            "from __future__ import annotations\n", "from __future__ import annotations\nimport typing\n", 1
        )
        path.write_text(f"{text}\n\nADDED = 1\n")
        os.utime(path, (2_000_000_000, 2_000_000_000))  # later than any that a kernel has seen


@pytest.mark.parametrize(
    "order", [(RELOAD, LOAD), (LOAD, RELOAD)], ids=["autoreload first", "autoreload last"]
)
def test_the_old_code_goes_on_and_says_once_that_there_is_a_new_one(
    fresh: Kernel, package: Path, order: tuple[str, str]
) -> None:
    for source in order:
        assert fresh.execute(source) == []
    assert str(package) in fresh.value("__import__('codex_magic').__file__")
    assert "before" in markdown(fresh.execute("%%codex\necho: before"))
    upgrade(package)
    first, second = (fresh.execute(f"%%codex\necho: {word}") for word in ("first", "second"))
    assert "first" in markdown(first)
    assert "9.9.9 is installed, this kernel runs" in markdown(first)
    assert "second" in markdown(second)
    assert WORD not in markdown(second)
    assert {output["output_type"] for output in (*first, *second)} == {"display_data"}
    assert fresh.value("hasattr(__import__('codex_magic.protocol.types').protocol.types, 'ADDED')") == "False"


def test_other_modules_are_reloaded_as_before(fresh: Kernel, tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text("word = 'old'\n")
    for source in (RELOAD, LOAD, "import mine"):
        fresh.execute(source)
    module.write_text("word = 'new'\n")
    os.utime(module, (2_000_000_000, 2_000_000_000))
    fresh.execute("1")
    assert fresh.value("mine.word") == "'new'"


def test_the_same_version_written_again_is_no_news(fresh: Kernel, package: Path) -> None:
    fresh.execute(LOAD)
    upgrade(package, codex_magic.__version__)
    assert WORD not in markdown(fresh.execute("%%codex\necho: hello"))
