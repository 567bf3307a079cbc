"""What servers beside the official one really send, each habit as it was reported, byte for byte on a socket.

Each is read by the client and by a thread: the text, the calls, or the sentence about what went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pytest

from codex_magic import Client, Codex, CodexConfig, CodexError, tool
from codex_magic.protocol import errors
from codex_magic.protocol.types import ToolCall
from tests.peers.agent import done
from tests.responses.wire import Answer, Wire, good, plain, stream


@dataclass(frozen=True)
class Habit:
    server: str
    report: str
    """Where it was seen."""
    answer: Answer
    text: str = ""
    calls: tuple[str, ...] = ()
    """The arguments of the calls of `look`."""
    error: type[CodexError] | None = None
    words: str = ""
    """What the error's sentence has to say."""


def data(*frames: dict[str, Any] | str) -> bytes:
    """Lines of data alone."""
    texts = (frame if isinstance(frame, str) else json.dumps(frame) for frame in frames)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def named(*frames: dict[str, Any]) -> bytes:
    return b"".join(f"event: {frame['type']}\n".encode() + data(frame) for frame in frames)


def html(status: int, title: str, **headers: str) -> Answer:
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return plain(status, page.encode(), content_type="text/html", retry_after="0", **headers)


CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
DELTAS = [{"type": "response.output_text.delta", "delta": text} for text in ("Hel", "lo")]
TEXT = {"type": "output_text", "text": "Hello", "annotations": []}
MESSAGE = {"type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
LOOK = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"place": "Oslo"}'}
OSLO = ('{"place": "Oslo"}',)


def added(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 0, "item": item, **more}


def item_done(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": 0, "item": item, **more}


def completed(**fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", **fields}}


HABITS = [
    Habit(
        "vLLM, the item is done without its content",
        "https://github.com/vllm-project/vllm/pull/29947",
        stream(named(CREATED, *DELTAS, item_done(MESSAGE | {"content": []}), completed(output=[]))),
        text="Hello",
    ),
    Habit(
        "vLLM, items have other ids at the end than while they stream",
        "https://github.com/vllm-project/vllm/pull/56285",
        stream(
            named(
                CREATED,
                added({**LOOK, "id": "24cf2c7d", "arguments": ""}),
                item_done({**LOOK, "id": "24cf2c7d"}),
                completed(output=[{**LOOK, "id": "fc_9", "call_id": "chatcmpl-tool-1"}]),
            )
        ),
        calls=OSLO,
    ),
    Habit(
        "vLLM, thoughts as text of their own kind",
        "https://github.com/vllm-project/vllm/pull/24938",
        stream(
            named(
                CREATED,
                added({"type": "reasoning", "id": "r", "summary": [], "content": []}),
                {"type": "response.reasoning_part.added", "part": {"type": "reasoning_text", "text": ""}},
                {"type": "response.reasoning_text.delta", "item_id": "r", "delta": "Let me"},
                {
                    "type": "response.reasoning_part.done",
                    "part": {"type": "reasoning_text", "text": "Let me"},
                },
                *DELTAS,
                item_done({**MESSAGE, "id": "m"}, output_index=1),
                completed(output=[]),
            )
        ),
        text="Hello",
    ),
    Habit(
        "llama.cpp, no index and no ids",
        "https://github.com/ggml-org/llama.cpp/issues/20607",
        stream(
            named(
                {"type": "response.created", "response": {"id": "resp_1", "object": "response"}},
                {"type": "response.output_item.added", "item": {**LOOK, "arguments": ""}},
                {"type": "response.function_call_arguments.delta", "delta": '{"place": '},
                {"type": "response.function_call_arguments.delta", "delta": '"Oslo"}'},
                {"type": "response.output_item.done", "item": LOOK},
                completed(output=[LOOK]),
            )
        ),
        calls=OSLO,
    ),
    Habit(
        "llama.cpp, usage without the details of the output",
        "https://github.com/ggml-org/llama.cpp/issues/22659",
        stream(
            named(
                CREATED,
                *DELTAS,
                item_done(MESSAGE),
                completed(output=[MESSAGE], usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
            )
        ),
        text="Hello",
    ),
    Habit(
        "llama.cpp, the input is too long",
        "https://github.com/ggml-org/llama.cpp/issues/19774",
        plain(
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 4390,
                    "n_ctx": 4096,
                }
            },
        ),
        error=errors.ContextWindowError,
        words="4096",
    ),
    Habit(
        "llama.cpp, the input is too long, told in a 200",
        "https://github.com/oobabooga/textgen/issues/7257",
        plain(
            200,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size. try increasing the context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 14429,
                    "n_ctx": 8192,
                }
            },
            content_type="application/json; charset=utf-8",
        ),
        error=errors.ContextWindowError,
        words="context size",
    ),
    Habit(
        "Ollama, an error that is a text",
        "https://github.com/enescingoz/colab-llm/issues/1",
        plain(404, {"error": "model 'qwen3:8b' not found"}),
        error=errors.ModelNotFoundError,
        words="qwen3:8b",
    ),
    Habit(
        "Ollama, lines of JSON in place of events",
        "https://github.com/ollama/ollama/blob/main/docs/api.md",
        stream(
            b'{"model":"m","response":"Hel","done":false}\n{"model":"m","response":"lo","done":true}\n',
            content_type="application/x-ndjson",
        ),
        error=errors.CodexError,
    ),
    Habit(
        "LM Studio, the error is named by the event alone, in a 200",
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2322",
        stream(
            b"event: error\n"
            + data({"error": {"message": "The number of tokens to keep is greater than the context length."}})
        ),
        error=errors.CodexError,
        words="context length",
    ),
    Habit(
        "LM Studio, an answer of nothing",
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2339",
        stream(named(CREATED, completed(output=[], usage={"input_tokens": 36000, "output_tokens": 0}))),
    ),
    Habit(
        "LiteLLM, deltas of an item that was never added, and an end without a response",
        "https://github.com/BerriAI/litellm/issues/22102",
        stream(data(*DELTAS, {"type": "response.completed", "output": [MESSAGE]}, "[DONE]")),
        text="Hello",
    ),
    Habit(
        "LiteLLM, nothing but the end",
        "https://github.com/BerriAI/litellm/issues/21090",
        stream(data(completed(output=[LOOK]), "[DONE]")),
        calls=OSLO,
    ),
    Habit(
        "LiteLLM, every event of an item has another id",
        "https://github.com/BerriAI/litellm/issues/30071",
        stream(
            data(
                CREATED,
                added({**MESSAGE, "id": "a1", "content": []}),
                {**DELTAS[0], "item_id": "b2", "output_index": 0, "content_index": 0},
                {**DELTAS[1], "item_id": "c3", "output_index": 0, "content_index": 0},
                item_done({**MESSAGE, "id": "d4"}),
                completed(output=[]),
            )
        ),
        text="Hello",
    ),
    Habit(
        "LiteLLM, an error without a type in the middle",
        "https://github.com/BerriAI/litellm/pull/40243",
        stream(
            data(
                CREATED,
                DELTAS[0],
                {"error": {"message": "litellm.APIError: upstream is gone", "param": "None", "code": "500"}},
            )
        ),
        "Hel",
        error=errors.ServiceError,
        words="upstream is gone",
    ),
    Habit(
        "LiteLLM, the parameter of an error is an object",
        "https://github.com/BerriAI/litellm/pull/31787",
        stream(data({"type": "error", "code": None, "message": "No deployments.", "param": {"a": 1}})),
        error=errors.ServiceError,
        words="No deployments.",
    ),
    Habit(
        "OpenRouter, comments while it waits",
        "https://github.com/openai/openai-go/issues/227",
        stream(b": OPENROUTER PROCESSING\n\n" * 3, named(CREATED, *DELTAS, item_done(MESSAGE), completed())),
        text="Hello",
    ),
    Habit(
        "a gateway before OpenRouter, comments as data",
        "https://github.com/mnfst/llm-gateway/issues/2053",
        stream(data(": OPENROUTER PROCESSING"), data(CREATED, *DELTAS, item_done(MESSAGE), completed())),
        text="Hello",
    ),
    Habit(
        "OpenRouter, no money left",
        "https://openrouter.ai/docs/api-reference/errors",
        plain(402, {"error": {"code": 402, "message": "Insufficient credits. Add more to continue."}}),
        error=errors.CodexError,
        words="Insufficient credits",
    ),
    Habit(
        "Azure OpenAI, the prompt was filtered",
        "https://github.com/tatsu-lab/alpaca_eval/issues/227",
        plain(
            400,
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering the content policy.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
        ),
        error=errors.InvalidRequestError,
        words="was filtered",
    ),
    Habit(
        "Azure OpenAI, the reason stands in an error behind a failure without one",
        "https://github.com/maximhq/bifrost/issues/6419",
        stream(
            named(
                CREATED,
                {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": None}},
                {
                    "type": "error",
                    "error": {
                        "type": "invalid_request_error",
                        "code": "content_policy_violation",
                        "message": "The prompt was flagged by the content policy.",
                    },
                },
            )
        ),
        error=errors.CodexError,
        words="flagged by the content policy",
    ),
    Habit(
        "CLIProxyAPI, nothing is ever done",
        "https://github.com/router-for-me/CLIProxyAPI/issues/4860",
        stream(named(CREATED, added({**MESSAGE, "content": []}), *DELTAS, completed(output=[]))),
        text="Hello",
    ),
    Habit(
        "CLIProxyAPI, it stops in the middle",
        "https://github.com/router-for-me/CLIProxyAPI/issues/4904",
        stream(named(CREATED, *DELTAS)),
        text="Hello",
        error=errors.StreamError,
    ),
    Habit(
        "Bifrost, its own envelope of an error",
        "https://github.com/maximhq/bifrost/issues/6783",
        stream(
            data(
                CREATED,
                {
                    "is_bifrost_error": False,
                    "status_code": 400,
                    "error": {"type": "invalid_request_error", "message": "Item 'fc_0' not found."},
                    "extra_fields": {"provider": "azure"},
                },
            )
        ),
        error=errors.CodexError,
        words="Item 'fc_0' not found.",
    ),
    Habit(
        "Bifrost, a failure without a response",
        "https://github.com/maximhq/bifrost/issues/6783",
        stream(
            b"event: error\n"
            + data(
                {
                    "type": "response.failed",
                    "is_bifrost_error": False,
                    "error": {"code": "server_error", "message": "simulated Azure failure"},
                }
            )
        ),
        error=errors.ServiceError,
        words="simulated Azure failure",
    ),
    Habit(
        "Hugging Face TGI, an error that is a text, without a space behind the colon",
        "https://github.com/huggingface/transformers/pull/38443",
        stream(
            b'data:{"error":"Input validation error: `inputs` must be shorter","error_type":"validation"}\n\n'
        ),
        error=errors.CodexError,
        words="must be shorter",
    ),
    Habit(
        "Hugging Face TGI, what it can't read",
        "https://github.com/huggingface/text-generation-inference/pull/41",
        plain(
            422,
            {"error": "Input validation error: `inputs` must have less tokens", "error_type": "validation"},
        ),
        error=errors.InvalidRequestError,
        words="less tokens",
    ),
    Habit(
        "transformers serve, what FastAPI can't read",
        "https://github.com/huggingface/transformers/pull/39155",
        plain(422, {"detail": [{"loc": ["body", "input"], "msg": "Unexpected keys in the request: store"}]}),
        error=errors.InvalidRequestError,
        words="Unexpected keys",
    ),
    Habit(
        "SGLang, an error object with a numeric code behind the start",
        "https://github.com/sgl-project/sglang/issues/9963",
        stream(
            named({"type": "response.created", "response": {"id": "resp_1", "created_at": 1756892755.0}}),
            data(
                {
                    "error": {
                        "object": "error",
                        "message": "Bad tools.",
                        "type": "BadRequestError",
                        "code": 400,
                    }
                }
            ),
        ),
        error=errors.InvalidRequestError,
        words="Bad tools.",
    ),
    Habit(
        "Llama Stack, a textual status as the code",
        "https://github.com/ogx-ai/ogx/pull/5224",
        stream(
            data({"type": "error", "code": "400", "message": "Model is not served.", "sequence_number": 5})
        ),
        error=errors.InvalidRequestError,
        words="Model is not served.",
    ),
    Habit(
        "gemini-web2api, the text at its end alone",
        "https://github.com/Sophomoresty/gemini-web2api/pull/57",
        stream(
            named(
                CREATED,
                {"type": "response.output_text.done", "item_id": "m", "text": "Hello"},
                completed(output=[]),
            )
        ),
        text="Hello",
    ),
    Habit(
        "cursor2api, the response is the event, whose name stands outside",
        "https://github.com/7836246/cursor2api/pull/115",
        stream(
            b"event: response.created\n" + data({"id": "resp_1", "status": "in_progress"}),
            b"event: response.output_text.delta\n" + data({"delta": "Hello"}),
            b"event: response.completed\n"
            + data({"id": "resp_1", "status": "completed", "output": [MESSAGE]}),
        ),
        text="Hello",
    ),
    Habit(
        "opencodex, arguments at their end alone",
        "https://github.com/anomalyco/opencode/pull/44862",
        stream(
            data(
                CREATED,
                added({**LOOK, "id": "fc_1", "arguments": ""}),
                {"type": "response.function_call_arguments.done", "item_id": "fc_1", "arguments": OSLO[0]},
                item_done({**LOOK, "id": "fc_1", "arguments": ""}),
                completed(output=[]),
            )
        ),
        calls=OSLO,
    ),
    Habit(
        "bano, one JSON object in place of a stream",
        "https://github.com/andresgd2003-art/bano/issues/17",
        plain(
            200,
            {"id": "resp_1", "object": "response", "status": "completed", "output": [MESSAGE]},
            content_type="application/json",
        ),
        text="Hello",
    ),
    Habit(
        "OmniRoute, an error body behind a started stream",
        "https://github.com/diegosouzapw/OmniRoute/pull/13476",
        stream(b": keepalive\n\n", data({"error": {"message": "All targets refused.", "code": 429}})),
        error=errors.RateLimitError,
        words="All targets refused.",
    ),
    Habit(
        "Cloudflare, the server behind it took too long",
        "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/",
        html(
            524, "example.com | 524: A timeout occurred", server="cloudflare", cf_ray="8f0c4a1b2c3d4e5f-LOC"
        ),
        error=errors.ServiceError,
        words="524",
    ),
    Habit(
        "nginx, the request is too large",
        "https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size",
        html(413, "413 Request Entity Too Large", server="nginx"),
        error=errors.CodexError,
        words="413",
    ),
    Habit(
        "nginx, nobody behind it",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html",
        html(502, "502 Bad Gateway", server="nginx"),
        error=errors.ServiceError,
        words="502",
    ),
    Habit(
        "a company's proxy, its page of refusal",
        "https://wiki.squid-cache.org/Features/CustomErrors",
        html(403, "ERROR: The requested URL could not be retrieved", via="1.1 proxy.example (squid)"),
        error=errors.BlockedError,
        words="403",
    ),
    Habit(
        "a company's portal, its page with a 200",
        "https://github.com/openai/codex/issues/6849",
        html(200, "Sign in to the network"),
        error=errors.BlockedError,
    ),
]


@pytest.fixture
def thread(wire: Wire) -> Iterator[Any]:
    @tool
    def look(place: str) -> str:
        return f"seen: {place}"

    with Codex(CodexConfig(provider=wire.url, model="m")) as codex:
        yield codex.thread_start(tools=[look])


def test_at_least_twelve_servers_are_in_the_table() -> None:
    assert len({habit.server.partition(",")[0] for habit in HABITS}) >= 12


@pytest.mark.parametrize("habit", HABITS, ids=attrgetter("server"))
def test_the_client_reads_what_a_server_sends(wire: Wire, client: Client, habit: Habit) -> None:
    wire.answer(habit.answer)
    if habit.error is None:
        response = client.responses.create("hi", model="m")
        assert response.output_text == habit.text
        assert tuple(call["arguments"] for call in response.tool_calls) == habit.calls
        return
    with pytest.raises(habit.error) as caught:
        client.responses.create("hi", model="m")
    assert habit.words in caught.value.message
    assert (caught.value.response.output_text if habit.text else "") == habit.text


@pytest.mark.parametrize("habit", HABITS, ids=attrgetter("server"))
def test_a_thread_reads_what_a_server_sends(wire: Wire, thread: Any, habit: Habit) -> None:
    wire.answer(habit.answer, *([stream(*good("Hello"))] if habit.calls else []))
    if habit.error is None:
        result = thread.run("hi")
        assert (result.final_response or "") == ("Hello" if habit.calls else habit.text)
        assert tuple(json.dumps(call.arguments) for call in done(result, ToolCall)) == habit.calls
        return
    with pytest.raises(habit.error) as caught:
        thread.run("hi")
    assert habit.words in caught.value.message
    assert (caught.value.result.final_response or "") == habit.text
