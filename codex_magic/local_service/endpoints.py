"""The HTTP endpoints of the model service: responses, models, usage, accounts."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import Finish, RequestHandler

from ..protocol.ids import new_id
from . import catalog, conversation, replies, rules
from .accounts import Account
from .answers import answer
from .conversation import Body, count_tokens
from .faults import HANDSHAKE, Cut, Fault, Hold, Send, Silence, Step, steps
from .pace import Pace
from .recorder import RecordedRequest
from .replies import Reply
from .shape import shape_refusal
from .state import State
from .stream import Plan, Usage, completed_response, count_usage, events


class Endpoint(RequestHandler):
    """Records the request, lets a queued fault happen, and sends replies."""

    def initialize(self, state: State) -> None:
        self.state = state
        self.fault: Fault | None = None
        self.gone = asyncio.Event()

    async def prepare(self) -> None:
        body = self.decompressed_body()
        self.recorded = RecordedRequest(
            method=str(self.request.method),
            path=self.request.path,
            query={name: self.get_query_argument(name, strip=False) for name in self.request.query_arguments},
            headers={name.lower(): value for name, value in self.request.headers.get_all()},
            body=body,
            json=decoded(body),
            at=time.monotonic(),
        )
        self.state.recorder.add(self.state.recorder.requests, self.recorded)
        self.fault = self.state.faults.take(self.fault_path)
        await self.suffer(self.fault)

    @property
    def fault_path(self) -> str:
        """Where the faults of this request are queued."""
        return self.request.path

    async def suffer(self, fault: Fault | None) -> None:
        """Let a fault happen that strikes before the first byte; others are for the stream."""
        if fault is None:
            return
        if fault.reply is not None:
            self.refuse(fault.reply)
        elif fault.kind == "no_headers":
            await self.gone.wait()
            raise Finish
        elif fault.kind == "slow_headers":
            await asyncio.sleep(float(fault.params.get("seconds", 1)))
        elif fault.kind == "hold_headers":
            await self.state.hold(self.recorded)
        elif fault.kind == "refuse":
            self.cut()

    def decompressed_body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return self.request.body
        if encoding != "zstd":
            self.refuse(replies.detail(415, f"Unsupported content encoding: {encoding}"))
        try:
            if sys.version_info >= (3, 14):
                return bytes(importlib.import_module("compression.zstd").decompress(self.request.body))
            zstandard = importlib.import_module("zstandard")
            return bytes(zstandard.ZstdDecompressor().stream_reader(self.request.body).read())
        except ModuleNotFoundError:
            needed = "To read zstd bodies the local service needs: pip install 'codex-magic[zstd]'"
            self.refuse(replies.detail(415, needed))

    def reply(self, reply: Reply) -> None:
        self.set_status(reply.status)
        self.set_header("x-request-id", new_id())
        for name, value in reply.headers.items():
            self.set_header(name, value)
        self.finish(reply.body if isinstance(reply.body, str) else msgspec.json.encode(reply.body))

    def refuse(self, reply: Reply) -> NoReturn:
        """Send `reply` and do nothing else for this request."""
        self.reply(reply)
        raise Finish

    def given(self, name: str) -> str:
        """A field that the JSON body must have."""
        if not isinstance(self.recorded.json, dict) or name not in self.recorded.json:
            self.refuse(replies.api_error(400, f"Missing required parameter: '{name}'.", param=name))
        return str(self.recorded.json[name])

    def reply_json(self, body: Any) -> None:
        self.reply(Reply(200, body))

    def cut(self) -> NoReturn:
        """Break the connection."""
        self.connection.stream.close()
        raise Finish

    @property
    def connection(self) -> HTTP1Connection:
        assert isinstance(self.request.connection, HTTP1Connection)
        return self.request.connection

    def account(self) -> Account:
        """Who asks, by the bearer token of the Codex backend."""
        token = self._bearer()
        if token is None and self.state.open_access:
            return Account()
        account = self.state.sign_in.check(token) if token else replies.UNAUTHORIZED
        if isinstance(account, Reply):
            self.refuse(account)
        if self.request.headers.get("ChatGPT-Account-ID", account.id) != account.id:
            self.refuse(replies.UNAUTHORIZED)
        return account

    def key(self) -> str:
        """The API key, which may be any."""
        key = self._bearer()
        if key is None and not self.state.open_access:
            self.refuse(replies.API_KEY_MISSING)
        return key or "nobody"

    def _bearer(self) -> str | None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token or None if scheme == "Bearer" else None

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.clear_header("Server")

    def on_connection_close(self) -> None:
        self.gone.set()
        self.state.recorder.add(self.state.recorder.disconnects, self.recorded)


class Responses(Endpoint):
    """The stream. What the two ways to it do differently is in the subclasses."""

    codex: bool

    def owner(self) -> str:
        """Who asks, and so whom sealed content is for."""
        raise NotImplementedError

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

    async def get(self) -> None:
        self.reply(replies.UPGRADE_REQUIRED if self.is_upgrade else replies.detail(405, "Method Not Allowed"))

    async def post(self) -> None:
        await self.respond(self.recorded.json, self.owner())

    async def respond(self, body: Any, owner: str) -> None:
        if refusal := shape_refusal(body):
            self.refuse(refusal)
        request = rules.Request(body, self.recorded.headers, owner)
        if self.state.strict and (refusal := self.refusal(request)):
            self.refuse(refusal)
        prompt = conversation.read_conversation(body).prompt
        try:
            pace = self._pace(prompt)
            marked = self._marked(prompt)
        except ValueError as error:
            self.refuse(replies.detail(400, str(error)))
        await self.suffer(marked)
        await self._answer(body, owner, pace, self.fault or marked)

    def _pace(self, prompt: conversation.Prompt) -> Pace:
        asked = prompt.pace or self.request.headers.get("x-local-pace")
        return Pace.parse(asked) if asked else self.state.pace

    def _marked(self, prompt: conversation.Prompt) -> Fault | None:
        return self.state.faults.marked(prompt.fault, prompt=prompt.text) if prompt.fault else None

    async def _answer(self, body: Body, owner: str, pace: Pace, fault: Fault | None) -> None:
        plan = self._plan(body, owner, pace)
        if fault is not None and fault.kind == "reroute":
            plan = replace(plan, model=str(fault.params.get("to", "local-small")))
        self.state.quota.requests += 1
        self.announce(self._service_headers(plan, body))
        if body.get("stream"):
            await self._play(steps(events(plan), fault or self._limit(plan, body)), pace)
        else:
            self.reply_json(completed_response(plan))

    def announce(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def _plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        script = answer(self._seen(body))
        sent = [body.get(key) for key in ("instructions", "tools", "input")]
        cached = self.state.cached_tokens(self.request.headers.get("session-id"), body)
        include = body.get("include") or []
        return Plan(
            id=f"resp_{new_id().replace('-', '')}",
            model=str(body.get("model")),
            created_at=int(time.time()),
            script=script,
            usage=count_usage(script, sent=count_tokens(sent), cached=cached),
            delta_chars=pace.delta_chars,
            owner=owner,
            sealed="reasoning.encrypted_content" in include,
            codex=self.codex,
            echoed={key: body[key] for key in _ECHOED if key in body},
        )

    def _seen(self, body: Body) -> Body:
        """In the Lite dialect the model does not see top-level tools."""
        if self.recorded.headers.get(rules.LITE_HEADER) != "true":
            return body
        return {key: value for key, value in body.items() if key != "tools"}

    def _limit(self, plan: Plan, body: Body) -> Fault | None:
        """The ends that the request itself leads to."""
        model = catalog.find(plan.model)
        if model is not None and plan.usage.input > model["max_context_window"]:
            return Fault("context_length_exceeded", {"after": 0})
        most = body.get("max_output_tokens")
        if most is not None and plan.usage.output > most:
            return Fault("incomplete", {"after": max(1, most * 4 // plan.delta_chars)})
        return None

    def _service_headers(self, plan: Plan, body: Body) -> dict[str, str]:
        return {"openai-model": plan.model, "x-request-id": new_id()}

    async def _play(self, script: Iterable[Step], pace: Pace) -> None:
        if not self.codex:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        else:
            self.clear_header("Content-Type")
        self.connection.stream.set_nodelay(True)
        try:
            await self.flush()
            await self._send(iter(script), pace)
        except StreamClosedError:
            pass  # the client went away, which `on_connection_close` has recorded

    async def _send(self, script: Iterator[Step], pace: Pace) -> None:
        """Do the steps. With a chunk size, writes are cut there, wherever in an event that is."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        pending = bytearray()
        for step in script:
            if self.gone.is_set():
                return
            if isinstance(step, Send):
                pending += step.data
                while len(pending) >= max(1, pace.chunk_bytes):
                    size = pace.chunk_bytes or len(pending)
                    await self._write(bytes(pending[:size]))
                    del pending[:size]
                if pace.per_second is not None and step.is_delta:
                    due += 1 / pace.per_second
                    await asyncio.sleep(max(0.0, due - loop.time()))
                continue
            await self._write(bytes(pending))
            pending.clear()
            if isinstance(step, Hold):
                await self.state.hold(self.recorded)
                due = loop.time()
            elif isinstance(step, Silence):
                await self.gone.wait()
            else:
                assert isinstance(step, Cut)
                self.cut()
        await self._write(bytes(pending))

    async def _write(self, data: bytes) -> None:
        self.write(data)
        await self.flush()
        await asyncio.sleep(0)  # a fast client must not keep the others waiting


_ECHOED = (
    "service_tier",
    "prompt_cache_key",
    "tool_choice",
    "parallel_tool_calls",
    "tools",
    "text",
    "reasoning",
)


class CodexResponses(Responses):
    """`/backend-api/codex/responses`: a ChatGPT plan, strict, without Content-Type."""

    codex = True

    def owner(self) -> str:
        account = self.account()
        self._plan_type = account.plan
        return account.id

    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.codex_refusal(request)

    def _service_headers(self, plan: Plan, body: Body) -> dict[str, str]:
        state = self.request.headers.get("x-codex-turn-state") or f"ts_{new_id()}"
        return {
            **super()._service_headers(plan, body),
            **self.state.quota.headers(self._plan_type),
            "x-models-etag": catalog.ETAG,
            "x-codex-turn-state": state,
            "x-reasoning-included": "true",
            "x-oai-request-id": new_id(),
            "cf-ray": f"{plan.id[5:21]}-LOC",
        }


class ApiResponses(Responses):
    """`/v1/responses`: the public API, or any server that speaks it."""

    codex = False

    def owner(self) -> str:
        return self.key()

    def refusal(self, request: rules.Request) -> Reply | None:
        return rules.api_refusal(request)


class ApiCompact(Endpoint):
    def post(self) -> None:
        key = self.key()
        body = self.recorded.json
        if refusal := shape_refusal(body):
            self.refuse(refusal)
        talk = conversation.read_conversation(body)
        sealed = conversation.seal(key, talk.compaction())
        item = {"id": f"cmp_{new_id()}", "type": "compaction", "encrypted_content": sealed}
        tokens = Usage(count_tokens(body), 0, count_tokens(item), 0).encode()
        self.reply_json(
            {
                "id": f"resp_{new_id()}",
                "object": "response.compaction",
                "output": [*conversation.user_messages(body), item],
                "usage": tokens,
            }
        )


class CodexModels(Endpoint):
    def get(self) -> None:
        self.account()
        self.reply_catalog()

    def reply_catalog(self) -> None:
        version = self.get_query_argument("client_version", None)
        self.reply(Reply(200, {"models": catalog.offered(version)}, {"ETag": catalog.ETAG}))


class ApiModels(CodexModels):
    """The public API's own list; a Codex client, which names its version, gets the Codex catalog."""

    def get(self) -> None:
        self.key()
        if "client_version" in self.recorded.query:
            self.reply_catalog()
        else:
            self.reply_json(catalog.openai_list())


class WhamUsage(Endpoint):
    def get(self) -> None:
        self.reply_json(self.state.quota.usage(self.account()))


class AccountsCheck(Endpoint):
    """Where a client may send this account's requests; the official one insists on https or no word."""

    def get(self) -> None:
        account = self.account()
        origin = self.state.url if self.state.url.startswith("https:") else "NO_CONSTRAINT"
        described = {
            "id": account.id,
            "plan_type": account.plan,
            "name": None,
            "structure": "personal",
            "workspace_backend_origin": origin,
            "account_routing_override": "NO_CONSTRAINT",
            "profile_picture_url": None,
        }
        ids = {"account_ordering": [account.id], "default_account_id": account.id}
        self.reply_json({"accounts": [described], **ids})


class NotFound(Endpoint):
    async def prepare(self) -> None:
        await super().prepare()
        self.reply(replies.NOT_FOUND)


ROUTES: list[tuple[str, type[Endpoint]]] = [
    (r"/backend-api/codex/responses", CodexResponses),
    (r"/backend-api/codex/models", CodexModels),
    (r"/backend-api/wham/usage", WhamUsage),
    (r"/backend-api/wham/accounts/check", AccountsCheck),
    (r"/v1/responses", ApiResponses),
    (r"/v1/responses/compact", ApiCompact),
    (r"/v1/models", ApiModels),
]


def decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
