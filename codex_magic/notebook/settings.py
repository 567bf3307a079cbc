"""What a user sets for a notebook: `%config CodexMagics.NAME = ...`, or `c.CodexMagics.NAME` in ipython_config.py."""

from __future__ import annotations

from traitlets import HasTraits, Unicode


def _setting(help: str, default: str = "") -> Unicode[str, str | bytes]:
    return Unicode(default, help=help).tag(config=True)


class NotebookSettings(HasTraits):
    """A mixin of the magics, so that IPython configures it; an empty value stands for the default."""

    model = _setting("The model; empty: the provider's own default.")
    provider = _setting("chatgpt, openai, local or a base URL; empty: what is signed in.")
    effort = _setting("How long the model thinks; empty: the model's own default.")
    verbosity = _setting("low, medium or high; empty: the model's own default.")
    tier = _setting("The service tier; empty: the account's default.")
    instructions = _setting("What the model is told about where it is; empty: ours.")

    engine = _setting(
        "Who answers: backend, or app-server, the agent that runs commands and edits files.", "backend"
    )
    sandbox = _setting("What the agent reaches: read-only, workspace-write or full-access.", "read-only")
    approval = _setting("Who says yes to the agent: ask, untrusted, deny or auto.", "ask")
    cwd = _setting("The folder the agent works in; empty: the kernel's own.")
