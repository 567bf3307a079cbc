"""The official SDK's names and parameters, as its reference has them: all are here, on both classes."""

import inspect

import pytest

import codex_magic

THREAD = """
    approval_mode base_instructions config cwd developer_instructions model model_provider sandbox service_tier
"""
TURN = """
    input approval_mode cwd effort model output_schema personality sandbox service_tier source summary
    turn_service_tier
"""

METHODS = {
    ("Codex", "AsyncCodex"): {
        "__init__": "config",
        "close": "",
        "login_api_key": "api_key",
        "login_chatgpt": "",
        "login_chatgpt_device_code": "",
        "account": "refresh_token",
        "logout": "",
        "thread_start": THREAD + "ephemeral personality service_name session_start_source thread_source",
        "thread_list": """
            archived cursor cwd limit model_providers search_term section_id sort_direction sort_key source_kinds
            use_state_db_only
        """,
        "thread_resume": THREAD + "thread_id include_turns personality",
        "thread_fork": THREAD + "thread_id ephemeral include_turns thread_source",
        "thread_archive": "thread_id",
        "thread_unarchive": "thread_id",
        "models": "include_hidden",
    },
    ("Thread", "AsyncThread"): {
        "run": TURN,
        "turn": TURN,
        "read": "include_turns",
        "set_name": "name",
        "compact": "",
    },
    ("TurnHandle", "AsyncTurnHandle"): {"steer": "input", "interrupt": "", "stream": "", "run": ""},
    ("ChatgptLoginHandle", "AsyncChatgptLoginHandle"): {"wait": "", "cancel": ""},
    ("DeviceCodeLoginHandle", "AsyncDeviceCodeLoginHandle"): {"wait": "", "cancel": ""},
}

CASES = [
    (owner, method, parameters.split())
    for owners, methods in METHODS.items()
    for owner in owners
    for method, parameters in methods.items()
]

CONFIG = """
    codex_bin launch_args_override config_overrides cwd env client_name client_title client_version
"""

EXPORTS = """
    Codex AsyncCodex CodexConfig ApprovalMode Sandbox
    ChatgptLoginHandle DeviceCodeLoginHandle AsyncChatgptLoginHandle AsyncDeviceCodeLoginHandle
    Thread AsyncThread TurnHandle AsyncTurnHandle TurnResult
    Input InputItem RunInput TextInput ImageInput LocalImageInput SkillInput MentionInput ExternalMessage
    retry_on_overload is_retryable_error
    CodexError JsonRpcError MethodNotFoundError InvalidParamsError InvalidRequestError ServerBusyError
    Account CancelLoginAccountResponse CancelLoginAccountStatus GetAccountResponse InitializeResponse
    Notification ThreadItem ThreadReadResponse ThreadTokenUsage Turn TurnError TurnStatus TurnSteerResponse
"""

# Here no notification has the word in its name, so `AccountLoginCompletedNotification` is
# `AccountLoginCompleted`; a list is what is in it: `ModelListResponse` is `ModelList`, with `.data`.


@pytest.mark.parametrize(("owner", "method", "parameters"), CASES)
def test_a_method_takes_what_the_official_one_takes(owner, method, parameters):
    taken = inspect.signature(getattr(getattr(codex_magic, owner), method)).parameters
    assert set(parameters) <= set(taken)


@pytest.mark.parametrize("name", EXPORTS.split())
def test_a_name_can_be_imported(name):
    names: dict[str, object] = {}
    exec("from codex_magic import *", names)
    assert names.get(name) is getattr(codex_magic, name)


def test_every_export_exists():
    assert [name for name in codex_magic.__all__ if getattr(codex_magic, name, None) is None] == []


def test_a_configuration_takes_what_the_official_one_takes():
    assert set(CONFIG.split()) <= set(inspect.signature(codex_magic.CodexConfig).parameters)


@pytest.mark.parametrize(("one", "other"), METHODS)
def test_both_classes_have_the_same_methods_with_the_same_parameters(one, other):
    one, other = getattr(codex_magic, one), getattr(codex_magic, other)
    shared = {name for name in dir(one) if not name.startswith("_")} & set(dir(other))
    for name in shared:
        ours, theirs = getattr(one, name), getattr(other, name)
        if callable(ours):
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), (
                name
            )
