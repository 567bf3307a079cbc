"""What a user sets for a notebook: `%config CodexMagics.NAME = ...`, or `c.CodexMagics.NAME` in ipython_config.py."""

from __future__ import annotations

from traitlets import HasTraits, Unicode


class NotebookSettings(HasTraits):
    """A mixin of the magics, so that IPython configures it; an empty value stands for the default."""

    model = Unicode("", help="The model; empty: the provider's own default.").tag(config=True)
    provider = Unicode("", help="chatgpt, openai, local or a base URL; empty: what is signed in.").tag(
        config=True
    )
    effort = Unicode("", help="How long the model thinks; empty: the model's own default.").tag(config=True)
    verbosity = Unicode("", help="low, medium or high; empty: the model's own default.").tag(config=True)
    tier = Unicode("", help="The service tier; empty: the account's default.").tag(config=True)
    instructions = Unicode("", help="What the model is told about where it is; empty: ours.").tag(config=True)

    engine = Unicode(
        "backend", help="Who answers: backend, or app-server, the agent that runs commands and edits files."
    ).tag(config=True)
    sandbox = Unicode(
        "read-only", help="What the agent reaches: read-only, workspace-write or full-access."
    ).tag(config=True)
    approval = Unicode("ask", help="Who says yes to the agent: ask, untrusted, deny or auto.").tag(
        config=True
    )
    cwd = Unicode("", help="The folder the agent works in; empty: the kernel's own.").tag(config=True)
