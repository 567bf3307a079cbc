"""Whatever passes the border can be judged and answered without a crash."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_magic.local_service.answers import answer
from codex_magic.local_service.stream import Plan, count_usage, events
from tests.service import rules
from tests.service.shape import shape_refusal

texts = st.sampled_from(
    ["", "hello", "use the tool look", "use the tool a.look with {", "continue", "echo: x"]
)
scalars = st.none() | st.booleans() | st.integers(0, 9) | texts
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_image", "refusal"])},
    optional={"text": texts},
)
schemas = st.sampled_from(
    [{}, {"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "null"}]
)
plain_tools = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom", "web_search"])},
    optional={"name": st.sampled_from(["look", "b"]), "parameters": schemas, "strict": scalars},
)
tools = plain_tools | st.fixed_dictionaries(
    {"type": st.just("namespace"), "name": st.just("a"), "tools": st.lists(plain_tools, max_size=2)}
)
items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            [
                "message",
                "function_call",
                "function_call_output",
                "custom_tool_call",
                "custom_tool_call_output",
                "reasoning",
                "item_reference",
                "compaction",
                "compaction_trigger",
                "additional_tools",
                "unheard_of",
            ]
        ),
        "role": st.sampled_from(["user", "assistant", "developer", "system"]),
        "content": texts | st.lists(parts, max_size=2) | scalars,
        "id": scalars,
        "call_id": st.sampled_from(["call_1", "call_2"]),
        "name": texts,
        "arguments": texts,
        "input": texts,
        "output": texts | st.lists(parts, max_size=2),
        "encrypted_content": scalars,
        "tools": st.lists(tools, max_size=2),
    },
)
bodies = st.fixed_dictionaries(
    {"input": st.lists(items, max_size=4) | texts},
    optional={
        "model": st.sampled_from(["local-large", "local-small", "none"]),
        "instructions": scalars,
        "store": scalars,
        "stream": scalars,
        "tools": st.lists(tools, max_size=2) | st.none(),
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "look"}]),
        "reasoning": st.none() | st.fixed_dictionaries({}, optional={"effort": texts, "summary": texts}),
        "text": st.none() | st.just({"format": {"type": "json_schema", "name": "x", "schema": {}}}),
    },
)


@settings(max_examples=300, deadline=None)
@given(bodies)
def test_what_passes_the_border_can_be_answered(body):
    if shape_refusal(body):
        return
    request = rules.Request(body, {}, "nobody")
    rules.codex_refusal(request)
    rules.api_refusal(request)
    items = answer(body, "nobody")
    usage = count_usage(items, sent=1, cached=0)
    plan = Plan("resp_1", "local-large", 0, items, usage, 4, codex=True)
    json.dumps(list(events(plan)))
