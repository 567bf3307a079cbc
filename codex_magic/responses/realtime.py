"""`client.realtime.calls`: the service's half of a WebRTC call.

A browser (or any WebRTC library) makes an offer, this sends it on and gives the answer back; sound and
events then flow between browser and service. A second program may join a call at its sideband address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from ..net import header_value
from ..protocol.errors import InvalidRequestError, ServiceError
from ..protocol.ids import new_id
from .client import AsyncClient, Client, _Core, _Outgoing
from .files import multipart
from .request import encode

CODEX_MODEL = "gpt-live-1-codex"
API_MODEL = "gpt-realtime"

_CODEX_QUERY = {"intent": "quicksilver", "architecture": "avas"}
_CODEX_SIDEBAND = "wss://api.openai.com/v1/live"
"""Calls of a ChatGPT plan are joined at the API's host, with the ChatGPT sign-in."""

_CALL_ID = re.compile(r"/(rtc_[^/?#]+)")


class RealtimeCall(msgspec.Struct, frozen=True):
    answer_sdp: str
    """For `RTCPeerConnection.setRemoteDescription({type: "answer", sdp})`."""
    call_id: str
    """`rtc_...`"""
    sideband_url: str
    """A WebSocket; it takes the same sign-in as the call."""


class Calls:
    """`client.realtime.calls`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        sdp: str,
        *,
        session: Mapping[str, Any] | None = None,
        instructions: str | None = None,
        session_id: str | None = None,
    ) -> RealtimeCall:
        """Answer the offer `sdp` (RFC 8866) of a WebRTC client.

        `session` is the service's own description of the call (model, voice, tools ...); without it the
        service's default model speaks. `session_id` ties the call to a thread. Raises CodexError: voice
        is not offered to every account, then AuthError.
        """
        asked = _ask(self._client._core, sdp, session, instructions, session_id)
        return _read(self._client._fetch(asked), self._client._core)


class AsyncCalls:
    """`client.realtime.calls`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self,
        sdp: str,
        *,
        session: Mapping[str, Any] | None = None,
        instructions: str | None = None,
        session_id: str | None = None,
    ) -> RealtimeCall:
        """As `Calls.create`."""
        asked = _ask(self._client._core, sdp, session, instructions, session_id)
        return _read(await self._client._fetch(asked), self._client._core)


class Realtime:
    """`client.realtime`."""

    def __init__(self, client: Client) -> None:
        self.calls = Calls(client)


class AsyncRealtime:
    """`client.realtime`."""

    def __init__(self, client: AsyncClient) -> None:
        self.calls = AsyncCalls(client)


def _ask(
    core: _Core, sdp: str, session: Mapping[str, Any] | None, instructions: str | None, session_id: str | None
) -> _Outgoing:
    if not sdp.startswith("v=0"):
        raise InvalidRequestError("That is no SDP offer: it begins with v=0.", param="sdp")
    told = {"instructions": instructions} if instructions is not None else {}
    own = {name: value for name, value in (session or {}).items() if name != "id"} | told
    url = f"{core.provider.base_url}/realtime/calls"
    if not core.provider.is_codex:
        described = {"type": "realtime", "model": API_MODEL} | own
        content, kind = multipart({"sdp": sdp, "session": encode(described).decode()}, [])
        return _Outgoing("POST", url, {"Accept": "application/sdp", "Content-Type": kind}, content)
    named = header_value(session_id or new_id())
    headers = {
        "Accept": "application/sdp",
        "Content-Type": "application/json",
        "openai-alpha": "quicksilver=v2",
        "session-id": named,
        "thread-id": named,
    }
    body = {"sdp": sdp, "session": {"model": CODEX_MODEL} | own}
    return _Outgoing("POST", f"{url}?{urlencode(_CODEX_QUERY)}", headers, encode(body))


def _read(answer: httpx.Response, core: _Core) -> RealtimeCall:
    found = _CALL_ID.search(answer.headers.get("location", ""))
    if found is None:
        raise ServiceError("The service answered the call without naming it.")
    return RealtimeCall(answer.text, found[1], _sideband(core, found[1]))


def _sideband(core: _Core, call_id: str) -> str:
    if core.provider.is_codex:
        return f"{_CODEX_SIDEBAND}/{call_id}"
    host = re.sub("^http", "ws", core.provider.base_url)
    return f"{host}/realtime?{urlencode({'call_id': call_id})}"
