"""Files on their way into a request: read from wherever the caller has them, sent as multipart form data."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import httpx
import msgspec

from ..protocol.errors import InvalidRequestError

FileSource = str | os.PathLike[str] | bytes | BinaryIO | tuple[str, bytes]
"""A path, the content itself, an open file, or a name and its content."""


class File(msgspec.Struct, frozen=True):
    name: str
    content: bytes

    @property
    def media_type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


def read_file(source: FileSource, *, unnamed: str) -> File:
    """The file, called `unnamed` where `source` has no name. Raises InvalidRequestError if it can't be read."""
    if isinstance(source, bytes):
        return File(unnamed, source)
    if isinstance(source, tuple):
        return File(*source)
    try:
        if isinstance(source, (str, os.PathLike)):
            path = Path(source).expanduser()
            return File(path.name, path.read_bytes())
        return File(Path(str(getattr(source, "name", unnamed))).name, source.read())
    except OSError as error:
        raise InvalidRequestError(f"The file {str(source)!r} can't be read: {error.strerror}.") from error


def multipart(fields: Mapping[str, str], files: Sequence[tuple[str, File]]) -> tuple[bytes, str]:
    """The body and its Content-Type. httpx writes it, so that it is made once and can be sent again."""
    parts = [(name, (file.name, file.content, file.media_type)) for name, file in files]
    parts += [(name, (None, value, None)) for name, value in fields.items()]  # type: ignore[misc]  # a field
    request = httpx.Request("POST", "http://form", files=parts)
    return request.read(), request.headers["Content-Type"]
