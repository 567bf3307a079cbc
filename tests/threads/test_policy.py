"""What an administrator's file bounds holds for threads, bare requests, values and the agent alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import codex_magic
from codex_magic import Client, Codex, CodexConfig
from codex_magic.protocol.errors import CodexError, ConfigurationError, OptionError
from codex_magic.protocol.policy import VARIABLE, places
from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import ApprovalRequest, CommandExecution, Decision, ToolCall
from codex_magic.responses.provider import custom
from tests.home import QUIET
from tests.service import LocalService, start

Write = Callable[[str], Path]


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a policy that holds here."""
    path = tmp_path / "policy.toml"
    monkeypatch.setenv(VARIABLE, str(path))

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write


def refusal(use: Callable[[], object]) -> OptionError:
    with pytest.raises(OptionError) as caught:
        use()
    return caught.value


def turn(**options: object) -> object:
    with Codex() as codex:
        return codex.thread_start().run("Hello", **options)  # type: ignore[arg-type]  # some are wrong


def agent_turn(**options: object) -> object:
    with Codex(CodexConfig(engine="app-server")) as codex:
        return codex.thread_start(**options).run("Hello")  # type: ignore[arg-type]  # some are wrong


def overridden(setting: str) -> object:
    with Codex(CodexConfig(engine="app-server", config_overrides=(setting,))) as codex:
        return codex.thread_start().run("Hello")


def request(**options: object) -> object:
    with Client() as client:
        return client.responses.create("Hello", **options)  # type: ignore[call-overload]  # some are wrong


def picture(model: str) -> object:
    with Client() as client:
        return client.images.generate("A cat", model=model)


def test_nothing_is_bounded_without_a_policy(service: LocalService) -> None:
    assert turn(model="local-small")


def test_the_refusal_names_the_file_what_it_allows_and_whom_to_ask(
    service: LocalService, policy: Write
) -> None:
    path = policy('model = ["local-small"]\ncontact = "help@example.org"')
    error = refusal(lambda: turn(model="local-large"))
    assert str(path) in error.message
    assert "local-large" in error.message
    assert "local-small" in error.hint
    assert "help@example.org" in error.hint


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda: turn(model="local-large"), id="a turn"),
        pytest.param(lambda: agent_turn(model="local-large"), id="a turn of the agent"),
        pytest.param(lambda: codex_magic.ask("Hello", model="local-large"), id="ask"),
        pytest.param(lambda: request(model="local-large"), id="a request"),
        pytest.param(lambda: request(extra_body={"model": "local-large"}), id="extra_body"),
        pytest.param(lambda: picture("local-large"), id="a picture"),
    ],
)
def test_a_model_outside_is_refused_before_anything_is_sent(
    service: LocalService, policy: Write, use: Callable[[], object]
) -> None:
    policy('model = ["local-s*"]')
    refusal(use)
    assert [each for each in service.requests if each.method == "POST"] == []


def test_the_default_is_a_model_that_is_allowed(service: LocalService, policy: Write) -> None:
    policy('model = ["local-small"]')
    turn()
    assert service.wait_for_request().json["model"] == "local-small"


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda: Codex(CodexConfig(provider="http://127.0.0.1:1/v1")).models(), id="codex"),
        pytest.param(lambda: turn(model_provider="http://127.0.0.1:1/v1"), id="a turn"),
        pytest.param(lambda: turn(model_provider=custom("http://127.0.0.1:1/v1")), id="a Provider"),
        pytest.param(lambda: agent_turn(model_provider="http://127.0.0.1:1/v1"), id="the agent"),
        pytest.param(lambda: agent_turn(model_provider=custom("http://127.0.0.1:1/v1")), id="its Provider"),
        pytest.param(
            lambda: (
                Codex(CodexConfig(engine="app-server", config_overrides=('model_provider="x"',)))
                .thread_start()
                .run("Hello")
            ),
            id="its configuration",
        ),
        pytest.param(lambda: codex_magic.ask("Hello", provider="http://127.0.0.1:1/v1"), id="ask"),
        pytest.param(lambda: Client(custom("http://127.0.0.1:1/v1")), id="a client"),
    ],
)
def test_a_server_outside_is_refused(service: LocalService, policy: Write, use: Callable[[], object]) -> None:
    policy(f'provider = ["{service.base_url}"]')
    refusal(use)
    assert turn()


def test_a_name_stands_for_the_real_address_and_no_variable_moves_it(
    service: LocalService, policy: Write
) -> None:
    """`CODEX_MAGIC_BASE_URL` is the local service's here."""
    policy('provider = ["chatgpt"]')
    assert service.base_url in refusal(turn).message
    policy('provider = ["local"]')
    assert turn()


def test_an_engine_outside_is_refused(service: LocalService, policy: Write) -> None:
    policy('engine = ["backend"]')
    refusal(agent_turn)
    refusal(lambda: turn(engine="app-server"))
    assert turn()
    policy('engine = ["app-server"]')
    refusal(turn)
    refusal(lambda: codex_magic.ask("Hello"))


@pytest.mark.parametrize(
    "options",
    [
        {"sandbox": "full-access"},
        {"sandbox": "workspace-write"},
        {"config": {"sandbox_mode": "danger-full-access"}},
        {"config": {"permissions.x": {}}},
        {"approval_mode": "auto_review"},
        {"approval_mode": "untrusted", "approvals": lambda request: "accept"},
        {"config": {"approval_policy": "never"}},
    ],
)
def test_the_agents_bounds_hold_whatever_they_are_called(
    service: LocalService, policy: Write, options: dict[str, object]
) -> None:
    policy('sandbox = ["read-only"]\napproval = ["ask"]')
    refusal(lambda: agent_turn(**options))
    refusal(lambda: overridden("sandbox_mode='danger-full-access'"))


@pytest.mark.peer("openai-codex-cli-bin")
def test_what_nobody_chose_is_not_what_the_programs_own_file_says(
    policy: Write, home: Path, tmp_path: Path
) -> None:
    """Without a policy its config.toml decides for a script."""
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(f'sandbox_mode = "danger-full-access"\n{QUIET}')
    folder = tmp_path / "work"
    folder.mkdir()
    prompt = 'use the tool exec_command with {"cmd": "touch made"}'

    def run(service: LocalService) -> bool:
        with Codex(CodexConfig(engine="app-server", provider=service.api_url, cwd=str(folder))) as codex:
            codex.thread_start(model="gpt-5.5").run(prompt)
        return (folder / "made").exists()

    with start(open_access=True) as service:
        policy('sandbox = ["read-only"]')
        assert not run(service)
        policy("")
        assert run(service)


@pytest.mark.parametrize("answer", [Decision.accept, Decision.accept_for_session])
def test_a_yes_for_longer_holds_once_where_the_policy_says_so(
    service: LocalService, policy: Write, answer: Decision
) -> None:
    policy("always = false")
    asked: list[ApprovalRequest] = []

    def approve(request: ApprovalRequest) -> Decision:
        asked.append(request)
        return answer

    def double(number: int) -> int:
        """Return twice the number."""
        return 2 * number

    tool = codex_magic.tool(double, needs_approval=True)
    with Codex() as codex:
        thread = codex.thread_start(approvals=approve, tools=[tool])
        results = [thread.run('use the tool double with {"number": 4}') for _ in range(2)]
    calls = [
        each for result in results for each in result.items if isinstance(each, ToolCall | CommandExecution)
    ]
    assert [call.status for call in calls] == ["completed", "completed"]
    assert len(asked) == 2


def test_all_policies_hold_together(service: LocalService, policy: Write, tmp_path: Path) -> None:
    """That of the installation stays, whatever the variable says: it can only narrow."""
    python, installed = installation(tmp_path)
    installed.write_text('model = ["local-small", "local-large"]')
    policy('model = ["*"]')
    ask = "import codex_magic; print(codex_magic.ask('Hello', model={!r}))"

    def run(model: str, **variables: str) -> str:
        run = subprocess.run(
            [python, "-c", ask.format(model)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.stderr.strip().splitlines()[-1] if run.returncode else "answered"

    assert run("local-small") == "answered"
    assert str(installed) in run("local-other")
    assert str(installed) in run("local-other", **{VARIABLE: ""})
    narrow = policy('model = ["local-small"]')
    assert str(narrow) in run("local-large")


def installation(folder: Path) -> tuple[Path, Path]:
    """A Python of its own with our packages, and where its policy stands."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    Path(site, "ours.pth").write_text("\n".join(path for path in sys.path if path))
    file = folder / "env" / "etc" / "codex_magic" / "policy.toml"
    file.parent.mkdir(parents=True)
    return python, file


@pytest.mark.skipif(os.name == "nt", reason="another folder there")
def test_the_system_has_the_first_word() -> None:
    assert places({})[0] == (Path("/etc/codex_magic/policy.toml"), False)


@pytest.mark.parametrize(
    "text",
    [
        "engine = [",
        'engine = "backend"',
        "engine = []",
        'engine = ["backand"]',
        'sandboxes = ["read-only"]',
        "telemetry = true",
        'always = "no"',
        "\x00",
        "engine = " + 5_000 * "[",
        "# " + 70_000 * "-" + '\nengine = ["app-server"]\n',
    ],
)
def test_a_policy_that_cannot_be_read_allows_nothing(service: LocalService, policy: Write, text: str) -> None:
    path = policy(text)
    for use in (
        turn,
        agent_turn,
        lambda: codex_magic.ask("Hello"),
        lambda: Client(),
        lambda: Codex().models(),
    ):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert str(path) in caught.value.message
    assert service.requests == []


def test_a_policy_of_a_windows_editor_is_read(service: LocalService, policy: Write) -> None:
    policy('\ufeffmodel = ["gpt-9"]\r\n')
    assert "gpt-9" in (refusal(lambda: turn(model="local-small")).hint or "")


@pytest.mark.parametrize("there", ["nothing", "a folder"])
def test_a_policy_that_is_named_and_no_file_allows_nothing(
    service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    (tmp_path / "a folder").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / there))
    with pytest.raises(CodexError, match="nothing is allowed"):
        turn()


def test_settings_of_a_script_change_no_bound(service: LocalService, policy: Write) -> None:
    policy(f'provider = ["{service.base_url}"]')
    settings = Settings.from_env({"CODEX_MAGIC_BASE_URL": "http://127.0.0.1:1/v1"})
    refusal(lambda: Client(settings=settings))


def test_that_there_is_no_telemetry_may_be_said(service: LocalService, policy: Write) -> None:
    policy("telemetry = false")
    assert turn()
