"""Proxies and certificates, as the environment and the settings name them."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import CodexError, ConfigurationError, UnreachableError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import Client
from codex_magic.responses.provider import Provider, custom
from tests.responses.conftest import Asker
from tests.responses.wire import CREATED, HANG, Wire, good, plain, stream


def test_http_proxy(ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", wire.url)
    ask.provider = custom("http://service.invalid/v1")
    wire.answer(stream(*good("Hello")))
    assert ask().output_text == "Hello"
    assert wire.requests[0].path == "http://service.invalid/v1/responses"


def test_no_proxy(ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wire.answer(stream(*good("Hello")))
    assert ask().output_text == "Hello"


def test_a_proxy_that_refuses(ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", wire.url)
    ask.provider = custom("https://service.invalid/v1")
    wire.answer(plain(407))
    with pytest.raises(UnreachableError, match="proxy"):
        ask()
    assert wire.requests[0].method == "CONNECT"


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "socks5://127.0.0.1:1", "http://127.0.0.1:x"])
def test_a_proxy_that_can_not_be_used(ask: Asker, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="HTTP_PROXY"):
        ask()


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("fe80::/10", "127.0.0.1:1", False),
        ("fe80::/10,127.0.0.0/8", "127.0.0.1:1", True),
        ("fd00::/8 [::1]", "[::1]:1", True),
        ("::/0", "[::1]:1", True),
        ("[::1]:2", "[::1]:1", False),
        ("[::1]:1", "[::1]:1", True),
        ("::1", "[::1]:1", True),
        ("[fe80::/10", "[::1]:1", False),
        ("10.0.0.0/99, ,%%%", "127.0.0.1:1", False),
        ("http://127.0.0.1", "127.0.0.1:1", True),
        ("localhost:1", "localhost:1", True),
        ("localhost:2", "localhost:1", False),
        (".localhost", "localhost:1", True),
        ("*.localhost", "localhost:1", True),
        ("calhost", "localhost:1", False),
        ("*", "localhost:1", True),
    ],
)
def test_no_proxy_holds_names_addresses_and_networks(
    ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, is_direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", wire.url)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    ask.provider = custom(f"http://{host}/v1")
    wire.answer(stream(*good("Hello")))
    with pytest.raises(UnreachableError) if is_direct else nullcontext():
        ask()
    assert bool(wire.requests) is not is_direct


@pytest.mark.parametrize("other", ["ALL_PROXY", "HTTPS_PROXY"])
@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", "socks://127.0.0.1:1", "gopher://x"])
def test_a_proxy_that_nothing_goes_through_is_no_matter(
    ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch, other: str, address: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", wire.url)
    monkeypatch.setenv(other, address)
    ask.provider = custom("http://service.invalid/v1")
    wire.answer(stream(*good("Hello")))
    assert ask().output_text == "Hello"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("name", ["none/file.pem", "words.pem", "."])
def test_a_variable_for_tls_that_names_no_such_file(
    ask: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    (tmp_path / "words.pem").write_text("no certificate")
    monkeypatch.setenv(variable, str(tmp_path / name))
    ask.provider = custom("https://127.0.0.1:1")
    with pytest.raises(CodexError) as caught:
        ask()
    if (variable, name) != ("SSLKEYLOGFILE", "words.pem"):
        assert isinstance(caught.value, ConfigurationError)
        assert variable in caught.value.hint
        assert str(tmp_path / name) in caught.value.message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    pem = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {pem.name} -out cert.pem".split(),
        cwd=pem.parent,
        check=True,
        capture_output=True,
    )
    pem.write_bytes(pem.read_bytes() + (pem.parent / "cert.pem").read_bytes())
    return pem


@pytest.fixture
def tls_wire(certificate: Path) -> Iterator[Wire]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Wire(context)
    server.answer(stream(*good("Hello")))
    yield server
    server.close()


@pytest.fixture
def secure(ask: Asker, tls_wire: Wire) -> Asker:
    ask.provider = custom(tls_wire.url)
    return ask


def test_a_certificate_nobody_vouches_for(secure: Asker) -> None:
    with pytest.raises(ConfigurationError, match="CODEX_CA_CERTIFICATE"):
        secure()
    assert secure.waits == []


def test_a_certificate_refused_in_the_words_of_another_trust_store(
    secure: Asker, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """httpx2 leaves it to the system's own on macOS and Windows; here that refuses what OpenSSL has let pass."""
    truststore = pytest.importorskip("truststore", reason="comes with httpx2, which needs Python 3.11")

    def refuse(*_: Any, **__: Any) -> None:
        raise ssl.SSLCertVerificationError("“127.0.0.1” certificate is not trusted")

    monkeypatch.setattr(importlib.import_module("truststore._api"), "_verify_peercerts_impl", refuse)
    monkeypatch.setattr("httpx.create_ssl_context", lambda: truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    secure.settings = dataclasses.replace(secure.settings, ca_bundle=str(certificate))
    with pytest.raises(ConfigurationError, match="CODEX_CA_CERTIFICATE"):
        secure()


def test_a_ca_file_from_the_settings(secure: Asker, certificate: Path) -> None:
    secure.settings = dataclasses.replace(secure.settings, ca_bundle=str(certificate))
    assert secure().output_text == "Hello"


def test_a_ca_file_from_the_environment(
    secure: Asker, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert secure().output_text == "Hello"


def test_a_ca_file_that_is_not_there(secure: Asker, tmp_path: Path) -> None:
    secure.settings = dataclasses.replace(secure.settings, ca_bundle=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match="CODEX_CA_CERTIFICATE"):
        secure()


def test_another_thread_can_end_a_secure_stream(
    tls_wire: Wire, certificate: Path, settings: Settings
) -> None:
    trusting = dataclasses.replace(settings, ca_bundle=str(certificate))
    tls_wire.answer(stream(CREATED, HANG))
    with Client(custom(tls_wire.url), settings=trusting) as client:
        events = client.responses.create("hi", model="m", stream=True)
        next(events)
        reader = threading.Thread(target=lambda: list(events))
        reader.start()
        events.close()
        reader.join(10)
    assert not reader.is_alive()


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://x", "", "http://x:port"])
def test_an_address_that_is_none(address: str, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        custom(address, settings=settings)


def test_a_provider_shows_no_key() -> None:
    assert "secret" not in repr(custom("http://x", "secret"))
    assert isinstance(custom("http://x/"), Provider)
    assert custom("http://x/v1/").base_url == "http://x/v1"
