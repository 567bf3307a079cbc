"""Where this kernel runs and what its front end can do, as far as a kernel can find out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..display.page import AppendedPage, Bundle, Page, RepaintedPage, UpdatedPage
from .shell import cell_id, is_kernel, message_id, request

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Variables that are set where the user's browser probably can't reach a port of this machine.
_REMOTE = ("CODESPACES", "SSH_CONNECTION", "KUBERNETES_SERVICE_HOST", "COLAB_RELEASE_TAG", "WSL_DISTRO_NAME")


def is_remote(env: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> bool:
    """Return whether the user's browser probably runs on another machine than this kernel."""
    env = os.environ if env is None else env
    if any(env.get(name) for name in _REMOTE) or any(name.startswith("JUPYTERHUB_") for name in env):
        return True
    has_screen = platform in ("win32", "darwin") or env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
    return not has_screen


def shows_widgets(shell: InteractiveShell) -> bool:
    """Whether a person with a front end that draws widgets is there: one that answers questions, unlike nbclient.

    Consoles do and draw no widgets: the text beside a widget tells them what to do.
    """
    return is_kernel(shell) and may_ask(shell) and find_spec("ipywidgets") is not None


def hears_clicks(shell: InteractiveShell, *, ipykernel: str | None = None) -> bool:
    """Whether a click arrives while a cell of this front end awaits something. `ipykernel`: its version.

    Before 7.4 a kernel reads them beside a cell only from a front end that sends them to a subshell, as
    JupyterLab does. Consoles draw no buttons; unlike notebooks they don't name the cell.
    """
    running = ipykernel or getattr(sys.modules.get("ipykernel"), "__version__", None)
    if running is None or cell_id(shell) is None:
        return False
    major, minor = map(int, running.split(".")[:2])
    return (major, minor) >= (7, 4) or (major == 7 and "__vsc_ipynb_file__" not in shell.user_ns)


def page_for(shell: InteractiveShell, *, alone: bool) -> Page:
    """Return where the running request's outputs go. `alone`: the caller is all there is in its cell."""
    is_served = is_run_by_server(shell)
    if _is_captured(shell) or (is_served and not alone):
        return AppendedPage()
    # A person who types at a Python program (jupyter console, qtconsole), which names no cells.
    is_console = _FROM_PYTHON.fullmatch(message_id(request(shell))) and cell_id(shell) is None
    if is_console and may_ask(shell) and not is_served:
        return PrintedPage()
    return RepaintedPage() if is_served else UpdatedPage()


class PrintedPage(Page):
    """A console draws what is shown, and none of its changes: they are shown below it, as text."""

    def show(self, id: str, bundle: Bundle) -> None:
        self.say({"text/plain": bundle["text/plain"]})


_FROM_PYTHON = re.compile(r"[0-9a-f]{8}-[0-9a-f]{24}_(?P<pid>\d+)_\d+")
"""A message id of jupyter_client; front ends in a browser make UUIDs."""


def is_run_by_server(
    shell: InteractiveShell, env: Mapping[str, str] | None = None, *, platform: str = sys.platform
) -> bool:
    """Whether the Jupyter server runs this cell for its page (jupyter-server-documents, jupyter-server-nbmodel).

    Such a request names no cell and comes from the server that started the kernel; nbclient, which sends the
    same, names its connection files otherwise.
    """
    env = os.environ if env is None else env
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None or not env.get("JPY_SESSION_NAME") or cell_id(shell) is not None:
        return False
    sender = _FROM_PYTHON.fullmatch(message_id(request(shell)))
    connection = getattr(getattr(kernel, "parent", None), "connection_file", None) or ""
    by_server = os.path.basename(connection).startswith("kernel-")
    # On Windows JPY_PARENT_PID is a handle, not the process's number.
    parent = None if platform == "win32" else env.get("JPY_PARENT_PID")
    return sender is not None and by_server and parent in (None, sender["pid"])


def _is_captured(shell: InteractiveShell) -> bool:
    """Whether the outputs of the running request go to an Output widget, or to `%%capture`."""
    if _is_collected(shell):
        return True
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None or "ipywidgets" not in sys.modules:
        return False
    from ipywidgets import Output
    from ipywidgets.widgets.widget import _instances

    parents = (each.get_parent() or {} for each in (kernel, shell) if hasattr(each, "get_parent"))
    captured = {widget.msg_id for widget in list(_instances.values()) if isinstance(widget, Output)}
    return not captured.isdisjoint(set(map(message_id, parents)) - {""})


def may_ask(shell: InteractiveShell) -> bool:
    """Whether the running cell may read a line from a person, who sees what it is about."""
    if _is_collected(shell):
        return False
    if not is_kernel(shell):
        return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stdin))
    return bool((request(shell).get("content") or {}).get("allow_stdin"))


def is_attended(shell: InteractiveShell) -> bool:
    """Whether a person sees what a cell shows; nbclient, papermill and their like answer no questions."""
    answers = (request(shell).get("content") or {}).get("allow_stdin", True)
    return bool(answers) or is_run_by_server(shell)


def _is_collected(shell: InteractiveShell) -> bool:
    """Whether `%%capture` keeps what is displayed."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    return isinstance(getattr(shell, "display_pub", None), CapturingDisplayPublisher)
