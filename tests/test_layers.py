"""An import goes down only: each layer names those below it, and the packages it may use. Nothing goes in circles."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.imports import PACKAGE, files, imports_of, module_name

LAYERS = {
    "protocol": set(),
    "waiting": set(),
    "net": {"protocol"},
    "auth": {"protocol", "waiting", "net"},
    "responses": {"protocol", "waiting", "net", "auth"},
    "engines": {"protocol", "waiting", "net", "auth", "responses"},
    "threads": {"protocol", "waiting", "net", "auth", "responses", "engines"},
    "display": {"protocol"},
    "context": {"protocol"},
    "values": {"protocol", "waiting", "context", "responses", "engines", "threads"},
    "doctor": {"protocol", "waiting", "net", "auth", "responses", "engines", "threads"},
    "notebook": {
        *("protocol", "waiting", "net", "auth", "context"),
        *("responses", "engines", "threads", "display", "local_service", "values", "doctor"),
    },
    "__main__": {"protocol", "display", "doctor"},
    "local_service": {"protocol"},
}

PACKAGES = {
    "protocol": {"msgspec", "platformdirs", "tomli"},
    "waiting": set(),
    "net": {"httpx"},
    "auth": {"msgspec", "httpx", "keyring"},
    "responses": {"msgspec", "httpx", "httpcore", "wsproto", "docstring_parser"},
    "engines": {"msgspec", "codex_cli_bin"},
    "threads": {"msgspec", "psutil"},
    "display": {"msgspec", "IPython", "markdown_it", "rich"},
    "context": set(),
    "values": {"msgspec", "rich"},
    "doctor": {"msgspec", "httpx"},
    "__main__": set(),
    "notebook": {"msgspec", "IPython", "ipywidgets", "traitlets", "psutil", "segno"},
    "local_service": {"msgspec", "tornado"},
}

EVERYWHERE = {"codex_magic", "typing_extensions", *sys.stdlib_module_names}
"""typing_extensions is for the type checker alone; nothing installs it for us."""


def layer_of(module: str) -> str | None:
    """`codex_magic.threads.store` -> "threads"; `codex_magic.__version__` belongs to none."""
    top, _, rest = module.partition(".")
    layer = rest.partition(".")[0]
    return layer if top == "codex_magic" and layer in LAYERS else None


def files_of(layer: str) -> list[Path]:
    """The files of a folder, or the one file that is a layer of its own."""
    return [path for path in files() if layer_of(module_name(path)) == layer]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_layers_below_it(layer: str) -> None:
    above = [
        f"{each.place}: {each.module}"
        for path in files_of(layer)
        for each in imports_of(path)
        if layer_of(each.module) not in {None, layer, *LAYERS[layer]}
    ]
    assert above == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_uses_only_its_own_packages(layer: str) -> None:
    foreign = [
        f"{each.place}: {each.module}"
        for path in files_of(layer)
        for each in imports_of(path)
        if each.top not in {*EVERYWHERE, *PACKAGES[layer]}
    ]
    assert foreign == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_uses_all_of_its_packages(layer: str) -> None:
    used = {each.top for path in files_of(layer) for each in imports_of(path)}
    assert PACKAGES[layer] - used == set()


def test_every_folder_says_what_it_is() -> None:
    folders = [path for path in files() if path.name == "__init__.py"]
    assert [
        str(path) for path in folders if ast.get_docstring(ast.parse(path.read_text("utf-8"))) is None
    ] == []


def test_the_local_service_is_imported_only_when_asked_for() -> None:
    """An import at the top of a file would make it part of every session."""
    at_the_top = [
        each.place
        for path in files_of("notebook")
        for each in imports_of(path)
        if layer_of(each.module) == "local_service" and not (each.late or each.typing)
    ]
    assert at_the_top == []


def test_every_folder_and_every_file_beside_them_is_a_layer() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert names - {"__pycache__", "__init__"} == set(LAYERS)


def test_no_file_imports_itself_in_a_circle() -> None:
    """Imports for type checkers and those in functions count: a reader meets the circle all the same."""
    circles = {
        frozenset(other for other in reached(name) if name in reached(other))
        for name in graph()
        if name in reached(name)
    }
    assert sorted(map(sorted, circles)) == []


@cache
def graph() -> dict[str, set[str]]:
    """The files that each file imports. Without the package's own `__init__.py`: it names the public ones of
    all layers, and what is imported from it is the version."""
    names = {module_name(path) for path in files()} - {"codex_magic"}

    def file_of(module: str) -> str:
        """The file that holds an imported name; "" where it is none of ours."""
        while module and module not in names:
            module = module.rpartition(".")[0]
        return module

    return {
        name: {file_of(each.module) for each in imports_of(path)} - {"", name}
        for path in files()
        if (name := module_name(path)) in names
    }


@cache
def reached(name: str) -> set[str]:
    """All files that a file imports, directly or through others."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        new = graph()[todo.pop()] - seen
        seen |= new
        todo += new
    return seen
