"""The endpoints: the stream of a response, and one table of all that is answered at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import Finish, RequestHandler

from ..protocol.ids import new_id
from . import conversation
from .accounts import SCOPE, Account, Quota, SignIn
from .answers import PICTURE, answer
from .conversation import Body, Item, count_tokens
from .faults import REFUSALS, Fault, Faults, Reply, Step, api_error, detail, model_unsupported
from .stream import DELTAS, Event, Pace, Plan, count_usage, events, frame, numbered

_CATALOG = msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes())

MODELS: dict[str, dict[str, Any]] = {model["slug"]: _CATALOG["every"] | model for model in _CATALOG["models"]}
"""The models on offer: made-up ones whose names say so, and two official names the binary needs."""

ETAG = f'W/"{hashlib.sha256(msgspec.json.encode(MODELS)).hexdigest()[:16]}"'


@dataclass
class State:
    """What the endpoints of one running service share; touched on its own loop only."""

    url: str
    pace: Pace = field(default_factory=Pace)
    open_access: bool = False
    """Answer requests without credentials too."""
    middleware: Callable[[Endpoint], Awaitable[None]] | None = None
    """Called with each endpoint when its request has been read; it may refuse it."""
    faults: Faults = field(default_factory=Faults)
    quota: Quota = field(default_factory=Quota)
    sign_in: SignIn = field(init=False)

    def __post_init__(self) -> None:
        self.sign_in = SignIn(self.url)


class Endpoint(RequestHandler):
    """Reads the request and sends replies."""

    def initialize(self, state: State) -> None:
        self.state = state
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client has gone before the end of its answer."""

    async def prepare(self) -> None:
        self.body = self.decoded_body()
        self.json = decoded(self.body)
        if self.state.middleware is not None:
            await self.state.middleware(self)

    def decoded_body(self) -> bytes:
        return self.request.body

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

    def need(self, name: str) -> Any:
        """Return a field that the JSON body must have."""
        if not isinstance(self.json, dict) or name not in self.json:
            self.refuse(api_error(f"Missing required parameter: '{name}'.", name))
        return self.json[name]

    def cut(self) -> NoReturn:
        """Break the connection."""
        self.connection.stream.close()
        raise Finish

    @property
    def connection(self) -> HTTP1Connection:
        assert isinstance(self.request.connection, HTTP1Connection)
        return self.request.connection

    def account(self) -> Account:
        """Return who asks, by the bearer token of the Codex backend."""
        token = self._bearer()
        if token is None and self.state.open_access:
            return Account()
        account = self.state.sign_in.check(token or "")
        if isinstance(account, Reply):
            self.refuse(account)
        if self.request.headers.get("ChatGPT-Account-ID", account.id) != account.id:
            self.refuse(REFUSALS["unauthorized"])
        return account

    def key(self) -> str:
        """Return the API key, which may be any."""
        key = self._bearer()
        if key is None and not self.state.open_access:
            self.refuse(REFUSALS["api_key_missing"])
        return key or "nobody"

    def _bearer(self) -> str | None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token or None if scheme == "Bearer" else None

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.clear_header("Server")

    def query(self) -> dict[str, str]:
        return {name: self.get_query_argument(name, strip=False) for name in self.request.query_arguments}

    def on_connection_close(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


def decoded(body: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(body)
    return None


class Responses(Endpoint):
    """`/v1/responses`: the stream of the public API, or of any server that speaks it."""

    codex = False

    def owner(self) -> str:
        """Return who asks, and so whom sealed content is for."""
        return self.key()

    async def get(self) -> None:
        """Refuse a client that wants a WebSocket: told that there is none, it sends a POST."""
        self.reply(REFUSALS["upgrade_required"])

    async def post(self) -> None:
        await self.respond(self.json, self.owner())

    async def respond(self, body: Body, owner: str) -> None:
        """Answer, or refuse a request whose parts are not what the answer is made of."""
        try:
            prompt = conversation.read_conversation(body).prompt
            pace = self.pace(prompt.pace)
            fault = self.state.faults.marked(prompt.fault, prompt=prompt.text) if prompt.fault else None
            plan = self.plan(body, owner, pace)
        except ValueError as error:
            self.refuse(detail(400, str(error)))
        except (AttributeError, LookupError, TypeError) as error:
            self.refuse(api_error(f"The request can't be read: {error!r}"))
        await self.answer(body, plan, pace, fault)

    def plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        model, items = self.model(body), self.items(body, owner)
        sent = count_tokens([body.get(key) for key in ("instructions", "tools", "input")])
        return Plan(
            id=f"resp_{new_id().replace('-', '')}",
            model=model,
            created_at=int(time.time()),
            items=items,
            usage=count_usage(items, sent=sent),
            delta_chars=pace.delta_chars,
            codex=self.codex,
            echoed={key: body[key] for key in _ECHOED if key in body},
        )

    def pace(self, words: str | None) -> Pace:
        return Pace.parse(words) if words else self.state.pace

    def model(self, body: Body) -> str:
        """Return the name of a model there is."""
        if (name := str(body.get("model"))) not in MODELS:
            self.refuse(model_unsupported(name))
        return name

    def items(self, body: Body, owner: str) -> list[Item]:
        return answer(body, owner)

    def events(self, plan: Plan) -> Iterator[Event]:
        return numbered(events(plan))

    async def answer(self, body: Body, plan: Plan, pace: Pace, fault: Fault | None) -> None:
        if fault is not None and (reply := self.state.faults.replies.get(fault.kind)):
            self.refuse(reply(fault.params))
        self.state.quota.requests += 1
        self.announce(self.service_headers(plan))
        if body.get("stream"):
            bend = self.state.faults.streams.get(fault.kind) if fault else None
            stream = self.events(plan)
            await self._play(bend(stream, fault.params) if fault and bend else stream, pace)
        else:
            *_, last = self.events(plan)
            self.reply(Reply(200, last["response"]))

    def announce(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def service_headers(self, plan: Plan) -> dict[str, str]:
        return {"openai-model": plan.model, "x-request-id": new_id()}

    async def _play(self, script: Iterable[Step], pace: Pace) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        if self.codex:
            self.clear_header("Content-Type")  # the Codex backend sends none
        self.connection.stream.set_nodelay(True)
        with suppress(StreamClosedError):  # the client went away
            await self.flush()
            await self.send(script, pace)

    async def send(self, script: Iterable[Step], pace: Pace) -> None:
        """Do the steps, until the client has gone."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for step in script:
            if self.gone.done():
                return
            if isinstance(step, str):
                await self.do(step)
                due = loop.time()
                continue
            await self.write_now(step if isinstance(step, bytes) else frame(step))
            if pace.per_second is not None and isinstance(step, dict) and step["type"] in DELTAS:
                due += 1 / pace.per_second
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def do(self, step: str) -> None:
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
            "x-models-etag": ETAG,
            "x-codex-turn-state": state,
            "x-reasoning-included": "true",
            "x-oai-request-id": new_id(),
            "cf-ray": f"{plan.id[5:21]}-LOC",
        }


def models(at: Endpoint) -> Reply:
    """Return the Codex catalog; or the public API's own list, for a client that doesn't name its version."""
    is_codex = at.request.path.startswith("/backend-api")
    _ = at.account() if is_codex else at.key()
    if is_codex or "client_version" in at.query():
        return Reply(200, {"models": [*MODELS.values()]}, {"ETag": ETAG})
    every = {"object": "model", "created": 0, "owned_by": "local-service"}
    return Reply(200, {"object": "list", "data": [{"id": slug, **every} for slug in MODELS]})


def codex_picture(at: Endpoint) -> Reply:
    at.account()
    at.need("prompt")
    return Reply(200, {"created": int(time.time()), "data": [{"b64_json": PICTURE}], "output_format": "png"})


def codex_call(at: Endpoint) -> Reply:
    """Decline every section: nobody is there to talk to (RFC 3264 6)."""
    at.account()
    sections = re.findall(r"^(m=\S+) \d+(.*)$", str(at.need("sdp")).replace("\r", ""), re.MULTILINE)
    session = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    declined = "\r\n".join([*session, *(f"{media} 0{formats}" for media, formats in sections), ""])
    call = f"/v1/realtime/calls/rtc_{new_id().replace('-', '')}"
    return Reply(201, declined, {"Content-Type": "application/sdp", "Location": call})


def approve(at: Endpoint, query: Mapping[str, str], account: Account) -> Reply:
    """Send a browser back to the client's own address with a code; nobody clicks, to open the link is enough."""
    challenge, redirect_uri = query["code_challenge"], query["redirect_uri"]
    code = at.state.sign_in.grant(account, challenge=challenge, redirect_uri=redirect_uri)
    return redirect_back(query, {"code": code, "scope": query.get("scope", SCOPE)})


def redirect_back(query: Mapping[str, str], answer: Mapping[str, str]) -> Reply:
    location = f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"
    return Reply(302, "", {"Location": location})


def token(at: Endpoint) -> Reply:
    """Give tokens to whoever comes with a code or a refresh token."""
    return Reply(200, at.state.sign_in.issue(Account()).response())


def endpoint(method: str, act: Callable[[Endpoint], Reply]) -> type[Endpoint]:
    """Return the endpoint that answers `method` with what `act` returns."""

    class Action(Endpoint): ...

    setattr(Action, method, lambda self: self.reply(act(self)))
    return Action


class NotFound(Endpoint):
    async def prepare(self) -> None:
        await super().prepare()
        self.reply(REFUSALS["not_found"])


_ACTIONS: dict[str, tuple[str, Callable[[Endpoint], Reply]]] = {
    r"/backend-api/codex/models": ("get", models),
    r"/backend-api/codex/images/generations": ("post", codex_picture),
    r"/backend-api/codex/realtime/calls": ("post", codex_call),
    r"/backend-api/wham/usage": ("get", lambda at: Reply(200, at.state.quota.usage(at.account()))),
    r"/v1/models": ("get", models),
    r"/oauth/authorize": ("get", lambda at: approve(at, at.query(), Account())),
    r"/oauth/token": ("post", token),
    r"/oauth/revoke": ("post", lambda at: Reply(200, {})),
    r"/api/accounts/deviceauth/usercode": ("post", lambda at: Reply(200, at.state.sign_in.start_device())),
}

ROUTES: list[tuple[str, type[Endpoint]]] = [
    (r"/backend-api/codex/responses", CodexResponses),
    (r"/v1/responses", Responses),
    *((path, endpoint(*action)) for path, action in _ACTIONS.items()),
]
