"""`%%codex` in a real kernel, over real HTTP."""

from __future__ import annotations

import re

from tests.end_to_end.held import hold
from tests.end_to_end.kernel import Kernel, markdown, outputs, state
from tests.service import LocalService

AWKWARD = """echo: Keep {this}, f"{x!r:>10}", {{twice}}, 100 % and %s, $HOME, \\alpha and \\\\, `ls -l`, 'quotes"?
const f = <T,>(x: T) => `${x}`;  // ?
>>> prompt
!echo no
%time
\\[ e^{i\\pi} = -1 \\]
What is this?"""


def questions(service: LocalService) -> list[str]:
    """The last user message of each Responses request, in order."""
    asked = [request.json for request in service.requests if request.path.endswith("/responses")]
    return [body["input"][-1]["content"][0]["text"] for body in asked]


def test_an_answer_is_one_output_that_every_front_end_can_show(notebook: Kernel) -> None:
    found = notebook.execute("%%codex\necho: Hello **there**, $x^2$")
    assert len(found) == 1
    assert set(found[0]["data"]) == {"application/vnd.codex-magic.v1+json", "text/markdown", "text/plain"}
    assert "Hello **there**" in found[0]["data"]["text/markdown"]
    assert state(found) == "done"


def test_a_prompt_arrives_as_it_was_typed(notebook: Kernel, service: LocalService) -> None:
    notebook.execute(f"%%codex\n{AWKWARD}")
    assert questions(service) == [AWKWARD]


def test_the_thread_is_kept_from_cell_to_cell(notebook: Kernel) -> None:
    notebook.execute("%codex echo: My name is Ada.")
    found = notebook.execute("%%codex\nWhat did I ask so far?")
    assert "My name is Ada." in markdown(found)


def test_running_a_cell_again_replaces_its_turn(notebook: Kernel) -> None:
    notebook.execute("%%codex\necho: first try", cell_id="one")
    notebook.execute("%%codex\necho: second try", cell_id="one")
    asked = markdown(notebook.execute("%%codex\nWhat did I ask so far?", cell_id="two"))
    assert "second try" in asked
    assert "first try" not in asked


def test_an_answer_is_bound_to_a_name_and_out_stays_pythons(notebook: Kernel) -> None:
    notebook.execute("6 * 7")
    notebook.execute("%%codex -o answer\necho: forty-two")
    assert notebook.value("answer.final_response") == "'forty-two'"
    assert notebook.value("answer.status.value, _") == "('completed', 42)"


def test_a_cell_timed_by_another_magic_answers_too(notebook: Kernel) -> None:
    found = notebook.execute("%%time\nget_ipython().run_cell_magic('codex', '', 'echo: timed')")
    assert "timed" in markdown(found)


def test_an_error_is_a_sentence_and_no_traceback(notebook: Kernel, service: LocalService) -> None:
    service.faults.next("usage_limit", resets_in=3600)
    found = outputs(notebook.messages(notebook.send("%%codex\nhello", cell_id="one", allow_stdin=True)))
    assert "limit" in markdown(found)
    assert state(found) == "error"
    assert [output["output_type"] for output in found] == ["display_data"]


def test_where_nobody_answers_questions_the_sentence_is_an_error_too(notebook: Kernel) -> None:
    shown, failure = notebook.execute("%codex resume nowhere")
    assert "There is no thread 'nowhere'." in markdown([shown])
    [line] = failure["traceback"]
    assert line.startswith("CellFailed: There is no thread 'nowhere'.")


def test_not_signed_in_says_what_to_do(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    assert "codex login" in markdown(kernel.execute("%%codex\nhello"))


def test_the_stop_button_ends_a_cell_and_keeps_what_was_said(notebook: Kernel, service: LocalService) -> None:
    hold(service, after=5)
    request = notebook.send("%%codex\necho: said before the stop, and the rest of it after")
    seen = []
    for message in notebook.messages(request):
        seen.append(message)
        if "said before the " in str(message["content"].get("data")):
            notebook.interrupt()
    found = outputs(seen)
    assert [output["output_type"] for output in found] == ["display_data"]
    assert state(found) == "interrupted"
    assert "said before the" in markdown(found)


def test_continue_goes_on_from_an_interrupted_answer(notebook: Kernel, service: LocalService) -> None:
    test_the_stop_button_ends_a_cell_and_keeps_what_was_said(notebook, service)
    service.release()
    notebook.execute("%codex continue")
    before = str(service.requests[-1].json["input"])
    assert "said before the" in before
    assert "after" not in before.split("said before the", 2)[2]


def test_the_thread_comes_back_after_a_kernel_restart(notebook: Kernel) -> None:
    notebook.execute("%codex echo: before the restart")
    notebook.restart()
    notebook.execute("%load_ext codex_magic")
    assert "before the restart" in markdown(notebook.execute("%%codex\nWhat did I ask so far?"))


def test_two_notebooks_share_one_store_and_keep_their_threads_apart(
    notebook: Kernel, other_notebook: Kernel
) -> None:
    pending = [
        (asker, asker.send(f"%%codex --name {name}\necho: from {name}"))
        for asker, name in ((notebook, "one"), (other_notebook, "two"))
    ]
    answers = [markdown(outputs(asker.messages(request))) for asker, request in pending]
    assert ["from one" in answers[0], "from two" in answers[1]] == [True, True]
    listed = markdown(notebook.execute("%codex threads"))
    assert "one" in listed
    assert "two" in listed
    assert "from two" not in markdown(notebook.execute("%%codex\nWhat did I ask so far?"))


def test_a_thread_can_be_taken_over_by_another_notebook(notebook: Kernel, other_notebook: Kernel) -> None:
    notebook.execute("%%codex --name shared\necho: asked in the first")
    other_notebook.execute("%codex resume shared")
    other_notebook.execute("%codex echo: asked in the second")
    found = markdown(notebook.execute("%%codex\nWhat did I ask so far?"))
    assert "asked in the first" in found
    assert "asked in the second" in found


def test_the_list_of_threads_names_what_a_fork_comes_from(notebook: Kernel) -> None:
    notebook.execute("%codex echo: shared")
    notebook.execute("%codex fork")
    table = markdown(notebook.execute("%codex threads"))
    rows = [re.findall("<td>(.*?)</td>", line) for line in table.splitlines() if "shared" in line]
    (_, fork, about_fork, turns, _), (_, original, about_original, _, _) = rows
    assert turns == "1"
    assert fork != original
    assert (about_fork, about_original) == (f"echo: shared (a fork of {original})", "echo: shared")
