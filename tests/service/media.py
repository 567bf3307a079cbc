"""The endpoints beside the text: pictures, transcriptions, the answer to a WebRTC call."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
import zlib
from typing import Any

from codex_magic.local_service.endpoints import Endpoint
from codex_magic.local_service.faults import REFUSALS, Reply, detail
from codex_magic.local_service.service import Routes
from codex_magic.protocol.ids import new_id
from tests.service.replies import api_error
from tests.service.sdp import NotAnOffer, answered
from tests.service.sign_in import fields

MOST_PICTURES = 10


class _Media(Endpoint):
    """What ChatGPT and the public API do alike."""

    def caller(self) -> None:
        """Refuse who may not ask."""
        raise NotImplementedError

    def fields(self) -> dict[str, Any]:
        """Of a JSON body or of a form; in a form every value is a list of files or of texts."""
        return {**fields(self), **self.request.files}

    def field(self, fields: dict[str, Any], name: str) -> Any:
        if not fields.get(name):
            self.refuse(
                api_error(
                    400,
                    f"Missing required parameter: '{name}'.",
                    param=name,
                    code="missing_required_parameter",
                )
            )
        return fields[name]


class _Codex(_Media):
    def caller(self) -> None:
        self.account()


class _Api(_Media):
    def caller(self) -> None:
        self.key()


# Pictures ----------------------------------------------------------------------------------------


def picture(prompt: str, *, side: int = 32) -> bytes:
    """Return a gradient of `side` pixels as PNG (https://www.w3.org/TR/png), in colours of the prompt's own."""
    colour = hashlib.sha256(prompt.encode()).digest()[:3]
    # the 0 before each row says that it is not filtered
    rows = (
        b"\x00" + bytes(c * (x + y + 1) // (2 * side) for x in range(side) for c in colour)
        for y in range(side)
    )
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(rows), 9),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


class _Generations(_Media):
    def post(self) -> None:
        self.caller()
        fields = self.fields()
        prompt = str(self.field(fields, "prompt"))
        self.check(fields)
        number = int(fields.get("n") or 1)
        if not 1 <= number <= MOST_PICTURES:
            message = (
                f"Invalid 'n': expected a value between 1 and {MOST_PICTURES}, but got {number} instead."
            )
            self.refuse(api_error(400, message, param="n", code="integer_out_of_range"))
        made = [{"b64_json": base64.b64encode(picture(f"{prompt} {at}")).decode()} for at in range(number)]
        described = {name: fields.get(name) or "auto" for name in ("background", "quality", "size")}
        self.reply(
            Reply(
                200,
                {
                    "created": int(time.time()),
                    "data": made,
                    "output_format": "png",
                    "usage": None,
                    **described,
                },
            )
        )

    def check(self, fields: dict[str, Any]) -> None:
        """Refuse what an edit can't be without."""


class _CodexEdits(_Generations):
    def check(self, fields: dict[str, Any]) -> None:
        for at, image in enumerate(self.field(fields, "images")):
            if not str(image.get("image_url", "")).startswith(("data:image/", "https://", "http://")):
                message = f"Invalid 'images[{at}].image_url'. Expected a valid URL."
                param = f"images[{at}].image_url"
                self.refuse(api_error(400, message, param=param, code="invalid_value"))


class _ApiEdits(_Generations):
    def check(self, fields: dict[str, Any]) -> None:
        if not any(name in fields for name in ("image", "image[]", "images")):
            self.field(fields, "image")


class CodexGenerations(_Generations, _Codex):
    """`/backend-api/codex/images/generations`"""


class CodexEdits(_CodexEdits, _Codex):
    """`/backend-api/codex/images/edits`: JSON, the pictures as addresses."""


class ApiGenerations(_Generations, _Api):
    """`/v1/images/generations`"""


class ApiEdits(_ApiEdits, _Api):
    """`/v1/images/edits`: a form with files."""


# Speech ------------------------------------------------------------------------------------------


class _Transcriptions(_Media):
    def post(self) -> None:
        self.caller()
        (file, *_) = self.field(self.fields(), "file")
        self.reply(
            Reply(200, {"text": f"A scripted transcription of {file.filename}, {len(file.body)} bytes."})
        )


class CodexTranscriptions(_Transcriptions, _Codex):
    """`/backend-api/transcribe`"""


class ApiTranscriptions(_Transcriptions, _Api):
    """`/v1/audio/transcriptions`"""

    def field(self, fields: dict[str, Any], name: str) -> Any:
        super().field(fields, "model")
        return super().field(fields, name)


# Calls -------------------------------------------------------------------------------------------


class _Calls(_Media):
    def post(self) -> None:
        self.caller()
        fields = self.fields()
        offer = str(self.field(fields, "sdp"))
        self.check(fields)
        try:
            answer = answered(offer)
        except NotAnOffer as error:
            self.refuse(api_error(400, f"Invalid SDP offer: {error}.", param="sdp"))
        call = f"/v1/realtime/calls/rtc_{new_id().replace('-', '')}"
        self.reply(Reply(201, answer, {"Content-Type": "application/sdp", "Location": call}))

    def check(self, fields: dict[str, Any]) -> None:
        """Refuse what only one of the two insists on."""


class CodexCalls(_Calls, _Codex):
    """`/backend-api/codex/realtime/calls`"""

    def check(self, fields: dict[str, Any]) -> None:
        if "id" in self.field(fields, "session"):
            self.refuse(detail(400, "Unsupported parameter: session.id"))
        for name in ("session-id", "thread-id"):
            if name not in self.request.headers:
                self.refuse(detail(400, f"Missing header: {name}"))
        if self.get_query_argument("intent", "") != "quicksilver":
            self.refuse(REFUSALS["not_found"])


class ApiCalls(_Calls, _Api):
    """`/v1/realtime/calls`"""


MEDIA_ROUTES: Routes = [
    (r"/backend-api/codex/images/generations", CodexGenerations),
    (r"/backend-api/codex/images/edits", CodexEdits),
    (r"/backend-api/transcribe", CodexTranscriptions),
    (r"/backend-api/codex/realtime/calls", CodexCalls),
    (r"/v1/images/generations", ApiGenerations),
    (r"/v1/images/edits", ApiEdits),
    (r"/v1/audio/transcriptions", ApiTranscriptions),
    (r"/v1/realtime/calls", ApiCalls),
]
