"""What the agent did, as another provider is told of it."""

import pytest

from codex_magic.engines.replay import replayed
from codex_magic.protocol.types import CommandExecution, FileChange, ToolCall

TEXT = {"type": "inputText", "text": "seen"}
IMAGE = {"type": "inputImage", "imageUrl": "data:image/png;base64,x"}


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ((TEXT,), "seen"),
        (
            (TEXT, IMAGE),
            [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "image_url": IMAGE["imageUrl"]},
            ],
        ),
        (({"type": "inputAudio"},), "failed"),
        (None, "failed"),
    ],
)
def test_a_call_of_our_tool_is_a_call_and_its_output(content, output):
    called = ToolCall("c", "look", {"at": 1}, "n", status="failed", content_items=content)
    call, answer = replayed(called)
    assert call == {
        "type": "function_call",
        "call_id": "c",
        "name": "look",
        "namespace": "n",
        "arguments": '{"at":1}',
    }
    assert answer == {"type": "function_call_output", "call_id": "c", "output": output}


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (CommandExecution("c", "ls", aggregated_output="a.txt", exit_code=0), "exit code 0"),
        (FileChange("f", ({"path": "a.txt", "diff": "+x"},), "declined"), "declined"),
    ],
)
def test_what_the_agent_did_is_told(item, told):
    [message] = replayed(item)
    assert message["role"] == "developer"
    assert told in message["content"][0]["text"]
    assert "a.txt" in message["content"][0]["text"]
