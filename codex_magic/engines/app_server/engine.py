"""The engine that is the codex program: turns over JSON-RPC, as notifications under our ids."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from ...auth.credentials import credentials_of
from ...auth.storage import auth_path
from ...net import Call, send
from ...protocol import errors, types
from ...protocol.settings import Settings
from ...responses.catalog import Model, ReasoningLevel, ServiceTier
from ...responses.failures import no_limits
from ...responses.provider import Provider, key_of
from ...waiting import awaited, in_thread
from ..replay import as_message, context_items
from ..seam import Continuation, Tell, TurnRequest
from . import parameters, permissions
from .connection import Connection
from .failures import invalid_configuration
from .parameters import Params
from .server import AppServer, Launch, withheld
from .turn import AgentTurn, default_answer

log = logging.getLogger(__name__)

_MISSING = ("no rollout found", "thread not found", "turn not found")
"""Words of the program about what it does not have, or no more."""

_LASTING = ("model", "effort")
_DOCUMENTS = ("AGENTS.md", "AGENTS.override.md")
"""Instructions of a project for the agent, which the program looks for when a thread is opened."""

REACH_SECONDS = 5.0  # for our own look at a service that the program does not reach
PAGE = 100  # turns or models in one request
MOST_PAGES = 1000  # pages of one list: a thread of 100,000 turns


class ProgramThread(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A thread of the program, made by whoever: the CLI, an editor, a notebook. Times are Unix seconds."""

    id: str
    name: str | None = None
    preview: str = ""
    cwd: str = ""
    model_provider: str | None = None
    model: str | None = None
    created_at: int
    updated_at: int


class AppServerEngine:
    """Turns of the codex program, on `provider`, on its own one, or on `stand_in` where that needs a sign-in."""

    def __init__(
        self, settings: Settings, provider: Provider | None, *, stand_in: Provider | None, launch: Launch
    ) -> None:
        if settings.base_url != Settings.base_url:
            urls = f'openai_base_url="{settings.base_url}"', f'chatgpt_base_url="{settings.chatgpt_url}/"'
            launch = dataclasses.replace(launch, config=(*urls, *launch.config))
        self.server = AppServer(settings, self._answer, launch)
        self._settings = settings
        self._own = self._provider = provider
        self._stand_in = stand_in
        self._signed_in: Connection | None = None
        self._account: list[str | None] = []
        self._turns: dict[str, asyncio.Future[AgentTurn]] = {}
        """Turns by our id; each comes to be when the program has opened its thread."""
        self._running: dict[str, AgentTurn] = {}  # turns by the program's thread
        self.allowed: defaultdict[str, set[str]] = defaultdict(set)
        self._named: defaultdict[str, set[str]] = defaultdict(set)

    async def close(self) -> None:
        await self.server.close()

    def abandon(self) -> None:
        """End the process when its event loop has ended, and nothing of it can be waited for any more."""
        if self.server.running is not None:
            with suppress(RuntimeError):  # the loop is closed
                self.server.running.kill()

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """Run one turn. One at a time in a thread: a second would only add to the first."""
        await self._run(request, tell, "turn/start", parameters.turn_parameters(request))

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        """Let the program shorten its thread; what it was shortened to, it does not tell."""
        if not (await request.earlier()).items:
            raise errors.InvalidRequestError("There is nothing to shorten yet.", hint="Ask something first.")
        await self._run(request, tell, "thread/compact/start", {})

    async def _run(self, request: TurnRequest, tell: Tell, method: str, params: dict[str, Any]) -> None:
        request = _as_begun(request)
        begun = self._turns[request.turn_id] = asyncio.get_running_loop().create_future()
        is_signed_in = parameters.own_provider(request) is None
        try:
            async with self._program(signed_in=is_signed_in) as connection:
                with permissions.tidied(request.cwd) as missing:
                    thread_id = await self._open(connection, request, tell)
                    protected = connection.threads[thread_id].get("protected")
                    missing += [path for path in protected or () if not path.exists()]
                    if method == "turn/start":
                        named = self._named[thread_id]
                        params = {**await usual_parameters(connection, request, named), **params}
                        if protected is not None and request.sandbox in permissions.BASES:
                            del params["sandboxPolicy"]
                            params["permissions"] = permissions.PROFILES[request.sandbox]
                    allowed = self.allowed[request.thread_id]
                    turn = self._running[thread_id] = AgentTurn(connection, thread_id, request, tell, allowed)
                    begun.set_result(turn)
                    try:
                        await turn.run(method, params)
                    finally:
                        del self._running[thread_id]
        finally:
            del self._turns[request.turn_id]
            begun.cancel()

    async def _open(self, connection: Connection, request: TurnRequest, tell: Tell) -> str:
        """Go on with the thread of the earlier turn, or begin one with what it had; gives its id."""
        tools, continuation = request.tools.version if request.tools else "", request.continuation
        thread_id: str | None = None
        missing: tuple[dict[str, Any], ...] = ()
        if continuation is not None and continuation.place.tools == tools:
            thread_id, missing = continuation.place.thread_id, continuation.unseen
            if not continuation.is_last or thread_id not in connection.threads:
                shared = await self._thread_parameters(connection, request)
                thread_id = await _continued(connection, request, continuation, shared, tell)
        if thread_id is None:
            shared = await self._thread_parameters(connection, request)
            params = {**shared, **parameters.start_parameters(request)}
            thread_id = await _load(connection, request, "thread/start", params, tell)
            missing = (await request.earlier()).items
        # Sealed reasoning stays with the service that made it. `additionalContext` of turn/start says the same
        # of a context, but is cut at 4,000 characters, and left out where it repeats the one before.
        readable = [item for item in missing if "encrypted_content" not in item]
        if items := [*readable, *context_items(request.inputs)]:
            await connection.call("thread/inject_items", {"threadId": thread_id, "items": items})
        return thread_id

    async def _thread_parameters(self, connection: Connection, request: TurnRequest) -> Params:
        key, folder = key_of(self._provider) if self._provider else None, request.cwd or ""
        config = (await connection.call("config/read", {"cwd": folder or None})).get("config") or {}
        names = withheld(self.server.environment, allowed=self._settings.agent_variables, key=key)
        if names:
            own = parameters.exclusions(request.config or {})
            names = [*((parameters.exclusions(config) if own is None else own) or ()), *names]
        params = parameters.thread_parameters(request, self._provider, names)
        if asking := parameters.asking_servers({**config, **(request.config or {})}):
            params["config"] = {**asking, **(params.get("config") or {})}
        sandbox = request.sandbox or permissions.configured(config, folder)
        if sandbox is None:
            return params
        hidden = [auth_path(self._settings.codex_home)]
        others = {**config, **(request.config or {})}.get("project_doc_fallback_filenames") or ()

        def bounded() -> Params:
            bounds = permissions.bounded(params, sandbox, hidden)
            # Each look for them starts the program's sandbox once, which is a quarter of a second in all.
            if "permissions" in bounds and not _has_any(folder, (*_DOCUMENTS, *others)):
                bounds["config"].setdefault("project_doc_max_bytes", 0)
            return bounds

        return await awaited(in_thread(bounded))

    async def steer(self, turn_id: str, inputs: tuple[types.InputItem, ...]) -> None:
        """Add to the input of a running turn: what it is answering is broken off, and it answers to both."""
        begun = self._turns.get(turn_id)
        if begun is not None:
            await asyncio.wait({begun})  # the program may be starting still
        if begun is None or begun.cancelled():
            raise errors.InvalidRequestError("This turn is not running.", hint="Start a new one.")
        await begun.result().steer(inputs)

    @property
    def sealed_for(self) -> str:
        """The provider or the account whose encrypted reasoning the program can be sent."""
        if self._own is not None:
            return f"app-server {self._own.name}"
        _, account, _ = _account(self._settings) or (None, None, None)
        return f"app-server {account}" if account else "app-server"

    @asynccontextmanager
    async def _program(self, *, signed_in: bool = False) -> AsyncIterator[Connection]:
        """The running process, of today's account: it would not notice. `signed_in`: or where none is needed."""
        account = _account(self._settings) if self._own is None else []
        if account != self._account:
            self._account, self._provider = account, self._own
            await self.server.close()
        async with self.server.connected() as connection:
            try:
                if signed_in and self._provider is None and connection is not self._signed_in:
                    answer = await connection.call("account/read", {})
                    if answer.get("requiresOpenaiAuth") and answer.get("account") is None:
                        if self._stand_in is None:
                            raise errors.NotSignedInError
                        self._provider = self._stand_in
                    self._signed_in = connection
                yield connection
            except (errors.JsonRpcError, errors.NotSignedInError) as error:
                # What a thread's own `config=` says stands in no file, and its refusal has a code.
                in_file = "thread/" not in error.message or ".toml" in error.message
                refused = error.message.partition(" configuration")[2] if in_file else ""
                invalid = connection.invalid_configuration or refused
                if connection.threads or not (invalid or isinstance(error, errors.NotSignedInError)):
                    raise
                await self.server.close()  # it reads its files when it starts
                if invalid:
                    raise invalid_configuration(invalid) from error
                raise
            except errors.UnreachableError:
                if signed_in:
                    await awaited(in_thread(self._reach, daemon=True))
                raise

    def _reach(self) -> None:
        """Try to reach the service from here: our own failure says what the program's does not."""
        settings = self._settings
        is_plan = self._account[:1] in ([], ["chatgpt"]) or settings.base_url != Settings.base_url
        usual = settings.base_url if is_plan else settings.openai_base_url
        url = self._provider.base_url if self._provider else usual
        send(Call(url, {}, b"", REACH_SECONDS), ca_bundle=settings.ca_bundle)

    async def _answer(self, method: str, params: dict[str, Any]) -> Any:
        turn = self._running.get(params.get("threadId", ""))
        return await turn.answer(method, params) if turn else default_answer(method)

    async def metadata(self) -> types.InitializeResponse:
        """Start the program and return how it introduces itself."""
        async with self._program() as connection:
            return introduction(connection.metadata)

    async def models(self, *, include_hidden: bool) -> list[Model]:
        """Return the program's catalog, the default first."""
        async with self._program() as connection:
            return await models_of(connection, include_hidden=include_hidden)

    async def rate_limits(self) -> types.RateLimits:
        """Return how much of the plan is left. Raises NotSignedInError, ConfigurationError."""
        async with self._program(signed_in=True) as connection:
            try:
                answer = await connection.call("account/rateLimits/read", {})
            except errors.JsonRpcError as error:
                if "authentication required" in error.message:
                    raise no_limits("An API key") from error
                raise
        return msgspec.convert(answer["rateLimits"], types.RateLimits)

    async def mcp_servers(self) -> list[types.McpServer]:
        """Return the MCP servers of the program's configuration, which are started for it."""
        async with self._program() as connection:
            config = (await connection.call("config/read", {"cwd": os.getcwd()})).get("config") or {}
            configured = config.get("mcp_servers") or {}
            found = {each["name"]: each async for each in _listed(connection, "mcpServerStatus/list")}
        return [
            types.McpServer(
                name,
                tuple(sorted(status.get("tools") or ())),
                status.get("toolsError"),
                is_enabled=entry.get("enabled") is not False,
                asks=entry.get("default_tools_approval_mode") in (None, "prompt"),
            )
            for name, entry in configured.items()
            for status in [found.get(name) or {}]
        ]

    async def threads(self, params: Mapping[str, Any]) -> tuple[list[ProgramThread], str | None]:
        """Return a page of the program's own threads, and the cursor of the next."""
        async with self._program() as connection:
            page = await connection.call("thread/list", params)
        return msgspec.convert(page["data"], list[ProgramThread]), page.get("nextCursor")

    async def program_thread(
        self, thread_id: str, *, known: Collection[str] = ()
    ) -> tuple[ProgramThread, list[types.Turn]] | None:
        """Return one of the program's own threads, and its turns after the last that is `known`."""
        async with self._program() as connection:
            try:
                answer = await connection.call("thread/read", {"threadId": thread_id})
            except errors.JsonRpcError as error:
                log.debug("the app-server has no thread %s: %s", thread_id, error)
                return None
            turns: list[types.Turn] = []
            how = {"threadId": thread_id, "itemsView": "full", "sortDirection": "desc"}
            async for raw in _listed(connection, "thread/turns/list", **how):
                if raw["id"] in known:
                    break
                items = [as_message(types.decode_item(item)) for item in raw["items"]]
                turns.append(msgspec.convert({**raw, "items": items}, types.Turn))
        over = [turn for turn in reversed(turns) if turn.status is not types.TurnStatus.in_progress]
        return msgspec.convert(answer["thread"], ProgramThread), over

    def has_loaded(self, thread_id: str) -> bool:
        running = self.server.running
        return running is not None and thread_id in running.threads

    async def mirror(self, thread_id: str, method: str, params: Mapping[str, Any]) -> bool:
        """Do to a thread of the program, if it runs, what was done to ours; whether it did. That it fails is no failure."""
        running = self.server.running
        is_archived = method == "thread/archive"
        if running is None or (is_archived and thread_id in self._running):
            return False
        async with self.server.connected() as connection:
            is_done = await connection.try_call(method, {"threadId": thread_id, **params})
        if is_done and is_archived:  # it can't be used before it is resumed
            running.threads.pop(thread_id, None)
        return is_done


def _account(settings: Settings) -> list[str | None]:
    """Tell accounts apart: a running process does not notice when somebody else signs in."""
    path = auth_path(settings.codex_home)
    try:
        stored = credentials_of(path.read_bytes() if path.is_file() else b"")
    except (OSError, ValueError):
        return []
    return [stored.mode, stored.account_id, hashlib.sha256((stored.api_key or "").encode()).hexdigest()]


def _has_any(folder: str, names: Iterable[str]) -> bool:
    """Whether a file of one of these names is in the folder, or in one above it."""
    path = Path(os.path.abspath(folder))
    return any(os.path.exists(each / name) for name in names for each in (path, *path.parents))


def _as_begun(request: TurnRequest) -> TurnRequest:
    """Return the request without tools that are optional, where the program keeps its thread without any."""
    tools, continuation = request.tools, request.continuation
    if tools is None or continuation is None or continuation.place.tools or not tools.is_optional:
        return request
    return msgspec.structs.replace(request, tools=None)


async def _continued(
    connection: Connection, request: TurnRequest, continuation: Continuation, shared: Params, tell: Tell
) -> str | None:
    """Open the thread of the earlier turn, or a fork of it; `None` when the program has it no more."""
    place = continuation.place
    resumed = {**shared, "threadId": place.thread_id, "excludeTurns": True}
    forked = {**resumed, **parameters.fork_parameters(request), "lastTurnId": place.turn_id}
    how = ("thread/resume", resumed) if continuation.is_last else ("thread/fork", forked)
    try:
        return await _load(connection, request, *how, tell)
    except errors.JsonRpcError as error:
        if "active writer" in error.message:
            copied = "This thread is open in another process, so this one continues in a copy."
            tell(types.Warned(request.thread_id, copied))
            return await _load(connection, request, "thread/fork", forked, tell)
        if any(words in error.message for words in _MISSING):
            return None
        raise


async def _load(connection: Connection, request: TurnRequest, method: str, params: Params, tell: Tell) -> str:
    call = connection.call
    try:
        opened = await call(method, params)
    except errors.JsonRpcError as error:
        if permissions.is_refused(params, error):
            open_files = "On this machine the agent's commands can read files that hold secrets, such as .env"
            tell(types.Warned(request.thread_id, f"{open_files}: {error.message}"))
            return await _load(connection, request, method, permissions.unbounded(params), tell)
        if "is archived" not in error.message:
            raise
        archived = {"threadId": params["threadId"]}
        await call("thread/unarchive", archived)
        try:
            opened = await call(method, params)
        finally:
            if method == "thread/fork":
                await call("thread/archive", archived)
    thread_id = str(opened["thread"]["id"])
    connection.threads[thread_id] = {**opened, **permissions.protected(params)}
    if request.name and not request.ephemeral and opened["thread"].get("name") != request.name:
        await connection.try_call("thread/name/set", {"threadId": thread_id, "name": request.name})
    return thread_id


async def usual_parameters(connection: Connection, request: TurnRequest, named: set[str]) -> dict[str, Any]:
    """Return the model and the effort of a turn that leaves open what an earlier one `named`: the program keeps both."""
    naming = {name for name in _LASTING if getattr(request, name) is not None}
    missing = named - naming
    named |= naming
    if not missing:
        return {}
    config = (await connection.call("config/read", {}))["config"]
    catalog = await models_of(connection, include_hidden=True)
    model = request.model or config["model"] or catalog[0].slug
    levels = {each.slug: each.default_reasoning_level for each in catalog}
    usual = {"model": model, "effort": config["model_reasoning_effort"] or levels.get(model)}
    return {name: usual[name] for name in missing if usual[name] is not None}


async def models_of(connection: Connection, *, include_hidden: bool) -> list[Model]:
    """Return its catalog, the default first."""
    entries = [entry async for entry in _listed(connection, "model/list", includeHidden=include_hidden)]
    return [
        Model(
            slug=entry["model"],
            display_name=entry["displayName"],
            description=entry["description"],
            visibility="hide" if entry["hidden"] else "list",
            priority=priority,
            default_reasoning_level=entry["defaultReasoningEffort"],
            supported_reasoning_levels=tuple(
                ReasoningLevel(level["reasoningEffort"], level["description"])
                for level in entry["supportedReasoningEfforts"]
            ),
            input_modalities=tuple(entry.get("inputModalities") or ()),
            service_tiers=msgspec.convert(entry.get("serviceTiers") or (), tuple[ServiceTier, ...]),
        )
        for priority, entry in enumerate(sorted(entries, key=lambda entry: not entry["isDefault"]))
    ]


async def _listed(connection: Connection, method: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
    params["limit"] = PAGE
    for _ in range(MOST_PAGES):
        page = await connection.call(method, params)
        for entry in page["data"]:
            yield entry
        if not page.get("nextCursor"):
            return
        params["cursor"] = page["nextCursor"]
    raise errors.ServiceError(f"The codex program returned {MOST_PAGES:,} pages of {method} and no last one.")


def introduction(metadata: Mapping[str, Any]) -> types.InitializeResponse:
    """Read the program's answer to `initialize`. It names its version in its user agent only."""
    name, _, version = str(metadata["userAgent"]).partition(" ")[0].partition("/")
    info = {"serverInfo": {"name": name, "version": version}}
    return msgspec.convert({**metadata, **info}, types.InitializeResponse)
