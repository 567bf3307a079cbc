"""Responses as the real services give them: strict, in either dialect, with awkward habits, failing on demand."""

from __future__ import annotations

import asyncio
import importlib
import random
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tornado.web import Finish

from codex_magic.local_service import endpoints as shipped
from codex_magic.local_service.answers import NOTICE, PICTURE, answer, message
from codex_magic.local_service.conversation import (
    Body,
    Item,
    count_tokens,
    input_items,
    parts_of,
    read_conversation,
)
from codex_magic.local_service.endpoints import (
    ETAG,
    MODELS,
    CodexResponses,
    Endpoint,
    Responses,
    State,
    endpoint,
)
from codex_magic.local_service.faults import Fault, Reply, Step, detail
from codex_magic.local_service.service import Routes
from codex_magic.local_service.stream import DELTAS, Event, Pace, Plan, count_usage, events, frame, numbered
from codex_magic.protocol.ids import new_id
from tests.service import code_mode, rules
from tests.service.faults import HANDSHAKE, HOLD, SILENCE
from tests.service.recorder import RecordedRequest
from tests.service.shape import shape_refusal
from tests.service.state import StrictState

KEEPALIVE_EVERY = 50
"""Deltas between two keep-alive events."""

NOISE = "mNq7VbX2Lw9TzRk4"

CHUNK_BYTES = 64 * 1024
"""What a fast server and a busy network hand over at once."""


@dataclass(frozen=True)
class Chunks(Pace):
    """As fast as possible in 64 KB pieces that end anywhere, even inside a character."""


async def middleware(endpoint: Endpoint) -> None:
    """Let the fault happen that is queued for this request."""
    state = endpoint.state
    assert isinstance(state, StrictState)
    recorded = state.record(endpoint)
    if isinstance(endpoint, StrictResponses):
        endpoint.recorded = recorded
        endpoint.fault = state.faults.take(endpoint.fault_path)
        await suffer(endpoint, endpoint.fault, recorded)
    else:
        await suffer(endpoint, state.faults.take(endpoint.request.path), recorded)


async def suffer(endpoint: Endpoint, fault: Fault | None, recorded: RecordedRequest) -> None:
    """Let a fault happen that strikes before the first byte; others are for the stream."""
    state = endpoint.state
    assert isinstance(state, StrictState)
    if fault is None:
        return
    if (reply := state.faults.reply(fault)) is not None:
        endpoint.refuse(reply)
    elif fault.kind == "no_headers":
        await asyncio.wait([endpoint.gone])
        raise Finish
    elif fault.kind == "slow_headers":
        await asyncio.sleep(float(fault.params.get("seconds", 1)))
    elif fault.kind == "hold_headers":
        await state.hold(recorded)
    elif fault.kind == "refuse":
        endpoint.cut()


class StrictResponses(Responses):
    state: StrictState
    recorded: RecordedRequest

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
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return super().decoded_body()
        if encoding != "zstd":
            self.refuse(detail(415, f"Unsupported content encoding: {encoding}"))
        try:
            if sys.version_info >= (3, 14):
                return bytes(importlib.import_module("compression.zstd").decompress(self.request.body))
            zstandard = importlib.import_module("zstandard")
            return bytes(zstandard.ZstdDecompressor().stream_reader(self.request.body).read())
        except ModuleNotFoundError:
            self.refuse(detail(415, "To read zstd bodies the service needs: pip install zstandard"))

    async def respond(self, body: Body, owner: str) -> None:
        if refusal := shape_refusal(body):
            self.refuse(refusal)
        request = rules.Request(body, self.recorded.headers, owner)
        if self.state.strict and (refusal := self.refusal(request)):
            self.refuse(refusal)
        await super().respond(body, owner)

    async def answer(self, body: Body, plan: Plan, pace: Pace, fault: Fault | None) -> None:
        await suffer(self, fault, self.recorded)
        await super().answer(body, plan, pace, self.fault or fault or limit(body, plan))

    def pace(self, words: str | None) -> Pace:
        """Read `chunks` too, and `max` and others from a header."""
        words = words or self.request.headers.get("x-local-pace")
        if words and words.startswith("chunks"):
            return Chunks(delta_chars=Pace.parse(words.replace("chunks", "max")).delta_chars)
        return super().pace(words)

    def plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        plan = super().plan(body, owner, pace)
        sent = plan.usage["input_tokens"]
        cached = self.state.cached_tokens(self.request.headers.get("session-id"), body)
        plan = replace(plan, usage=count_usage(plan.items, sent=sent, cached=cached))
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
        talk = read_conversation(body)
        question = talk.prompt.text
        items = code_mode.answer(body, owner)
        if re.search(r"^refuse\b", question, re.I):
            refusal = {"type": "refusal", "refusal": "The local service was asked to refuse, and so it does."}
            return [*items[:-1], items[-1] | {"content": [refusal]}]
        if re.search(r"\bdraw\b", question, re.I) and "image_generation" in {
            tool.kind for tool in talk.tools
        }:
            drawing = {"type": "image_generation_call", "result": PICTURE, "revised_prompt": question}
            return [*items[:-1], drawing, message(f"{NOTICE}\n\nA prepared picture.\n")]
        calls = [item for item in items if item["type"].endswith("_call") and "name" in item]
        if "aloud" not in question or not calls:
            return items
        names = " and ".join(f"`{call['name']}`" for call in calls)
        spoken = message(f"I will use {names}.", "commentary")
        return [*(item for item in items if item not in calls), spoken, *calls]

    def events(self, plan: Plan) -> Iterator[Event]:
        return numbered(with_habits(plan, events(plan)) if self.codex else events(plan))

    async def send(self, script: Iterable[Step], pace: Pace) -> None:
        await super().send(chunks(script) if isinstance(pace, Chunks) else script, pace)

    async def do(self, step: str) -> None:
        if step == HOLD:
            await self.state.hold(self.recorded)
        elif step == SILENCE:
            await asyncio.wait([self.gone])
        else:
            await super().do(step)


class StrictCodexResponses(StrictResponses, CodexResponses):
    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.codex_refusal(request)


class StrictApiResponses(StrictResponses):
    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.api_refusal(request)


def compact(at: Endpoint) -> Reply:
    body, owner = at.json, at.key()
    if refusal := shape_refusal(body):
        return refusal
    at.need("input")
    items = [*input_items(body), {"type": "compaction_trigger"}]
    sealed = answer({**body, "input": items}, owner)
    user = {"type": "message", "role": "user", "status": "completed"}
    written = [item for item in items if item.get("role") == "user"]
    kept = [{**user, "content": parts_of(item)} for item in written]
    output = [*kept, {"id": f"cmp_{new_id()}", **sealed[0]}]
    described = {"id": f"resp_{new_id()}", "object": "response.compaction", "output": output}
    return Reply(200, {**described, "usage": count_usage(sealed, sent=count_tokens(body))})


def models(at: Endpoint) -> Reply:
    """Give the models that a client of its version may see; one without a version sees all."""
    reply = shipped.models(at)
    version = at.get_query_argument("client_version", None)
    if version is None:
        return reply
    offered = [model for model in MODELS.values() if rules.is_new_enough(version, model)]
    return Reply(200, {"models": offered}, {"ETag": ETAG})


STRICT_ROUTES: Routes = [
    (r"/backend-api/codex/responses", StrictCodexResponses),
    (r"/v1/responses", StrictApiResponses),
    (r"/v1/responses/compact", endpoint("post", compact)),
    (r"/backend-api/codex/models", endpoint("get", models)),
    (r"/v1/models", endpoint("get", models)),
]


def limit(body: Body, plan: Plan) -> Fault | None:
    """Return the end that the request itself leads to."""
    model = MODELS.get(plan.model)
    if model is not None and plan.usage["input_tokens"] > model["max_context_window"]:
        return Fault("context_length_exceeded", {"after": 0})
    most = body.get("max_output_tokens")
    if most is not None and plan.usage["output_tokens"] > most:
        return Fault("incomplete", {"after": max(1, most * 4 // plan.delta_chars)})
    return None


def chunks(script: Iterable[Step]) -> Iterator[Step]:
    """Cut what is sent into pieces of one size, wherever in an event that is."""
    pending = bytearray()
    for step in script:
        if isinstance(step, str):
            yield bytes(pending)
            pending.clear()
            yield step
            continue
        pending += step if isinstance(step, bytes) else frame(step)
        while len(pending) >= CHUNK_BYTES:
            yield bytes(pending[:CHUNK_BYTES])
            del pending[:CHUNK_BYTES]
    yield bytes(pending)


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
