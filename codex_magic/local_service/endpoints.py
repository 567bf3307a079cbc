"""The HTTP endpoints of the model service: responses, models, usage, accounts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import Finish, RequestHandler

from ..protocol.ids import new_id
from . import catalog, conversation, replies
from .accounts import Account
from .answers import answer
from .conversation import Body, Item, count_tokens
from .faults import Fault, Send, Step
from .pace import Pace
from .pictures import encoded_picture
from .replies import Reply
from .state import RecordedRequest, State
from .stream import Event, Plan, count_usage, events


class Endpoint(RequestHandler):
    """Records the request and sends replies."""

    def initialize(self, state: State) -> None:
        self.state = state
        self.gone = asyncio.Event()

    async def prepare(self) -> None:
        body = self.decoded_body()
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
        if self.state.middleware is not None:
            await self.state.middleware(self)

    def decoded_body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            self.refuse(replies.detail(415, f"Unsupported content encoding: {encoding}"))
        return self.request.body

    def reply(self, reply: Reply) -> None:
        self.set_status(reply.status)
        self.set_header("x-request-id", new_id())
        for name, value in reply.headers.items():
            self.set_header(name, value)
        self.finish(reply.body if isinstance(reply.body, str) else msgspec.json.encode(reply.body))

    def reply_json(self, body: Any) -> None:
        self.reply(Reply(200, body))

    def refuse(self, reply: Reply) -> NoReturn:
        """Send `reply` and do nothing else for this request."""
        self.reply(reply)
        raise Finish

    def need(self, name: str) -> Any:
        """A field that the JSON body must have."""
        if not isinstance(self.recorded.json, dict) or name not in self.recorded.json:
            self.refuse(replies.api_error(400, f"Missing required parameter: '{name}'.", param=name))
        return self.recorded.json[name]

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

    async def get(self) -> None:
        """A client that wants a WebSocket sends a POST when it is told that there is none."""
        wanted = self.request.headers.get("Upgrade", "").lower() == "websocket"
        self.reply(replies.UPGRADE_REQUIRED if wanted else replies.detail(405, "Method Not Allowed"))

    async def post(self) -> None:
        await self.respond(self.recorded.json, self.owner())

    async def respond(self, body: Body, owner: str) -> None:
        with self._reading():
            prompt = conversation.read_conversation(body).prompt
            written = prompt.pace or self.request.headers.get("x-local-pace")
            pace = Pace.parse(written) if written else self.state.pace
            fault = self.state.faults.marked(prompt.fault, prompt=prompt.text) if prompt.fault else None
        await self.answer(body, owner, pace, fault)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Refuse a request whose parts are not what the answer is made of."""
        try:
            yield
        except ValueError as error:
            self.refuse(replies.detail(400, str(error)))
        except (AttributeError, LookupError, TypeError) as error:
            self.refuse(replies.api_error(400, f"The request can't be read: {error!r}"))

    async def answer(self, body: Body, owner: str, pace: Pace, fault: Fault | None) -> None:
        if fault is not None and (reply := self.state.faults.reply(fault)):
            self.refuse(reply)
        with self._reading():
            plan = self.plan(body, owner, pace)
        self.state.quota.requests += 1
        self.announce(self.service_headers(plan))
        if body.get("stream"):
            steps = self.state.faults.steps(self.events(plan), fault or self._limit(plan, body))
            await self._play(steps, pace)
        else:
            *_, last = self.events(plan)
            self.reply_json(last["response"])

    def announce(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def model(self, body: Body) -> str:
        """The name of a model there is."""
        name = str(body.get("model"))
        if catalog.find(name) is None:
            self.refuse(replies.model_unsupported(name))
        return name

    def items(self, body: Body, owner: str) -> list[Item]:
        return answer(body, owner)

    def events(self, plan: Plan) -> Iterator[Event]:
        return events(plan)

    def plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        model = self.model(body)
        items = self.items(body, owner)
        sent = count_tokens([body.get(key) for key in ("instructions", "tools", "input")])
        cached = self.state.cached_tokens(self.request.headers.get("session-id"), body)
        return Plan(
            id=f"resp_{new_id().replace('-', '')}",
            model=model,
            created_at=int(time.time()),
            items=items,
            usage=count_usage(items, sent=sent, cached=cached),
            delta_chars=pace.delta_chars,
            codex=self.codex,
            echoed={key: body[key] for key in _ECHOED if key in body},
        )

    def _limit(self, plan: Plan, body: Body) -> Fault | None:
        """The ends that the request itself leads to."""
        model = catalog.find(plan.model)
        if model is not None and plan.usage["input_tokens"] > model["max_context_window"]:
            return Fault("context_length_exceeded", {"after": 0})
        most = body.get("max_output_tokens")
        if most is not None and plan.usage["output_tokens"] > most:
            return Fault("incomplete", {"after": max(1, most * 4 // plan.delta_chars)})
        return None

    def service_headers(self, plan: Plan) -> dict[str, str]:
        return {"openai-model": plan.model, "x-request-id": new_id()}

    async def _play(self, script: Iterable[Step], pace: Pace) -> None:
        self.clear_header("Content-Type")  # the Codex backend sends none
        if not self.codex:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.connection.stream.set_nodelay(True)
        try:
            await self.flush()
            await self.send(script, pace)
        except StreamClosedError:
            pass  # the client went away, which `on_connection_close` has recorded

    async def send(self, script: Iterable[Step], pace: Pace) -> None:
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
                    await self.write_now(bytes(pending[:size]))
                    del pending[:size]
                if pace.per_second is not None and step.is_delta:
                    due += 1 / pace.per_second
                    await asyncio.sleep(max(0.0, due - loop.time()))
                continue
            await self.write_now(bytes(pending))
            pending.clear()
            await self.do(step)
            due = loop.time()
        await self.write_now(bytes(pending))

    async def do(self, step: Step) -> None:
        """Do a step that sends nothing."""
        self.cut()

    async def write_now(self, data: bytes) -> None:
        self.write(data)
        await self.flush()
        await asyncio.sleep(0)  # a fast client must not keep the others waiting


_ECHOED = "service_tier prompt_cache_key tool_choice parallel_tool_calls tools text reasoning".split()


class CodexResponses(Responses):
    """`/backend-api/codex/responses`: a ChatGPT plan, without Content-Type."""

    codex = True

    def owner(self) -> str:
        account = self.account()
        self.plan_type = account.plan
        return account.id

    def service_headers(self, plan: Plan) -> dict[str, str]:
        state = self.request.headers.get("x-codex-turn-state") or f"ts_{new_id()}"
        return {
            **super().service_headers(plan),
            **self.state.quota.headers(self.plan_type),
            "x-models-etag": catalog.ETAG,
            "x-codex-turn-state": state,
            "x-reasoning-included": "true",
            "x-oai-request-id": new_id(),
            "cf-ray": f"{plan.id[5:21]}-LOC",
        }


class ApiResponses(Responses):
    """`/v1/responses`: the public API, or any server that speaks it."""

    codex = False
    owner = Endpoint.key


class ApiCompact(Endpoint):
    def post(self) -> None:
        body, owner = self.recorded.json, self.key()
        self.need("input")
        items = [*conversation.input_items(body), {"type": "compaction_trigger"}]
        sealed = answer({**body, "input": items}, owner)
        output = [*conversation.user_messages(body), {"id": f"cmp_{new_id()}", **sealed[0]}]
        usage = count_usage(sealed, sent=count_tokens(body), cached=0)
        described = {"id": f"resp_{new_id()}", "object": "response.compaction"}
        self.reply_json({**described, "output": output, "usage": usage})


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
        order = [account.id]
        self.reply_json(
            {"accounts": [described], "account_ordering": order, "default_account_id": account.id}
        )


class CodexGenerations(Endpoint):
    """`/backend-api/codex/images/generations`: one picture."""

    def post(self) -> None:
        self.account()
        picture = {"b64_json": encoded_picture(str(self.need("prompt")))}
        self.reply_json({"created": int(time.time()), "data": [picture], "output_format": "png"})


class CodexCalls(Endpoint):
    """`/backend-api/codex/realtime/calls`: nobody is there to talk to, so every section is declined (RFC 3264 6)."""

    def post(self) -> None:
        self.account()
        sections = re.findall(r"^(m=\S+) \d+(.*)$", str(self.need("sdp")).replace("\r", ""), re.MULTILINE)
        session = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        declined = "\r\n".join([*session, *(f"{media} 0{formats}" for media, formats in sections), ""])
        call = f"/v1/realtime/calls/rtc_{new_id().replace('-', '')}"
        self.reply(Reply(201, declined, {"Content-Type": "application/sdp", "Location": call}))


class NotFound(Endpoint):
    async def prepare(self) -> None:
        await super().prepare()
        self.reply(replies.NOT_FOUND)


ROUTES: list[tuple[str, type[Endpoint]]] = [
    (r"/backend-api/codex/responses", CodexResponses),
    (r"/backend-api/codex/models", CodexModels),
    (r"/backend-api/codex/images/generations", CodexGenerations),
    (r"/backend-api/codex/realtime/calls", CodexCalls),
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
