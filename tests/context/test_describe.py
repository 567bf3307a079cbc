"""Values as a model reads them, whatever the values do."""

from __future__ import annotations

from codex_magic.context.describe import describe


def test_a_list_says_how_much_it_holds_and_what() -> None:
    description = describe(list(range(100_000)), name="numbers")
    assert description.text.startswith("numbers: list of 100,000 entries (int)")
    assert "0, 1, 2" in description.text
