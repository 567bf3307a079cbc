"""The turn view folds notifications into Markdown, plain text and a bundle."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from codex_magic.display import MIME
from codex_magic.display.items import (
    BAR_END,
    BAR_START,
    FOLD_END,
    FOLD_START,
    QUIET_END,
    QUIET_START,
    html_text,
)
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import (
    AgentMessage,
    CommandExecution,
    CommandOutputDelta,
    ContextCompaction,
    FileChange,
    FileChangeUpdated,
    ImageGeneration,
    ItemCompleted,
    ModelRerouted,
    Noted,
    Notification,
    Plan,
    PlanDelta,
    RateLimits,
    RateLimitsUpdated,
    RateLimitWindow,
    Reasoning,
    TextInput,
    ThreadItem,
    ThreadTokenUsage,
    TokenUsage,
    TokenUsageUpdated,
    ToolCall,
    Turn,
    TurnError,
    TurnPlanUpdated,
    TurnStatus,
    UnknownItem,
    UnknownNotification,
    UserMessage,
    Warned,
    WebSearch,
)

from .scripted import answer, begun, ended, failing, said, seen, start, thought, whole


def quiet(text: str) -> str:
    return f"{QUIET_START}{text}{QUIET_END}"


THOUGHT = FOLD_START.format("", quiet("Thought"))


def step(label: str, code: str, facts: str = "", *, opened: bool = False) -> str:
    """The first line of a step that has something to unfold."""
    facts = f" {quiet(html_text(f'· {facts}'))}" if facts else ""
    return FOLD_START.format(" open" * opened, f"<b>{label}</b> <code>{html_text(code)}</code>{facts}")


TEXT = "# Means\n\nThe mean is $\\mu$:\n\n```python\nprint(sum(x) / len(x))\n```\n\n- one\n- two"


@pytest.mark.parametrize("chars", [1, 2, 3, 7, 1000])
def test_any_split_of_an_answer_ends_in_the_same_bundle(chars: int) -> None:
    assert seen(answer(TEXT, chars=chars)).bundle() == seen(answer(TEXT)).bundle()


@given(st.lists(st.integers(0, len(TEXT))))
def test_every_snapshot_of_the_plain_text_begins_the_next(cuts: list[int]) -> None:
    view, before = TurnView(), ""
    for at, to in zip([0, *sorted(cuts)], [*sorted(cuts), len(TEXT)], strict=True):
        view.feed(said(TEXT[at:to]))
        assert view.plain().startswith(before)
        before = view.plain()
    assert before == TEXT


def test_a_completed_item_is_the_truth() -> None:
    view = seen([said("Hel"), whole(AgentMessage("m", "Goodbye")), ended()])
    assert view.markdown() == "Goodbye"
    assert view.plain() == "Goodbye"


def test_items_stand_in_the_order_in_which_they_started() -> None:
    search, message = WebSearch("s", "weather"), AgentMessage("m", "Sunny.")
    view = seen([start(search), start(message), whole(message), whole(search), ended()])
    assert view.markdown().index("weather") < view.markdown().index("Sunny.")


def test_a_delta_of_an_unknown_item_starts_it() -> None:
    assert seen([said("a", "one"), said("b", "two"), said("c", "one")]).markdown() == "ac\n\n***\n\nb"


def test_reasoning_is_unfolded_while_it_lasts_and_folded_afterwards() -> None:
    view = seen([thought("**Reading the frame**\n\nIt has "), thought("**Fitting** it", 1)])
    first, *_, last = view.markdown().splitlines()
    assert (first, last) == (FOLD_START.format(" open", quiet("Thinking …")), FOLD_END)
    assert "It has" in view.markdown()
    view.feed(whole(Reasoning("r", ("**Reading the frame**\n\nIt has rows.",))))
    first, *_, last = view.markdown().splitlines()
    assert (first, last) == (THOUGHT, FOLD_END)
    assert "It has rows." in view.markdown()
    assert view.plain() == ""


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_all_thoughts_of_an_answer_stand_in_one_fold_with_the_time_they_took() -> None:
    clock = Clock()
    view = TurnView(clock=clock)
    for number, (begin, end) in enumerate([(1, 3), (5, 9), (20, 123)]):
        clock.seconds = begin
        view.feed(thought(f"Thought {number}.", item_id=f"r{number}"))
        clock.seconds = end
        assert f"Thinking · {['2 s', '6 s', '1 min 49 s'][number]}" in view.markdown()
        view.feed(whole(Reasoning(f"r{number}")))
        view.feed(whole(CommandExecution(f"c{number}", "ls", status="completed")))
    for each in (said("Yes."), ended()):
        view.feed(each)
    title = quiet("Thought for 1 min 49 s in 3 steps")
    assert view.markdown().startswith(FOLD_START.format("", title) + "\n\nThought 0.\n\nThought 1.")
    assert view.markdown().count("<details") == 1


def test_a_kept_thought_took_as_long_as_it_was_measured() -> None:
    thought = Reasoning("r", ("It has rows.",), duration_ms=4200)
    kept = TurnView.of(Turn("turn", TurnStatus.completed, (thought,)), "thread")
    assert FOLD_START.format("", quiet("Thought for 4 s")) in kept.markdown()


def test_reasoning_without_a_word_leaves_nothing() -> None:
    assert seen([start(Reasoning("r")), whole(Reasoning("r")), said("Yes.")]).markdown() == "Yes."


@pytest.mark.parametrize("word", ["", " \n", "**", "**Rea", "**Reading the", "*", "**Reading*"])
def test_reasoning_that_was_cut_off_in_its_heading_leaves_nothing(word: str) -> None:
    assert seen([thought(word), said("Yes."), ended()]).markdown() == "Yes."


@pytest.mark.parametrize("word", ["**Reading**", "**Rea\n\nding", "Reading", "**Reading**\n\nIt has"])
def test_reasoning_that_was_cut_off_later_is_kept(word: str) -> None:
    assert THOUGHT in seen([thought(word), said("Yes."), ended()]).markdown()


def test_reasoning_that_a_broken_connection_ended_makes_room_for_the_next() -> None:
    broken = failing("Reconnecting... 1/5", will_retry=True)
    view = seen([start(Reasoning("a")), thought("**One**\n\nOne.", item_id="a"), broken])
    assert "One" in view.markdown()
    view.feed(start(Reasoning("b")))
    assert view.markdown() == quiet("Thinking …")
    for told in (thought("**Two**\n\nTwo.", item_id="b"), broken, said("Yes."), ended()):
        view.feed(told)
    assert view.markdown() == "Yes."


def test_an_answer_that_a_broken_connection_ended_makes_room_for_the_one_that_repeats_it() -> None:
    view = seen([said("Hello wor"), failing("Reconnecting... 1/5", will_retry=True)])
    assert "Hello wor" in view.markdown()
    view.feed(said("Hello world", item_id="another"))
    view.feed(ended())
    assert view.markdown() == "Hello world"


def test_the_summary_of_reasoning_outlives_a_completed_item_without_it() -> None:
    assert "kept" in seen([thought("kept"), whole(Reasoning("r")), ended()]).markdown()


def test_a_tool_call_shows_its_name_its_arguments_and_its_result() -> None:
    call = ToolCall("t", "add", {"sum": "1 + 1"}, status="completed", duration_ms=1200)
    result = ToolCall("t", "add", {"sum": "1 + 1"}, None, "completed", ({"type": "inputText", "text": "2"},))
    running = seen([start(ToolCall("t", "add", {"sum": "1 + 1"}))])
    assert running.markdown() == '**Calling** `add(sum="1 + 1")`'
    assert "1.2 s" in seen([whole(call)]).plain()
    assert seen([whole(result)]).markdown().splitlines()[0] == step("Called", 'add(sum="1 + 1")')


def test_a_command_shows_its_exit_code_and_the_end_of_its_output() -> None:
    lines = "".join(f"\x1b[32mline {n}\x1b[0m\r\n" for n in range(100))
    view = seen([start(CommandExecution("c", "make"))])
    for at in range(0, len(lines), 50):
        view.feed(CommandOutputDelta("thread", "turn", "c", lines[at : at + 50]))
    assert view.markdown().startswith(step("Running", "make", opened=True))
    assert "line 99\n```" in view.markdown()
    assert "line 5\n" not in view.markdown()
    view.feed(whole(CommandExecution("c", "make", status="failed", exit_code=2, duration_ms=100)))
    assert view.markdown().startswith(step("Failed", "make", "exit code 2 · 0.1 s", opened=True))
    assert "line 99\n```" in view.markdown()


def test_output_drawn_over_itself_shows_its_last_state() -> None:
    item = CommandExecution("c", "get", aggregated_output="10 %\r50 %\r100 %\nok")
    assert "```\n100 %\nok\n```" in seen([whole(item)]).markdown()


def test_a_file_change_shows_its_path_and_its_diff() -> None:
    changes = (
        {"path": "a.py", "kind": {"type": "add"}, "diff": "x = 1\n"},
        {"path": "b.py", "kind": "delete"},
    )
    text = seen([whole(FileChange("f", changes, "completed"))]).markdown()
    added = step("Added", "a.py", "+1 −0", opened=True)
    assert text == f"{added}\n\n```diff\n+x = 1\n```\n\n{FOLD_END}\n\n**Deleted** `b.py`"


def test_a_change_that_is_not_settled_shows_its_files_only() -> None:
    changes = ({"path": "a.py", "kind": {"type": "update"}, "diff": "@@ -1 +1 @@\n-a\n+b"},)
    view = seen([start(FileChange("f"))])
    view.feed(FileChangeUpdated("thread", "turn", "f", changes))
    assert view.markdown() == "**Changing** `a.py`"
    view.feed(whole(FileChange("f", changes, "declined")))
    undone = step("Not changed: declined", "a.py")
    assert view.markdown().startswith(f"{undone}\n\n```diff\n@@ -1 +1 @@\n-a\n+b")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("/bin/bash -lc 'touch x && ls'", "touch x && ls"),
        ("/usr/bin/zsh -c ls", "ls"),
        ("./bash -lc ls", "./bash -lc ls"),
        ("bash -lc ls", "bash -lc ls"),
        ("/bin/bash -lc ls extra", "/bin/bash -lc ls extra"),
        ("python -c 1", "python -c 1"),
        ("echo 'unclosed", "echo 'unclosed"),
    ],
)
def test_a_command_is_shown_without_the_shell_around_it(command: str, shown: str) -> None:
    text = seen([whole(CommandExecution("c", command, status="completed"))]).markdown()
    assert text == f"**Ran** `{shown}`"


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (CommandExecution("c", "ls", status="declined", exit_code=-1), "**Not run: declined** `ls`"),
        (CommandExecution("c", "ls", status="unanswered"), "**Not run: nobody to ask** `ls`"),
        (CommandExecution("c", "ls", status="stopped"), "**Not run: stopped** `ls`"),
        (CommandExecution("c", "ls", status="expired"), "**Not run: expired** `ls`"),
        (CommandExecution("c", "ls", status="failed"), "**Failed** `ls`"),
        (CommandExecution("c", "ls", status="failed", exit_code=3), "**Failed** `ls` · exit code 3"),
        (CommandExecution("c", "ls", status="interrupted"), "**Stopped** `ls` · while running"),
        (
            CommandExecution("c", "ls", status="interrupted", duration_ms=41_000),
            "**Stopped** `ls` · after 41 s",
        ),
        (CommandExecution("c", "ls", status="unfinished"), "**Stopped** `ls` · did not finish"),
        (CommandExecution("c", "ls"), "**Started** `ls` · had not ended when the turn did"),
        (ToolCall("t", "act", status="stopped"), "**Not called: stopped** `act()`"),
        (ToolCall("t", "act", status="failed"), "**Failed** `act()`"),
        (ToolCall("t", "act", status="completed", success=False), "**Failed** `act()`"),
    ],
)
def test_only_what_was_done_is_told_as_done(item: ThreadItem, line: str) -> None:
    assert seen([whole(item)]).markdown() == with_quiet_facts(line)


@pytest.mark.parametrize("status", ["inProgress", "waiting", "declined"])
def test_code_is_not_said_to_have_looked_before_it_ran(status: str) -> None:
    call = ToolCall("t", "run_python", {"code": "x"}, None, status)
    shown = seen([start(call)]).markdown() + seen([whole(call)]).markdown()
    assert "x" in shown
    assert "only looked" not in shown
    done = ToolCall("t", "run_python", {"code": "x"}, None, "completed", success=True)
    assert "only looked" in seen([whole(done)]).markdown()


def with_quiet_facts(line: str) -> str:
    step, dot, facts = line.partition(" · ")
    return f"{step} {quiet(f'· {facts}')}" if dot else step


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("unanswered", "**Not changed: nobody to ask** `a.py`"),
        ("failed", "**Failed to change** `a.py` · some of it may be done"),
        ("interrupted", "**Stopped** `a.py` · while running · some of it may be done"),
    ],
)
def test_a_change_that_was_not_made_whole_says_so(status: str, line: str) -> None:
    change = FileChange("f", ({"path": "a.py", "kind": "update", "diff": ""},), status)
    assert seen([whole(change)]).markdown() == with_quiet_facts(line)


def test_a_declined_command_was_not_run() -> None:
    view = seen([whole(CommandExecution("c", "rm -r .", status="declined", exit_code=-1))])
    assert view.markdown() == "**Not run: declined** `rm -r .`"
    assert view.plain() == "Not run: rm -r . · declined"


def test_steps_are_ticked_off_in_their_place() -> None:
    steps = [{"step": "read <b>", "status": "inProgress"}, {"step": "write", "status": "pending"}]
    view = seen([TurnPlanUpdated("thread", "turn", tuple(steps)), said("Reading.")])
    done = f"**Plan** {quiet('· 0 of 2 done')}\\\n"
    assert view.markdown() == f"{done}☐ read &lt;b> {quiet('· now')}\\\n☐ write\n\nReading."
    steps[0] = {"step": "read <b>", "status": "completed"}
    view.feed(TurnPlanUpdated("thread", "turn", tuple(steps)))
    assert "· 1 of 2 done" in view.markdown()
    assert "☑ read &lt;b>\\\n☐ write" in view.markdown()
    assert view.plain() == "Plan: read <b>; write\n\nReading."


def test_a_plan_may_come_word_by_word() -> None:
    view = seen([start(Plan("p", ""))])
    for delta in ("1. re", "ad"):
        view.feed(PlanDelta("thread", "turn", "p", delta))
    assert view.markdown() == "**Plan**\n\n1. read"


def test_waiting_for_a_person_is_told_while_it_lasts() -> None:
    view = TurnView()
    for flags, waits in ((["waitingOnApproval"], True), ([], False)):
        status = {"threadId": "thread", "status": {"type": "active", "activeFlags": flags}}
        view.feed(UnknownNotification("thread/status/changed", status))
        assert ("Waiting for your approval" in view.markdown()) is waits


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Plan("i", "1. read\n2. write"), "1. read"),
        (WebSearch("i", "pandas merge"), "pandas merge"),
        (ImageGeneration("i", "completed", "iVBORw0K", "a cat"), "a cat"),
        (ContextCompaction("i"), "summarised"),
        (UnknownItem("i", {"id": "i", "type": "telepathy"}), "telepathy"),
    ],
)
def test_every_other_item_has_its_lines(item: ThreadItem, words: str) -> None:
    view = seen([start(item), whole(item), ended()])
    assert words in view.markdown()
    assert words in view.plain()


def test_an_item_that_never_ended_says_so() -> None:
    view = seen([start(ToolCall("t", "sleep")), ended(TurnStatus.interrupted)])
    assert "did not finish" in view.markdown()


def test_the_footer_tells_model_tokens_time_and_quota() -> None:
    usage = TokenUsage(1234, 987, 567, 0, 1801)
    view = seen(
        [
            begun("gpt-a"),
            ModelRerouted("thread", "turn", "gpt-a", "gpt-b"),
            TokenUsageUpdated("thread", "turn", ThreadTokenUsage(usage, usage)),
            RateLimitsUpdated(RateLimits(RateLimitWindow(42.4, 300), RateLimitWindow(10, 10080))),
            ended(duration_ms=3210),
        ]
    )
    assert view.footer() == (
        "gpt-b (rerouted from gpt-a) · 1,234 tokens in (80 % cached), 567 out · 3.2 s"
        " · 58 % of the 5-hour limit left"
    )
    assert seen([begun(None), ended()]).footer() == ""


def test_the_states_of_a_turn() -> None:
    assert seen([begun()]).bundle()[MIME]["state"] == "streaming"
    assert seen([begun(), ended()]).state == "done"
    assert seen([begun(), ended(TurnStatus.interrupted)]).state == "interrupted"
    assert seen([begun(), ended(TurnStatus.failed)]).state == "error"


def test_an_interrupted_turn_keeps_its_text_and_says_how_to_go_on() -> None:
    view = seen([said("So f")])
    view.interrupt()
    assert view.markdown() == f"So f\n\n{quiet('Interrupted. Continue with `%codex continue`.')}"


def test_an_error_is_its_sentence() -> None:
    error = TurnError("You are not signed in. Run *codex login* in a terminal.")
    view = seen([begun(), ended(TurnStatus.failed, error=error)])
    assert "**Error: You are not signed in.**\\\nRun \\*codex login\\*" in view.markdown()
    assert view.plain() == f"Error: {error.message}"


def test_a_retry_is_mentioned_until_it_works() -> None:
    view = seen([begun(), failing("Overloaded", will_retry=True)])
    assert "Overloaded" in view.markdown()
    view.feed(said("Here"))
    assert "Overloaded" not in view.markdown()


def test_notifications_that_say_nothing_about_looks_are_passed_over() -> None:
    assert seen([UnknownNotification("fs/changed", {})]).markdown() == quiet("Working …")


def test_the_bundle_has_no_html_and_no_message_text_in_its_facts() -> None:
    usage = TokenUsage(10, 0, 5, 0, 15)
    view = seen([*answer("secret words"), TokenUsageUpdated("t", "t", ThreadTokenUsage(usage, usage))])
    bundle = view.bundle()
    assert list(bundle) == [MIME, "text/markdown", "text/plain"]
    assert bundle[MIME] == {
        "v": 1,
        "id": "output",
        "state": "done",
        "thread": "thread",
        "turn": "turn",
        "model": "gpt-test",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
    }


def test_a_kept_turn_looks_as_it_did_when_it_ran() -> None:
    turn = Turn("turn", TurnStatus.completed, (AgentMessage("m", TEXT),))
    kept = TurnView.of(turn, "thread", model="gpt-test")
    assert kept.markdown() == seen(answer(TEXT)).markdown()


HOSTILE = [
    "<script>alert(1)</script>",
    "</summary></details><img src=x onerror=alert(1)>",
    "```\n</details>\n\n<b>",
    "~~~~\n</details>\n\n<script>",
    "`` ` ``` </details> <i>",
    "- list\n\n      <script>",
    "> quoted\n<script>",
    "    <script>",
    "\n\n</details>\n\n<script>x</script>\n\n",
    "*** | <b> | ***\n|---|\n<b>",
    "1. one\n\n   ```\n   <b>",
    "[x](javascript:alert(1)) ![y](https://evil.test/p.png)",
    "$$ </details> $$ \\[ <b> \\]",
    "<!--",
    "`",
    "\\",
    "[a]: <b>\n\n[a]",
    "\t<b>",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_from_outside_is_html_in_any_slot(hostile: str) -> None:
    for view in (seen(_hostile(hostile)), seen(_hostile(hostile)[:-1])):
        _assert_safe(view.markdown())


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(HOSTILE)).map("\n".join), min_size=2, max_size=5))
def test_messages_together_are_as_safe_as_each(texts: list[str]) -> None:
    said_and_done: list[Notification] = []
    for number, text in enumerate(texts):
        said_and_done += [said(text, f"m{number}"), Warned(None, text), whole(Plan(f"p{number}", text))]
        said_and_done += [said(text, f"n{number}"), whole(Reasoning(f"r{number}", (text,)))]
    _assert_safe(seen([*said_and_done, ended()]).markdown())


def _assert_safe(markdown: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for token in tokens:
        for part in (token, *(token.children or ())):
            assert part.type != "image"
            assert "javascript" not in str(part.attrGet("href"))
        inline = [part.content for part in token.children or () if part.type == "html_inline"]
        assert inline in ([], [QUIET_START, QUIET_END])
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    for first, last in zip(html[::2], html[1::2], strict=True):
        assert (first in BARS and last == BAR_END) or (FOLD.fullmatch(first) and last == FOLD_END)


BARS = [BAR_START.format(colour) for colour in ("#d32f2f", "#e65100")]
INERT = r"(?:[\w\s.,;·+/()=−-]|&#\d+;|<span>&#(?:36|92);</span>)*"
STEP = rf"<b>[\w ]+(?:: [\w ]+)?</b>(?: <code>{INERT}</code>)?"
FACTS = f"{QUIET_START}{INERT}{QUIET_END}"
FOLD = re.compile(
    "|".join(
        re.escape(FOLD_START).replace(r"\{\}", hole, 1).replace(r"\{\}", line)
        for hole, line in [
            ("(?: open)?", f"{STEP}(?: {FACTS})?"),
            ("(?: open)?", f"{QUIET_START}Th(?:ought|inking)[ \\w·…]*{QUIET_END}"),
        ]
    )
)


def _hostile(text: str) -> list[Notification]:
    """A turn with `text` in every place that comes from outside."""
    items: list[ThreadItem] = [
        Reasoning("r", (text, f"**{text}**")),
        AgentMessage("m", text, phase="commentary"),
        AgentMessage("n", text),
        Plan("p", text),
        CommandExecution("c", text, aggregated_output=text, status=text),
        FileChange("f", ({"path": text, "kind": {"type": text}, "diff": text},), text),
        ToolCall("t", text, {text: text}, text, text, ({"type": text}, {"text": text})),
        WebSearch("w", text),
        ImageGeneration("g", text, "", text),
        UnknownItem("u", {"id": "u", "type": text}),
        AgentMessage("l", text),
    ]
    return [
        begun(text),
        ModelRerouted("thread", "turn", text, text),
        Warned(None, text),
        *(ItemCompleted("thread", "turn", item) for item in items),
        thought(f"**{text}**"),
        failing(text, will_retry=True),
        ended(TurnStatus.failed, error=TurnError(text)),
    ]


def test_a_quiet_line_is_small_and_sets_its_commands_as_code() -> None:
    view = TurnView()
    view.feed(Noted("t", "continues thread 01a2 (8 turns) · `%codex new` <b>"))
    shown = view.bundle("done")
    assert shown["text/markdown"] == (
        '<small style="opacity:.7">continues thread 01a2 (8 turns) · `%codex new` &lt;b></small>'
    )
    assert shown["text/plain"] == "continues thread 01a2 (8 turns) · %codex new <b>"


def test_what_is_not_over_says_how_to_see_the_rest_and_only_then() -> None:
    waiting = UnknownNotification(
        "thread/status/changed", {"status": {"type": "active", "activeFlags": ["waitingOnApproval"]}}
    )
    retrying = failing("Overloaded", will_retry=True)
    begins: list[list[Notification]] = [
        [],
        [begun()],
        [begun(), said("Hello")],
        [begun(), waiting],
        [begun(), retrying],
    ]
    for so_far in begins:
        bundle = seen(so_far).bundle()
        assert bundle["text/markdown"].endswith(
            f"If this stays, show the answer with `%codex show`.{QUIET_END}"
        )
        assert bundle["text/plain"].endswith("If this stays, show the answer with %codex show.")
        for status in (TurnStatus.completed, TurnStatus.interrupted, TurnStatus.failed):
            assert "If this stays" not in str(seen([*so_far, ended(status)]).bundle())


def test_what_is_said_to_a_turn_is_text() -> None:
    view = seen([begun(), said("Hello")])
    for number, text in enumerate(["the prompt", "**Stop** <b>it</b>\n\n# now"]):
        view.feed(whole(UserMessage(str(number), (TextInput(text),))))
    assert "the prompt" not in view.markdown()
    assert r"> You: \*\*Stop\*\* " in view.markdown()
    _assert_safe(view.markdown())


def test_steps_without_anything_to_unfold_stand_line_under_line() -> None:
    done, not_run = (
        whole(CommandExecution(status, "ls", status=status)) for status in ("completed", "declined")
    )
    assert (
        seen([done, not_run, said("So.")]).markdown() == "**Ran** `ls`\\\n**Not run: declined** `ls`\n\nSo."
    )


def test_what_an_interrupted_turn_has_cost_stands_in_its_line() -> None:
    usage = TokenUsage(1234, 0, 120, 0, 1354)
    used = TokenUsageUpdated("thread", "turn", ThreadTokenUsage(usage, usage))
    view = seen([begun("gpt"), said("So f"), used, ended(TurnStatus.interrupted, duration_ms=3100)])
    line = "Interrupted after 3\N{NO-BREAK SPACE}s · 120 tokens out. Continue with `%codex continue`."
    assert view.markdown() == f"So f\n\n{quiet(line)}"


def test_what_is_left_of_the_plan_is_bold_when_it_is_little() -> None:
    resets = int(datetime(2026, 12, 5, 12).timestamp())
    for used, shown in ((79, "21 % of the week left"), (80, "**20 % of the week left**, resets Sat 5 Dec")):
        limits = RateLimits(RateLimitWindow(used, 10080, resets))
        unbroken = shown.replace(" %", "\N{NO-BREAK SPACE}%")
        assert seen([RateLimitsUpdated(limits), said("Yes."), ended()]).markdown().endswith(quiet(unbroken))
