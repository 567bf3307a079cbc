"""An import goes down only: each layer names those below it, and the packages it may use."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "codex_magic"

LAYERS = {
    "protocol": set(),
    "forks": set(),
    "waiting": {"forks"},
    "net": {"protocol"},
    "auth": {"protocol", "forks", "waiting", "net"},
    "responses": {"protocol", "forks", "waiting", "net", "auth"},
    "engines": {"protocol", "forks", "waiting", "net", "auth", "responses"},
    "threads": {"protocol", "forks", "waiting", "net", "auth", "responses", "engines"},
    "display": {"protocol"},
    "notebook": {
        *("protocol", "forks", "waiting", "net", "auth"),
        *("responses", "engines", "threads", "display", "local_service"),
    },
    "local_service": {"protocol"},
}

PACKAGES = {
    "protocol": {"msgspec", "platformdirs"},
    "forks": set(),
    "waiting": set(),
    "net": {"httpx"},
    "auth": {"msgspec", "httpx", "filelock", "tomllib"},  # tomllib: since Python 3.11
    "responses": {"msgspec", "httpx", "httpcore", "wsproto"},
    "engines": {"msgspec"},
    "threads": {"msgspec"},
    "display": {"msgspec", "IPython", "markdown_it", "rich"},
    "notebook": {"msgspec", "IPython", "ipywidgets", "traitlets", "psutil"},
    "local_service": {"msgspec", "tornado"},
}

EVERYWHERE = {"codex_magic", "typing_extensions", *sys.stdlib_module_names}
"""typing_extensions is for the type checker alone; nothing installs it for us."""


def files(layer: str) -> list[Path]:
    """Of a folder, or the one file that is a layer of its own."""
    return sorted((PACKAGE / layer).rglob("*.py")) or [PACKAGE / f"{layer}.py"]


def imported(path: Path, *, at_the_top: bool = False) -> Iterator[str]:
    """The full names a file imports: anywhere in it, or in its top-level statements only."""
    package = ("codex_magic", *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text())
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from .. import threads` names its layer only in the imported names.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    """`codex_magic.threads.store` -> "threads"; `codex_magic.__version__` belongs to none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "codex_magic" and parts[1] in LAYERS else None


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_layers_below_it(layer: str) -> None:
    above = [
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in files(layer)
        for module in imported(path)
        if layer_of(module) not in {None, layer, *LAYERS[layer]}
    ]
    assert above == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_uses_only_its_own_packages(layer: str) -> None:
    foreign = [
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in files(layer)
        for module in imported(path)
        if module.split(".")[0] not in {*EVERYWHERE, *PACKAGES[layer]}
    ]
    assert foreign == []


def test_the_local_service_is_imported_only_when_asked_for() -> None:
    """An import at the top of a file would make it part of every session."""
    for path in files("notebook"):
        assert "local_service" not in map(layer_of, imported(path, at_the_top=True)), path


def test_every_folder_and_every_file_beside_them_is_a_layer() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert names - {"__pycache__", "__init__"} == set(LAYERS)
