"""Which notebook a kernel belongs to, as each front end says it."""

from types import SimpleNamespace

import pytest

from codex_magic.notebook.identity import cell_id, notebook_key


def shell(*, connection=None, metadata=None, **names):
    kernel = SimpleNamespace(
        parent=SimpleNamespace(connection_file=connection), get_parent=lambda _: {"metadata": metadata}
    )
    return SimpleNamespace(user_ns=names, kernel=kernel)


def test_jupyter_server_names_the_file(tmp_path):
    path = str(tmp_path / "a.ipynb")
    assert notebook_key(shell(connection="k.json"), {"JPY_SESSION_NAME": path}) == f"path:{path}"


def test_a_session_without_a_file_is_named_by_the_server():
    assert notebook_key(shell(), {"JPY_SESSION_NAME": "8c0f"}) == "session:8c0f"


def test_vs_code_names_the_file():
    assert notebook_key(shell(__vsc_ipynb_file__="/n/a.ipynb"), {}) == "path:/n/a.ipynb"


def test_otherwise_the_kernel_is_recognised_by_what_outlives_its_restart():
    assert notebook_key(shell(connection="/run/kernel-12ab.json"), {}) == "kernel:kernel-12ab"


def test_a_terminal_has_no_notebook():
    assert notebook_key(SimpleNamespace(user_ns={}), {}) is None
    assert cell_id(SimpleNamespace(user_ns={})) is None


@pytest.mark.parametrize(
    ("metadata", "found"),
    [({"cellId": "c1"}, "c1"), ({"cell_id": "c2"}, "c2"), ({}, None), (None, None), ({"cellId": 7}, None)],
)
def test_the_cell_is_the_one_the_front_end_named(metadata, found):
    assert cell_id(shell(metadata=metadata)) == found
