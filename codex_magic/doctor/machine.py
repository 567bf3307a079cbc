"""The checks of this machine, which ask nobody: certificates, the agent's program and sandbox, store, versions."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import msgspec

from .. import __version__
from ..engines.app_server.server import OLDEST, find_binary, is_withheld
from ..net import one_line, trust
from ..protocol.errors import ConfigurationError, StoreError
from ..protocol.plain import decode_json
from ..protocol.policy import policy_bounds
from ..protocol.settings import Settings
from ..threads.database import connect, damaged, store_error
from .findings import Finding, Level

PROGRAM_SECONDS = 15.0  # for one start of the agent's program
INTEGRITY_SECONDS = 8.0  # for reading through the store: some gigabytes on a fast disk

PACKAGES = (
    *("ipython", "ipykernel", "ipywidgets", "jupyterlab", "notebook", "jupyter-server", "jupyterhub"),
    *("httpx", "msgspec", "wsproto", "openai-codex-cli-bin"),
)

_EXTENSION = Path("labextensions", "codex-magic", "package.json")

_TRY = """
import sys
print("inside", flush=True)
try:
    open(sys.argv[1], "w").close()
except OSError:
    print("refused")
else:
    print("written")
"""
"""What runs in the sandbox: it writes where it must not."""


class Page(NamedTuple):
    """The front end of a notebook, as its kernel knows it."""

    is_kernel: bool = False
    extension: bool = False  # whether our extension has spoken
    protocol: object = None  # of its last message
    ours: int = 0  # the protocol that the kernel speaks


def certificates(settings: Settings) -> Finding:
    """Whether those who are trusted can be read. Raises ConfigurationError where not."""
    named = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    named += ["CODEX_CA_CERTIFICATE"] if settings.ca_bundle else []
    trust("https://", settings.ca_bundle)
    text = f"the system's, and {', '.join(named)}" if named else "the system's"
    return Finding("Certificates", Level.ok, text)


def program(settings: Settings, *, needed: bool) -> Finding:
    """Which program the agent is, and its version."""
    missing = Level.failed if needed else Level.note
    try:
        binary, folder = find_binary(settings)
    except ConfigurationError as error:
        return Finding.of("Agent", error, Level.failed if needed or settings.codex_bin else Level.note)
    run = _run([binary, "--version"], settings)
    number = run.stdout.split()[-1] if run.stdout.split() else ""
    if run.returncode or not number[:1].isdigit():
        text = f"codex does not start: {_last_line(run)}"
        return Finding("Agent", missing, text, "Install it anew: `pip install -U 'codex-magic[agent]'`")
    if tuple(int(part) for part in number.split("-")[0].split(".") if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        hint = f"It must be {oldest} or newer: `pip install -U 'codex-magic[agent]'`"
        return Finding("Agent", missing, f"codex {number} is too old", hint)
    own = "of CODEX_MAGIC_CODEX_BIN" if settings.codex_bin else "on PATH"
    return Finding("Agent", Level.ok, f"codex {number} {'of the package' if folder else own}")


def sandbox(settings: Settings, *, needed: bool) -> Finding:
    """Whether the program can run a command in its sandbox here, and whether that then keeps it from writing."""
    try:
        binary, _ = find_binary(settings)
    except ConfigurationError:
        return Finding("Sandbox", Level.skipped, "needs the agent's program")
    with tempfile.TemporaryDirectory(prefix="codex_magic-doctor-") as folder:
        file = os.path.join(folder, "file")
        command = [sys.executable, "-I", "-S", "-c", _TRY, file]
        run = _run([binary, "sandbox", "-c", 'sandbox_mode="read-only"', "--", *command], settings, folder)
    said = run.stdout.split()
    if said == ["inside", "refused"]:
        return Finding("Sandbox", Level.ok, "a command ran in it, and could not write")
    failed = Level.failed if needed else Level.warning
    hint = "Where it can't be had (some containers): `--sandbox full-access`, or an agent elsewhere."
    if said == ["inside", "written"]:
        return Finding("Sandbox", failed, "a command ran, and could write: there is no sandbox here", hint)
    return Finding("Sandbox", failed, f"no command runs in it: {_last_line(run)}", hint)


def _run(
    command: Sequence[str], settings: Settings, folder: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end without what is secret; one that takes too long is ended and has failed."""
    variables = {name: value for name, value in os.environ.items() if not is_withheld(name, value)}
    with _home_of(settings) as home:
        try:
            return subprocess.run(
                command,
                env={**variables, "CODEX_HOME": home},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PROGRAM_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", f"no end within {PROGRAM_SECONDS:.0f} seconds")
        except OSError as error:
            return subprocess.CompletedProcess(command, 1, "", str(error.strerror))


@contextmanager
def _home_of(settings: Settings) -> Iterator[str]:
    """Give the program its home as it is; where there is none, one that is removed again."""
    if settings.codex_home.is_dir():
        yield os.path.abspath(settings.codex_home)
        return
    with tempfile.TemporaryDirectory(prefix="codex_magic-doctor-") as home:
        yield home


def _last_line(run: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in run.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    return one_line(lines[-1]) if lines else f"it ended with {run.returncode}"


def store(settings: Settings) -> Finding:
    """Whether the threads' file can be written and is whole. Raises StoreError where not."""
    path = settings.home / "threads.db"
    shown = str(path).replace(os.path.expanduser("~"), "~", 1)
    if not path.exists():
        _try_to_write(settings.home)
        return Finding("Store", Level.ok, f"{shown}: none yet, and can be made")
    size = path.stat().st_size
    try:
        with closing(connect(path, timeout=2.0)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            (threads,) = db.execute("SELECT count(*) FROM threads").fetchone()
            is_whole = _is_whole(db)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    if is_whole is False:
        raise damaged(path)
    checked = "whole" if is_whole else f"too large to be read through in {INTEGRITY_SECONDS:.0f} s"
    return Finding("Store", Level.ok, f"{shown}: {threads} threads, {size / 1e6:.1f} MB, {checked}")


def _is_whole(db: sqlite3.Connection) -> bool | None:
    """Whether SQLite finds nothing wrong in the file; `None` where that takes too long."""
    end = time.monotonic() + INTEGRITY_SECONDS
    db.set_progress_handler(lambda: int(time.monotonic() > end), 100_000)
    try:
        return [row[0] for row in db.execute("PRAGMA quick_check(1)")] == ["ok"]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None
        raise
    finally:
        db.set_progress_handler(None, 0)


def _try_to_write(folder: Path) -> None:
    """Write beside what will be there, and leave nothing. Raises StoreError."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        hint = "Make it a folder of yours, or set CODEX_MAGIC_HOME to another one."
        raise StoreError(f"{there} can't be written ({error.strerror}).", hint=hint) from error


def front_end(page: Page | None) -> Finding:
    """Whether the page draws answers itself, and whether its part and ours are of one version."""
    files = [folder / _EXTENSION for folder in _jupyter_folders()]
    installed = next((read for file in files if (read := _version_in(file))), None)
    there = f"extension {installed} installed" if installed else "no extension installed here"
    if installed and installed != __version__:
        hint = f"Install codex-magic {__version__} where JupyterLab runs, too, and reload the page."
        return Finding("Front end", Level.warning, f"{there}, this is {__version__}", hint)
    if page is None or not page.is_kernel:
        where = "a terminal" if page is not None else "outside of a notebook"
        return Finding("Front end", Level.ok, f"{where}; {there}")
    if page.protocol not in (None, page.ours):
        hint = "Reload the page; if that is no help, install one version for JupyterLab and for this kernel."
        text = f"the page's extension speaks protocol {page.protocol}, this kernel {page.ours}"
        return Finding("Front end", Level.warning, text, hint)
    if page.extension:
        return Finding("Front end", Level.ok, f"the extension is loaded, protocol {page.ours}")
    hint = "Reload the page after an installation. Elsewhere (VS Code, Colab) all works, redrawn as a whole."
    return Finding("Front end", Level.note, f"the page has no extension loaded; {there}", hint)


def _jupyter_folders() -> list[Path]:
    """Return where Jupyter looks for data (https://docs.jupyter.org/en/latest/use/jupyter-directories.html)."""
    named = [os.environ.get("JUPYTER_DATA_DIR", ""), *os.environ.get("JUPYTER_PATH", "").split(os.pathsep)]
    usual = [os.path.join(sys.prefix, "share", "jupyter"), os.path.expanduser("~/.local/share/jupyter")]
    system = ["/usr/local/share/jupyter", "/usr/share/jupyter"]
    return [Path(folder) for folder in (*named, *usual, *system) if folder]


class _Package(msgspec.Struct):
    version: str = ""


def _version_in(file: Path) -> str:
    try:
        package: _Package = decode_json(file.read_bytes(), _Package)
    except (OSError, ValueError):
        return ""
    return package.version


def policy() -> Finding:
    """What an administrator has bounded here. Raises ConfigurationError where that can't be read."""
    policies = policy_bounds().policies
    bounds = "; ".join(f"{path} ({policy.summary()})" for path, policy in policies)
    return Finding("Policy", Level.ok, bounds or "none: nothing is bounded here")


def versions() -> Finding:
    """Of everything that has a part in an answer."""
    found = [f"codex-magic {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return Finding("Versions", Level.ok, ", ".join(found))


def system() -> Finding:
    """What kind of machine this is."""
    here = platform.uname()
    places = {"JUPYTERHUB_USER": "JupyterHub", "KUBERNETES_SERVICE_HOST": "Kubernetes"}
    where = [place for variable, place in places.items() if os.environ.get(variable)]
    where += ["a container"] if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))) else []
    return Finding("System", Level.ok, ", ".join([f"{here.system} {here.release} {here.machine}", *where]))
