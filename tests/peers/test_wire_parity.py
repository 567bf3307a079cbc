"""Our request beside the official binary's for the same turn: every difference is named here."""

from __future__ import annotations

import pytest

from codex_magic import Codex, CodexConfig, Settings
from tests.peers.test_official_binary import PROVIDER, ask, configure
from tests.service import start

pytestmark = pytest.mark.peer

THEIRS_ONLY = {
    "headers": {
        "x-codex-beta-features",  # asks for compaction in the stream, which an ordinary turn has no use for
        "x-codex-turn-metadata",  # installation, sandbox and workspace: nothing we would tell
        "x-codex-window-id",
    },
    "body": {
        "client_metadata",  # the same
        "tools",  # the agent's; a question has none
        "tool_choice",
        "parallel_tool_calls",
        "text",  # its configuration's verbosity; ours is the model's default until someone asks
    },
}
OURS_ONLY = {
    "headers": {
        "authorization",  # the binary runs without a sign-in here
        "chatgpt-account-id",
        "version",  # it sends it to the ChatGPT backend only
        "accept-encoding",
        "connection",
    },
    "body": {"instructions"},  # it puts its text into developer messages
}
DIFFERENT = {
    "headers": {
        "session-id",
        "thread-id",
        "x-client-request-id",
        "originator",
        "user-agent",
        "content-length",
    },
    "body": {"input", "prompt_cache_key", "reasoning"},
}


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """The request of the binary and ours."""
    with start(open_access=True) as service:
        theirs_home, our_home = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours")
        configure(theirs_home, PROVIDER.format(base_url=service.base_url, retries=0))
        ask(theirs_home, "echo: hi")
        service.sign_in(our_home)
        settings = Settings(codex_home=our_home, home=our_home, base_url=service.base_url)
        with Codex(CodexConfig(settings=settings, provider="chatgpt", model="gpt-5.5")) as codex:
            codex.thread_start().run("echo: hi")
        return [request for request in service.requests if request.path.endswith("/responses")]


def parts(request):
    return {"headers": dict(request.headers), "body": request.json}


@pytest.mark.parametrize("part", ["headers", "body"])
def test_our_request_differs_from_the_binarys_only_in_what_is_listed(requests, part):
    theirs, ours = (parts(request)[part] for request in requests)
    assert set(theirs) - set(ours) == THEIRS_ONLY[part]
    assert set(ours) - set(theirs) == OURS_ONLY[part]
    assert {name for name in set(theirs) & set(ours) if theirs[name] != ours[name]} == DIFFERENT[part]


def test_the_question_itself_is_the_same_item(requests):
    theirs, ours = ({k: v for k, v in request.json["input"][-1].items() if k != "id"} for request in requests)
    assert theirs == ours


def test_both_name_the_thread_by_its_prompt_cache_key(requests):
    for request in requests:
        assert {request.headers[name] for name in ("session-id", "thread-id", "x-client-request-id")} == {
            request.json["prompt_cache_key"]
        }
