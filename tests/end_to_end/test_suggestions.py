"""Suggestions over the control channel of a real kernel, as a page asks for them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_magic.notebook.extension import SUGGESTION
from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel
from tests.service import LocalService

FIXTURES = Path(__file__).parents[2] / "labextension" / "fixtures"
SUGGEST, DROP, ANSWER = (
    json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("suggest", "drop", "suggestion")
)


@pytest.fixture
def page(notebook: Kernel) -> ExtendedFrontEnd:
    return ExtendedFrontEnd(notebook)


def suggestion(page: ExtendedFrontEnd, id: str = ANSWER["id"]) -> dict[str, Any]:
    def arrived() -> dict[str, Any] | None:
        said = (each["content"] for each in page.messages if each["msg_type"] == SUGGESTION)
        return next((each for each in said if each["id"] == id), None)

    return dict(page.until(arrived))


def test_a_page_is_answered_by_our_protocol(page: ExtendedFrontEnd, service: LocalService) -> None:
    assert page.tell(**SUGGEST)["ok"]
    answer = suggestion(page)
    assert {**answer, "spent": 0} == {**ANSWER, "spent": 0}
    assert answer["spent"] > 100
    asked = json.dumps(service.wait_for_request().json)
    assert "def price(item: str) -> float" in asked, "the page says what stands above, saved and run or not"
    assert "(not run)" in asked


@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe keeps the cell busy")
def test_a_cell_that_runs_neither_delays_suggestions_nor_waits_for_them(
    page: ExtendedFrontEnd, service: LocalService, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    running = page.run("print('begun', flush=True); print(open('pipe').read())")
    page.until(lambda: any(each["content"].get("text", "").startswith("begun") for each in page.messages))
    assert page.tell(**SUGGEST)["ok"]
    assert suggestion(page)["text"] == ANSWER["text"]
    (tmp_path / "pipe").write_text("over")
    page.idle(running)


def test_a_request_that_nobody_wants_any_more_is_closed(
    page: ExtendedFrontEnd, service: LocalService
) -> None:
    service.faults.next("hold", after=1)
    page.tell(**SUGGEST)
    service.wait_for_hold()
    assert page.tell(**DROP)["ok"]
    service.wait_for_disconnect()
    for _ in range(2):  # a page that has heard no reply sends it again
        page.tell(**{**SUGGEST, "id": "page-1.8"})
    suggestion(page, "page-1.8")
    page.kernel.execute("'whatever comes besides has come'")
    assert [each["content"]["id"] for each in page.messages if each["msg_type"] == SUGGESTION] == ["page-1.8"]
    assert sum(request.path.endswith("/responses") for request in service.requests) == 2


def test_what_a_day_has_cost_is_known_after_a_restart(page: ExtendedFrontEnd, service: LocalService) -> None:
    page.tell(**SUGGEST)
    spent = suggestion(page)["spent"]
    page.kernel.restart()
    page.kernel.execute("%load_ext codex_magic")
    page.messages.clear()
    page.tell(**{**SUGGEST, "budget": spent + 100})
    assert suggestion(page) == {**ANSWER, "text": "", "state": "spent", "spent": spent}
