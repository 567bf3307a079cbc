"""codex_magic on a real JupyterHub: installed once, two people, no port of the machine, servers culled and back."""

from __future__ import annotations

import json
import re
import socket
import stat
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.hub import Hub, User, hub
from tests.home import service_variables
from tests.service import LocalService, start

pytestmark = pytest.mark.timeout(420)

LOAD = "%load_ext codex_magic"
POLICY = 'sandbox = ["read-only"]\nalways = false\n'


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start(auto_approve=True) as service:
        yield service


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("etc") / "policy.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def running(service: LocalService, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The port that a browser sign-in would want is taken all the time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        variables = {
            **service_variables(service),
            "CODEX_MAGIC_CALLBACK_PORTS": str(taken.getsockname()[1]),
            "CODEX_MAGIC_POLICY": str(policy),
        }
        with hub(tmp_path_factory.mktemp("hub"), variables) as running:
            yield running


@pytest.fixture(scope="module")
def ana(running: Hub, service: LocalService) -> User:
    """Signed in with a code, in a notebook behind the proxy."""
    user = running.user("ana")
    with user.notebook("a.ipynb") as kernel:
        kernel.run(LOAD)
        shown = kernel.run(
            "%codex login device", until=lambda shown: bool(re.search(r"\*\*\w{4}-\w{4,5}\*\*", shown))
        )
        [code] = set(re.findall(r"\*\*(\w{4}-\w{4,5})\*\*", shown))
        service.approve_device(code, email="ana@example.com")
        assert "signed in" in kernel.run("%codex status")
    return user


@pytest.fixture(scope="module")
def ben(running: Hub, service: LocalService) -> User:
    """Signed in by the address at which his own browser ended, pasted into the widget."""
    user = running.user("ben")
    with user.notebook("b.ipynb") as kernel:
        kernel.run(LOAD)
        shown = kernel.run(
            "%codex login paste", attended=True, until=lambda shown: "Open the sign-in page" in shown
        )
        states = [json.loads(line) for line in shown.splitlines() if line.startswith('{"comm"')]
        link = unescape(re.findall(r'href=\\?"(http[^"\\]+)', shown)[-1])
        address = httpx.get(link, follow_redirects=False).headers["location"]
        [field] = {each["comm"] for each in states if "password" in str(each.get("_model_name", "")).lower()}
        update = {"method": "update", "state": {"value": address}, "buffer_paths": []}
        kernel.send("comm_msg", {"comm_id": field, "data": update})
        kernel.send(
            "comm_msg", {"comm_id": field, "data": {"method": "custom", "content": {"event": "submit"}}}
        )
        service.wait_for_request("/oauth/token", 60)
        assert "signed in" in kernel.run("%codex status")
    return user


def test_one_installation_serves_both(ana: User, ben: User) -> None:
    places = set()
    for user in (ana, ben):
        with user.notebook("where.ipynb") as kernel:
            places.add(kernel.run("import codex_magic; codex_magic.__file__"))
    assert len(places) == 1


def test_the_sign_ins_are_apart_and_nobody_elses(ana: User, ben: User) -> None:
    files = [user.home / ".codex" / "auth.json" for user in (ana, ben)]
    assert files[0].read_text() != files[1].read_text()
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert [stat.S_IMODE(file.parent.stat().st_mode) for file in files] == [0o700, 0o700]


def test_one_users_token_opens_no_notebook_of_the_other(ana: User, ben: User) -> None:
    answer = ana.http.get(str(ben.http.base_url) + "api/contents", follow_redirects=False)
    assert answer.status_code in (302, 403)


def test_what_the_administrator_bounds_holds_for_both(ana: User, ben: User, policy: Path) -> None:
    for user in (ana, ben):
        with user.notebook("bounds.ipynb") as kernel:
            kernel.run(LOAD)
            assert f"({policy}) does not allow" in kernel.run("%codex sandbox full-access")
            assert str(policy) in kernel.run("%codex status")


def test_a_culled_server_comes_back_with_the_sign_in_and_the_thread(ana: User) -> None:
    with ana.notebook("kept.ipynb") as kernel:
        kernel.run(LOAD)
        assert "before the cull" in kernel.run("%codex echo: before the cull")
    ana.cull()
    ana.start()
    with ana.notebook("kept.ipynb") as kernel:
        kernel.run(LOAD)
        assert "before the cull" in kernel.run("%codex history")
        assert "signed in" in kernel.run("%codex status")
        assert "after it" in kernel.run("%codex echo: after it")


def test_the_doctor_knows_where_it_is(ben: User) -> None:
    with ben.notebook("doctor.ipynb") as kernel:
        kernel.run(LOAD)
        report = kernel.run("%codex doctor --report")
    assert "JupyterHub" in report
    assert "[failed ]" not in report
    assert str(ben.home) not in report
