"""The provider `local`: the built-in imitation of the service, with a home and an account of its own."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import weakref
from pathlib import Path

from ..protocol.settings import Settings
from ..responses.provider import Provider, chatgpt

LOCAL = "local"

A_READERS_PACE = 100
"""Deltas a second: about as fast as a real model writes."""

LOCAL_AGENT_MODEL = "gpt-5.5"
"""The one of its models that the agent's program knows how to give its tools to."""


class LocalProvider:
    """Runs from its creation to `close`, which removes its home too."""

    def __init__(self, settings: Settings) -> None:
        from ..local_service import Pace, start  # never part of a session that does not ask for it

        self.service = start(pace=Pace(per_second=A_READERS_PACE), open_access=True)
        home = Path(tempfile.mkdtemp(prefix="codex_magic-local-"))
        self._remove_home = weakref.finalize(self.service, _remove, home, os.getpid())
        self.service.sign_in(home)
        settings = dataclasses.replace(
            settings,
            codex_home=home,
            base_url=self.service.base_url,
            chatgpt_url=self.service.chatgpt_url,
            issuer=self.service.issuer,
        )
        self.provider: Provider = dataclasses.replace(chatgpt(settings), name=LOCAL)

    def close(self) -> None:
        self.service.close()
        self._remove_home()


def _remove(folder: Path, process: int) -> None:
    """Remove the folder, unless this is a child of `process`, which may still need it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
