"""The sign-in as a widget: buttons, fields, and a countdown that goes on while other cells run.

When it is over, plain Markdown takes its place, so that the saved notebook holds no dead button, no
link and no code. Colours and fonts are the theme's (JupyterLab's CSS variables, which VS Code and Notebook
define too); nothing is told by colour alone, and what changes is announced to screen readers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar

import ipywidgets
from traitlets import Unicode

from ..display.page import Page
from ..protocol.ids import new_id
from .login_flow import LoginFlow
from .login_view import LoginView, Stage, Way, left, sentence, windows
from .qr import qr_code, svg
from .screen import VIEW, let_clicks_through, lines_of, words

NO_BUTTONS = (
    "Run the cell again to sign in. Where no buttons appear then, run %codex login in IPython in a terminal."
)
"""What a saved notebook says of a sign-in that nobody finished, and what consoles show, which draw nothing."""

STYLE = """<style>
.codex-login { border: 1px solid var(--jp-border-color2); padding: 12px 16px; max-width: 46em; overflow: visible }
.codex-login, .codex-login .widget-html-content { line-height: 1.5; color: var(--jp-ui-font-color1) }
.codex-login .widget-html, .codex-login .widget-html-content { height: auto; white-space: normal; margin: 0 }
.codex-login .widget-box { overflow: visible }
.codex-login > .widget-hbox { margin: 4px 0; gap: 4px; align-items: center }
.codex-login p { margin: 0 0 8px; font-size: var(--jp-ui-font-size2) }
.codex-login a { color: var(--jp-content-link-color); text-decoration: underline }
.codex-login .widget-button { height: auto; width: auto; padding: 4px 12px; white-space: normal; line-height: 1.5 }
.codex-login .codex-offer { display: flex; gap: 24px; align-items: flex-start; flex-wrap: wrap }
.codex-login .codex-fields { flex: 1 1 20em }
.codex-login label { display: block; color: var(--jp-ui-font-color1) }
.codex-login input[readonly] { display: block; box-sizing: border-box; width: 100%; margin: 0 0 8px; padding: 4px 8px;
  color: var(--jp-ui-font-color1); background: var(--jp-layout-color2); border: 1px solid var(--jp-border-color1);
  font-family: var(--jp-code-font-family); font-size: var(--jp-ui-font-size1) }
.codex-login input.codex-code { font-size: var(--jp-ui-font-size3); letter-spacing: 0.1em }
.codex-login svg { width: 128px; height: 128px }
.codex-login .codex-quota { display: grid; grid-template-columns: minmax(6em, 14em) auto; gap: 4px 12px; align-items: center }
.codex-login .codex-bar { border: 1px solid var(--jp-border-color1); height: 0.9em }
.codex-login .codex-bar > div { height: 100%; background: var(--jp-brand-color1) }
</style>"""

W = TypeVar("W", bound=ipywidgets.Widget)


class _Address(ipywidgets.Text):  # type: ignore[misc]  # ipywidgets is untyped
    """ipywidgets would send what is typed back to every front end; not this."""

    value = Unicode("").tag(sync=True, echo_update=False)


class _Key(ipywidgets.Password):  # type: ignore[misc]  # ipywidgets is untyped
    value = Unicode("").tag(sync=True, echo_update=False)


class _Unlogged(logging.Filter):
    """Drops what the `comm` package logs about these fields: at level DEBUG, all that is typed."""

    logger = logging.getLogger("Comm")

    def __init__(self, *fields: ipywidgets.Widget) -> None:
        super().__init__()
        self._comm_ids = {field.comm.comm_id for field in fields}

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(record.args, tuple) and record.args and record.args[0] in self._comm_ids)


class LoginWidget:
    """Made and shown in a cell, on its page; painted by the flow from then on, in its thread.

    `in_blocking_cell`: the cell keeps the kernel busy, so that clicks need a detour to get through.
    """

    def __init__(self, flow: LoginFlow, page: Page, *, in_blocking_cell: bool = False) -> None:
        self._flow = flow
        self._page = page
        self._id = new_id()
        self._clicked = False
        self._made: list[ipywidgets.Widget] = []
        self._style, self._status, self._offer, self._countdown, self._quota = (
            self._make(ipywidgets.HTML()) for _ in range(5)
        )
        self._style.value = STYLE
        self._address = self._field(_Address, "Address")
        self._key = self._field(_Key, "API key")
        self._unlogged = _Unlogged(self._address.children[0], self._key.children[0])
        self._unlogged.logger.addFilter(self._unlogged)
        self._try_again = self._button("Try again", self._begin_again)
        another_way = self._button("Another way", flow.choose)
        another_account = self._button("Use another account", flow.choose)
        sign_out = self._button("Sign out", flow.sign_out)
        cancel, close = self._button("Cancel", flow.cancel), self._button("Close", flow.cancel)
        self._choices = self._row(*self._way_buttons(), cancel)
        self._choices_again = self._row(self._try_again, *self._choices.children)
        self._rows = {
            Stage.account: self._row(another_account, sign_out, close),
            Stage.starting: self._row(cancel),
            Stage.waiting: self._row(another_way, cancel),
            Stage.finishing: self._row(cancel),
        }
        self._box = self._make(ipywidgets.VBox())
        self._box.add_class("codex-login")
        if in_blocking_cell:
            let_clicks_through(self._made)

    def show(self, output: str | None = None) -> None:
        """As an output of its own, or in place of that one."""
        self._id = output or self._id
        model = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        text = {"text/markdown": NO_BUTTONS, "text/plain": NO_BUTTONS}
        self._page.show(self._id, {VIEW: model, **text})
        self._flow.subscribe(self.paint)

    def leave(self) -> None:
        """Stop looking on, and leave a sentence in its place."""
        goes_on = self._flow.leave(self.paint)
        self._finish(["The sign-in goes on above." if goes_on else "The sign-in was cancelled."])

    def paint(self, view: LoginView) -> None:
        if view.over:
            self._finish(view.closing_lines())
            return
        self._status.value = status_html(view)
        self._offer.value = offer_html(view)
        self._countdown.value = countdown_html(view)
        self._quota.value = quota_html(view)
        children = self._children(view)
        if children != self._box.children:
            self._box.children = children
        if self._clicked and view.stage not in (Stage.starting, Stage.finishing):
            self._clicked = False
            self._focus(children)

    def _children(self, view: LoginView) -> tuple[ipywidgets.Widget, ...]:
        """What there is to see, in the order in which Tab goes through it."""
        fields = []
        if view.takes_address:
            fields.append(self._address)
        if view.takes_key:
            fields.append(self._key)
        read = (self._style, self._status, self._quota, self._offer)
        return (*read, *fields, self._countdown, self._buttons(view))

    def _buttons(self, view: LoginView) -> ipywidgets.Widget:
        if view.stage is Stage.choosing:
            return self._choices_again if view.problem and view.way else self._choices
        return self._rows[view.stage]

    def _focus(self, children: tuple[ipywidgets.Widget, ...]) -> None:
        """A click here has removed what had the focus; it goes on with what has come in its place."""
        first = next(child for child in children if isinstance(child, ipywidgets.Box))
        first.children[0].focus()

    def _finish(self, lines: list[str]) -> None:
        text = {"text/markdown": lines_of(map(words, lines)), "text/plain": "\n".join(lines)}
        self._page.show(self._id, text)
        for widget in self._made:
            widget.close()
        self._made.clear()
        self._unlogged.logger.removeFilter(self._unlogged)

    def _begin_again(self) -> None:
        way = self._flow.view.way
        if way is not None:
            self._flow.begin(way)

    # Making ----------------------------------------------------------------------------------

    def _make(self, widget: W) -> W:
        parts = (widget.layout, getattr(widget, "style", None))
        self._made += [widget, *(part for part in parts if isinstance(part, ipywidgets.Widget))]
        return widget

    def _row(self, *children: ipywidgets.Widget) -> ipywidgets.HBox:
        return self._make(ipywidgets.HBox(children, layout=ipywidgets.Layout(flex_flow="row wrap")))

    def _button(
        self, label: str, action: Callable[[], object], *, primary: bool = False
    ) -> ipywidgets.Button:
        button = self._make(ipywidgets.Button(description=label, button_style="primary" if primary else ""))

        def clicked(_: object) -> None:
            self._clicked = True
            action()

        button.on_click(clicked)
        return button

    def _way_buttons(self) -> list[ipywidgets.Button]:
        def begin(way: Way) -> Callable[[], object]:
            return lambda: self._flow.begin(way)

        fitting, *others = self._flow.ways
        labels = self._flow.view.labels
        first = self._button(f"{labels[fitting]} (fits best here)", begin(fitting), primary=True)
        return [first, *(self._button(labels[way], begin(way)) for way in others)]

    def _field(self, kind: type[ipywidgets.Text], label: str) -> ipywidgets.HBox:
        """A field and its button. What is in it goes to the flow at once, and nothing of it stays."""
        layout = ipywidgets.Layout(flex="1 1 20em", width="auto")
        field = self._make(kind(description=label, continuous_update=False, layout=layout))
        field.style.description_width = "initial"
        entered = False

        def enter() -> None:
            nonlocal entered
            entered = not field.value  # Enter is told before the text it ends
            if field.value:
                text, field.value = field.value, ""
                self._flow.enter(text)

        def on_message(_: object, content: dict[str, Any], buffers: object) -> None:
            if content.get("event") == "submit":
                enter()

        field.on_msg(on_message)
        field.observe(lambda change: enter() if entered and change["new"] else None, "value")
        return self._row(field, self._button("Go on", enter, primary=True))


# What is only to be read, as HTML -----------------------------------------------------------------


def status_html(view: LoginView) -> str:
    """What is going on; first what went wrong."""
    problem = f'<p role="alert"><b>{escape(view.problem)}</b></p>' if view.problem else ""
    return f'{problem}<p role="status">{escape(view.headline())}</p>'


def offer_html(view: LoginView) -> str:
    """The link and the code, to be opened, copied or scanned."""
    if view.stage is not Stage.waiting or view.link is None:
        return ""
    link = escape(view.link)
    fields = f'<p><a href="{link}" target="_blank" rel="noopener noreferrer">Open the sign-in page</a></p>'
    if view.code is not None:
        fields += _readonly("Code", view.code, "codex-code")
    fields += _readonly("Link, to copy", view.link)
    # Only a link that a phone can follow; one that ends on this computer is of no use to it.
    code = qr_code(view.link) if view.code is not None else None
    picture = svg(code, label="QR code of the link") if code is not None else ""
    return f'<div class="codex-offer"><div class="codex-fields">{fields}</div>{picture}</div>'


def _readonly(label: str, value: str, kind: str = "") -> str:
    """A field that is reached by Tab and selects all of itself then, and by a click."""
    field = f'<input readonly class="{kind}" value="{escape(value)}" onclick="this.select()">'
    return f"<label>{escape(label)}{field}</label>"


def countdown_html(view: LoginView) -> str:
    """Not announced every second: `timer` is silent unless asked."""
    time = view.countdown()
    return f'<p role="timer">Time left: {time}</p>' if time else ""


def quota_html(view: LoginView) -> str:
    """A bar for each window, with its numbers as text beside it."""
    if view.stage is not Stage.account or view.limits is None:
        return ""
    rows = []
    for window in windows(view.limits):
        percent, text = left(window), escape(sentence(window))
        meter = f'role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
        bar = (
            f'<div class="codex-bar" {meter} aria-label="{text}"><div style="width: {percent}%"></div></div>'
        )
        rows.append(f"{bar}<span>{text}</span>")
    return f'<div class="codex-quota">{"".join(rows)}</div>'
