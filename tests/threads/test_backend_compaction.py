"""Threads over HTTP made short, by a word or when the context is full."""

import pytest

from codex_magic import Codex, CodexConfig, InvalidRequestError, TurnStatus, UsageLimitError
from codex_magic.protocol.types import ContextCompaction, ToolCall, UserMessage, Warned
from tests.peers.agent import done, use
from tests.service import start
from tests.threads.backend import kinds, requests, sent, texts


@pytest.fixture
def thread(codex):
    """Three turns and their compaction."""
    thread = codex.thread_start()
    for cell in "abc":
        thread.run(f"echo: {cell}", cell_id=cell)
    thread.compact()
    return thread


def test_a_compaction_takes_the_place_of_what_came_before(thread, service):
    assert sent(service)[-1]["type"] == "compaction_trigger"
    result = thread.run("table, please")
    assert kinds(sent(service)) == [*["user"] * 3, "compaction", "user"]
    assert "This is turn 4; the 3 before it were compacted." in result.final_response
    thread.run("echo: on")
    assert kinds(sent(service))[:5] == [*["user"] * 3, "compaction", "user"]


def test_it_is_a_turn_with_one_item_and_its_usage(codex):
    thread = codex.thread_start()
    thread.run("echo: a")
    result = thread.compact()
    assert (result.status, [type(item) for item in result.items]) == (
        TurnStatus.completed,
        [ContextCompaction],
    )
    assert result.usage.total.total_tokens > 0


def test_an_empty_thread_has_nothing_to_shorten(codex, service):
    thread = codex.thread_start()
    with pytest.raises(InvalidRequestError, match="nothing to shorten"):
        thread.compact()
    assert (requests(service), thread.history()) == ([], [])


def test_a_refused_compaction_leaves_no_turn(thread, service):
    before = [turn.id for turn in thread.history()]
    service.faults.next("usage_limit", path="/responses")
    with pytest.raises(UsageLimitError):
        thread.compact()
    assert [turn.id for turn in thread.history()] == before
    assert "This is turn" in thread.run("table, please").final_response


def test_what_ran_again_before_it_makes_it_void(thread, service):
    thread.run("echo: B", cell_id="b")
    assert kinds(sent(service)) == ["user", "reasoning", "assistant", "user"]
    thread.run("echo: on")
    assert "compaction" not in kinds(sent(service))
    assert texts(sent(service)) == ["echo: a", "a", "echo: B", "B", "echo: c", "c", "echo: on"]


def test_reverted_turns_are_not_in_it_any_more(thread, service):
    thread.revert(thread.history()[1].id)
    thread.run("echo: on")
    assert texts(sent(service)) == ["echo: a", "a", "echo: on"]


def test_a_fork_shares_it_and_one_from_before_does_not(codex, thread, service):
    codex.thread_fork(thread.id).run("echo: forked")
    assert kinds(sent(service)) == [*["user"] * 3, "compaction", "user"]
    earlier = codex.thread_fork(thread.id, last_turn_id=thread.history()[1].id)
    earlier.run("echo: forked")
    assert texts(sent(service)) == ["echo: a", "a", "echo: b", "b", "echo: forked"]


def test_another_account_is_sent_the_whole_history(codex, thread, service, home):
    codex.logout()
    service.sign_in(home / ".codex", email="another@example.org")
    thread.run("echo: mine")
    assert texts(sent(service)) == ["echo: a", "a", "echo: b", "b", "echo: c", "c", "echo: mine"]


def test_a_compacted_thread_can_be_compacted_again(thread, service):
    thread.run("echo: d")
    thread.compact()
    assert "the 4 before it were compacted" in thread.run("table, please").final_response
    assert kinds(sent(service)).count("compaction") == 1


def test_an_interrupted_compaction_changes_nothing(codex, service):
    import asyncio

    thread = codex.thread_start()
    thread.run("echo: a")
    service.faults.next("hold", after=0)

    async def scene():
        going = asyncio.ensure_future(thread.asynchronous.compact())
        await asyncio.to_thread(service.wait_for_hold)
        going.cancel()
        await asyncio.wait({going})

    codex.call(scene())
    thread.run("echo: b")
    assert texts(sent(service)) == ["echo: a", "a", "echo: b"]
    assert len(thread.history()) == 2


# When the context is full ------------------------------------------------------------------------

FULL = 14_500 * 4
"""Characters that bring the small model's window, of 16,000 tokens, near its end."""


@pytest.fixture
def full(codex):
    """A thread whose last turn filled the window."""
    thread = codex.thread_start(model="local-small")
    thread.run("haiku " + "x " * (FULL // 2))
    return thread


def test_a_full_context_is_shortened_before_the_next_question(full, service):
    result = full.run("echo: next")
    assert [type(item) for item in result.items][:2] == [ContextCompaction, UserMessage]
    assert sent(service, -2)[-1]["type"] == "compaction_trigger"
    assert kinds(sent(service)) == ["user", "compaction", "user"]
    assert result.usage.total.total_tokens > result.usage.last.total_tokens


def test_a_compaction_that_fails_costs_a_word_not_the_turn(full, service):
    service.faults.next("status", status=400)
    handle = full.turn("echo: next")
    told = list(handle.stream())
    assert [n for n in told if isinstance(n, Warned) and "shortened" in n.message]
    assert not [n for n in told if isinstance(getattr(n, "item", None), ContextCompaction)]
    assert handle.run().final_response == "next"
    assert "compaction" not in kinds(sent(service))


def test_a_failed_turn_keeps_its_compaction(full, service):
    service.faults.next("hold", after=0)
    handle = full.turn("echo: lost")
    service.wait_for_hold()
    service.faults.next("invalid_prompt", after=0)
    service.release()
    with pytest.raises(InvalidRequestError):
        handle.run()
    full.run("echo: next")
    assert kinds(sent(service)) == ["user", "compaction", "user"]
    assert texts(sent(service))[-1] == "echo: next"
    assert [kinds(request.json["input"])[-1] for request in requests(service)].count(
        "compaction_trigger"
    ) == 1


def test_a_context_that_fills_up_between_tools_is_shortened_there(codex, service):
    def read() -> str:
        return "x " * 1_600

    thread = codex.thread_start(tools=(read, str_len), model="local-small")
    codex.models()
    filler = "x " * 27_000
    result = thread.run(
        f'use the tool read with {{}}, then use the tool str_len with {{"text": "tea"}} {filler}'
    )
    assert [type(item) for item in result.items if isinstance(item, ToolCall | ContextCompaction)] == [
        ToolCall,
        ToolCall,
        ContextCompaction,
    ]
    assert kinds(sent(service)) == ["user", "compaction"]
    thread.run("echo: next")
    assert kinds(sent(service))[:2] == ["user", "compaction"]
    assert "function_call" not in kinds(sent(service))


def str_len(text: str) -> int:
    return len(text)


def test_a_small_conversation_asks_for_no_catalog(codex, service):
    thread = codex.thread_start(model="local-small")
    thread.run("echo: a")
    thread.run("echo: b")
    assert not [request for request in service.requests if request.path.endswith("/models")]


# Other servers -----------------------------------------------------------------------------------


@pytest.fixture
def plain():
    """An open server, and a session that talks to it."""
    with (
        start(open_access=True) as server,
        Codex(CodexConfig(provider=server.api_url, model="local-large")) as codex,
    ):
        yield server, codex


def bodies(server):
    return [r.json for r in server.requests if r.path.endswith(("/v1/responses", "/v1/responses/compact"))]


def test_the_public_apis_endpoint_is_used_where_there_is_one(plain):
    server, codex = plain
    thread = codex.thread_start()
    thread.run("echo: a")
    thread.compact()
    thread.run("echo: b")
    assert kinds(bodies(server)[-1]["input"]) == ["user", "compaction", "user"]


def test_an_ordinary_server_is_asked_for_a_summary(plain):
    server, codex = plain
    thread = codex.thread_start(tools=(str_len,))
    thread.run(use("str_len", text="tea"))
    server.faults.next("status", status=404, path="/responses/compact")
    assert done(thread.compact(), ContextCompaction)
    asked = bodies(server)[-1]
    assert "Summarise this conversation" in texts(asked["input"])[-1]
    assert "tools" not in asked
    thread.run("echo: on")
    assert kinds(bodies(server)[-1]["input"]) == ["user", "assistant", "user"]
    assert texts(bodies(server)[-1]["input"])[1].startswith("Summary of the conversation so far:")


def test_a_summary_can_be_read_by_every_provider(service, plain):
    server, codex = plain
    thread = codex.thread_start()
    thread.run("echo: a")
    server.faults.next("status", status=405, path="/responses/compact")
    thread.compact()
    thread.run("echo: elsewhere", model_provider="chatgpt")
    assert kinds(sent(service)) == ["user", "assistant", "user"]
