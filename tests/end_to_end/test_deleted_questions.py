"""What was asked in a cell that is gone from the notebook is not sent any more, and is again when it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import v4

from codex_magic.notebook.extension import PROTOCOL
from codex_magic.notebook.magics import PAGE_REQUEST
from tests.end_to_end.kernel import OURS, Kernel, markdown
from tests.service import LocalService


class Page:
    """A notebook in a page with our extension: its code cells, and the turns whose answers stand in them."""

    def __init__(self, kernel: Kernel, path: Path, service: LocalService) -> None:
        self.kernel, self.path, self.service = kernel, path, service
        self.cells: dict[str, str] = {}
        self.turns: dict[str, list[str]] = {}

    def run(self, cell: str, source: str, *, together: bool = False) -> str:
        """Run a cell, new or not, maybe `together` with others; returns what it shows."""
        self.cells[cell] = source
        cells = [
            {"id": id, "kind": "code", "source": text, "turns": self.turns.get(id, [])}
            for id, text in self.cells.items()
        ]
        about: dict[str, object] = {
            "path": self.path.name,
            "notebook": None,
            "executor": "browser",
            "selection": "",
        }
        about |= {"together": together}
        said = {"op": "run", "protocol": PROTOCOL, "cell": cell, "cells": cells, **about}
        self.kernel.client.control_channel.send(self.kernel.client.session.msg(PAGE_REQUEST, said))
        assert self.kernel.client.get_control_msg(timeout=30)["content"]["ok"]
        outputs = self.kernel.execute(source, cell_id=cell)
        facts = [output["data"][OURS] for output in outputs if OURS in output.get("data", {})]
        self.turns[cell] = [str(each["turn"]) for each in facts]
        return markdown(outputs)

    def ask(self, cell: str) -> list[str]:
        """Ask `echo: CELL`; returns all questions that are sent."""
        self.run(cell, f"%%codex\necho: {cell}")
        return questions(self.service)

    def save(self) -> None:
        listed = [v4.new_code_cell(source, id=id) for id, source in self.cells.items()]
        self.path.write_text(json.dumps(v4.new_notebook(cells=listed)))


def questions(service: LocalService) -> list[str]:
    """The questions in the last request, which `echo: ` begins."""
    [*_, last] = [each.json["input"] for each in service.requests if each.path.endswith("/responses")]
    texts = [item["content"][0]["text"] for item in last if item.get("role") == "user"]
    return [text.removeprefix("echo: ") for text in texts if text.startswith("echo: ")]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: LocalService) -> Iterator[Page]:
    path = tmp_path / "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    with Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        page = Page(kernel, path, service)
        page.cells["load01"] = "%load_ext codex_magic"
        page.save()
        yield page


def test_a_deleted_question_leaves_the_conversation_and_comes_back_with_its_cell(page: Page) -> None:
    page.ask("one001")
    page.ask("two002")
    assert page.ask("tri003") == ["one001", "two002", "tri003"]
    source = page.cells.pop("two002")
    assert page.ask("for004") == ["one001", "tri003", "for004"]
    assert "2 turns; 1 of deleted cells left out" in page.run("peek05", "%codex peek")
    assert page.run("hist06", "%codex history").count("cell deleted") == 1
    page.cells = {"two002": source, **page.cells}  # the deletion is undone
    assert page.ask("fiv007") == ["one001", "two002", "tri003", "for004", "fiv007"]
    assert "cell deleted" not in page.run("hist06", "%codex history")


def test_a_question_that_was_cut_and_pasted_is_still_there(page: Page) -> None:
    page.ask("one001")
    page.ask("two002")
    page.cells["new003"] = page.cells.pop("one001")
    page.turns["new003"] = page.turns.pop("one001")
    assert page.ask("tri004") == ["one001", "two002", "tri004"]
    page.turns["new003"] = []
    assert page.ask("for005") == ["two002", "tri004", "for005"]


def test_a_deleted_question_stays_away_after_a_restart(page: Page) -> None:
    page.ask("one001")
    page.ask("two002")
    page.ask("tri003")
    del page.cells["two002"]
    page.save()
    page.kernel.restart()
    page.kernel.execute("%load_ext codex_magic", cell_id="load01")
    assert page.ask("for004") == ["one001", "tri003", "for004"]


def test_a_notebook_whose_cells_have_new_ids_keeps_its_conversation(page: Page) -> None:
    """As a text notebook that is opened again, in the same kernel and in a new one."""
    page.ask("one001")
    page.ask("two002")
    page.cells, page.turns = {f"new-{id}": source for id, source in page.cells.items()}, {}
    assert page.ask("tri003") == ["one001", "two002", "tri003"]
    page.cells, page.turns = {f"new-{id}": source for id, source in page.cells.items()}, {}
    page.save()
    page.kernel.restart()
    page.kernel.execute("%load_ext codex_magic", cell_id="load01")
    assert page.ask("for004") == ["one001", "two002", "tri003", "for004"]
    page.save()
    page.kernel.restart()
    page.kernel.execute("%load_ext codex_magic", cell_id="load01")
    assert page.ask("fiv005") == ["one001", "two002", "tri003", "for004", "fiv005"]


def test_what_was_asked_elsewhere_is_never_left_out(page: Page) -> None:
    page.kernel.execute("%%codex\necho: nowhere")
    page.kernel.execute("%%codex\necho: code", cell_id="vscode-notebook-cell:/a.ipynb#W1sZmlsZQ%3D%3D")
    page.kernel.execute("%%codex\necho: console", cell_id="c0de0001")
    page.ask("one001")
    del page.cells["one001"]
    assert page.ask("two002") == ["nowhere", "code", "console", "two002"]


def test_what_a_deleted_question_was_told_of_the_notebook_is_told_again(page: Page) -> None:
    page.run("val001", "secret_of_the_cell = 7")
    page.ask("one001")
    del page.cells["one001"]
    page.ask("two002")
    [*_, last] = [each.json["input"] for each in page.service.requests if each.path.endswith("/responses")]
    assert sum("secret_of_the_cell" in json.dumps(item) for item in last) == 1


def test_without_the_extension_the_front_end_says_what_was_deleted(page: Page) -> None:
    def ask(cell: str, *deleted: str) -> list[str]:
        page.kernel.execute(f"%%codex\necho: {cell}", cell_id=cell, deleted_cells=deleted)
        return questions(page.service)

    ask("one001")
    ask("two002")
    assert ask("tri003", "one001") == ["two002", "tri003"]
    assert ask("for004") == ["two002", "tri003", "for004"]
    page.cells |= dict.fromkeys(("one001", "two002", "tri003", "for004"), "%%codex")
    page.save()  # it is there again
    assert ask("fiv005") == ["one001", "two002", "tri003", "for004", "fiv005"]
    assert ask("two002", "two002") == ["one001", "two002"]
    assert ask("six006") == ["one001", "two002", "tri003", "for004", "fiv005", "six006"]
