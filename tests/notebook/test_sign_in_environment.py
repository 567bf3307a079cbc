"""Which way to sign in fits, and what the front end can do."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from codex_magic.notebook.environment import (
    hears_clicks,
    is_remote,
    is_run_by_server,
    may_ask,
    shows_widgets,
)
from codex_magic.notebook.login import Way, ways
from tests.notebook.shell_like import shell_like


@pytest.mark.parametrize(
    ("env", "platform", "remote"),
    [
        ({}, "darwin", False),
        ({}, "win32", False),
        ({"DISPLAY": ":0"}, "linux", False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", False),
        ({}, "linux", True),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "linux", True),
        ({"JUPYTERHUB_API_URL": "http://hub"}, "darwin", True),
        ({"CODESPACES": "true", "DISPLAY": ":0"}, "linux", True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "linux", True),
        ({"COLAB_RELEASE_TAG": "release"}, "linux", True),
    ],
)
def test_a_kernel_is_remote_where_the_users_browser_can_not_reach_it(env, platform, remote):
    assert is_remote(env, platform=platform) is remote


def test_the_fitting_way_is_first_and_none_is_missing():
    assert ways(remote=True)[0] is Way.device
    assert ways(remote=False)[0] is Way.browser
    assert set(ways(remote=True)) == set(ways(remote=False)) == set(Way)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_front_end_that_answers_questions_shows_widgets(allowed):
    kernel = SimpleNamespace(get_parent=lambda _: {"content": {"allow_stdin": allowed}})
    assert shows_widgets(shell_like(kernel=kernel)) is allowed


def test_without_ipywidgets_or_in_a_terminal_there_are_no_widgets(monkeypatch):
    kernel = SimpleNamespace(get_parent=lambda _: {"content": {"allow_stdin": True}})
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("codex_magic.notebook.environment.find_spec", lambda name: None)
    assert not shows_widgets(shell_like(kernel=kernel))
    assert not shows_widgets(shell_like())
    assert not may_ask(shell_like(kernel=SimpleNamespace(get_parent=lambda _: None)))


@pytest.mark.parametrize(
    ("cell", "names", "ipykernel", "hears"),
    [
        ("a", {}, "7.4.0", True),
        ("a", {}, "7.1.0", True),
        ("a", {}, "6.30.1", False),
        ("a", {"__vsc_ipynb_file__": "a.ipynb"}, "7.4.0", True),
        ("a", {"__vsc_ipynb_file__": "a.ipynb"}, "7.1.0", False),
        (None, {}, "7.4.0", False),
    ],
)
def test_clicks_arrive_where_the_kernel_reads_them_beside_a_cell(cell, names, ipykernel, hears):
    kernel = SimpleNamespace(get_parent=lambda _: {"metadata": {"cellId": cell}})
    shell = shell_like(kernel=kernel, user_ns=names)
    assert hears_clicks(shell, ipykernel=ipykernel) is hears


def test_a_kernel_other_than_ipykernel_is_not_trusted_to_hear_clicks(monkeypatch):
    """ipykernel may be installed beside it all the same."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    kernel = SimpleNamespace(get_parent=lambda _: {"metadata": {"cellId": "a"}})
    assert not hears_clicks(shell_like(kernel=kernel, user_ns={}))


SERVED: dict[str, Any] = {
    "msg_id": "633d633b-d98aaa80cd9bea1955e94b76_18863_2",
    "metadata": {},
    "connection_file": "/run/kernel-2f1c.json",
    "env": {"JPY_SESSION_NAME": "/home/a.ipynb", "JPY_PARENT_PID": "18863"},
    "platform": "linux",
}


@pytest.mark.parametrize(
    ("sign", "by_server"),
    [
        ({}, True),
        ({"msg_id": "2f1cbf54-93a5-4b1a-9c2e-0d0ea6e4f0a1"}, False),  # a page
        ({"msg_id": "633d633b-d98aaa80cd9bea1955e94b76_7_2"}, False),  # a console beside the page
        ({"msg_id": "633d633b-d98aaa80cd9bea1955e94b76_1886_32"}, False),
        ({"msg_id": None}, False),
        ({"metadata": {"cellId": "811bf18f"}}, False),
        ({"env": {"JPY_PARENT_PID": "18863"}}, False),
        ({"env": {"JPY_SESSION_NAME": "/home/a.ipynb"}}, True),
        ({"connection_file": "/tmp/tmphzm7j8c1.json"}, False),  # nbclient, in a cell of a notebook
        ({"connection_file": None}, False),
        ({"platform": "win32", "env": {**SERVED["env"], "JPY_PARENT_PID": "740"}}, True),  # a handle
    ],
)
def test_a_cell_that_the_server_runs_is_known_by_its_request(sign, by_server):
    case = {**SERVED, **sign}
    parent = {"header": {"msg_id": case["msg_id"]}, "metadata": case["metadata"]}
    app = SimpleNamespace(connection_file=case["connection_file"])
    shell = shell_like(kernel=SimpleNamespace(get_parent=lambda _: parent, parent=app))
    assert is_run_by_server(shell, case["env"], platform=case["platform"]) is by_server


def test_a_terminal_has_no_server():
    assert not is_run_by_server(shell_like(), SERVED["env"])
