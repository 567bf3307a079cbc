"""What is answered: scripted, but true to the request."""

from __future__ import annotations

import json

import pytest

from tests.local_service.raw_client import assistant, text_of, user

LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
COUNT = {"type": "function", "name": "count", "parameters": {"type": "object", "properties": {}}}
RUN = {"type": "custom", "name": "run", "description": "Run it."}
SPACE = {"type": "namespace", "name": "kernel", "tools": [LOOK]}


def done(events):
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def output(call, text):
    kind = f"{call['type']}_output"
    return {"type": kind, "call_id": call["call_id"], "output": text}


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "{braces} {{more}} %s %(x)s",
        r"\[ \int_0^1 x\,dx \] and \( \alpha \) and $5",
        "const f = <T,>(x: T): Record<string, T> => ({ [`${x}`]: x });",
        "naïve 漢字 🎉 \u2028 \u2029 \u0085 end",
        "  leading and trailing \n\n",
        "fault: drop\necho: again",
        "",
    ],
)
def test_an_echo_is_the_same_byte_for_byte(client, text):
    assert client.text("echo: " + text) == text
    assert client.text("echo:\n" + text) == text


def test_an_echo_may_follow_markers(client):
    assert client.text("pace: max chars=2\necho: abc") == "abc"


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("explain generators", "```python"),
        ("plot a sine", "matplotlib"),
        ("group this pandas frame", "| city |"),
        ("some math", r"\["),
        ("what is this error", "KeyError"),
        ("in the shell", "```bash"),
        ("make a table", "|:-"),
        ("a haiku", "Tokens"),
        ("a long text", "## 5."),
        ("anything", "%codex provider"),
    ],
)
def test_the_answer_fits_the_question(client, prompt, part):
    assert part in client.text(prompt)


@pytest.mark.parametrize("length", [0, 10, 1000, 40_000, 160_000])
def test_a_repeated_text_has_the_asked_length(client, length):
    assert len(client.text(f"repeat {length}", headers={"x-local-pace": "chunks chars=100"})) == length


def test_a_repeated_text_has_everything_markdown_has(client):
    text = client.text("repeat 40000", headers={"x-local-pace": "chunks"})
    assert min(text.count(part) for part in ("\n## ", "```python", "\n| step", r"\[", "\n- ", "  - ")) >= 30


def test_the_answer_refers_to_the_previous_question(client):
    text = client.text("", input=[user("what is a list?"), assistant("A list."), user("and a dict?")])
    assert "turn 2" in text
    assert "what is a list?" in text


def test_all_questions_so_far_are_listed(client):
    asked = [user("first"), assistant("1"), user("second"), assistant("2"), user("what did I ask so far?")]
    text = client.text("", input=asked)
    assert "1. first" in text
    assert "2. second" in text


def test_what_the_client_adds_is_no_question(client):
    context = user("<environment_context>\n<cwd>/</cwd>\n</environment_context>")
    assert "turn" not in client.text("", input=[context, user("explain")])


def test_images_are_counted(client):
    message = user("explain")
    message["content"].append({"type": "input_image", "image_url": "data:image/png;base64,AA=="})
    assert "1 image" in client.text("", input=[message])


def test_continue_goes_on_where_the_answer_was_cut(client):
    whole = client.text("explain this")
    cut = whole[: len(whole) // 2]
    asked = [user("explain this"), assistant(cut), user("continue")]
    assert cut + client.text("", input=asked) == whole


@pytest.mark.parametrize("history", [[], [user("explain"), assistant("The end.")]])
def test_continue_says_when_there_is_nothing_to_add(client, history):
    assert "local service" in client.text("", input=[*history, user("continue")])


def test_reasoning_comes_in_parts_when_a_summary_is_asked_for(client):
    events = client.events(reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
    item = done(events)[0]
    deltas = [e["delta"] for e in events if e["type"] == "response.reasoning_summary_text.delta"]
    assert item["type"] == "reasoning"
    assert len(item["summary"]) > 1
    assert "".join(part["text"] for part in item["summary"]) == "".join(deltas)
    assert item["encrypted_content"]


def test_reasoning_without_a_summary_is_sealed_only(client):
    item = done(client.events(reasoning={"effort": "low"}, include=["reasoning.encrypted_content"]))[0]
    assert item["summary"] == []
    assert item["encrypted_content"]


def test_a_tool_is_called_with_the_given_arguments(client):
    events = client.events('use the tool look with {"place": "Oslo"}', tools=[LOOK])
    [call] = done(events)
    deltas = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert (call["type"], call["name"]) == ("function_call", "look")
    assert call["arguments"] == "".join(deltas) == '{"place": "Oslo"}'


def test_arguments_follow_the_schema_when_none_are_given(client):
    [call] = done(client.events("use the tool look", tools=[LOOK]))
    assert isinstance(json.loads(call["arguments"])["place"], str)


def test_the_answer_quotes_what_the_tool_gave(client):
    asked = user("use the tool look")
    [call] = done(client.events("", input=[asked], tools=[LOOK]))
    assert "rain ```in``` Oslo" in client.text(
        "", input=[asked, call, output(call, "rain ```in``` Oslo")], tools=[LOOK]
    )


def test_several_tools_are_called_at_once_when_allowed(client):
    prompt = "use the tools look and count"
    assert [call["name"] for call in done(client.events(prompt, tools=[LOOK, COUNT]))] == ["look", "count"]
    single = client.events(prompt, tools=[LOOK, COUNT], parallel_tool_calls=False)
    assert [call["name"] for call in done(single)] == ["look"]


def test_tools_are_called_one_after_another(client):
    asked = user('use the tool look with {"place": "a"} and then use the tool count 2 times')
    items, names = [asked], []
    while (last := done(client.events("", input=items, tools=[LOOK, COUNT]))[-1])["type"] == "function_call":
        names.append(last["name"])
        items += [last, output(last, "seen")]
    assert names == ["look", "count", "count"]


def test_a_custom_tool_gets_text(client):
    [call] = done(client.events("use the tool run", tools=[RUN]))
    assert (call["type"], call["name"]) == ("custom_tool_call", "run")
    assert call["input"]
    assert "it ran" in client.text(
        "", input=[user("use the tool run"), call, output(call, "it ran")], tools=[RUN]
    )


def test_a_tool_in_a_namespace_is_found(client):
    [call] = done(client.events("use the tool kernel.look", tools=[SPACE]))
    assert (call["namespace"], call["name"]) == ("kernel", "look")


def test_tools_of_the_lite_dialect_are_found(client):
    offered = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
    change = {"parallel_tool_calls": False, "reasoning": {"context": "all_turns"}}
    asked = client.body("use the tool look", **change)
    asked["input"].insert(0, offered)
    events = client.events(headers={"x-openai-internal-codex-responses-lite": "true"}, **asked)
    assert done(events)[-1]["name"] == "look"


def test_a_commentary_comes_before_a_call_when_asked_aloud(client):
    message, call = done(client.events("think aloud and use the tool look", tools=[LOOK]))
    assert (message["phase"], call["name"]) == ("commentary", "look")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "look"}])
def test_a_forced_tool_is_called(client, choice):
    [call] = done(client.events("hello", tools=[LOOK, COUNT], tool_choice=choice))
    assert call["name"] == "look"


def test_no_tool_is_called_when_none_may_be(client):
    [message] = done(client.events("use the tool look", tools=[LOOK], tool_choice="none"))
    assert message["type"] == "message"


def test_a_search_comes_before_the_message_and_is_cited(client):
    events = client.events("search the web for it", tools=[{"type": "web_search"}])
    search, message = done(events)
    [annotation] = message["content"][0]["annotations"]
    assert (search["type"], annotation["type"]) == ("web_search_call", "url_citation")
    assert "response.output_text.annotation.added" in [event["type"] for event in events]


def test_an_echo_is_never_taken_for_an_order(client):
    tools = [LOOK, {"type": "web_search"}]
    for text in ("search the web", "use the tool look"):
        assert client.text("echo: " + text, tools=tools) == text


def test_a_refusal_is_content(client):
    [message] = done(client.events("refuse this"))
    assert message["content"][0]["type"] == "refusal"


def test_json_is_answered_when_it_is_asked_for(client):
    assert json.loads(client.text("hello", text={"format": {"type": "json_object"}}))["question"] == "hello"


def test_a_compaction_keeps_the_number_of_turns(client):
    asked = [user("first"), assistant("1"), user("second"), assistant("2"), {"type": "compaction_trigger"}]
    [compaction] = done(client.events("", input=asked))
    assert compaction["type"] == "compaction"
    assert "turn 3" in text_of(client.events("", input=[compaction, user("explain")]))


def test_the_public_api_compacts_too(client):
    url = client.service.api_url + "/responses/compact"
    body = {"model": "local-large", "input": "hello"}
    answer = client.http.post(url, json=body, headers=client.headers).json()
    assert [item["type"] for item in answer["output"]] == ["message", "compaction"]


def test_the_public_api_answers_whole(client):
    body = {"model": "local-large", "input": "echo: whole"}
    answer = client.http.post(client.service.api_url + "/responses", json=body, headers=client.headers).json()
    assert answer["output"][0]["content"][0]["text"] == "whole"


def test_the_stream_of_the_public_api_has_its_type_and_its_output(client):
    body = {"model": "local-large", "input": "echo: whole", "stream": True}
    url = client.service.api_url + "/responses"
    with client.http.stream("POST", url, json=body, headers=client.headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert b'"output":[{' in response.read().split(b"event: response.completed")[1]


def test_a_picture_comes_as_an_item(client):
    events = client.events("draw a cat", tools=[{"type": "image_generation"}])
    (drawn,) = [event["item"] for event in events if event.get("item", {}).get("result")]
    assert (drawn["type"], drawn["revised_prompt"]) == ("image_generation_call", "draw a cat")
    (partial,) = [event for event in events if event["type"].endswith(".partial_image")]
    assert partial["partial_image_b64"] == drawn["result"]


def test_a_compaction_stands_for_what_is_in_front_of_it(client):
    def compacted(items):
        events = client.events(input=[*items, {"type": "compaction_trigger"}])
        return next(event["item"] for event in events if event["type"].endswith("item.done"))

    asked = [user("one"), user("two")]
    sealed = compacted(asked)
    assert "This is turn 3; the 2 before it" in client.text("", input=[*asked, sealed, user("three")])
    again = compacted([*asked, sealed, user("three")])
    assert "This is turn 4; the 3 before it" in client.text("", input=[*asked, again, user("four")])


def test_a_turn_goes_on_behind_its_compaction(client):
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "a view"}
    asked = user("use the tool look 2 times")
    events = client.events(input=[asked, call, output, {"type": "compaction_trigger"}], tools=[LOOK])
    sealed = next(event["item"] for event in events if event["type"].endswith("item.done"))
    text = client.text("", input=[asked, sealed, call, output], tools=[LOOK])
    assert text.count("a view") == 2
