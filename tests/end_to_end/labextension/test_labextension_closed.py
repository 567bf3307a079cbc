"""A change of cells waits for a person while the notebook's page is closed, and nothing is done meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from codex_magic.context.cells import digest_of
from tests.end_to_end.browser import Opener, Visit
from tests.end_to_end.lab import EXTENDED
from tests.end_to_end.labextension.test_labextension_cells import (
    LOAD,
    SOURCE,
    answer,
    card,
    edit,
    opened,
    press,
    proposal,
    sources,
)
from tests.peers.agent import use

__all__ = ["opened"]  # a fixture

pytestmark = [pytest.mark.timeout(300), *EXTENDED]

CHANGES: dict[str, tuple[str, str, str]] = {
    "edit_cell": (edit(), "Change cell [ ]?", "Apply"),
    "delete_cell": (
        use("delete_cell", cell="1", expected_revision=digest_of(SOURCE, 4)),
        "Delete cell [ ]?",
        "Delete",
    ),
}


def box(visit: Visit) -> Locator:
    """The question, which for a change of a cell stands at that cell."""
    return card(visit).or_(proposal(visit))


def close(visit: Visit) -> None:
    """Close the tab of the browser; the kernel and its cell go on."""
    visit.save()
    visit.page.close()


def open_again(visit: Visit) -> None:
    visit.page = visit.context.new_page()
    visit.open()


@pytest.mark.parametrize("name", CHANGES)
def test_its_card_is_there_again_and_is_answered_once(opened: Opener, name: str) -> None:
    order, title, label = CHANGES[name]
    visit = opened(order)
    expect(box(visit)).to_contain_text(title)
    before = sources(visit)
    close(visit)
    open_again(visit)
    expect(box(visit)).to_contain_text(title)
    expect(box(visit)).to_have_count(1)
    assert sources(visit) == before
    press(box(visit), label)
    expect(box(visit)).to_have_count(0)
    expect(answer(visit)).to_contain_text("approved")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    assert DONE[name](sources(visit), before)


Done = Callable[[list[str], list[str]], bool]
DONE: dict[str, Done] = {
    "edit_cell": lambda now, before: now == [LOAD, SOURCE.replace("x = 1", "x = 10"), before[2]],
    "delete_cell": lambda now, before: now == [LOAD, before[2]],
}
