"""The `%codex` commands, in a real shell against the local service."""

import re

import pytest
from IPython.core.completer import provisionalcompleter
from rich.cells import cell_len

from codex_magic.notebook.commands import offers
from codex_magic.notebook.magics import loaded
from codex_magic.notebook.options import CELL_OPTIONS
from tests.known import some


@pytest.fixture
def asked(service, run):
    """A shell whose thread has two turns."""
    run("%%codex\necho: the first answer")
    run("%codex echo: the second answer")
    return run


def test_history_lists_the_turns_and_show_shows_one_again(asked):
    assert "the first answer" in asked("%codex history")
    assert "the second answer" in asked("%codex show")
    assert "the first answer" in asked("%codex show 1")
    assert "2 turns" in asked("%codex show 9")


def test_a_new_thread_knows_nothing_and_the_old_one_can_be_resumed_by_name(asked):
    asked("%codex name my first")
    asked("%codex new")
    assert "empty" in asked("%codex history")
    assert "2 turns so far" in asked('%codex resume "my first"')


def test_threads_marks_the_current_one_and_searches(asked):
    asked("%codex name pandas")
    asked("%codex new")
    listed = asked("%codex threads")
    assert listed.index("→") < listed.index("pandas")
    _, other = re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}(?=  )", listed)
    assert f"%codex resume {other}" in listed
    assert "pandas" in asked("%codex threads PANDAS")
    assert "→" not in asked("%codex threads pandas")


def test_a_fork_shares_the_past_and_the_original_stays(asked):
    asked("%codex name original")
    assert "2 turns" in asked("%codex fork")
    asked("%codex echo: only in the fork")
    asked("%codex resume original")
    assert "only in the fork" not in asked("%codex history")


def test_the_list_names_the_thread_that_a_fork_comes_from(asked):
    (original,) = threads(asked)
    asked("%codex fork")
    fork, _ = threads(asked)
    assert f"(a fork of {original})" in row_of(asked, fork)
    assert "a fork" not in row_of(asked, original)
    asked("%codex name another way")
    asked("%codex fork")
    assert f"another way (a fork of {original})" in row_of(asked, fork)
    again = next(each for each in threads(asked) if each not in (original, fork))
    assert f"(a fork of {fork})" in row_of(asked, again)


def threads(run):
    """The ids in the list, as they are shown there."""
    return re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}(?=  )", run("%codex threads"))


def row_of(run, thread):
    """The row that begins with this id."""
    (row,) = [line for line in run("%codex threads").splitlines() if re.match(rf"(→|)\s*{thread}  ", line)]
    return row


def test_archived_threads_leave_the_list_and_come_back(asked):
    asked("%codex name old")
    asked("%codex archive old")
    assert "old" not in asked("%codex threads")
    assert "old" in asked("%codex threads --archived")
    asked("%codex unarchive old")
    assert "old" in asked("%codex threads")


def test_one_cell_can_ask_elsewhere_and_name_it(asked):
    asked("%%codex --new --name side\necho: aside")
    asked("%codex new")
    asked("%%codex --thread side\necho: back again")
    assert "aside" in asked("%codex history")


def test_status_names_provider_model_account_thread_and_limits(asked):
    status = asked("%codex status")
    words = ("chatgpt", "local-large", "%codex account", "Plus plan", "of the week left", "threads.db")
    assert [word for word in words if word not in status] == [], status


def test_models_lists_the_catalog_without_the_hidden_ones(service, run):
    listed = run("%codex models")
    assert "local-large" in listed
    assert "local-hidden" not in listed


def test_model_and_effort_hold_for_the_notebook_and_options_for_the_cell(asked, service):
    asked("%codex model local-small")
    asked("%codex effort low")
    asked("%codex echo: a")
    asked("%codex -m local-large --verbosity low echo: b")
    first, second = [r.json for r in service.requests if r.path.endswith("/responses")][-2:]
    assert (first["model"], first["reasoning"]["effort"]) == ("local-small", "low")
    assert (second["model"], second["text"]["verbosity"]) == ("local-large", "low")


def test_instructions_are_the_users_to_change(run, service):
    run("%config CodexMagics.instructions = 'Answer in verse.'")
    run("%codex echo: a")
    run("%%codex -i 'Answer in prose.'\necho: b")
    sent = [r.json["instructions"] for r in service.requests if r.path.endswith("/responses")]
    assert sent == ["Answer in verse.", "Answer in prose."]


def test_the_local_service_needs_no_account(run):
    assert "127.0.0.1" in run("%codex provider local")
    assert "words" in run("%codex echo: words")
    assert "made-up account" in run("%codex status")


def test_help_names_every_command(run):
    listed = re.findall(r"%codex ([a-z]+)\b", run("%codex help"))
    assert set(TAKES) <= set(listed)
    assert {name for name in TAKES if run(f"%codex help {name}").startswith(f"%codex {name}")} == set(TAKES)


def test_the_columns_of_the_help_begin_below_their_heads(run):
    lines = run("%codex help").splitlines()
    at = next(line for line in lines if line.startswith("Command ")).index("What")
    assert next(line for line in lines if line.startswith("%codex new")).index("start a new") == at


def test_the_answer_is_bound_and_out_stays_pythons(run, shell, service):
    run("21 * 2")
    run("%%codex -o answer\necho: bound")
    assert shell.user_ns["answer"].final_response == "bound"
    assert shell.user_ns["_"] == 42


TAKES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("new threads name history show continue logout account usage status models".split(), ()),
    **dict.fromkeys("approvals approve decline".split(), ()),
    **dict.fromkeys("turns steer stop undo debug fix explain review test doc optimize code".split(), ()),
    **dict.fromkeys("resume fork archive".split(), ("mine",)),
    "unarchive": ("old",),
    "login": ("device", "browser", "paste", "key"),
    "provider": ("chatgpt", "openai", "local"),
    "model": ("local-large", "local-small"),
    "effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
    "engine": ("backend", "app-server"),
    "sandbox": ("read-only", "workspace-write", "full-access"),
    "approval": ("ask", "untrusted", "deny", "auto"),
    "reads": ("ask", "yes", "no"),
    "runs": ("ask", "probes", "no"),
    "tools": ("on", "off"),
    "answers": ("auto", "keep", "new", "replay"),
    **dict.fromkeys("cwd prompts".split(), ("there/",)),
    "peek": (),
    "doctor": ("--offline", "--report"),
    **dict.fromkeys("peek provenance trace export".split(), ()),
    "help": ("help", "new"),
}
"""Every command, and words that may stand behind it."""


@pytest.fixture
def session(asked, shell, tmp_path, monkeypatch):
    """One whose thread is called `mine`, beside an archived one; in a folder with one below it."""
    asked("%codex name mine")
    (mine,) = threads(asked)
    asked("%codex new")
    asked("%codex echo: in another")
    (old,) = set(threads(asked)) - {mine}
    asked(f"%codex archive {old}")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TAKES, "unarchive", (old,))
    return some(loaded(shell)).session


def test_every_command_is_completed_with_what_it_takes(session):
    assert set(some(offers(session, "%codex ", ""))) == set(TAKES)
    for name, words in TAKES.items():
        offered = some(offers(session, f"%codex {name} ", ""))
        assert set(words) <= set(offered), name
        assert words or offered == [], name


def test_what_is_typed_is_completed(session):
    assert offers(session, "%codex stat", "stat") == ["status"]
    assert "--model" in some(offers(session, "%%codex --m", "--m"))
    assert "local-large" in some(offers(session, "%%codex -m local", "local"))
    assert "high" in some(offers(session, "%%codex -e h", "h"))
    assert offers(session, "%codex resume m", "m") == ["mine"]
    assert offers(session, "%codex tools off run", "run") == ["run_cell", "run_python"]
    assert offers(session, "%%codex explain th", "th") is None


def completions(shell, line):
    with provisionalcompleter():
        return [each.text for each in shell.Completer.completions(line, len(line))]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%codex stat", {"status"}),
        ("%%codex --ef", {"--effort"}),
        ("%%codex --", {f"--{option.name}" for option in CELL_OPTIONS}),
        ("%codex ", set(TAKES)),
        ("%codex engine ", {"backend", "app-server"}),
        ("%codex model lo", {"lo"}),
        ("    %codex login d", {"device"}),
    ],
)
def test_the_shell_completes_on_tab_with_ours_alone(shell, line, offered):
    """What has no end of ours is offered as it stands, so that nothing else is."""
    assert set(completions(shell, line)) == offered


def test_a_question_and_other_code_are_completed_by_ipython(shell):
    shell.run_cell("orders = 1")
    assert "--effort" not in completions(shell, "%%codex explain --ef")
    assert "orders" in completions(shell, "print(ord")


def test_unloading_takes_everything_away(shell):
    shell.extension_manager.unload_extension("codex_magic")
    assert shell.find_line_magic("codex") is None
    assert shell.Completer.custom_matchers == []
    assert loaded(shell) is None
    assert shell.custom_exceptions == ()
    shell.extension_manager.load_extension("codex_magic")


def test_an_answer_is_continued_with_the_options_of_a_cell(asked):
    assert "agent" in asked("%codex continue --sandbox full-access")
    assert "options only" in asked("%codex continue -m local-small with it")


def test_help_names_every_option_and_a_mistyped_one_gets_one_line(asked):
    assert [option.name for option in CELL_OPTIONS if f"--{option.name}" not in asked("%codex help")] == []
    assert len(asked("%%codex --modle x\nhi").splitlines()) == 1


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("page", ["threads", "history", "status", "help", "models"])
def test_a_table_fits_the_terminal(asked, monkeypatch, columns, page):
    asked("%codex name 売上の分析 " + "and everything about it " * 9)
    asked("%codex fork")
    asked("%codex " + "echo: 長い質問 " * 20)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = asked(f"%codex {page}")
    shown = "\n".join(line for line in shown.splitlines() if "/" not in line)  # a path is never broken in two
    assert max(map(cell_len, shown.splitlines())) <= columns
    if page == "threads":
        assert len(re.findall("a fork of", shown)) == 1
        assert len(shown.strip().splitlines()) == 5


def test_a_continuation_is_not_shown_as_our_own_words(asked):
    asked("%codex continue")
    assert "↳ continued" in asked("%codex history")


def test_threads_tells_how_many_turns_there_are(asked):
    assert re.search(r"the first answer +2 +just now", asked("%codex threads"))


def test_a_fork_counts_the_turns_that_it_shares_and_its_own(asked):
    asked("%codex fork")
    asked("%codex echo: only here")
    counts = re.findall(r" (\d) +just now", asked("%codex threads"))
    assert sorted(counts) == ["2", "3"]


def test_a_list_of_names_alone_is_no_list_of_titles(shell, capsys):
    some(loaded(shell)).session.screen.table(("Model", "", "Effort"), [("a", "", ""), ("b", "", "")])
    assert capsys.readouterr().out.split("\n") == ["Model", "a", "b", ""]
