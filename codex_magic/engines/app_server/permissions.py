"""What the agent's commands can't reach, even by a yes: files that hold secrets, and notebooks that they would write.

Their output goes to the model without passing here, so the program's sandbox is told, by permission profiles
(https://developers.openai.com/codex/permissions). `sandbox` beside a profile would switch it off without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...protocol.errors import JsonRpcError
from ...protocol.types import Sandbox

PROFILES = {
    Sandbox.read_only: "codex_magic_read_only",
    Sandbox.workspace_write: "codex_magic_workspace",
    Sandbox.full_access: ":danger-full-access",
}
BASES = {Sandbox.read_only: ":read-only", Sandbox.workspace_write: ":workspace"}
SECRET_NAMES = (
    ".env *.env .env.* .netrc _netrc .pypirc .pgpass .git-credentials id_rsa* id_dsa* id_ecdsa* id_ed25519* *.p12 *.pfx"
).split()
SECRET_FILES = (
    f"**/{{{','.join(SECRET_NAMES)},.ssh/**}}",
    "{*.pem,*/*.pem}",  # deeper ones are an environment's list of authorities
)
OF_THE_USER = ".ssh .netrc _netrc .pypirc .pgpass .git-credentials .aws .azure .kube .config/gcloud".split()
DEPTH = 4  # folders below the workspace; Linux looks for such files before each command
MOST_NOTEBOOKS = 200
"""That are protected, the nearest first: each is named to the model, with some 15 tokens. Patterns may only deny, and
what is denied can't be read either."""
MOST_ENTRIES = 20_000  # that are looked at for them
_MADE = (".git", ".codex", ".agents", ".aws")  # the sandbox makes what it protects, where that is missing
_OWN = ("default_permissions", "permissions", "sandbox_mode")


def configured(config: Mapping[str, Any], folder: str) -> Sandbox | None:
    """Return the sandbox that a config.toml chooses; `None` where it bounds commands in its own way."""
    if any(config.get(name) for name in ("default_permissions", "permissions", "sandbox_workspace_write")):
        return None
    project = (config.get("projects") or {}).get(folder) or {}
    usual = Sandbox.workspace_write if project.get("trust_level") == "trusted" else Sandbox.read_only
    return Sandbox(config.get("sandbox_mode") or usual)


def bounded(params: Mapping[str, Any], sandbox: Sandbox, hidden: Iterable[Path]) -> dict[str, Any]:
    """Return the parameters of a thread with profiles in place of its sandbox. `hidden`: files besides those."""
    folder, config = Path(params.get("cwd") or os.getcwd()), dict(params.get("config") or {})
    if any(name in config for name in _OWN):
        return dict(params)
    paths = [*(Path.home() / name for name in OF_THE_USER), *hidden]
    filesystem: dict[str, Any] = {
        "glob_scan_max_depth": DEPTH,
        ":workspace_roots": dict.fromkeys(SECRET_FILES, "deny"),
        **{str(path): "deny" for path in paths if path.exists()},
    }
    written = {**filesystem, **dict.fromkeys(map(str, notebooks(folder)), "read")}
    files = {Sandbox.read_only: filesystem, Sandbox.workspace_write: written}
    config["permissions"] = {
        PROFILES[each]: {"extends": base, "filesystem": files[each]} for each, base in BASES.items()
    }
    config["default_permissions"] = PROFILES[sandbox]
    rest = {name: value for name, value in params.items() if name != "sandbox"}
    return {**rest, "config": config, "permissions": PROFILES[sandbox]}


def holds_secrets(path: Path, hidden: Iterable[Path]) -> bool:
    """Whether a file is one that the agent's commands can't read, wherever it is; `path`: resolved."""
    kept = [*(Path.home() / name for name in OF_THE_USER), *hidden]
    name = path.name.lower()  # two spellings are one file on some systems
    return (
        any(fnmatchcase(name, pattern) for pattern in (*SECRET_NAMES, "*.pem"))
        or ".ssh" in path.parts
        or any(path.is_relative_to(each.resolve()) for each in kept)
    )


def notebooks(folder: Path) -> list[Path]:
    """Return the notebooks of a folder and of those below it, without hidden ones and environments."""
    found: list[Path] = []
    seen = 0
    level = [folder]
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for each in level:
            with suppress(OSError):  # gone, or not ours to read
                names = sorted(os.listdir(each))
                seen += len(names)
                is_environment = "pyvenv.cfg" in names or each.name in ("node_modules", "site-packages")
                if is_environment or seen > MOST_ENTRIES:
                    continue
                paths = [each / name for name in names if name[0] != "."]
                found += [path for path in paths if path.suffix == ".ipynb" and path.is_file()]
                below += [path for path in paths if path.is_dir() and not path.is_symlink()]
        level = below
    return found[:MOST_NOTEBOOKS]


def is_refused(params: Mapping[str, Any], error: JsonRpcError) -> bool:
    """Whether the program can't bound commands here: it is too old, or no container may have a sandbox in it."""
    words = ("sandbox", "bwrap", "permission", "profile")
    return "permissions" in params and any(each in error.message.lower() for each in words)


def unbounded(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a thread with its plain sandbox in place of our profiles."""
    sandbox = next(sandbox.value for sandbox, profile in PROFILES.items() if profile == params["permissions"])
    config = {name: value for name, value in params["config"].items() if name not in _OWN}
    rest = {name: value for name, value in params.items() if name != "permissions"}
    return {**rest, "config": config or None, "sandbox": sandbox}


def protected(params: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the single files that a thread's profiles name; nothing for one without."""
    if "permissions" not in params:
        return {}
    profile = params["config"]["permissions"][PROFILES[Sandbox.workspace_write]]
    return {"protected": [Path(name) for name in profile["filesystem"] if os.path.isabs(name)]}


@contextmanager
def tidied(folder: str | None) -> Iterator[list[Path]]:
    """Remove what is empty at the end of a turn and not there before: the sandbox makes what it protects.

    Gives the list of those files and folders, to be added to. Empty folders of these names mean nothing to anybody:
    they are of a kernel that was killed in a turn.
    """
    made = [Path(folder or os.getcwd(), name) for name in _MADE]
    missing = [path for path in made if not path.exists() or _is_empty(path)]
    try:
        yield missing
    finally:
        for path in missing:
            with suppress(OSError):
                if path.is_dir():
                    path.rmdir()
                elif path.stat().st_size == 0:
                    path.unlink()


def _is_empty(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink() and not os.listdir(path)
    except OSError:
        return False
