"""A part of an output that a page marks goes along with the question that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.service import LocalService

REGION = json.loads(
    (Path(__file__).parents[2] / "labextension" / "fixtures" / "region.json").read_text(encoding="utf-8")
)


@pytest.fixture
def page(notebook: Kernel) -> ExtendedFrontEnd:
    notebook.execute("prices = {'tea': 3}\nprices", cell_id=REGION["cell"])
    return ExtendedFrontEnd(notebook)


def ask(page: ExtendedFrontEnd, service: LocalService, question: str) -> tuple[str, list[dict[str, Any]]]:
    """Ask in a cell; returns what was mentioned, and the parts of the message that asks."""
    page.idle(page.run(f"%%codex --context none\n{question}"))
    *context, last = service.wait_for_request().json["input"]
    return context[-1]["content"][0]["text"] if context else "", last["content"]


def test_its_picture_its_text_and_the_cell_that_made_it_go_along(
    page: ExtendedFrontEnd, service: LocalService
) -> None:
    assert page.tell(**REGION)["ok"]
    context, (words, picture) = ask(page, service, f"Why so cheap? @region:{REGION['id']}")
    assert words["text"] == f"Why so cheap? @region:{REGION['id']}"
    assert picture["image_url"] == REGION["picture"]
    assert REGION["text"] in context
    assert "prices = {'tea': 3}" in context


def test_what_it_shows_is_masked(
    page: ExtendedFrontEnd, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.kernel.execute("import os; os.environ['SHOP_API_KEY'] = 'grapefruit-marmalade-77'")
    page.tell(**{**REGION, "text": "key\tgrapefruit-marmalade-77", "picture": ""})
    context, parts = ask(page, service, f"Why? @region:{REGION['id']}")
    assert "key\t«SECRET_1»" in context
    assert [part["type"] for part in parts] == ["input_text"]


def test_one_that_the_kernel_does_not_know_is_said(page: ExtendedFrontEnd, service: LocalService) -> None:
    ask(page, service, "Why? @region:1f3c9a2c")
    assert "This region is not known any more" in markdown(page.outputs)


@pytest.mark.parametrize(
    "picture", ["https://example.com/a.png", "data:text/html;base64,AAAA", "data:image/png;base64,<"]
)
def test_only_pictures_of_its_own_are_taken(page: ExtendedFrontEnd, picture: str) -> None:
    assert not page.tell(**{**REGION, "picture": picture})["ok"]
