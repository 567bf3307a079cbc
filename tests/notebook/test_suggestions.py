"""What is sent for a suggestion, what becomes of its answer, and what a day may cost."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from codex_magic.notebook.magics import loaded
from codex_magic.notebook.suggestions import Budget, Cursor, Suggested, Suggestions, cleaned, is_code
from codex_magic.responses.catalog import Model
from tests.known import some
from tests.service import LocalService

FIXTURES = Path(__file__).parents[2] / "labextension" / "fixtures"
CODE = json.loads((FIXTURES / "code.json").read_text(encoding="utf-8"))
TODAY = date(2026, 11, 29)


@pytest.fixture
def suggestions(service: LocalService, shell: InteractiveShell) -> Suggestions:
    return some(loaded(shell)).session.suggestions


def asked(suggestions: Suggestions, before: str, *, after: str = "", budget: int = 100_000) -> Suggested:
    kernel = some(loaded(suggestions._shell)).session.look()
    return suggestions.suggest(Cursor(before, after, kernel, "", budget)).result()


def sent(service: LocalService) -> str:
    return json.dumps(service.wait_for_request().json, ensure_ascii=False)


@pytest.mark.parametrize("before", CODE["code"])
def test_code_is_continued(before: str) -> None:
    assert is_code(before)


@pytest.mark.parametrize("before", CODE["other"])
def test_questions_and_other_magics_are_not(
    before: str, suggestions: Suggestions, service: LocalService
) -> None:
    assert not is_code(before)
    assert asked(suggestions, before).text == ""
    assert service.requests == []


def test_a_small_model_continues_with_the_least_effort(
    suggestions: Suggestions, service: LocalService
) -> None:
    assert asked(suggestions, "total = price").text == "  # scripted, after `price`"
    body = service.wait_for_request().json
    assert (body["model"], body["reasoning"]["effort"]) == ("local-small", "low")
    assert "tools" not in body


def test_cells_above_and_signatures_go_along_and_no_value_does(
    suggestions: Suggestions, service: LocalService, shell: InteractiveShell
) -> None:
    shell.run_cell("def price(item: str, *, tax=0.2) -> float: ...", store_history=True)
    shell.run_cell("import math; stock = dict.fromkeys(['tea'], str(12345 * 3))", store_history=True)
    asked(suggestions, "math.hypot; total = price(stock.val")
    names, everything = sent(service).partition("<external_names>")[2], sent(service)
    assert "price(item: str, *, tax=0.2) -> float" in names.partition("</external_names>")[0]
    assert "stock: dict" in names
    assert "math.hypot: built-in hypot" in names
    assert "dict.fromkeys" in everything
    assert str(12345 * 3) not in everything


def test_secrets_are_masked_wherever_they_stand(
    suggestions: Suggestions, service: LocalService, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "grapefruit-marmalade-77")
    shell.run_cell("key = 'grapefruit-marmalade-77'", store_history=True)
    asked(suggestions, "other = 'grapefruit-marmalade-77'; price")
    assert "marmalade" not in sent(service)
    assert "«SECRET_1»" in sent(service)


def test_nothing_leaves_with_the_cursor_in_a_secret(
    suggestions: Suggestions, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "grapefruit-marmalade-77")
    assert asked(suggestions, "key = 'grapefruit-ma", after="rmalade-77'").text == ""
    assert service.requests == []


def test_where_no_context_goes_along_only_the_cell_does(
    suggestions: Suggestions, service: LocalService, shell: InteractiveShell
) -> None:
    shell.run_cell("%config CodexMagics.context = 'none'")
    shell.run_cell("price = 1", store_history=True)
    asked(suggestions, "total = price")
    assert "<external_" not in str(service.wait_for_request().json["input"])


def test_a_dropped_request_is_closed_at_the_service_and_counted(
    suggestions: Suggestions, service: LocalService, shell: InteractiveShell
) -> None:
    service.faults.next("hold", after=1)
    kernel = some(loaded(shell)).session.look()
    future = suggestions.suggest(Cursor("total = price", "", kernel, "", 100_000))
    service.wait_for_hold()
    assert future.cancel()
    service.wait_for_disconnect()
    assert suggestions.budget.spent > 100


def test_a_spent_budget_ends_the_requests_of_this_day_in_all_kernels(
    suggestions: Suggestions, service: LocalService
) -> None:
    budget = asked(suggestions, "total = price").spent
    assert suggestions.budget.spent == budget > 100
    assert asked(suggestions, "total = price", budget=budget + 100).state == "spent"
    other = Budget(suggestions.budget._folder)  # as another kernel, or this one after a restart, counts
    assert other.spent == budget
    assert sum(request.path.endswith("/responses") for request in service.requests) == 1


def test_another_day_begins_with_nothing_spent(tmp_path: Path) -> None:
    days = iter([TODAY, TODAY, TODAY.replace(day=30), TODAY.replace(day=30), TODAY.replace(day=30)])
    budget = Budget(tmp_path / "kept", today=lambda: next(days))
    budget.spend(500)
    assert [budget.spent, budget.spent] == [500, 0]
    budget.spend(20)
    assert budget.spent == 20
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["2026-11-30"]


def test_after_a_failure_nothing_is_requested_for_a_while(
    suggestions: Suggestions, service: LocalService
) -> None:
    service.faults.next("usage_limit", resets_in=3600)
    failed = asked(suggestions, "total = price")
    assert failed.state == "failed"
    assert "limit" in failed.note
    assert asked(suggestions, "total = pric") == failed
    assert sum(request.path.endswith("/responses") for request in service.requests) == 1


@pytest.mark.parametrize(
    ("answer", "before", "after", "inserted"),
    [
        ("(item)", "total = price", "", "(item)"),
        ("```python\n(item)\n```", "total = price", "", "(item)"),
        ("total = price(item)", "x = 1\ntotal = price", "", "(item)"),
        ("item)", "total = price(", ")\nprint()", "item"),
        ("\n".join("abcdefghijkl"), "", "", "\n".join("abcdefghij")),
        ("a\u202eb\r\n", "", "", "ab"),
        ("x<cursor/>", "", "", "x"),
    ],
)
def test_only_what_is_new_is_inserted(answer: str, before: str, after: str, inserted: str) -> None:
    assert cleaned(answer, before, after) == inserted


def test_a_small_model_is_one_whose_name_says_so() -> None:
    from codex_magic.notebook.suggestions import small_model

    names = ["gpt-9", "gemini-9", "gpt-9-mini", "gpt-9-nano"]
    models = [Model(name, visibility="list") for name in names]
    assert some(small_model(models)).slug == "gpt-9-mini"
    assert small_model(models[:2]) is None
    assert small_model([Model("gpt-9-mini", visibility="hide"), Model("o9-mini")]) is None
