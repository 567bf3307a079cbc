"""Keeping the sign-in: in the CLI's file and in its keyring, without losing what others put there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend

from codex_magic.auth import storage as storage_module
from codex_magic.auth.credentials import Tokens, with_api_key, with_sign_in, with_tokens
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.errors import ConfigurationError
from codex_magic.protocol.settings import Settings

TOKENS = Tokens(access_token="at", id_token="it", refresh_token="rt")
UNKNOWN = {"auth_mode": "chatgpt", "future": {"deep": [1]}, "tokens": {"id_token": "i", "later": "x"}}


def a_home(folder: Path, config: str = "") -> Settings:
    settings = Settings(codex_home=folder / "codex", home=folder / "ours")
    settings.codex_home.mkdir(exist_ok=True)
    (settings.codex_home / "config.toml").write_text(config)
    return settings


def written(settings: Settings) -> Any:
    return json.loads(auth_path(settings.codex_home).read_text())


# The file ----------------------------------------------------------------------------------------


def test_a_sign_in_is_written_as_the_cli_writes_it(tmp_path: Path) -> None:
    settings = Settings(codex_home=tmp_path / "new" / "codex", home=tmp_path / "ours")
    Storage.of(settings).update(lambda document: with_sign_in(document, TOKENS))
    path = auth_path(settings.codex_home)
    assert list(written(settings)) == ["auth_mode", "OPENAI_API_KEY", "tokens", "last_refresh"]
    assert path.read_text().startswith('{\n  "auth_mode": "chatgpt",\n  "OPENAI_API_KEY": null,')
    assert written(settings)["last_refresh"].endswith("Z")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_written_as_the_cli_writes_it(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    Storage.of(settings).update(lambda document: with_api_key(document, "sk-1"))
    assert written(settings) == {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}


@pytest.mark.parametrize("change", [with_tokens, with_sign_in])
def test_unknown_keys_are_kept_at_every_level(tmp_path: Path, change: Any) -> None:
    settings = a_home(tmp_path)
    auth_path(settings.codex_home).write_text(json.dumps(UNKNOWN))
    Storage.of(settings).update(lambda document: change(document, TOKENS))
    assert written(settings)["future"] == {"deep": [1]}
    assert written(settings)["tokens"]["later"] == "x"


def test_a_refresh_keeps_what_its_answer_lacks(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    storage = Storage.of(settings)
    storage.update(lambda document: with_sign_in(document, TOKENS))
    kept = storage.update(lambda document: with_tokens(document, Tokens(access_token="at2")))
    assert (kept.access_token, kept.refresh_token, kept.id_token) == ("at2", "rt", "it")


def test_a_broken_file_can_be_replaced(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    auth_path(settings.codex_home).write_bytes(b'{"half')
    assert Storage.of(settings).update(lambda document: with_api_key(document, "sk-1")).api_key == "sk-1"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    real = tmp_path / "elsewhere.json"
    auth_path(settings.codex_home).symlink_to(real)
    Storage.of(settings).update(lambda document: with_api_key(document, "sk-1"))
    assert auth_path(settings.codex_home).is_symlink()
    assert json.loads(real.read_text())["OPENAI_API_KEY"] == "sk-1"


def test_forgetting_leaves_no_copy(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    storage = Storage.of(settings)
    storage.update(lambda document: with_api_key(document, "sk-1"))
    (settings.codex_home / "auth.json.new").write_text("sk-1, of a process that was killed")
    storage.forget()
    storage.forget()
    assert storage.read() is None
    assert "auth.json.new" not in os.listdir(settings.codex_home)


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    settings = a_home(tmp_path)
    storage = Storage.of(settings)
    storage.update(lambda document: with_sign_in(document, TOKENS))
    done = threading.Event()

    def write() -> None:
        for number in range(100):
            long = Tokens(access_token="a" * 997 * (number % 7 + 1))
            storage.update(lambda document, long=long: with_tokens(document, long))  # type: ignore[misc]
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        json.loads(auth_path(settings.codex_home).read_bytes())
    writer.join()


READ_ONLY = """
import os, sys
from pathlib import Path
from codex_magic.auth.credentials import with_api_key
from codex_magic.auth.storage import Storage
from codex_magic.protocol.errors import ConfigurationError
from codex_magic.protocol.settings import Settings
if os.geteuid() == 0:
    os.setuid(65534)  # the administrator may write everywhere
storage = Storage.of(Settings(codex_home=Path(sys.argv[1]), home=Path(sys.argv[2])))
try:
    storage.check()
    print("usable")
except ConfigurationError as error:
    print("can't be" in str(error) and "auth.json" in str(error))
with storage.locked():
    print(storage.is_writable(), *(path.suffix for path in Path(sys.argv[2]).rglob("*") if path.is_file()))
    try:
        print(storage.update(lambda document: with_api_key(document, "sk-2")).api_key)
    except Exception as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(os.name == "nt", reason="no POSIX permissions")
@pytest.mark.parametrize(
    ("file_mode", "expected"),
    [
        (0o666, ["usable", "True .lock", "sk-2"]),
        (0o444, ["True", "False .lock", "ConfigurationError"]),
        (0o222, ["True", "True .lock", "ConfigurationError"]),
        (0o000, ["True", "False .lock", "ConfigurationError"]),
    ],
)
def test_a_read_only_home(shared_folder: Path, file_mode: int, expected: list[str]) -> None:
    """The lock is then in our own home; a file that is writable in it is written in place."""
    codex_home, ours = shared_folder / "codex", shared_folder / "ours"
    codex_home.mkdir()
    ours.mkdir()
    ours.chmod(0o777)
    auth_path(codex_home).write_text('{"OPENAI_API_KEY": "sk-1"}')
    auth_path(codex_home).chmod(file_mode)
    codex_home.chmod(0o555)
    command: list[str | Path] = [sys.executable, "-c", READ_ONLY, codex_home, ours]
    run = subprocess.run(command, cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True)
    assert run.stdout.splitlines() == expected, run.stderr


@pytest.fixture
def shared_folder() -> Any:
    """A folder that another user may enter; pytest's own are private."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        (Path(folder) / "codex").chmod(0o755)


# The keyring -------------------------------------------------------------------------------------


class FileKeyring(KeyringBackend):
    """A keyring that is a file; `broken` ones are locked."""

    priority = 1

    def __init__(self, path: Path, *, broken: bool = False) -> None:
        super().__init__()
        self.path = path
        self.broken = broken

    @property
    def kept(self) -> dict[str, str]:
        if self.broken:
            raise keyring.errors.KeyringLocked("locked")
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.path.write_text(json.dumps(self.kept | {f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        kept = self.kept
        del kept[f"{service}/{username}"]
        self.path.write_text(json.dumps(kept))


@pytest.fixture
def a_keyring(tmp_path: Path) -> Any:
    before = keyring.get_keyring()
    backend = FileKeyring(tmp_path / "keyring.json")
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


IN_KEYRING = 'cli_auth_credentials_store = "keyring"\n'


def test_the_keyring_holds_what_the_cli_looks_for(tmp_path: Path, a_keyring: FileKeyring) -> None:
    settings = a_home(tmp_path, IN_KEYRING)
    auth_path(settings.codex_home).write_text("{}")
    Storage.of(settings).update(lambda document: with_api_key(document, "sk-1"))
    digest = hashlib.sha256(str(settings.codex_home.resolve()).encode()).hexdigest()[:16]
    assert a_keyring.kept == {f"Codex Auth/cli|{digest}": '{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1"}'}
    assert not auth_path(settings.codex_home).exists()


def test_no_file_but_a_keyring_entry_is_signed_in(tmp_path: Path, a_keyring: FileKeyring) -> None:
    settings = a_home(tmp_path, IN_KEYRING)
    storage = Storage.of(settings)
    assert storage.read() is None
    storage.update(lambda document: with_sign_in(document, TOKENS))
    found = Storage.of(settings).read()
    assert found is not None
    assert found.access_token == "at"
    storage.forget()
    storage.forget()
    assert a_keyring.kept == {}


def test_auto_prefers_the_keyring_and_lives_without_it(tmp_path: Path, a_keyring: FileKeyring) -> None:
    settings = a_home(tmp_path, 'cli_auth_credentials_store = "auto"')
    storage = Storage.of(settings)
    storage.update(lambda document: with_api_key(document, "sk-1"))
    assert (storage.name, len(a_keyring.kept)) == ("the keyring (Codex Auth)", 1)
    a_keyring.broken = True
    storage.update(lambda document: with_api_key(document, "sk-2"))
    assert storage.name == str(auth_path(settings.codex_home))
    found = storage.read()
    assert found is not None
    assert found.api_key == "sk-2"
    a_keyring.broken = False
    storage.forget()
    assert (a_keyring.kept, storage.read()) == ({}, None)


def test_a_locked_keyring_is_told(tmp_path: Path, a_keyring: FileKeyring) -> None:
    a_keyring.broken = True
    with pytest.raises(ConfigurationError, match="KeyringLocked"):
        Storage.of(a_home(tmp_path, IN_KEYRING)).read()


def test_without_the_keyring_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"codex-magic\[keyring\]"):
        Storage.of(a_home(tmp_path, IN_KEYRING))
    auto = Storage.of(a_home(tmp_path, "cli_auth_credentials_store = 'auto'"))
    auto.update(lambda document: with_api_key(document, "sk-1"))
    assert auto.name.endswith("auth.json")


def test_ephemeral_is_kept_for_the_process_alone(tmp_path: Path) -> None:
    settings = a_home(tmp_path, 'cli_auth_credentials_store = "ephemeral"')
    Storage.of(settings).update(lambda document: with_api_key(document, "sk-1"))
    found = Storage.of(settings).read()
    assert found is not None
    assert found.api_key == "sk-1"
    assert os.listdir(settings.codex_home) == ["config.toml"]
    Storage.of(settings).forget()
    assert Storage.of(settings).stamp() is None


# The setting -------------------------------------------------------------------------------------

CONFIGS = {
    "": "file",
    'model = "m"\n': "file",
    'cli_auth_credentials_store = "keyring"': "keyring",
    "  cli_auth_credentials_store='auto' # where\nmodel = 1": "auto",
    '[profiles.x]\ncli_auth_credentials_store = "keyring"': "file",
    '# cli_auth_credentials_store = "keyring"': "file",
    'a = 1\n\n  [t]\nb = 2\ncli_auth_credentials_store = "keyring"': "file",
    '[[t]] # more\ncli_auth_credentials_store = "keyring"': "file",
    'a = [\n  [1],\n  [2, 3],\n]\ncli_auth_credentials_store = "keyring"': "keyring",
}


@pytest.mark.parametrize(("text", "value"), CONFIGS.items())
def test_the_setting_stands_before_the_first_table(text: str, value: str) -> None:
    assert storage_module.place_setting(text) == value


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no TOML parser")
@pytest.mark.parametrize("text", CONFIGS)
def test_a_toml_parser_reads_the_same(text: str) -> None:
    import tomllib

    assert storage_module.place_setting(text) == tomllib.loads(text).get("cli_auth_credentials_store", "file")


def test_a_mistake_elsewhere_in_the_file_does_not_matter(tmp_path: Path, a_keyring: FileKeyring) -> None:
    assert "keyring" in Storage.of(a_home(tmp_path, IN_KEYRING + "oh [")).name


def test_an_unknown_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cloud"):
        Storage.of(a_home(tmp_path, 'cli_auth_credentials_store = "cloud"'))


# The lock ----------------------------------------------------------------------------------------


def test_a_lock_that_never_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "LOCK_SECONDS", 0.05)
    storage = Storage.of(a_home(tmp_path))
    with storage.locked(), pytest.raises(ConfigurationError, match=r"auth\.json\.lock"), storage.locked():
        pass


def test_a_lock_file_of_something_else_is_named_at_once(tmp_path: Path) -> None:
    """Waiting for it would be of no use, nor is another program busy with it."""
    storage = Storage.of(a_home(tmp_path))
    with storage.locked():
        pass
    [lock] = tmp_path.rglob("auth.json.lock")
    lock.write_text("not ours" * 200)
    with pytest.raises(ConfigurationError, match=r"auth\.json\.lock can't be used"), storage.locked():
        pass
    lock.unlink()
    with storage.locked():
        pass
