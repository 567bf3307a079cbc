"""What an installation brings: our own files, few packages, little disk, nothing at `%load_ext`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.end_to_end.lab import BUILT
from tests.pins import pinned

ROOT = Path(__file__).parent.parent

MOST_PACKAGES = 12
MOST_BYTES = 15_000_000
"""Beyond ipython, ipykernel and ipywidgets."""

LAZY = {
    "codex_magic.context.describe",
    "codex_magic.display.safe_markdown",
    "codex_magic.local_service",
    "codex_magic.threads.store",
    "ssl",
}
"""What the first cell needs, or never, and `%load_ext` must not wait for."""


def test_the_wheel_holds_only_the_package_its_extension_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    meta = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    extra = meta.replace(".dist-info", ".data")
    assert {name.split("/")[0] for name in names} - {extra} == {"codex_magic", meta}
    assert f"{meta}/licenses/LICENSE" in names
    assert "codex_magic/py.typed" in names
    data = {
        *(
            "auth/callback.html",
            "notebook/approval_keys.js",
            "notebook/login_code.html",
            "notebook/login_page.html",
            "notebook/widgets.css",
        ),
        *(f"local_service/{name}" for name in ("models.json", "texts/haiku.md")),
    }
    assert {f"codex_magic/{name}" for name in data} <= {*names}


def test_the_links_of_the_description_do_without_our_files(wheel: Path) -> None:
    """An index shows it on a page of its own."""
    files = zipfile.ZipFile(wheel)
    [metadata] = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
    targets = re.findall(r"\]\(([^)\s]+)\)", files.read(metadata).decode())
    assert any(target.endswith("/blob/HEAD/CHANGELOG.md") for target in targets)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import hatchling.build; print(hatchling.build.build_sdist({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    [archive] = folder.iterdir()
    return archive


def test_the_source_distribution_holds_the_documents(archive: Path) -> None:
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"} <= names
    assert not any("node_modules" in name for name in names)


def test_an_index_takes_what_a_release_uploads(wheel: Path, archive: Path) -> None:
    for command in (
        ["twine", "check", "--strict", str(archive), str(wheel)],
        ["check_wheel_contents", str(wheel)],
    ):
        run = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_a_forge_runs_our_own_targets_on_every_system_from_the_oldest_python_on() -> None:
    [*texts] = (path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").iterdir()))
    workflows = "".join(texts)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [targets] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    called = {word for line in re.findall(r"run: make (.*)", workflows) for word in line.split()}
    assert {word for word in called if "=" not in word and not word.startswith(("$", "matrix", "}"))} <= {
        *targets.split()
    }
    assert {"test", "dist", "docs"} <= called
    assert {"ubuntu-latest", "macos-latest", "windows-latest"} <= {*re.findall(r"\w+-latest", workflows)}
    [oldest] = re.findall(r'^requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert all(f'python: ["{oldest}", ' in each for each in re.findall(r"python: \[.*\]", workflows))


NEEDS_BUILD = pytest.mark.skipif(not BUILT.exists(), reason="the extension is not built: make labextension")
MOST_WITH_PAGE, MOST_BUT_DIFFS, MOST_OF_DIFFS = 108_000, 148_000, 27_000
"""Bytes: what is loaded with every page; every file but the diff view; and that, loaded with the first diff."""


@NEEDS_BUILD
def test_the_wheel_brings_the_extension_as_it_is_released(wheel: Path) -> None:
    extension = extension_of(wheel)
    names = {name.rpartition("/share/jupyter/labextensions/codex-magic/")[2] for name in extension}
    assert {"package.json", "static/style.js", "schemas/codex-magic/ask.json"} <= names
    assert not [name for name in names if name.endswith((".map", ".log")) or "build_log" in name]
    diffs = [size for name, size in extension.items() if "/static/diff" in name]
    assert len(diffs) == 2, "ours and CodeMirror's"
    assert sum(diffs) <= MOST_OF_DIFFS
    assert sum(extension.values()) - sum(diffs) <= MOST_BUT_DIFFS
    entry_name = next(name for name in extension if "/static/remoteEntry." in name)
    chunks = re.findall(r"\.e\((\d+)\)", zipfile.ZipFile(wheel).read(entry_name).decode())
    with_page = [
        name for name in extension if name.rpartition("/")[2].split(".")[0] in {*chunks, "remoteEntry"}
    ]
    assert len(with_page) >= 3, "the entry, the plugins and the style"
    assert sum(extension[name] for name in with_page) <= MOST_WITH_PAGE
    entry = json.loads(
        zipfile.ZipFile(wheel).read(
            next(each for each in extension if each.endswith("codex-magic/package.json"))
        )
    )
    assert entry["jupyterlab"]["_build"]["load"] in names
    assert entry["version"] == wheel.name.split("-")[1]


@NEEDS_BUILD
def test_a_wheel_made_of_the_source_distribution_without_node_is_the_same(
    archive: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(tmp_path)!r}))"
    environment = os.environ | {"PATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, check=True, env=environment)
    [second] = tmp_path.glob("*.whl")
    assert extension_of(second) == extension_of(wheel)


def test_without_node_it_is_installed_without_the_extension_and_says_so(
    archive: Path, tmp_path: Path
) -> None:
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    shutil.rmtree(source / "labextension" / "prebuilt", ignore_errors=True)
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(tmp_path)!r}))"
    environment = os.environ | {"PATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True, env=environment
    )
    assert "make labextension" in run.stdout + run.stderr
    [bare] = tmp_path.glob("*.whl")
    assert extension_of(bare) == {}


def extension_of(wheel: Path) -> dict[str, int]:
    """The files of the JupyterLab extension, and their sizes."""
    files = zipfile.ZipFile(wheel).infolist()
    return {each.filename: each.file_size for each in files if "/labextensions/" in each.filename}


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A fresh virtual environment's Python."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    return tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.mark.registry
@pytest.mark.timeout(400)
def test_it_adds_few_packages_and_little_disk_to_a_notebook_user(bare_python: Path, wheel: Path) -> None:
    """A real `pip install` of the wheel beside ipython, ipykernel and ipywidgets."""
    pip_install(bare_python, "ipython", "ipykernel", "ipywidgets")
    packages, size = packages_of(bare_python), bytes_of(bare_python)
    pip_install(bare_python, str(wheel))
    assert len(packages_of(bare_python) - packages - {"codex-magic"}) <= MOST_PACKAGES
    assert bytes_of(bare_python) - size <= MOST_BYTES
    subprocess.run([bare_python, "-m", "IPython", "-c", "%load_ext codex_magic"], cwd="/", check=True)


def pip_install(python: Path, *what: str) -> None:
    """pip alone may leave this machine: it asks the registry it is configured for, outside the guard."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        *pinned(),
        *what,
    ]
    subprocess.run(command, env=environment, check=True)


def packages_of(python: Path) -> set[str]:
    code = "import json, importlib.metadata as m; print(json.dumps([d.name for d in m.distributions()]))"
    return set(json.loads(subprocess.check_output([python, "-I", "-c", code])))


def bytes_of(python: Path) -> int:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(subprocess.check_output([python, "-I", "-c", code], text=True).strip())
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_loading_the_extension_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); before = set(sys.modules);"
        "shell.run_line_magic('load_ext', 'codex_magic');"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "codex_magic.notebook.magics" in loaded
    assert loaded & LAZY == set()
    packages = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages == {"IPython", "codex_magic"}
    assert list(tmp_path.iterdir()) == []
