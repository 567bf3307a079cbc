"""A thread goes on in other kernels, and its placeholders for secrets mean there what they meant before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.kernel import Kernel
from tests.end_to_end.test_assist import payload
from tests.service import LocalService

VALUES = {"SHOP_TOKEN": "s3cret-Value-1", "BANK_TOKEN": "s3cret-Value-2", "CLUB_TOKEN": "s3cret-Value-3"}
KEY = "ghp_" + "aB3dE6gH9" * 4


@pytest.fixture
def kernel(service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    with Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic")
        yield kernel


def ask(kernel: Kernel, service: LocalService, question: str) -> str:
    kernel.execute(f"%%codex --context none\necho: {question}")
    return str(service.requests[-1].json["input"][-1]["content"][0]["text"]).removeprefix("echo: ")


def restart(kernel: Kernel) -> None:
    kernel.restart()
    kernel.execute("%load_ext codex_magic")


def test_a_secret_keeps_its_number_and_no_other_gets_it(kernel: Kernel, service: LocalService) -> None:
    assert ask(kernel, service, "s3cret-Value-1 s3cret-Value-2") == "«SECRET_1» «SECRET_2»"
    assert ask(kernel, service, KEY) == "«SECRET_3»"
    restart(kernel)
    assert ask(kernel, service, "s3cret-Value-3 s3cret-Value-2") == "«SECRET_4» «SECRET_2»"
    assert ask(kernel, service, "s3cret-Value-1") == "«SECRET_1»"
    assert ask(kernel, service, KEY) == "«SECRET_5»"  # what is known by its look alone may be another


def test_each_thread_has_numbers_of_its_own(kernel: Kernel, service: LocalService) -> None:
    assert ask(kernel, service, "s3cret-Value-1 s3cret-Value-2") == "«SECRET_1» «SECRET_2»"
    kernel.execute("%codex name first")
    kernel.execute("%codex new")
    assert ask(kernel, service, "s3cret-Value-2") == "«SECRET_1»"
    kernel.execute("%codex resume first")
    assert ask(kernel, service, "s3cret-Value-2") == "«SECRET_2»"
    kernel.execute("%codex fork")
    assert ask(kernel, service, "s3cret-Value-3") == "«SECRET_3»"


def test_code_of_an_earlier_kernel_looks_up_what_it_meant_there(
    kernel: Kernel, service: LocalService
) -> None:
    ask(kernel, service, "s3cret-Value-1")
    ask(kernel, service, 'Now:\n```python\nlog_in("s3cret-Value-2")\n```')
    restart(kernel)
    assert payload(kernel, "%codex code")[0] == ['import os\nlog_in(os.environ["BANK_TOKEN"])']


def test_a_thread_that_was_shortened_still_has_its_numbers(kernel: Kernel, service: LocalService) -> None:
    ask(kernel, service, "s3cret-Value-1")
    thread = "get_ipython().magics_manager.registry['CodexMagics'].session.blocking"
    kernel.execute(f"codex = {thread}\ncodex.thread_resume(codex.thread_list().threads[0].id).compact()")
    restart(kernel)
    assert ask(kernel, service, "s3cret-Value-2 s3cret-Value-1") == "«SECRET_2» «SECRET_1»"


@pytest.mark.parametrize("cell_id", ["a0000001", None])
def test_the_store_holds_names_and_nothing_that_a_value_can_be_guessed_from(
    service: LocalService, tmp_path: Path, cell_id: str | None
) -> None:
    """What is kept of two notebooks that differ in a password alone does not differ."""
    kept = []
    for password in ("hunter-Two-2", "hunter-Six-6"):
        with Kernel(tmp_path) as kernel:
            kernel.execute("%load_ext codex_magic\n%config CodexMagics.secrets = 'password'")
            kernel.execute(f"password = {password!r}\nraise ValueError(password)", cell_id=cell_id)
            kernel.execute("%%codex\necho: @password")
            assert password not in json.dumps(service.requests[-1].json["input"])
            session = "get_ipython().magics_manager.registry['CodexMagics'].session"
            kept.append(kernel.value(f"(s := {session}).blocking.thread_resume(s._thread.id).held()"))
    assert "'«1»': 'password'" in kept[0]
    assert kept[0] == kept[1]
