"""What a server does to the fields of its events costs a cell no text, and never its calm."""

from tests.notebook.conftest import Ask
from tests.responses.test_event_fuzz import CASES, REFUSAL, TEXT, answer
from tests.responses.wire import Wire, good, stream

CELLS = 100
"""How many of the mutations; all of them have been answered in threads."""


def test_a_cell_shows_all_text_of_an_odd_answer(run: Ask) -> None:
    wire = Wire()
    run(f"%config CodexMagics.provider = {f'{wire.url}/v1'!r}")
    run("%config CodexMagics.model = 'm'")
    cases = [case for case in CASES if case.is_visible]
    for case in cases[:: len(cases) // CELLS]:
        run("%codex new")
        before = len(wire.requests)
        wire.answer(answer(*case.events), stream(*good("Done.")))
        shown = run("%%codex\nhi")
        assert TEXT in shown, (case, shown)
        assert REFUSAL in shown, (case, shown)
        if case.is_good:
            assert "Done." in shown, (case, shown)
        assert len(wire.requests) - before <= 2, case
    wire.close()
