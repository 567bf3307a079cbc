"""A function of the user's that the model may call: `@codex_magic.tool`, on both engines, and `%codex tools`."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.peers.agent import as_provider, use

DEFINED = '''\
import codex_magic
seen = []

@codex_magic.tool
def price_of(city: str, nights: int = 1) -> float:
    """The price of a room."""
    seen.append((city, nights))
    return 41.5 * nights
'''


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute(DEFINED)
    return ExtendedFrontEnd(kernel)


def question(name: str = "price_of", *, options: str = "", **arguments: object) -> str:
    return f"%%codex {options}\n{use(name, **arguments)}"


def answer(page: ExtendedFrontEnd, cell: str, label: str) -> str:
    """Run a cell and answer its question; returns what is read then."""
    before, request = len(page.outputs), page.run(cell)
    page.choose(page.card(page.attach()), label)
    page.idle(request)
    return words(markdown(page.outputs[before:]))


def words(shown: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", shown))


def unasked(page: ExtendedFrontEnd, cell: str) -> str:
    before = len(page.outputs)
    page.idle(page.run(cell))
    return words(markdown(page.outputs[before:]))


def test_a_call_asks_first_and_its_result_is_a_step(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    shown = answer(page, question(city="Lima", nights=2), "Approve")
    assert 'Called price_of(city="Lima", nights=2)' in shown
    assert "83.0" in shown
    assert kernel.value("seen") == "[('Lima', 2)]"


def test_a_no_calls_nothing_and_the_model_hears_of_it(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    shown = answer(page, question(city="Lima"), "Decline")
    assert "Not called: declined price_of" in shown
    assert "The user declined this call." in shown
    assert kernel.value("seen") == "[]"


def test_a_yes_for_the_session_holds_for_later_calls_of_this_tool_alone(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    kernel.execute("@codex_magic.tool\ndef other() -> int:\n    return 7")
    answer(page, question(city="Lima"), "Approve for this session")
    unasked(page, question(city="Oslo"))
    assert kernel.value("seen") == "[('Lima', 1), ('Oslo', 1)]"
    assert "declined" in answer(page, question("other"), "Decline")


def test_nobody_there_is_a_no_and_its_author_may_let_it_run_unasked(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute(DEFINED)
    assert "nobody" in markdown(kernel.execute(question(city="Lima")))
    assert kernel.value("seen") == "[]"
    kernel.execute("price_of = codex_magic.tool(price_of, needs_approval=False)")
    assert "41.5" in markdown(kernel.execute(question(city="Lima")))
    assert kernel.value("seen") == "[('Lima', 1)]"


QUIET = "@codex_magic.tool(needs_approval=False)\n"

KINDS = '''\
import asyncio, dataclasses, enum, typing
import pydantic

class Room(pydantic.BaseModel):
    beds: int

@dataclasses.dataclass
class Guest:
    name: str

class Stay(typing.TypedDict):
    nights: int

@codex_magic.tool(needs_approval=False)
async def book(room: Room, guests: list[Guest], stay: Stay, view: typing.Literal["sea", "yard"] = "sea"):
    """Book."""
    await asyncio.sleep(0)
    return {"text": f"{room!r} {guests!r} {stay!r} {view}"}
'''


def test_arguments_are_values_of_the_types_in_the_signature(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    kernel.execute(KINDS)
    shown = unasked(page, question("book", room={"beds": 2}, guests=[{"name": "Ana"}], stay={"nights": 3}))
    assert "Room(beds=2) [Guest(name='Ana')] {'nights': 3} sea" in shown
    assert "do not fit" in unasked(page, question("book", room={"beds": "many"}, guests=[], stay={}))


def test_an_exception_is_told_to_the_model_and_the_answer_goes_on(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    kernel.execute(f"{QUIET}def broken():\n    raise LookupError('no such city')")
    shown = unasked(page, question("broken"))
    assert "Failed broken()" in shown
    assert "LookupError: no such city" in shown
    assert kernel.value("__import__('sys').exc_info()") == "(None, None, None)"


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        (f"{QUIET}def price_of(city: str):\n    return 'anew'", "price_of", "anew"),
        (
            f"{QUIET}def price_of(city: str):\n    return 'kept'\nfare = price_of\ndel price_of",
            "price_of",
            "kept",
        ),
        ("from tools_here import price_of", "price_of", "imported"),
    ],
)
def test_what_a_name_holds_when_the_question_is_asked_is_called(
    page: ExtendedFrontEnd, kernel: Kernel, tmp_path: Path, change: str, name: str, told: str
) -> None:
    module = f"import codex_magic\n{QUIET}def price_of(city: str):\n    return 'imported'\n"
    (tmp_path / "tools_here.py").write_text(module)
    kernel.execute(change)
    assert told in unasked(page, question(name, city="Lima"))


def test_a_tool_of_a_module_that_is_loaded_again_is_the_new_one(
    page: ExtendedFrontEnd, kernel: Kernel, tmp_path: Path
) -> None:
    module = f"import codex_magic\n{QUIET}def state_of(city: str):\n    return 'version 1'\n"
    (tmp_path / "tools_here.py").write_text(module)
    kernel.execute("import tools_here, importlib\nfrom tools_here import state_of")
    assert "version 1" in unasked(page, question("state_of", city="Lima"))
    (tmp_path / "tools_here.py").write_text(module.replace("version 1", "another version"))
    kernel.execute("importlib.reload(tools_here)")
    assert "another version" in unasked(page, question("state_of", city="Lima"))


def test_what_was_deleted_turned_off_or_has_a_taken_name_is_not_offered(
    page: ExtendedFrontEnd, kernel: Kernel
) -> None:
    kernel.execute(f"{QUIET}def quick():\n    return 'seventy'")
    assert "seventy" in unasked(page, question("quick"))
    assert "is off" in unasked(page, "%codex tools off quick")
    assert "seventy" not in unasked(page, question("quick"))
    unasked(page, "%codex tools on quick")
    assert "seventy" in unasked(page, question("quick"))
    kernel.execute("del quick")
    assert "seventy" not in unasked(page, question("quick"))
    kernel.execute(f"{QUIET}def read_file(path: str):\n    return 'mine'")
    assert "not offered" in unasked(page, "%%codex\necho: x")
    assert "not offered" not in unasked(page, "%%codex\necho: x")


def test_the_list_tells_what_was_called_and_with_what_result(page: ExtendedFrontEnd, kernel: Kernel) -> None:
    kernel.execute(f"{QUIET}def quick():\n    return 'seventy'")
    unasked(page, question("quick"))
    unasked(page, question("quick"))
    answer(page, question(city="Lima"), "Decline")
    unasked(page, "%codex tools")
    shown = "\n".join(output["data"]["text/plain"] for output in page.outputs if "data" in output)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "2" in rows["quick"].split()
    assert "seventy" in rows["quick"]
    assert "does not ask" in rows["quick"]
    assert "0" in rows["price_of"].split()
    assert "declined" in rows["price_of"]
    assert {"list_variables", "run_python", "add_cell", "edit_cell", "run_cell"} < rows.keys()
    assert "is off" in unasked(page, "%codex tools off edit_cell")


@pytest.mark.peer
def test_the_agent_calls_them_too(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("codex_cli_bin")
    with as_provider(home, monkeypatch) as service, Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic")
        kernel.execute(f"%codex provider {service.api_url}")
        kernel.execute("%codex model gpt-5.5")
        kernel.execute(DEFINED)
        page = ExtendedFrontEnd(kernel)
        agents = "--agent"
        unasked(page, "%%codex --agent\necho: first")
        shown = answer(page, question(city="Lima", options=agents), "Approve for this session")
        assert 'Called price_of(city="Lima")' in shown
        assert "41.5" in shown
        unasked(page, question(city="Oslo", options=agents))
        assert kernel.value("seen") == "[('Lima', 1), ('Oslo', 1)]"
        unasked(page, "%codex tools off price_of")
        unasked(page, question(city="Rome", options=agents))
        assert kernel.value("len(seen)") == "2"
