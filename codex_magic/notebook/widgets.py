"""What has buttons: the sign-in, and the questions of the agent.

Colours and fonts are the theme's (JupyterLab's CSS variables, which VS Code and Notebook define too); nothing
is told by colour alone, and what changes is announced to screen readers. All that others wrote is text in it:
escaped, and never Markdown or HTML.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import TypeVar

import ipywidgets
from traitlets import Unicode

from ..display.page import Page
from ..protocol.ids import new_id
from .login import LoginFlow, LoginView, Stage, Way, left, sentence, windows
from .question import Passage, Question, QuestionText, choices, question_text
from .screen import VIEW, lines_of, words

W = TypeVar("W", bound=ipywidgets.Widget)

STYLE = f"<style>{Path(__file__).with_name('widgets.css').read_text('utf-8')}</style>"


class _Panel:
    """A box of widgets, all of which end with it."""

    def __init__(self, name: str) -> None:
        self._made: list[ipywidgets.Widget] = []
        self._clicked = False
        self._box = self._make(ipywidgets.VBox())
        self._box.add_class("codex-panel").add_class(name)

    @property
    def bundle(self) -> dict[str, object]:
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}}

    def close(self) -> None:
        for widget in self._made:
            widget.close()
        self._made.clear()

    def _make(self, widget: W) -> W:
        parts = (widget.layout, getattr(widget, "style", None))
        self._made += [widget, *(part for part in parts if isinstance(part, ipywidgets.Widget))]
        return widget

    def _row(self, *children: ipywidgets.Widget) -> ipywidgets.HBox:
        return self._make(ipywidgets.HBox(children, layout=ipywidgets.Layout(flex_flow="row wrap")))

    def _button(self, label: str, action: Callable[[], object], *, style: str = "") -> ipywidgets.Button:
        button = self._make(ipywidgets.Button(description=label, button_style=style))

        def click(_: object) -> None:
            self._clicked = True
            action()

        button.on_click(click)
        return button

    def _let_clicks_through(self) -> None:
        """Undo that ipykernel 7.4 answers on the channel that the last message came by, which a busy cell blocks."""
        for widget in self._made:
            if hasattr(widget.comm, "_reply_subshell_for"):
                widget.comm._reply_subshell_for = None


class ApprovalWidget(_Panel):
    """Made in whichever thread paints the turn; a click answers the question, from whichever it comes in."""

    def __init__(self, question: Question) -> None:
        super().__init__("codex-approval")
        text = self._make(ipywidgets.HTML(STYLE + question_html(question_text(question))))
        offered = choices(question.request)
        buttons = [self._button(each.label, partial(question.answer, each.decision)) for each in offered]
        self._box.children = (text, self._row(*buttons))
        self._let_clicks_through()


def question_html(text: QuestionText) -> str:
    """Return the question as HTML whose only tags are ours; screen readers announce it."""
    title = f'<p class="codex-title" role="alert">{escape(text.title)}</p>'
    facts = (f"<p>{escape(label)}: {escape(value)}</p>" for label, value in text.facts)
    return "".join((title, *map(_passage_html, text.passages), *facts))


def _passage_html(passage: Passage) -> str:
    """Return a passage whose lines are elements of their own: HTML drops a line feed that comes first.

    Added and removed ones keep their signs, so that colour alone tells nothing.
    """
    title = f"<p>{escape(passage.title)}</p>" if passage.title else ""
    tags = {"+": "ins", "-": "del"} if passage.language == "diff" else {}
    lines = ((tags.get(line[:1], "span"), escape(line) or " ") for line in passage.text.split("\n"))
    body = "".join(f"<{tag}>{line}</{tag}>" for tag, line in lines)
    return f'{title}<pre tabindex="0">{body}</pre>'


NO_BUTTONS = (
    "Run the cell again to sign in. Where no buttons appear then, run %codex login in IPython in a terminal."
)
"""What a saved notebook says of a sign-in that nobody finished, and what consoles show, which draw nothing."""


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


class LoginWidget(_Panel):
    """Made and shown in a cell, on its page; painted by the flow from then on, in its thread.

    When it is over, plain Markdown takes its place, so that the saved notebook holds no dead button, no link and
    no code.

    `in_blocking_cell`: the cell keeps the kernel busy, so that clicks need a detour to get through.
    """

    def __init__(self, flow: LoginFlow, page: Page, *, in_blocking_cell: bool = False) -> None:
        super().__init__("codex-login")
        self._flow, self._page, self._id = flow, page, new_id()
        html = (self._make(ipywidgets.HTML()) for _ in range(5))
        self._style, self._status, self._offer, self._countdown, self._quota = html
        self._style.value = STYLE
        address, key = self._field(_Address, "Address"), self._field(_Key, "API key")
        self._fields = {Way.paste: address, Way.browser: address, Way.key: key}
        self._unlogged = _Unlogged(address.children[0], key.children[0])
        self._unlogged.logger.addFilter(self._unlogged)
        another_way = self._button("Another way", flow.choose)
        another_account = self._button("Use another account", flow.choose)
        sign_out = self._button("Sign out", flow.sign_out)
        cancel, close = self._button("Cancel", flow.cancel), self._button("Close", flow.cancel)
        first = flow.ways[0]
        labels = {**flow.view.labels, first: f"{flow.view.labels[first]} (fits best here)"}
        ways = [self._button(labels[way], partial(flow.begin, way)) for way in flow.ways]
        ways[0].button_style = "primary"
        again = self._button("Try again", lambda: flow.begin(flow.view.way or first))
        self._choices = self._row(*ways, cancel)
        self._choices_again = self._row(again, *self._choices.children)
        self._rows = {
            Stage.account: self._row(another_account, sign_out, close),
            Stage.starting: self._row(cancel),
            Stage.waiting: self._row(another_way, cancel),
            Stage.finishing: self._row(cancel),
        }
        if in_blocking_cell:
            self._let_clicks_through()

    def show(self, output: str | None = None) -> None:
        """Show it as an output of its own, or in place of that one."""
        self._id = output or self._id
        text = {"text/markdown": NO_BUTTONS, "text/plain": NO_BUTTONS}
        self._page.show(self._id, {**self.bundle, **text})
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
        # The browser way takes an address too: its page may end on a machine that can't reach this one.
        waits = view.stage is Stage.waiting
        fields = [field for way, field in self._fields.items() if waits and way is view.way]
        failed = view.stage is Stage.choosing and view.problem and view.way
        buttons = self._choices_again if failed else self._rows.get(view.stage, self._choices)
        # In the order in which Tab goes through them.
        read = (self._style, self._status, self._quota, self._offer)
        children = (*read, *fields, self._countdown, buttons)
        if children != self._box.children:
            self._box.children = children
        if self._clicked and view.stage not in (Stage.starting, Stage.finishing):
            # The click has removed what had the focus; it goes to what has come in its place.
            self._clicked = False
            (*fields, buttons)[0].children[0].focus()

    def _finish(self, lines: list[str]) -> None:
        text = {"text/markdown": lines_of(map(words, lines)), "text/plain": "\n".join(lines)}
        self._page.show(self._id, text)
        self.close()
        self._unlogged.logger.removeFilter(self._unlogged)

    def _field(self, kind: type[ipywidgets.Text], label: str) -> ipywidgets.HBox:
        """A field and its button. What is in it goes to the flow at once, and nothing of it stays."""
        layout = ipywidgets.Layout(flex="1 1 20em", width="auto")
        field = self._make(kind(description=label, continuous_update=False, layout=layout))
        field.style.description_width = "initial"
        entered = False

        def enter() -> None:
            nonlocal entered
            entered = not field.value  # the event of Enter comes before the text it ends
            if field.value:
                text, field.value = field.value, ""
                self._flow.enter(text)

        field.on_msg(lambda _, content, buffers: enter() if content.get("event") == "submit" else None)
        field.observe(lambda change: enter() if entered and change["new"] else None, "value")
        return self._row(field, self._button("Go on", enter, style="primary"))


def status_html(view: LoginView) -> str:
    """Return what is going on; first what went wrong."""
    problem = f'<p role="alert"><b>{escape(view.problem)}</b></p>' if view.problem else ""
    return f'{problem}<p role="status">{escape(view.headline())}</p>'


def offer_html(view: LoginView) -> str:
    """Return the link and the code, to be opened, copied or scanned."""
    if view.stage is not Stage.waiting or view.link is None:
        return ""
    link = escape(view.link)
    fields = f'<p><a href="{link}" target="_blank" rel="noopener noreferrer">Open the sign-in page</a></p>'
    if view.code is not None:
        fields += _readonly("Code", view.code, "codex-code")
    fields += _readonly("Link, to copy", view.link)
    # Only a link that a phone can follow; one that ends on this computer is of no use to it.
    picture = _qr_code(view.link) if view.code is not None else ""
    return f'<div class="codex-offer"><div class="codex-fields">{fields}</div>{picture}</div>'


def _qr_code(link: str) -> str:
    """Return the link's QR code: dark on light in every theme, because few readers take the inverse.

    Empty for a link too long for any.
    """
    import segno  # a sign-in is rare

    try:
        drawn = segno.make_qr(link, error="l").svg_inline(light="#fff", omitsize=True)
    except segno.DataOverflowError:
        return ""
    return f'<span role="img" aria-label="QR code of the link">{drawn}</span>'


def _readonly(label: str, value: str, kind: str = "") -> str:
    """Return a field that is reached by Tab and selects all of itself then, and by a click."""
    field = f'<input readonly class="{kind}" value="{escape(value)}" onclick="this.select()">'
    return f"<label>{escape(label)}{field}</label>"


def countdown_html(view: LoginView) -> str:
    """Return the time left; screen readers do not announce each second of a `timer`."""
    time = view.countdown()
    return f'<p role="timer">Time left: {time}</p>' if time else ""


def quota_html(view: LoginView) -> str:
    """Return a bar for each window, with its numbers as text beside it."""
    if view.stage is not Stage.account or view.limits is None:
        return ""
    rows = ""
    for window in windows(view.limits):
        percent, text = left(window), escape(sentence(window))
        meter = f'role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
        rows += f'<div class="codex-bar" {meter} aria-label="{text}">'
        rows += f'<div style="width: {percent}%"></div></div><span>{text}</span>'
    return f'<div class="codex-quota">{rows}</div>'
