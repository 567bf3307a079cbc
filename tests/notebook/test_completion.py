"""Tab in a question completes mentions, and nothing of Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter

NAMESPACE = """
import math
orders, order_ids, options = [1, 2], {"first": 1, "a b": {"x": 2}}, None
class Lazy:
    kind = "lazy"
    def __init__(self): self.stored = 1
    @property
    def computed(self): raise SystemError("it was looked at")
lazy = Lazy()
def order_up(): pass
कीमत = {"a": 1}
"""


@pytest.fixture
def offered(shell, tmp_path, monkeypatch):
    """What a cell becomes with each offer at its end -> the words on the offer."""
    (tmp_path / "data").mkdir()
    for name in ("data/orders.csv", "my file.txt", "orders.py", ".hidden"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    shell.run_cell(NAMESPACE, store_history=True)
    shell.run_cell("6 * 7", store_history=True)

    def offered(cell: str) -> dict[str, str]:
        with provisionalcompleter():
            found = list(shell.Completer.completions(cell, len(cell)))
        return {cell[: each.start] + each.text: each.type.replace("\xa0", " ") for each in found}

    return offered


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        ("look at @ord", ["@order_ids", "@orders", "@orders.py", "@order_up"]),
        ("(@opt", ["@options"]),
        ("@err", ["@error"]),
        ("@abo", ["@above"]),
        ("@In[", ["@In[2]", "@In[1]"]),
        ("@Out[2", ["@Out[2]"]),
        ("@git:", ["@git:diff"]),
        ("@da", ["@data/"]),
        ("@data/", ["@data/orders.csv"]),
        ('@"my', ['@"my file.txt"']),
        ("@.hid", ["@.hidden"]),
        ('@order_ids["f', ['@order_ids["first"]']),
        ("@order_ids['f", ["@order_ids['first']"]),
        ('@order_ids["a b"]["', ['@order_ids["a b"]["x"]']),
        ("@lazy.", ["@lazy.stored", "@lazy.kind", "@lazy.computed"]),
        ("@lazy.st", ["@lazy.stored"]),
        ("@math.fl", ["@math.floor"]),
        ("@कीम", ["@कीमत"]),
        ('@कीमत["', ['@कीमत["a"]']),
        ("the ord", ["the order_ids", "the order_up", "the orders"]),
    ],
)
def test_a_mention_is_completed_anywhere_in_a_question(offered, typed, texts):
    kept = typed[: typed.index("@")] if "@" in typed else ""
    for before in ("%%codex\n", "%%codex -m local-small\nOne line,\n  ", "\n%%codex\n", "%%codex "):
        offers = [text.removeprefix(before) for text in offered(before + typed)]
        assert [text for text in offers if text != typed] == [f"{kept}{text}" for text in texts]


@pytest.mark.parametrize(
    "typed",
    ["What does pri", "import sy", "mail me@ord", "os.pa", "", "@lazy.computed.", "@gone["],
)
def test_nothing_of_python_is_offered_in_prose(offered, typed):
    cell = f"%%codex\n{typed}"
    assert set(offered(cell)) <= {cell}


def test_other_cells_are_completed_by_ipython(offered):
    assert "x = '%%codex'\norders" in offered("x = '%%codex'\nord")
    assert "%%time\norders" in offered("%%time\nord")


def test_offers_say_what_they_are(offered):
    words = offered("%%codex\n@")
    assert "list" in words["%%codex\n@orders"]
    assert words["%%codex\n@error"] == "the last error"
    assert words["%%codex\n@data/"] == "folder"
    assert list(words).index("%%codex\n@orders") < list(words).index("%%codex\n@math")


def test_a_line_is_a_question_too(offered):
    assert "%codex explain @orders" in offered("%codex explain @ord")
    assert "%codex status" in offered("%codex stat")


def test_a_completed_mention_is_one(offered, tmp_path):
    from codex_magic.context.mentions import resolve

    for text in offered("%%codex\n@"):
        mention = text.removeprefix("%%codex\n")
        if mention[-1] in "[:/":
            continue
        names = dict.fromkeys(["orders", "order_ids", "options", "lazy", "Lazy", "order_up", "math", "कीमत"])
        found = resolve(mention, names, is_file=lambda path: Path(path).is_file()).mentions
        assert [each.text for each in found] == [mention]
