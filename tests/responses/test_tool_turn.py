"""A turn with tools, through real HTTP, for both clients and both kinds of service."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pydantic
import pytest
from PIL import Image as Pillow

from codex_magic.local_service.answers import PICTURE
from codex_magic.protocol.errors import InvalidRequestError, OutputError, ServiceError, StreamError
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import OutputTextDelta
from codex_magic.responses.provider import custom
from codex_magic.responses.tool_turn import FUTILE_ROUNDS, MOST_RETRIES
from codex_magic.responses.tools import Call, Namespace, custom_tool, tool
from tests.responses.conftest import only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import CREATED, DROP, Wire, completed, event, good, stream
from tests.service.media import picture


def run(input: Any, *tools: Any, **options: Any) -> Any:
    """A turn, for `call`."""
    return lambda client: client.responses.run_tools(input, tools=tools, **{"model": "local-large"} | options)


def outputs(items: list[dict[str, Any]]) -> list[Any]:
    return [item["output"] for item in items if "output" in item]


def add(a: int, b: int = 1) -> int:
    """Add up."""
    return a + b


async def add_slowly(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


@pytest.mark.parametrize("function", [add, add_slowly, tool(add), tool(add_slowly)])
def test_a_function_is_called_until_the_model_answers(call: Caller, function: Any) -> None:
    name = function.name if hasattr(function, "name") else function.__name__
    done = call(run(f'use the tool {name} 2 times with {{"a": 1, "b": 2}}', function))
    assert (done.rounds, outputs(done.items)) == (2, ["3", "3"])
    assert "The 2 calls gave:" in done.output_text == done.response.output_text
    assert [item["type"] for item in done.items if item["type"] != "reasoning"] == [
        *["function_call", "function_call_output"] * 2,
        "message",
    ]
    assert done.usage.total_tokens > done.response.usage.total_tokens
    assert len([each for each in call.service.requests if each.path.endswith("/responses")]) == 3


def test_the_history_of_a_turn_is_the_start_of_the_next(call: Caller) -> None:
    done = call(run('use the tool add with {"a": 1}', add))
    again = call(run([*done.history, {"role": "user", "content": "What did I ask so far?"}], add))
    assert "1. use the tool add" in again.output_text


@only_codex
def test_the_requests_of_a_turn_share_its_state(call: Caller) -> None:
    call(run('use the tool add 2 times with {"a": 1}', add))
    states = [seen.headers.get("x-codex-turn-state") for seen in call.service.requests]
    assert states[0] is None
    assert states[1] is not None
    assert states[1] == states[2]
    call(run('use the tool add with {"a": 1}', add))
    assert "x-codex-turn-state" not in call.service.requests[3].headers


def test_calls_of_one_response_run_at_the_same_time_and_are_told_in_order(call: Caller) -> None:
    both = threading.Barrier(2, timeout=5)

    def first() -> str:
        both.wait()
        time.sleep(0.01)  # so that it ends last
        return "first"

    def second() -> str:
        both.wait()
        return "second"

    heard: list[tuple[str, Any]] = []
    done = call(
        run(
            "use the tools first, second with {}",
            first,
            second,
            on_call=lambda call: heard.append(("call", call.name)),
            on_result=lambda call, result: heard.append((call.name, result)),
        )
    )
    assert outputs(done.items) == ["first", "second"]
    assert heard == [("call", "first"), ("call", "second"), ("first", "first"), ("second", "second")]


def test_calls_one_at_a_time(call: Caller) -> None:
    """The service then makes only one call in a response; a server that makes more is held to it too."""
    running: list[int] = []

    def alone() -> int:
        running.append(1)
        count = len(running)
        running.pop()
        return count

    done = call(run("use the tools alone, alone with {}", alone, parallel_tool_calls=False))
    assert set(outputs(done.items)) == {"1"}
    assert call.service.requests[-1].json["parallel_tool_calls"] is False


def broken() -> None:
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("use the tool broken with {}", "Error: ZeroDivisionError: by zero"),
        ('use the tool add with {"a": "x"}', "Error: The arguments do not fit: Expected `int`, got `str`"),
        ('use the tool add with {"b": 1}', "missing required field `a`"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(call: Caller, asked: str, told: str) -> None:
    done = call(run(asked, add, broken))
    assert told in outputs(done.items)[0]
    assert told in done.output_text


class Order(pydantic.BaseModel):
    name: str


class Thing:
    def __str__(self) -> str:
        return "a thing"


@pytest.mark.parametrize(
    ("result", "sent"),
    [
        ("text", "text"),
        (None, "null"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([1, "x"], '[1,"x"]'),
        (Thing(), "a thing"),
        ([Thing()], '["a thing"]'),
        ([Order(name="tea")], '[{"name":"tea"}]'),
        (Order(name="tea"), '{"name":"tea"}'),
        ({"a": Thing(), "b": {1: complex(1, 2)}}, '{"a":"a thing","b":{"1":"(1+2j)"}}'),
        ("\ud800", "�"),
    ],
)
@only_codex
def test_results_as_they_are_told(call: Caller, result: Any, sent: str) -> None:
    def give() -> Any:
        return result

    done = call(run("use the tool give with {}", give))
    assert outputs(call.service.requests[-1].json["input"])[0].startswith(sent)
    assert done.output_text


@pytest.mark.parametrize("result", [Pillow.new("RGB", (1, 1)), picture("x"), ["see:", picture("x")]])
@only_codex
def test_an_image_is_shown_to_the_model(call: Caller, result: Any) -> None:
    def show() -> Any:
        return result

    call(run("use the tool show with {}", show))
    (parts,) = outputs(call.service.requests[-1].json["input"])
    assert parts[-1]["type"] == "input_image"
    assert parts[-1]["image_url"].startswith("data:image/png;base64,")


def test_a_freeform_tool(call: Caller) -> None:
    done = call(run("use the tool shout with {}", custom_tool(str.upper, name="shout")))
    assert [item["type"] for item in done.items if "tool" in item["type"]] == [
        "custom_tool_call",
        "custom_tool_call_output",
    ]
    assert outputs(done.items) == ["{}"]


def test_tools_in_a_namespace(call: Caller) -> None:
    def where() -> str:
        return "outside"

    @tool(name="where")
    def inside() -> str:
        return "inside"

    elsewhere = tool(inside.function, name="elsewhere", namespace="maps")
    maps = Namespace("maps", "Maps", [inside])
    done = call(run("use the tools where, maps.where, maps.elsewhere with {}", where, maps, elsewhere))
    assert outputs(done.items) == ["outside", "inside", "inside", "inside"]


def test_the_service_searches_and_draws(call: Caller) -> None:
    done = call(run("search the web for tea", {"type": "web_search"}))
    [search] = [item for item in done.response.output if item["type"] == "web_search_call"]
    assert search["action"]["query"] == "search the web for tea"
    drawn = call(run("draw a cat", {"type": "image_generation"}))
    pictures = [item for item in drawn.response.output if item["type"] == "image_generation_call"]
    assert [item["result"] for item in pictures] == [PICTURE]


def test_a_turn_has_an_end(call: Caller) -> None:
    """The model has to answer at last, with what it has."""
    done = call(run('use the tool add 9 times with {"a": 1}', add, max_rounds=2))
    assert (done.rounds, len(outputs(done.items))) == (2, 2)
    assert call.service.requests[-1].json["tool_choice"] == "none"
    assert done.output_text


def test_a_call_that_was_demanded_is_demanded_once(call: Caller) -> None:
    done = call(run("hello", add, tool_choice={"type": "function", "name": "add"}))
    assert done.rounds == 1
    assert [each.json["tool_choice"] for each in call.service.requests[1:]] == ["auto"]


def test_events_and_answers_of_hooks(call: Caller) -> None:
    seen: list[Any] = []

    async def later(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    hook = later if call.is_async else seen.append
    done = call(run('use the tool add with {"a": 1}', add, on_event=hook))
    assert "".join(event.delta for event in seen if isinstance(event, OutputTextDelta)) == done.output_text


@pytest.mark.parametrize(
    ("answer", "told"),
    [(True, "2"), (False, "Error: The user declined this call."), (None, "Error: The user")],
)
def test_a_tool_that_needs_a_yes(call: Caller, answer: Any, told: str) -> None:
    asked: list[Call] = []

    async def later(call: Call) -> Any:
        return approve(call)

    def approve(call: Call) -> Any:
        asked.append(call)
        return answer

    careful = tool(add, needs_approval=True)
    options = {} if answer is None else {"approve": later if call.is_async else approve}
    done = call(run('use the tool add with {"a": 1}', careful, **options))
    assert outputs(done.items)[0].startswith(told)
    assert len(asked) == (answer is not None)


def test_a_hook_can_end_the_turn(call: Caller) -> None:
    def refuse(call: Call) -> None:
        raise PermissionError(call.name)

    with pytest.raises(PermissionError, match="broken"):
        call(run("use the tool broken with {}", broken, on_call=refuse))


def test_what_was_done_before_a_failure_is_not_lost(call: Caller) -> None:
    def add_and_break(a: int) -> int:
        call.service.faults.next("failed", times=9, after=0)
        return a + 1

    with pytest.raises(ServiceError) as caught:
        call(run('use the tool add_and_break with {"a": 1}', add_and_break))
    assert outputs(caught.value.history) == ["2"]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([{"type": "function", "name": "f"}], "no function"),
        ([add, tool(name="add")(broken)], "two tools"),
    ],
)
def test_tools_that_can_not_be_run(call: Caller, tools: list[Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        call(run("hi", *tools))
    assert call.service.requests == []


def test_functions_are_tools_of_a_single_request_too(call: Caller) -> None:
    call(
        lambda client: client.responses.create(
            "hi", model="local-large", tools=[add, Namespace("n", "", [add])]
        )
    )
    sent = call.service.requests[-1].json["tools"]
    assert [each["type"] for each in sent] == ["function", "namespace"]


place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


def test_functions_see_the_context_of_their_turn(call: Caller) -> None:
    def where() -> str:
        return place.get()

    token = place.set("here")
    try:
        done = call(run("use the tools where, where with {}", where))
    finally:
        place.reset(token)
    assert outputs(done.items) == ["here", "here"][: len(outputs(done.items))]


# What no faithful service does --------------------------------------------------------------------


def function_call(name: str, arguments: str, index: int = 0) -> bytes:
    item = {"type": "function_call", "call_id": f"c{index}", "name": name, "arguments": arguments}
    return event("response.output_item.done", output_index=index, item=item)


def test_an_unknown_name_is_told_with_the_known_ones(wire: Wire, client: Client) -> None:
    wire.answer(stream(CREATED, function_call("ad", "{}"), completed()), stream(*good()))
    done = client.responses.run_tools("hi", model="m", tools=[add, broken])
    assert outputs(done.items) == ["Error: There is no tool 'ad'. There are: add, broken."]


def test_a_model_that_never_stops_calling(wire: Wire, client: Client) -> None:
    """Each call has an output, so that the history can be sent again."""
    wire.answer(stream(CREATED, function_call("add", '{"a":1}'), completed()))
    with pytest.raises(OutputError, match="gave no answer") as caught:
        client.responses.run_tools("hi", model="m", tools=[add], max_rounds=1)
    assert outputs(caught.value.history) == ["2", "Not run: no more calls are allowed in this turn."]


@pytest.mark.parametrize("tools", [[], [add]], ids=["without tools", "beside one that exists"])
def test_a_model_that_calls_what_nobody_offered(wire: Wire, settings: Any, tools: list[Any]) -> None:
    """It is told three times, and asked to answer once more; both clients."""
    wire.answer(stream(CREATED, function_call("ad", "{}"), completed()))
    provider = custom(wire.url, settings=settings)

    async def asynchronous() -> None:
        async with AsyncClient(provider, settings=settings) as client:
            await client.responses.run_tools("hi", model="m", tools=tools, max_rounds=1000)

    with Client(provider, settings=settings) as client, pytest.raises(OutputError) as caught:
        client.responses.run_tools("hi", model="m", tools=tools, max_rounds=1000)
    with pytest.raises(OutputError):
        asyncio.run(asynchronous())
    assert len(wire.requests) == 2 * (FUTILE_ROUNDS + 1)
    assert len(outputs(caught.value.history)) == FUTILE_ROUNDS + 1


def test_retries_are_counted_over_all_requests_of_a_turn(wire: Wire, client: Client) -> None:
    """Each of them comes through at last, and would for ever."""
    called = stream(CREATED, function_call("add", '{"a":1}'), completed())
    wire.answer(*[stream(CREATED, DROP), stream(CREATED, DROP), called] * 20)
    with pytest.raises(StreamError):
        client.responses.run_tools("hi", model="m", tools=[add])
    assert len(wire.requests) == MOST_RETRIES + 1 + MOST_RETRIES // 2


def test_a_sync_turn_in_a_thread_with_a_loop(wire: Wire, client: Client) -> None:
    """As in a notebook."""
    wire.answer(stream(CREATED, function_call("add_slowly", '{"a":1}'), completed()), stream(*good()))

    async def cell() -> Any:
        return client.responses.run_tools("hi", model="m", tools=[add_slowly])

    assert outputs(asyncio.run(cell()).items) == ["2"]


def test_hooks_and_a_single_function_run_in_the_thread_of_a_sync_turn(wire: Wire, client: Client) -> None:
    wire.answer(stream(CREATED, function_call("look", "{}"), completed()), stream(*good()))
    threads: list[str] = []

    def look(*_: Any) -> None:
        threads.append(threading.current_thread().name)

    def approve(_: Call) -> bool:
        look()
        return True

    hooks: Any = {"on_call": look, "on_result": look, "approve": approve}
    careful = tool(lambda: look(), name="look", needs_approval=True)
    client.responses.run_tools("hi", model="m", tools=[careful], **hooks)
    assert threads == [threading.current_thread().name] * 4


def test_a_hook_of_a_sync_turn_can_not_wait_for_a_loop(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))

    async def slow(event: Any) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="no event loop"):
        client.responses.run_tools("hi", model="m", on_event=slow)


def test_a_cancelled_turn_cancels_its_functions(wire: Wire, settings: Any) -> None:
    wire.answer(
        stream(CREATED, function_call("forever", "{}"), function_call("forever", "{}", 1), completed())
    )
    ended: list[str] = []

    async def main() -> None:
        begun = asyncio.Event()

        async def forever() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("ended")

        async with AsyncClient(custom(wire.url), settings=settings) as client:
            turn = asyncio.ensure_future(client.responses.run_tools("hi", model="m", tools=[forever]))
            await begun.wait()
            turn.cancel()
            with pytest.raises(asyncio.CancelledError):
                await turn
            await asyncio.sleep(0)

    asyncio.run(main())
    assert ended == ["ended", "ended"]
