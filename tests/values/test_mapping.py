"""One question for each row, and the answers in the shape of the rows."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import codex_magic
from codex_magic.protocol.errors import (
    AuthError,
    NotSignedInError,
    OptionError,
    ServiceError,
    UsageLimitError,
)
from tests.known import some
from tests.values.questions import prompts, questions, shout

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Mood:
    mood: str
    stars: int


def test_answers_keep_the_order_and_the_same_question_is_asked_once(service):
    values = [str(n % 7) for n in range(30)]
    assert codex_magic.map(values, "echo: {{ value }}") == values
    assert sorted(prompts(service)) == [f"echo: {n}" for n in range(7)]


@pytest.mark.parametrize(
    ("prompt", "row", "sent"),
    [
        ("echo: {{ value }} and {{value}}", "x", "echo: x and x"),
        ("echo: {{ city }}, {a} {{ other }} {{}}", {"city": "Lima"}, "echo: Lima, {a} {{ other }} {{}}"),
        ("echo: {{ the city }}", {"the city": "{{ value }}"}, "echo: {{ value }}"),
        ("echo: {{ value }}", {"city": "Lima"}, 'echo: {"city":"Lima"}'),
        ("echo: {{ value }}", 1.5, "echo: 1.5"),
        ("echo: {{ value }}", datetime.date(2026, 1, 2), "echo: 2026-01-02"),
        ("echo: {{ value }}", Decimal("1.50"), "echo: 1.50"),
        ("echo: {{ value }}", None, "echo: null"),
        ("echo: {{ value }}", "half \ud83d", "echo: half \ufffd"),
        (lambda row: f"echo: {row['city']}", {"city": "Lima"}, "echo: Lima"),
    ],
)
def test_a_prompt_names_the_value_or_a_column_and_other_braces_stay(service, prompt, row, sent):
    codex_magic.map([row], prompt)
    assert prompts(service) == [sent]


def test_a_row_that_is_not_named_goes_along_as_data(service):
    codex_magic.map([{"city": "Lima"}], "echo: {ok}")
    [request] = questions(service)
    data, question = request.json["input"]
    assert data["content"][0]["text"] == '<external_value>{"city":"Lima"}</external_value>'
    assert question["content"][0]["text"] == "echo: {ok}"


def test_secrets_in_rows_are_masked(service, monkeypatch):
    monkeypatch.setenv("SHOP_API_KEY", "sk-live-8f3b2c9a71d64e50")
    assert codex_magic.map(["sk-live-8f3b2c9a71d64e50"], "echo: {{ value }}") == ["«SECRET_1»"]


def test_a_series_comes_back_with_its_index_and_a_frame_where_the_schema_has_fields(service):
    pandas = pytest.importorskip("pandas")
    cities = pandas.Series(["Lima", "Oslo"], index=["a", "b"], name="city")
    echoed = codex_magic.map(cities, "echo: {{ value }}")
    assert list(echoed.index) == ["a", "b"]
    assert (echoed.name, list(echoed)) == ("city", ["Lima", "Oslo"])
    assert codex_magic.map(cities, "How many?", schema=int).dtype == "int64"
    frame = codex_magic.map(cities.to_frame(), "The mood of {{ city }}?", schema=Mood)
    assert frame.to_dict("list") == {
        "mood": ["mood: The mood of Lima?", "mood: The mood of Oslo?"],
        "stars": [1, 1],
    }
    assert list(frame.index) == ["a", "b"]


def test_polars_and_pyarrow_get_back_their_own(service):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    cities = polars.DataFrame({"city": ["Lima", "Oslo"]})
    assert codex_magic.map(cities["city"], "echo: {{ value }}").equals(cities["city"])
    assert codex_magic.map(cities, "How many?", schema=Mood)["stars"].to_list() == [1, 1]
    table = codex_magic.map(pyarrow.table({"city": ["Lima"]}), "echo: {{ city }}", schema=Mood)
    assert table["stars"].to_pylist() == [1]


def test_a_row_that_fails_has_no_answer_and_a_reason_until_it_is_asked_again(service):
    pandas = pytest.importorskip("pandas")
    rows = pandas.Series(["a", "fault: invalid_prompt times=1\necho: b", "c"])

    def prompt(row: str) -> str:
        return row if row.startswith("fault") else f"echo: {row}"

    assert [value for value in codex_magic.map(rows, prompt) if isinstance(value, str)] == ["a", "c"]
    assert codex_magic.map.errors["row"].to_list() == [1]
    assert codex_magic.map.errors["error"].to_list() == ["InvalidRequestError"]
    assert list(codex_magic.map.retry()) == ["a", "b", "c"]
    assert len(codex_magic.map.errors) == 0
    assert len(questions(service)) == 4


def test_a_prompt_that_raises_is_the_failure_of_its_row(service):
    assert codex_magic.map([1, 0], lambda row: f"echo: {1 / row}") == ["1.0", None]
    assert codex_magic.map.errors == [{"row": 1, "error": "ZeroDivisionError", "message": "division by zero"}]


def test_a_value_that_can_not_be_written_is_the_failure_of_its_row(service):
    class Unwritable:
        def __str__(self) -> str:
            raise ValueError("no words")

    assert codex_magic.map([{"it": Unwritable()}, "b"], "echo: {{ value }}") == [None, "b"]
    assert [each["row"] for each in codex_magic.map.errors] == [0]


def test_without_a_sign_in_nothing_else_is_said(home):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(NotSignedInError):
        codex_magic.map(pandas.Series(["a"], index=["x"]), "echo: {{ value }}")


def test_the_first_failure_ends_it_where_that_is_wanted(service):
    with pytest.raises(ServiceError):
        codex_magic.map(["fault: server_is_overloaded\nx"], "{{ value }}", on_error="raise")


def test_what_is_refused_for_now_is_asked_again_and_never_twice_answered(service):
    service.faults.next("too_many_requests", times=5, retry_after=0.01)
    service.faults.next("drop", times=2, after=1)
    values = [str(n) for n in range(20)]
    assert codex_magic.map(values, "echo: {{ value }}") == values
    assert len(questions(service)) == 27


def test_a_limit_of_the_plan_ends_it_and_what_came_is_kept(service):
    service.faults.next("hold")  # the first one, so that the second is refused while it waits
    service.faults.next("usage_limit")
    with pytest.raises(UsageLimitError):
        codex_magic.map(["a", "b"], "echo: {{ value }}", concurrency=2)
    service.faults.clear()
    assert codex_magic.map(["a", "b"], "echo: {{ value }}") == ["a", "b"]
    assert codex_magic.map(["a", "b", "c"], "echo: {{ value }}") == ["a", "b", "c"]
    assert len(questions(service)) == 5


def test_nobody_is_asked_for_rows_when_the_sign_in_has_ended(service):
    service.faults.next("token_revoked", times=4)
    with pytest.raises(AuthError):
        codex_magic.map(["a", "b"], "echo: {{ value }}", concurrency=1)


def test_many_rows_need_a_yes(service):
    with pytest.raises(OptionError, match="101 requests need a yes"):
        codex_magic.map(range(101), "echo: {{ value }}")
    assert questions(service) == []
    assert codex_magic.map(range(101), "echo: {{ value }}", confirmed=True)[100] == "100"


def test_a_budget_ends_it(service):
    answers = codex_magic.map(range(50), "echo: {{ value }}", budget=1000, concurrency=1)
    asked = len(questions(service))
    assert 1 <= asked < 20
    assert answers[:asked] == [str(n) for n in range(asked)]
    assert {each["error"] for each in codex_magic.map.errors} == {"NotAsked"}
    assert len(codex_magic.map.errors) == 50 - asked


def test_another_question_model_or_schema_is_asked_anew_and_so_is_all_without_the_cache(service):
    ask = codex_magic.map
    ask(["a"], "echo: {{ value }}")
    ask(["a"], "echo: {{ value }}")
    assert len(questions(service)) == 1
    ask(["a"], "echo: {{ value }}", model="local-small")
    ask(["a"], "echo: {{ value }}", schema=str)
    ask(["a"], "echo: {{ value }}", cache=False)
    assert len(questions(service)) == 4


def test_nothing_that_was_asked_can_be_read_from_the_names_of_files(service, home):
    codex_magic.map(["confidential"], "echo: {{ value }}")
    names = [path.name for path in (home / "codex-magic").rglob("*")]
    assert "values.db" in names
    assert not any("confidential" in name for name in names)


def test_threads_make_the_questions(service):
    with ThreadPoolExecutor(2) as executor:
        assert codex_magic.map(["a", "b"], shout, executor=executor) == [
            f"A {os.getpid()}",
            f"B {os.getpid()}",
        ]


IN_PROCESSES = """
import json, os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import codex_magic
from tests.values.questions import shout
with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
    answers = codex_magic.map(["a", "b"], shout, executor=executor, progress=False)
print(json.dumps([os.getpid(), *answers]))
"""


def test_other_processes_make_the_questions_and_this_one_asks_them(service):
    command = [sys.executable, "-c", IN_PROCESSES]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    own, *answers = json.loads(printed)
    assert [answer.split()[0] for answer in answers] == ["A", "B"]
    assert str(own) not in {answer.split()[1] for answer in answers}


def test_what_is_no_executor_is_refused(service):
    with pytest.raises(OptionError, match="executor"):
        codex_magic.map(["a"], shout, executor=3)


def test_code_that_awaits_asks_too_and_goes_on_meanwhile(service):
    service.faults.next("hold")
    seen: list[str] = []

    async def both() -> list[Any]:
        asking = asyncio.ensure_future(codex_magic.map_async(["a", "b"], "echo: {{ value }}", concurrency=1))
        await asyncio.to_thread(service.wait_for_hold)
        seen.append("went on")
        service.release()
        return await asking

    assert asyncio.run(both()) == ["a", "b"]
    assert seen == ["went on"]


def test_cancelled_code_that_awaits_keeps_the_answers_that_are_there(service):
    held = [*(f"echo: {n}" for n in range(5)), "fault: hold\necho: 5"]

    async def cancelled() -> None:
        asking = asyncio.ensure_future(codex_magic.map_async(held, "{{ value }}", concurrency=1))
        await asyncio.to_thread(service.wait_for_hold)
        asking.cancel()
        await asking

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert codex_magic.map.result == ["0", "1", "2", "3", "4", None]
    assert [each["error"] for each in codex_magic.map.errors] == ["NotAsked"]


ASK = """
import json, sys
import codex_magic
try:
    codex_magic.map(json.loads(sys.argv[1]), "{{ value }}", concurrency=4, progress=False)
except KeyboardInterrupt:
    print(json.dumps(codex_magic.map.result))
"""

HELD = [f"fault: hold times=1\necho: {n}" if n in range(20, 24) else f"echo: {n}" for n in range(40)]


def begun(service: Any) -> subprocess.Popen[str]:
    """A process that has the answers of the first 20 rows, and waits for the next four."""
    process = subprocess.Popen(
        [sys.executable, "-c", ASK, json.dumps(HELD)], stdout=subprocess.PIPE, text=True
    )
    service.wait_for_hold(count=4)
    return process


def test_after_a_kill_the_same_call_asks_what_has_no_answer_yet(service):
    process = begun(service)
    process.kill()
    process.communicate()
    assert codex_magic.map(HELD, "{{ value }}") == [str(n) for n in range(40)]
    asked = prompts(service)
    answered = [f"echo: {n}" for n in range(20)]
    assert [asked.count(prompt) for prompt in answered] == [1] * 20
    assert len(asked) == 40 + 4  # four were on their way


@pytest.mark.skipif(sys.platform == "win32", reason="a process there is interrupted otherwise")
def test_an_interrupt_keeps_what_is_there(service):
    process = begun(service)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate()
    assert json.loads(printed) == [*(str(n) for n in range(20)), *[None] * 20]
    assert some(process.returncode) == 0


def test_two_processes_share_the_journal(service):
    """What one has asked the other need not."""
    first = subprocess.run([sys.executable, "-c", ASK, json.dumps(["echo: a"])], check=True)
    assert first.returncode == 0
    assert codex_magic.map(["echo: a"], "{{ value }}") == ["a"]
    assert len(questions(service)) == 1
