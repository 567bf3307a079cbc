"""What is said of the cells, tables and errors that a request tells of: their real names, and that it is scripted."""

from __future__ import annotations

import pytest

from codex_magic.local_service.answers import NOTICE
from tests.local_service.raw_client import RawClient, user

TABLE = (
    "# %% @sales\npandas.DataFrame, 3 rows × 3 columns\nindex: RangeIndex, int64, 0 .. 2\ncolumns:\n"
    "unit price float64: 10.5 .. 20 .. 30\nwhen datetime64[ns, UTC]: 2 distinct\ncity str: 2 distinct, 'Lima: Peru' | 'Oslo'\n"
    "first 1 of 3 rows:\nunit price,when,city\n10.5,2026-01-02,Lima: Peru"
)
CELLS = "The cells.\n\n# %% In[1]\nprices = [1, 2]\n\n# %% [markdown], below In[1]\n# Mean\n\n# %% In[2], failed\nprint(len(price))"
ERROR = "# %% The last error\nIn[2] NameError: name 'price' is not defined\n  In[2] line 1: print(len(price))"
REPORT = "# %% In[2], which failed\nprint(len(price))\n\n# The error\nNameError: name 'price' is not defined\n  In[2]"


def context(text: str, name: str = "notebook") -> dict[str, object]:
    return user(f"<external_{name}>{text}</external_{name}>")


def told(client: RawClient, question: str, *contexts: dict[str, object]) -> str:
    return client.text("", input=[*contexts, user(question)])


def test_a_table_is_told_by_its_columns(client: RawClient) -> None:
    text = told(client, "What is in @sales?", context(TABLE, "mentions"))
    assert text.startswith(NOTICE)
    assert "pandas.DataFrame, 3 rows × 3 columns" in text
    rows = ["| `unit price` | float64 |", "| `when` | datetime64[ns, UTC] |", "| `city` | str |"]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows
    assert 'sales.groupby("city")[["unit price"]]' in text


def test_a_table_is_plotted_by_its_columns(client: RawClient) -> None:
    text = told(client, "Plot @sales", context(TABLE, "mentions"))
    assert 'sales.groupby("city")["unit price"].mean().plot(kind="bar")' in text


def test_cells_are_named_once_with_how_they_ended(client: RawClient) -> None:
    assert "`In[1]`, `In[2]` (failed)." in told(client, "Write a haiku", context(CELLS))
    both = told(client, "Mend it", context(CELLS), context(REPORT, "mentions"))
    assert both.count("`In[2]`") == 2  # in the answer, and among the cells


@pytest.mark.parametrize(
    ("question", "contexts"),
    [
        ("What does the error mean?", [context(f"{CELLS}\n\n{ERROR}")]),
        ("The cell In[2] failed. Give the corrected cell.", [context(CELLS), context(REPORT, "mentions")]),
    ],
)
def test_an_error_is_mended_with_the_nearest_name(
    client: RawClient, question: str, contexts: list[dict[str, object]]
) -> None:
    text = told(client, question, *contexts)
    assert "`In[2]` failed with\n\n    NameError: name 'price' is not defined" in text
    assert "```python\nprint(len(prices))\n```" in text


def test_what_was_told_before_is_known_and_not_repeated(client: RawClient) -> None:
    earlier = [context(f"{CELLS}\n\n{ERROR}"), user("echo: hi")]
    text = told(client, "haiku", *earlier)
    assert "In[1]" not in text
    assert "print(len(prices))" in told(client, "fix it", *earlier)


def test_what_is_told_is_no_question(client: RawClient) -> None:
    text = told(client, "What did I ask so far?", context(CELLS), user("echo: hi"), context(ERROR))
    assert "1. echo: hi" in text
    assert "external" not in text


def test_what_stands_for_a_secret_is_named(client: RawClient) -> None:
    text = told(client, "Is «SECRET_2» fine?", context(f"{CELLS}\nkey = «SECRET_1»"))
    assert "it read «SECRET_1», «SECRET_2»." in text
