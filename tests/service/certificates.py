"""A certificate authority made on the spot, for clients that insist on https."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "30"

_SERVER_EXTENSIONS = """\
subjectAltName=IP:127.0.0.1,DNS:localhost
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
"""


@dataclass(frozen=True)
class Certificates:
    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write `ca.pem`, `server.pem` and `server.key` for 127.0.0.1 into `folder`, with the openssl program.

    FileNotFoundError when there is no such program.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise FileNotFoundError("For https the local service needs the openssl program, which was not found.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.ext").write_text(_SERVER_EXTENSIONS, encoding="ascii")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca_name = ["-subj", "/CN=codex_magic local service CA"]
    ca_use = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS, "-extfile", "server.ext"]
    commands = (
        ["req", "-x509", *key, *ca_name, *ca_use, "-days", DAYS, "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", *sign, "-out", "server.pem"],
    )
    for command in commands:
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
