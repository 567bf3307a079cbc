"""One sign-in in a process of its own, for tests that kill it or read all it says. Usage: signing.py FLOW"""

from __future__ import annotations

import logging
import sys

from codex_magic import Codex


def browser(codex: Codex) -> None:
    login = codex.login_chatgpt()
    print(login.auth_url, flush=True)
    print(login.wait())


def device(codex: Codex) -> None:
    login = codex.login_chatgpt_device_code()
    print(login.user_code, flush=True)
    print(login.wait())


def paste(codex: Codex) -> None:
    login = codex.login_chatgpt_pasted()
    print(login.auth_url, flush=True)
    login.paste(input())
    print(login.wait())


def key(codex: Codex) -> None:
    codex.login_api_key("sk-of-a-test-0123456789")


def refresh(codex: Codex) -> None:
    print(codex.account(refresh_token=True))


def turn(codex: Codex) -> None:
    codex.thread_start().run("echo: hi", model="gpt-5.5")


def logout(codex: Codex) -> None:
    codex.logout()


FLOWS = (browser, device, paste, key, refresh, turn, logout)

if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    with Codex() as codex:
        {flow.__name__: flow for flow in FLOWS}[sys.argv[1]](codex)
        print(codex.account())
