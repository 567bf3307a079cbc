"""Models whose one tool runs JavaScript that calls the others."""

from __future__ import annotations

import json

import pytest

from tests.local_service.raw_client import user
from tests.local_service.test_answers import done, output

EXEC = {
    "type": "custom",
    "name": "exec",
    "description": """Run JavaScript code to orchestrate/compose tool calls

### `apply_patch`
declare const tools: { apply_patch(input: string): Promise<unknown>; };

### `run_cell`
declare const tools: { run_cell(args: { code: string; }): Promise<unknown>; };

### `notebook__read_cell`
declare const tools: { notebook__read_cell(args: { n?: number; }): Promise<unknown>; };

### `with_dash` (`with-dash`)
declare const tools: { with_dash(args: { [key: string]: unknown; }): Promise<unknown>; };
""",
}
WAIT = {"type": "function", "name": "wait", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "namespace", "name": "functions", "description": "", "tools": [EXEC, WAIT]}]


def told(call, text, *, state="completed"):
    """What the official client tells of a script."""
    report = {"type": "input_text", "text": f"Script {state}\nWall time 0.0 seconds\nOutput:\n"}
    return output(call, [report, {"type": "input_text", "text": text}])


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ('run_cell with {"code": "1 + 1"}', 'tools.run_cell({"code": "1 + 1"})'),
        ("with-dash", "tools.with_dash({})"),
        ('notebook.read_cell with {"n": 1}', 'tools.notebook__read_cell({"n": 1})'),
        ("read_cell", "tools.notebook__read_cell({})"),
        ('apply_patch with {"input": "*** Begin\\n"}', 'tools.apply_patch("*** Begin\\n")'),
    ],
)
def test_a_tool_is_called_by_a_script(client, asked, called):
    [call] = done(client.events(f"use the tool {asked}", tools=TOOLS))
    assert (call["type"], call["namespace"], call["name"]) == ("custom_tool_call", "functions", "exec")
    assert f"await {called}" in call["input"]


def test_one_script_calls_all_tools_of_a_round(client):
    [call] = done(client.events("use the tools run_cell and read_cell", tools=TOOLS))
    assert call["input"].index("await tools.run_cell") < call["input"].index(
        "await tools.notebook__read_cell"
    )


def test_a_tool_that_is_not_declared_is_not_called(client):
    [message] = done(client.events("use the tool properly", tools=TOOLS))
    assert message["type"] == "message"


def test_the_answer_quotes_what_the_script_shows(client):
    asked = user("use the tool run_cell")
    [call] = done(client.events("", input=[asked], tools=TOOLS))
    text = client.text("", input=[asked, call, told(call, "Script error:\nno", state="failed")], tools=TOOLS)
    assert "```\nScript error:\nno\n```" in text


def test_a_script_that_runs_on_is_waited_for_and_not_started_again(client):
    items = [user("use the tool run_cell")]
    [call] = done(client.events("", input=items, tools=TOOLS))
    items += [call, output(call, "Script running with cell ID 7\nWall time 30.0 seconds\nOutput:\n")]
    [wait] = done(client.events("", input=items, tools=TOOLS))
    assert (wait["name"], json.loads(wait["arguments"])) == ("wait", {"cell_id": "7"})
    text = client.text("", input=[*items, wait, told(wait, "42")], tools=TOOLS)
    assert "The tool gave:\n\n```\n42\n```" in text
