"""Histories without what a service refuses."""

import pytest

from codex_magic.engines.history import broken_off, whole
from codex_magic.responses.inputs import assistant, developer, user

THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
CALL = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "1", "output": "x"}
CUSTOM = {"type": "custom_tool_call", "call_id": "2", "name": "g", "input": "x"}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "2", "output": "x"}
SEARCH = {"type": "web_search_call", "id": "ws", "status": "completed"}
ANSWER = assistant("a")


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([user("q"), THOUGHT, ANSWER], [0, 1, 2]),
        ([THOUGHT, CALL, OUTPUT, THOUGHT, ANSWER], [0, 1, 2, 3, 4]),
        ([THOUGHT, CALL, CUSTOM, CUSTOM_OUTPUT, OUTPUT], [0, 1, 2, 3, 4]),
        ([THOUGHT, THOUGHT, SEARCH, ANSWER], [0, 1, 2, 3]),
        ([user("q"), THOUGHT], [0]),
        ([user("q"), THOUGHT, THOUGHT, developer("d")], [0, 3]),
        ([user("q"), THOUGHT, CALL, user("q")], [0, 3]),
        ([user("q"), OUTPUT, user("q")], [0, 2]),
        ([THOUGHT, CALL, CUSTOM, CUSTOM_OUTPUT], [0, 2, 3]),
        ([], []),
    ],
)
def test_what_leads_nowhere_is_left_out(items, kept):
    assert whole(items) == [items[at] for at in kept]


def test_what_came_of_a_response_that_was_broken_off():
    begun = {**ANSWER, "id": "m", "status": "incomplete"}
    aborted = {"type": "function_call_output", "call_id": "1", "output": "aborted"}
    assert broken_off([THOUGHT, CALL, begun]) == [THOUGHT, CALL, aborted, ANSWER]
    assert broken_off([THOUGHT]) == []
