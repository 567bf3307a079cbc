"""What would be sent, and what was: shown part by part, and nothing leaves for it."""

import pytest

SECRET = "zH7kQ2vN9xW4mB6tR1pY"


@pytest.fixture
def requests(service):
    return lambda: [each for each in service.requests if each.path.endswith("/responses")]


def test_a_dry_cell_shows_the_request_by_its_parts_and_nothing_leaves(shell, run, service, monkeypatch):
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)
    shell.run_cell(f"orders = {{'key': '{SECRET}'}}", store_history=True)
    before = len(service.requests)
    told = run("%%codex --dry\nWhy @orders?")
    assert len(service.requests) == before
    for part in ("instructions", "context", "mentions", "prompt", "tools", "all"):
        assert part in told
    assert "Why @orders?" in told
    assert "# %% In[" in told
    assert "1 secret: PLANTED_API_KEY" in told
    assert SECRET not in told


def test_a_dry_cell_makes_no_thread_and_changes_nothing_that_is_sent(shell, run, requests):
    shell.run_cell("x = 1", store_history=True)
    run("%%codex --dry\necho: hi")
    assert "No threads yet" in run("%codex threads")
    assert "Sent: 1 cell" in run("%%codex\necho: hi")
    assert len(requests()) == 1


def test_the_last_request_can_be_looked_at(shell, run, requests):
    assert "Nothing was sent" in run("%codex peek")
    shell.run_cell("x = 1", store_history=True)
    run("%%codex\necho: a")
    shell.run_cell("y = 2", store_history=True)
    run("%%codex\necho: b")
    sent = requests()[-1].json
    told = run("%codex peek")
    contexts = [item["content"][0]["text"] for item in sent["input"] if item.get("role") == "user"]
    assert contexts[-2].removeprefix("<external_notebook>").removesuffix("</external_notebook>") in told
    assert "x = 1" not in told  # it is in the thread
    assert "1 turn" in told
    assert sent["instructions"].splitlines()[0] in told
    assert len(requests()) == 2


def test_the_share_of_the_models_window_is_told(run, service):
    run("%%codex\necho: a")
    assert "% of the " in run("%codex peek")


def test_a_dry_cell_of_the_agent_starts_no_program(run, service):
    before = len(service.requests)
    assert "the Codex program's own" in run("%%codex --dry --agent\nList the files.")
    assert len(service.requests) == before
