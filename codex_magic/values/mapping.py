"""`map`: one question for each row of a list, a column or a table, and the answers in its shape.

All requests leave this process, whatever `executor` there is: they wait for the network and for the service's
limits, which more machines would not change; and one limiter, one journal and one sign-in, which never leaves this
machine, are enough for all of them. What runs elsewhere is the function that makes a row's question.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pydoc import locate
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..context.tokens import estimate
from ..engines.replay import input_items
from ..protocol import errors
from ..protocol.errors import CodexError, NoStoredAnswerError, OptionError
from ..protocol.types import ContextInput, RateLimits, TextInput, TokenUsage
from ..responses.exchange import PATIENT, RetryPolicy
from ..responses.parameters import takes
from ..responses.provider import Provider
from ..responses.structured import Format
from ..waiting import Steps, drive, drive_async, finished
from . import host
from .asking import LOOP, answered, client, parameters, service_name
from .journal import Journal
from .limiter import Limiter
from .prompts import Prompt, prompts
from .tables import Column

if TYPE_CHECKING:
    from typing_extensions import Unpack

MANY_ROWS = 100
"""Requests from which on a person is asked first."""

MANY_TOKENS = 100_000
SAMPLE = 200  # prompts whose tokens are estimated; the others are taken to be alike
ANSWER_TOKENS = 100  # of a first answer, before any has come
MOST_REFUSALS = 20  # of one row: then the limiter has not understood what the service wants
REFRESH_SECONDS = 0.2

ONCE = RetryPolicy(request_retries=0, stream_retries=0)
"""The client's own patience: none, for what is refused to one row all of them wait for."""

FOR_ALL = (
    *(errors.AuthError, errors.BlockedError, errors.ConfigurationError, errors.UnreachableError),
    *(errors.UsageLimitError, errors.ModelNotFoundError, errors.StoreError),
)
"""Failures that every other row would have too: they end the run."""

_limiters: dict[str, Limiter] = {}
"""By the address of the service."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What was asked for."""

    column: Column
    questions: list[Prompt | Exception]
    wanted: Format[Any] | None
    options: dict[str, str | None]
    provider: str | Provider | None
    concurrency: int
    rates: tuple[float | None, float | None]
    budget: int | None
    on_error: Literal["keep", "raise"]
    cache: bool
    confirmed: bool
    progress: bool


class MapOptions(TypedDict, total=False):
    """What `map` takes beside the values and the prompt; see there."""

    schema: Any
    model: str | None
    effort: str | None
    instructions: str | None
    provider: str | Provider | None
    concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    budget: int | None
    cache: bool
    on_error: Literal["keep", "raise"]
    executor: Any
    confirmed: bool
    progress: bool


class Map:
    """`map(values, prompt)`; `errors`, `result` and `retry()` are about the last one."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self.errors: Any = []
        """The rows that have no answer and why: a table beside a column or a table, else a list."""
        self.result: Any = None
        """What the last call has returned, or would have when it was interrupted."""

    @takes(MapOptions)
    def __call__(self, values: Any, prompt: str | Callable[[Any], str], **options: Unpack[MapOptions]) -> Any:
        """Ask the same of each row, and return the answers in the order and the shape of `values`.

        values: a list or another iterable; a Series or a DataFrame of pandas or polars, a pyarrow Table. Of these
            come back a Series with the same index, or a DataFrame where the schema has fields. `None` is no answer.
        prompt: a function of the row (of a table: a dict); or a text with `{{ value }}`, or `{{ NAME }}` of a
            column. Without either the row goes along as data.
        schema, model, effort, instructions, provider: as in `ask`.
        concurrency: requests at a time. What the service refuses (429) all of them wait for, as long as it says.
        budget: tokens after which nothing more is asked.
        cache: whether answers of the last 30 days to the same questions are taken from the journal. It is written
            as they come, so the same call goes on where one was interrupted or killed.
        on_error: `raise` stops at the first row that fails; else `codex_magic.map.errors` tells of them.
        executor: runs the prompt's function elsewhere: an Executor (loky's, Dask's `client.get_executor()`), a
            Dask client, or the module `ray`. Requests leave this process.
        confirmed: the yes that more than 100 requests or 100,000 tokens need, where nobody is there to give it.

        Raises OptionError without that yes, and CodexError for what would fail every row.
        """
        self._job = _job(values, prompt, **options)
        return drive(self._answer(self._job))

    async def run_async(self, values: Any, prompt: str | Callable[[Any], str], options: MapOptions) -> Any:
        self._job = _job(values, prompt, **options)
        return await drive_async(self._answer(self._job))

    def retry(self) -> Any:
        """Ask once more what has no answer, and return all answers. Raises as the call itself."""
        if self._job is None:
            hint = "Call codex_magic.map(values, prompt) first."
            raise OptionError("There is nothing to retry.", hint=hint)
        return drive(self._answer(replace(self._job, cache=True)))

    def _answer(self, job: Job) -> Steps[Any]:
        here = host.current()
        with Journal(here.settings.home) as journal:
            run = Run(job, here, journal)
            preparing = LOOP.submit(run.prepare())
            try:
                yield from finished(preparing)
                run.confirm()
                yield from _watch(run)
            finally:
                preparing.cancel()
                yield from finished(LOOP.submit(run.close()))
                self.result = run.result()
                self.errors = job.column.errors(run.failed_rows())
        return self.result


def _job(
    values: Any,
    prompt: str | Callable[[Any], str],
    *,
    schema: Any = None,
    model: str | None = None,
    effort: str | None = None,
    instructions: str | None = None,
    provider: str | Provider | None = None,
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    budget: int | None = None,
    cache: bool = True,
    on_error: Literal["keep", "raise"] = "keep",
    executor: Any = None,
    confirmed: bool = False,
    progress: bool = True,
) -> Job:
    """Raises OptionError."""
    if on_error not in ("keep", "raise"):
        raise OptionError(f"on_error can't be {on_error!r}.", hint="It is 'keep' or 'raise'.")
    if concurrency < 1:
        raise OptionError(f"concurrency can't be {concurrency}.", hint="It is a whole number from 1 on.")
    column = Column(values)
    return Job(
        column=column,
        questions=prompts(prompt, column.rows, executor),
        wanted=None if schema is None else Format(schema),
        options={"model": model, "effort": effort, "instructions": instructions},
        provider=provider,
        concurrency=concurrency,
        rates=(requests_per_minute, tokens_per_minute),
        budget=budget,
        on_error=on_error,
        cache=cache,
        confirmed=confirmed,
        progress=progress,
    )


class Run:
    """One pass over the rows of a job. Lives in the background loop, but for what its caller looks at."""

    def __init__(self, job: Job, here: host.Host, journal: Journal) -> None:
        self.job = job
        self._here, self._journal, self._mask = here, journal, here.mask()
        self._client = client(here, job.provider, retry=ONCE)
        self._limiter = _limiters.setdefault(self._client.provider.base_url, Limiter())
        self._keys: list[bytes | None] = [None] * len(job.questions)
        """Of each row; `None` where there is no question, or not yet."""
        self._pending: deque[tuple[bytes, Prompt]] = deque()
        self._answers: dict[bytes, str] = {}
        self._failures: dict[bytes, Exception] = {}
        self._limits: RateLimits | None = None
        self._task: asyncio.Task[Any] | None = None
        self._in_flight = 0
        self._began = time.monotonic()
        self.kept = self.to_ask = self.tokens_in = 0
        self.usage = TokenUsage()

    @property
    def done(self) -> int:
        return len(self._answers) - self.kept + len(self._failures)

    @property
    def words(self) -> str:
        """What the bar says besides the rows and the time left."""
        words = [f"{tokens_text(self.usage.total_tokens)} tokens"]
        if self._failures:
            words.insert(0, f"{len(self._failures):,} failed")
        if (pause := self._limiter.pause) >= 1:
            words.append(f"the service wants a pause of {pause:.0f} s")
        return ", ".join(words)

    async def prepare(self) -> None:
        """Find out what is to be asked, and about how much that is. Raises CodexError."""
        job = self.job
        self._parameters = parameters(self._here, **job.options)
        service = service_name(self._client.provider)
        self._parameters["model"] = self._parameters.get("model") or await self._default_model(service)
        schema = job.wanted.strict if job.wanted else None
        about = service, dict(self._parameters), schema
        unique: dict[bytes, Prompt] = {}
        for number, question in enumerate(job.questions):
            if isinstance(question, Prompt):
                key = self._keys[number] = self._journal.key(*about, question)
                unique.setdefault(key, question)
        kept = self._journal.answers(unique) if job.cache or self._here.stored == "only" else {}
        self._answers = {key: text for key, text in kept.items() if self._fits(text)}
        self.kept = len(self._answers)
        self._pending.extend((key, each) for key, each in unique.items() if key not in self._answers)
        self.to_ask = len(self._pending)
        self.tokens_in = self._estimate(schema)
        if self.needs_yes and not job.confirmed and self._here.stored != "only":
            with suppress(CodexError):  # it is for the question alone
                self._limits = await self._here.limits(self._client)

    async def _default_model(self, service: str) -> str:
        """Return the model that the service chooses; where stored answers will do, the one that it chose last."""
        key = self._journal.key("default model", service)
        known = self._journal.answers([key]).get(key, "") if self._here.stored != "no" else ""
        if not known and self._here.stored != "only":
            known = (await self._client.models.default()).slug
            self._journal.keep(key, known)
        return known

    def _fits(self, text: str) -> bool:
        with suppress(errors.InvalidOutputError):
            return self.job.wanted is None or self.job.wanted.value(text) is not self
        return False

    def _estimate(self, schema: Any) -> int:
        step = max(1, self.to_ask // SAMPLE)
        texts = [f"{each.text}\n{each.data or ''}" for _, each in list(self._pending)[::step]]
        if not texts:
            return 0
        each = estimate(f"{self._parameters.get('instructions')} {schema or ''}") + estimate(
            "\n".join(texts)
        ) / len(texts)
        return round(each * self.to_ask)

    @property
    def needs_yes(self) -> bool:
        return self.to_ask > MANY_ROWS or self.tokens_in > MANY_TOKENS

    def confirm(self) -> None:
        """Ask whether so much is meant. Raises OptionError without a yes."""
        if self.job.confirmed or not self.needs_yes or self._here.says_yes(self.question()):
            return
        what = f"Nothing was asked: {self.to_ask:,} requests need a yes."
        raise OptionError(what, hint="Where nobody can give it: `map(..., confirmed=True)`")

    def question(self) -> str:
        rows = len(self._keys)
        asked = f"{self.to_ask:,} requests for {rows:,} rows"
        others = [f"{self.kept:,} answered before"] if self.kept else []
        if again := sum(key is not None for key in self._keys) - self.kept - self.to_ask:
            others.append(f"{again:,} the same as another")
        told = f"{asked} ({', '.join(others)})" if others else asked
        return f"Send {told}? About {tokens_text(self.tokens_in)} tokens, and the answers.{self._share()}"

    def _share(self) -> str:
        """Say what is left of the plan, and how much of it this takes if that is known from earlier runs."""
        window = self._limits.effective if self._limits else None
        if window is None:
            return ""
        minutes = window.window_duration_mins or 0
        name = "week" if minutes >= 7 * 1440 else f"{minutes // 60}-hour window"
        left = f" {100 - window.used_percent:.0f} % of the {name} left"
        each = self._journal.share(minutes)
        return f"{left}, of which this takes about {self.tokens_in / each:.0f} %." if each else f"{left}."

    async def ask_all(self) -> None:
        """Ask what is to be asked. Raises what would fail every row, and with `raise` the first failure."""
        self._task = asyncio.current_task()
        self._limiter.limit(*self.job.rates)
        count = min(self.job.concurrency, self.to_ask)
        workers = [asyncio.ensure_future(self._work()) for _ in range(count)]
        before = self._client.rate_limits or self._limits
        try:
            for worker in asyncio.as_completed(workers):
                await worker
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._keep_share(before)

    async def stop(self) -> None:
        """Ask nothing more, and let go of what is on its way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def close(self) -> None:
        await self._client.aclose()

    async def _work(self) -> None:
        while self._pending and self._has_budget():
            key, question = self._pending.popleft()
            self._in_flight += 1
            try:
                await self._row(key, question)
            except BaseException:
                self._pending.append((key, question))  # it has no answer
                raise
            finally:
                self._in_flight -= 1

    @property
    def _mean(self) -> int:
        """The tokens of one request, by those so far."""
        if answered := len(self._answers) - self.kept:
            return self.usage.total_tokens // answered
        return self.tokens_in // self.to_ask + ANSWER_TOKENS

    def _has_budget(self) -> bool:
        spent = self.usage.total_tokens + (self._in_flight + 1) * self._mean
        return self.job.budget is None or spent <= self.job.budget

    async def _row(self, key: bytes, question: Prompt) -> None:
        if self._here.stored == "only":
            self._failures[key] = NoStoredAnswerError()
            if self.job.on_error == "raise":
                raise self._failures[key]
            return
        data = [] if question.data is None else [ContextInput("value", self._mask(question.data))]
        items = await input_items([*data, TextInput(self._mask(question.text))])
        failures = refusals = 0
        while True:
            expected = self._mean
            admitted = await self._limiter.admit(expected)
            try:
                answer = await answered(self._client, items, self.job.wanted, self._parameters)
            except FOR_ALL as failure:
                wait = PATIENT.decide(failures, failure)
                if wait is None:
                    raise
                failures += 1
                await asyncio.sleep(wait)
            except errors.RateLimitError as failure:
                refusals += 1
                if not self._limiter.refuse(admitted, failure.retry_after) or refusals > MOST_REFUSALS:
                    raise
            except CodexError as failure:
                wait = PATIENT.decide(failures, failure)
                if wait is None and self.job.on_error == "raise":
                    raise
                if wait is None:
                    self._failures[key] = failure
                    return
                failures += 1
                await asyncio.sleep(wait)
            else:
                self._limiter.spent(expected, answer.usage.total_tokens)
                self.usage += answer.usage
                self._journal.keep(key, answer.text)
                self._answers[key] = answer.text
                return

    def _keep_share(self, before: RateLimits | None) -> None:
        """Remember how many tokens one percent of the plan is, as far as this run has moved it."""
        now, then = (each.effective if each else None for each in (self._client.rate_limits, before))
        if now and then and now.window_duration_mins == then.window_duration_mins:
            moved = now.used_percent - then.used_percent
            if moved >= 1 and now.window_duration_mins:
                self._journal.keep_share(now.window_duration_mins, self.usage.total_tokens / moved)

    def result(self) -> Any:
        """Return the answers so far in the shape of the values."""
        wanted = self.job.wanted
        values = [None if key is None else self._value(key) for key in self._keys]
        return self.job.column.answers(values, are_records=wanted is not None and not wanted.is_wrapped)

    def _value(self, key: bytes) -> Any:
        """Return a row's own value, even where another has the same answer; `None` without one."""
        text, wanted = self._answers.get(key), self.job.wanted
        try:
            return text if text is None or wanted is None else wanted.value(text)
        except errors.InvalidOutputError as failure:  # a type that is stricter now than it was
            self._failures[key] = failure
            return None

    def failed_rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number, (key, question) in enumerate(zip(self._keys, self.job.questions, strict=True)):
            failure = question if isinstance(question, Exception) else key and self._failures.get(key)
            if isinstance(failure, Exception):
                message = failure.message if isinstance(failure, CodexError) else str(failure)
                rows.append({"row": number, "error": type(failure).__name__, "message": message})
            elif key not in self._answers:
                rows.append({"row": number, "error": "NotAsked", "message": "It was not asked any more."})
        return rows

    def summary(self) -> str:
        """Say what came of it."""
        rows, missing = len(self._keys), len(self.failed_rows())
        took = time.strftime("%H:%M:%S", time.gmtime(time.monotonic() - self._began))
        usage = self.usage
        cost = f"{tokens_text(usage.input_tokens)} tokens in, {tokens_text(usage.output_tokens)} out"
        told = [f"{rows - missing:,} of {rows:,} rows have an answer", cost, took]
        if self.kept:
            told.insert(1, f"{self.kept:,} known before")
        end = " Those without one: `codex_magic.map.errors`. Ask them again: `codex_magic.map.retry()`"
        return " · ".join(told) + (f".{end}" if missing else "")


def _watch(run: Run) -> Steps[None]:
    """Show how far the run is, to its end; stop it where its caller is. Raises CodexError."""
    future = LOOP.submit(run.ask_all())
    try:
        with bar(run.to_ask, shown=run.job.progress) as show:
            while not future.done():
                yield future, REFRESH_SECONDS
                show(run.done, run.words)
        future.result()
    finally:
        yield from finished(LOOP.submit(run.stop()))
        if run.job.progress:
            print(run.summary())  # noqa: T201  # in a notebook and in a terminal


def tokens_text(tokens: int) -> str:
    if tokens < 1000:
        return f"{tokens}"
    return f"{tokens / 1000:.1f}k" if tokens < 1_000_000 else f"{tokens / 1_000_000:.1f}M"


Show = Callable[[int, str], object]
"""Shows how many rows are done, and words beside the bar."""


@contextmanager
def bar(total: int, *, shown: bool) -> Iterator[Show]:
    """Show a bar for so many rows, with the time left: of tqdm where it is installed, else of rich."""
    if not shown or not total:
        yield lambda done, words: None
    elif (tqdm := locate("tqdm.auto.tqdm")) is not None:
        with tqdm(total=total, unit=" rows") as drawn:  # type: ignore[operator]  # a class, says `locate`

            def show(done: int, words: str) -> None:
                drawn.set_postfix_str(words, refresh=False)
                drawn.update(done - drawn.n)

            yield show
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[words]}")
        with Progress(*columns) as progress:
            task = progress.add_task("", total=total, words="")
            yield lambda done, words: progress.update(task, completed=done, words=words)


map = Map()


@takes(MapOptions)
async def map_async(values: Any, prompt: str | Callable[[Any], str], **options: Unpack[MapOptions]) -> Any:
    """Do as `map` does, for code that awaits; `map.errors`, `map.result` and `map.retry()` are about it too.

    Cancelled, it keeps the answers that are there. Raises as `map`.
    """
    return await map.run_async(values, prompt, options)
