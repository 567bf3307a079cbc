"""Responses as the real services give them: strict, in either dialect, with awkward habits, failing on demand."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
from collections.abc import Iterator
from dataclasses import replace

from tornado.web import Finish

from codex_magic.local_service import replies
from codex_magic.local_service.conversation import Body, Item
from codex_magic.local_service.endpoints import ApiCompact, ApiResponses, CodexResponses, Endpoint, Responses
from codex_magic.local_service.faults import Fault, Step
from codex_magic.local_service.pace import Pace
from codex_magic.local_service.replies import Reply
from codex_magic.local_service.service import Routes
from codex_magic.local_service.state import State
from codex_magic.local_service.stream import DELTAS, Event, Plan, numbered, plain_events
from tests.service import code_mode, rules
from tests.service.faults import HANDSHAKE, Hold, Silence
from tests.service.shape import shape_refusal
from tests.service.state import StrictState

KEEPALIVE_EVERY = 50
"""Deltas between two keep-alive events."""

NOISE = "mNq7VbX2Lw9TzRk4"


async def middleware(endpoint: Endpoint) -> None:
    """Let the fault happen that is queued for this request."""
    state = endpoint.state
    assert isinstance(state, StrictState)
    if isinstance(endpoint, StrictResponses):
        endpoint.fault = state.faults.take(endpoint.fault_path)
        await suffer(endpoint, endpoint.fault)
    else:
        await suffer(endpoint, state.faults.take(endpoint.request.path))


async def suffer(endpoint: Endpoint, fault: Fault | None) -> None:
    """Let a fault happen that strikes before the first byte; others are for the stream."""
    state = endpoint.state
    assert isinstance(state, StrictState)
    if fault is None:
        return
    if (reply := state.faults.reply(fault)) is not None:
        endpoint.refuse(reply)
    elif fault.kind == "no_headers":
        await endpoint.gone.wait()
        raise Finish
    elif fault.kind == "slow_headers":
        await asyncio.sleep(float(fault.params.get("seconds", 1)))
    elif fault.kind == "hold_headers":
        await state.hold(endpoint.recorded)
    elif fault.kind == "refuse":
        endpoint.cut()


class StrictResponses(Responses):
    state: StrictState

    def initialize(self, state: State) -> None:
        super().initialize(state)
        self.fault: Fault | None = None

    def refusal(self, request: rules.Request) -> Reply | None:
        raise NotImplementedError

    @property
    def is_upgrade(self) -> bool:
        """Whether a WebSocket is wanted."""
        return self.request.headers.get("Upgrade", "").lower() == "websocket"

    @property
    def fault_path(self) -> str:
        """The faults of responses are not for the upgrade before them."""
        return self.request.path + (HANDSHAKE if self.is_upgrade else "")

    def decoded_body(self) -> bytes:
        if self.request.headers.get("Content-Encoding") != "zstd":
            return super().decoded_body()
        try:
            if sys.version_info >= (3, 14):
                return bytes(importlib.import_module("compression.zstd").decompress(self.request.body))
            zstandard = importlib.import_module("zstandard")
            return bytes(zstandard.ZstdDecompressor().stream_reader(self.request.body).read())
        except ModuleNotFoundError:
            self.refuse(replies.detail(415, "To read zstd bodies the service needs: pip install zstandard"))

    async def respond(self, body: Body, owner: str) -> None:
        if refusal := shape_refusal(body):
            self.refuse(refusal)
        request = rules.Request(body, self.recorded.headers, owner)
        if self.state.strict and (refusal := self.refusal(request)):
            self.refuse(refusal)
        await super().respond(body, owner)

    async def answer(self, body: Body, owner: str, pace: Pace, fault: Fault | None) -> None:
        await suffer(self, fault)
        await super().answer(body, owner, pace, self.fault or fault)

    def plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        plan = super().plan(body, owner, pace)
        fault = self.fault
        if fault is not None and fault.kind == "reroute":
            return replace(plan, model=str(fault.params.get("to", "local-small")))
        return plan

    def model(self, body: Body) -> str:
        """Any: whether there is such a model is a rule."""
        return str(body.get("model"))

    def items(self, body: Body, owner: str) -> list[Item]:
        """In the Lite dialect the model does not see top-level tools."""
        if self.recorded.headers.get(rules.LITE_HEADER) == "true":
            body = {key: value for key, value in body.items() if key != "tools"}
        return code_mode.answer(body, owner)

    def events(self, plan: Plan) -> Iterator[Event]:
        return numbered(with_habits(plan, plain_events(plan)) if self.codex else plain_events(plan))

    async def do(self, step: Step) -> None:
        if isinstance(step, Hold):
            await self.state.hold(self.recorded)
        elif isinstance(step, Silence):
            await self.gone.wait()
        else:
            await super().do(step)


class StrictCodexResponses(StrictResponses, CodexResponses):
    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.codex_refusal(request)


class StrictApiResponses(StrictResponses, ApiResponses):
    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.api_refusal(request)


class StrictApiCompact(ApiCompact):
    async def prepare(self) -> None:
        await super().prepare()
        self.key()
        if refusal := shape_refusal(self.recorded.json):
            self.refuse(refusal)


STRICT_ROUTES: Routes = [
    (r"/backend-api/codex/responses", StrictCodexResponses),
    (r"/v1/responses", StrictApiResponses),
    (r"/v1/responses/compact", StrictApiCompact),
]


def with_habits(plan: Plan, stream: Iterator[Event]) -> Iterator[Event]:
    """The Codex backend's: padding, keep-alives, unannounced events."""
    chance = random.Random(plan.id)
    deltas = 0
    for event in stream:
        if event["type"] in DELTAS:
            deltas += 1
            event["obfuscation"] = NOISE[: chance.randrange(1, len(NOISE) + 1)]
        yield event
        if event["type"] == "response.in_progress":
            yield {"type": "responsesapi.local_service.unannounced", "note": "an event nobody knows"}
        if deltas % KEEPALIVE_EVERY == 1 and event["type"] in DELTAS:
            yield {"type": "keepalive"}
