"""The agent's program is offered the cell tools and `run_python`: they ask on the notebook's card, and act after a yes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.test_cell_tools import ASKING, CHANGES, edit, revision
from tests.peers.agent import as_provider, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer


@pytest.fixture
def page(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ExtendedFrontEnd]:
    with as_provider(home, monkeypatch) as service, Kernel(tmp_path) as kernel:
        lines = (
            "%load_ext codex_magic",
            f"%codex provider {service.api_url}",
            "%codex model gpt-5.5",
            "%codex reads yes",
        )
        for line in lines:
            kernel.execute(line)
        yield ExtendedFrontEnd(kernel, {"one": "x = 1\ny = 2", "two": "z = 3", ASKING: "%%codex --agent"})


def answered(page: ExtendedFrontEnd, order: str, label: str, **said: str) -> str:
    request = page.run(f"%%codex --agent\n{order}", ASKING)
    page.choose(page.card(page.attach()), label, **said)
    page.idle(request)
    return markdown(page.outputs)


def test_each_change_asks_and_is_made_after_a_yes(page: ExtendedFrontEnd) -> None:
    shown = answered(page, edit(), "Apply")
    assert page.cells["one"] == "x = 10\ny = 2"
    assert "Changed" in shown
    assert f"It is cell 1, revision {revision(page.cells['one'])}" in shown
    answered(page, use("add_cell", source="a = 5\na"), "Apply and run")
    assert [*page.cells.values()][-1] == "a = 5\na"
    assert page.kernel.value("a") == "5"
    answered(page, use("move_cell", cell="2", below="0"), "Move")
    assert next(iter(page.cells)) == "two"
    answered(page, use("run_cell", cell="2"), "Run")
    assert page.kernel.value("x, y") == "(10, 2)"
    answered(page, use("delete_cell", cell="1", expected_revision=revision("z = 3")), "Delete")
    assert "two" not in page.cells
    assert [each["kind"] for each in page.done] == ["edit", "add", "move", "run", "delete"]


@pytest.mark.parametrize("name", ["add_cell", "edit_cell"])
def test_a_no_changes_nothing_and_the_model_hears_why(page: ExtendedFrontEnd, name: str) -> None:
    before = dict(page.cells)
    shown = answered(page, CHANGES[name], "Reject and say why …", reason="Keep it")
    assert (page.cells, page.done) == (before, [])
    assert "Keep it" in shown


def test_code_that_stays_runs_in_a_cell_below_after_a_yes(page: ExtendedFrontEnd) -> None:
    order = use("run_python", code="total = 41 + 1\ntotal", scope="commit")
    shown = answered(page, order, "Approve")
    assert page.kernel.value("total") == "42"
    assert [*page.cells.values()][-1] == "total = 41 + 1\ntotal"
    assert "total: new" in shown
