"""What has buttons: the sign-in, and the questions of the agent.

Colours and fonts are the theme's (JupyterLab's CSS variables, which VS Code and Notebook define too); nothing
is told by colour alone, and what changes is announced to screen readers. All that others wrote is text in it:
escaped, and never Markdown or HTML.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import TypeVar

import ipywidgets
from traitlets import Unicode

from ..display.exact import ESCAPED
from ..display.page import Page
from ..protocol.ids import new_id
from .login import LoginFlow, LoginView, Stage, Way, left, sentence, windows
from .question import Choice, Passage, Question, QuestionText, choices
from .screen import VIEW, marked_html, quiet, words

W = TypeVar("W", bound=ipywidgets.Widget)


_FOLDER = Path(__file__).parent
STYLE = f"<style>{(_FOLDER / 'widgets.css').read_text('utf-8')}</style>"

KEYS = f'<style onload="{escape((_FOLDER / "approval_keys.js").read_text("utf-8"))}"></style>'
"""A constant handler, which runs where the card is drawn: ipywidgets hears no keys."""


class _Panel:
    """A box of widgets, all of which end with it."""

    def __init__(self, name: str) -> None:
        self._made: list[ipywidgets.Widget] = []
        self._clicked = False
        self._box = self._make(ipywidgets.VBox()).add_class("codex-panel").add_class(name)

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

    def _button(
        self, label: str, action: Callable[[], object], *, style: str = "", tooltip: str = ""
    ) -> ipywidgets.Button:
        button = self._make(ipywidgets.Button(description=label, button_style=style, tooltip=tooltip))

        def click(_: object) -> None:
            self._clicked = True
            action()

        button.on_click(click)
        return button

    def _field(self, field: ipywidgets.Text, button: str, use: Callable[[str], object]) -> ipywidgets.HBox:
        """A field and its button. What is in it is used at once, and nothing of it stays."""
        field = self._make(field)
        field.layout.flex, field.layout.width = "1 1 20em", "auto"
        field.style.description_width = "initial"
        entered = False

        def enter() -> None:
            nonlocal entered
            entered = not field.value  # the event of Enter comes before the text it ends
            if field.value:
                text, field.value = field.value, ""
                use(text)

        field.on_msg(lambda _, content, buffers: enter() if content.get("event") == "submit" else None)
        field.observe(lambda change: enter() if entered and change["new"] else None, "value")
        return self._row(field, self._button(button, enter, style="primary"))

    def _let_clicks_through(self) -> None:
        """Undo that ipykernel 7.4 answers on the channel that the last message came by, which a busy cell blocks."""
        for widget in self._made:
            if hasattr(widget.comm, "_reply_subshell_for"):
                widget.comm._reply_subshell_for = None


class ApprovalWidget(_Panel):
    """Made in whichever thread paints the turn; a click answers the question, from whichever it comes in."""

    def __init__(self, question: Question) -> None:
        super().__init__("codex-approval")
        self._text, self._shown = self._make(ipywidgets.HTML()), question.text

        def button(choice: Choice) -> ipywidgets.Button:
            action: Callable[[], object] = partial(question.choose, choice.key)
            if choice.takes_reason:
                action = partial(self._swap, answers, why)
            return self._button(choice.label, action, style="primary" if choice is offered["yes"][-1] else "")

        offered: dict[str, list[Choice]] = defaultdict(list)
        for choice in choices(question.request):
            offered[choice.side].append(choice)
        answers = self._row().add_class("codex-answers")
        why = self._row()
        for because in (choice for choice in offered["no"] if choice.takes_reason):
            field = ipywidgets.Text(description="Tell Codex what to do instead", continuous_update=False)
            row = self._field(field, "Decline and send", partial(question.choose, because.key))
            why.children = (*row.children, self._button("Back", partial(self._swap, why, answers)))
        answers.children = [self._row(*map(button, offered[side])) for side in ("no", "yes")]
        more = self._row(*map(button, offered["more"]))
        fold = self._button("More answers", lambda: self._fold(more)).add_class("codex-fold")
        shown = " · ".join(
            f"<kbd>{'Shift ' if side == 'yes' else ''}{choice.key.upper()}</kbd> {choice.short}"
            for side in ("no", "yes")
            for choice in offered[side]
        )
        keys = self._make(ipywidgets.HTML(KEYS + shown)).add_class("codex-keys")
        under = self._row(*([fold] if offered["more"] else []), keys).add_class("codex-answers")
        self._box.children = (self._text, answers, why, under, more)
        self._fold(more)
        why.layout.display = "none"
        self._let_clicks_through()

    def count(self, waiting: int) -> None:
        """Show the question as the first of so many."""
        self._text.value = STYLE + question_html(self._shown, waiting)

    def _swap(self, row: ipywidgets.HBox, other: ipywidgets.HBox) -> None:
        """Show the other row in the place of this one, and give it the focus."""
        row.layout.display, other.layout.display = "none", None
        first = other.children[0]
        (first.children[0] if isinstance(first, ipywidgets.HBox) else first).focus()

    def _fold(self, row: ipywidgets.HBox) -> None:
        """Show a row of further answers, or hide it again."""
        is_hidden = row.layout.display == "none"
        row.layout.display = None if is_hidden else "none"
        if is_hidden:
            row.children[0].focus()


def question_html(text: QuestionText, waiting: int = 1) -> str:
    """Return the question as HTML whose only tags are ours; screen readers announce it."""
    count = f"<small>1 of {waiting}</small>" if waiting > 1 else ""
    title = f'<p class="codex-title" role="alert" tabindex="-1">{escape(text.title)}{count}</p>'
    facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in text.facts)
    images = (
        f'<img class="codex-picture" src="{escape(each)}" alt="Figure {n} of the trial">'
        for n, each in enumerate(text.images, 1)
    )
    return "".join((title, *map(_passage_html, text.passages), *images, f"<dl>{facts}</dl>" if facts else ""))


def _passage_html(passage: Passage) -> str:
    """Return a passage whose lines are elements of their own: HTML drops a line feed that comes first.

    Added and removed ones keep their signs, so that colour alone tells nothing.
    """
    title = f"<p>{escape(passage.title)}</p>" if passage.title else ""
    tags = {"+": "ins", "-": "del"} if passage.language == "diff" else {}
    lines = (
        (tags.get(line[:1], "span"), ESCAPED.sub(r"<mark>\g<0></mark>", escape(line)) or " ")
        for line in passage.text.split("\n")
    )
    body = "".join(f"<{tag}>{line}</{tag}>" for tag, line in lines)
    hint = passage.hint()
    return f'{title}<pre tabindex="0">{body}</pre>{f"<p>{hint}</p>" if hint else ""}'


_NO_CARD = "No sign-in card below? Run the cell again, or run `%codex login` in IPython in a terminal."
"""What stays readable above a card whose kernel has gone, and in consoles, which draw none: where a card is an output,
JupyterLab shows nothing else of that output."""

_EMPTY = {"text/markdown": "", "text/plain": ""}


class _Address(ipywidgets.Text):  # type: ignore[misc]  # ipywidgets is untyped
    """ipywidgets would send what is typed back to every front end; not this."""

    value = Unicode("").tag(sync=True, echo_update=False)


class _Key(_Address, ipywidgets.Password):  # type: ignore[misc]  # ipywidgets is untyped
    """The same, hidden."""


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

    It is an output of its own, which is empty when it is over; Markdown above it says what there is to know, so that
    a saved notebook holds no link and no code. `in_blocking_cell`: the cell keeps the kernel busy, so that clicks
    need a detour to get through.
    """

    def __init__(self, flow: LoginFlow, page: Page, *, in_blocking_cell: bool = False) -> None:
        super().__init__("codex-login")
        self._flow, self._page, self._id, self._card_id = flow, page, new_id(), new_id()
        self._style, self._card, self._note = (self._make(ipywidgets.HTML()) for _ in range(3))
        self._style.value = STYLE
        address, key = (
            self._field(kind(description=label, continuous_update=False), "Continue", flow.enter)
            for kind, label in ((_Address, "Address"), (_Key, "API key"))
        )
        # The browser way takes an address too: its page may end on a machine that can't reach this one.
        self._fields = {Way.paste: address, Way.browser: address, Way.key: key}
        self._unlogged = _Unlogged(address.children[0], key.children[0])
        self._unlogged.logger.addFilter(self._unlogged)
        choices = [
            self._button(label, partial(flow.begin, way), tooltip=use)
            for way, (label, use) in flow.view.choices().items()
        ]
        choices[0].button_style = "primary"
        self._choices = self._make(ipywidgets.VBox(choices)).add_class("codex-choices")
        self._again = self._button("", lambda: flow.begin(flow.view.way or Way.device), style="primary")
        another, other = (
            self._button(each, flow.choose) for each in ("Use another account", "Other options")
        )
        close, cancel = (self._button(what, flow.cancel) for what in ("Close", "Cancel"))
        sign_out = self._button("Sign out", flow.sign_out)
        self._buttons = {Stage.account: (another, sign_out, close), Stage.waiting: (other, cancel)}
        self._cancel = (cancel,)
        self._actions = self._row().add_class("codex-actions")
        if in_blocking_cell:
            self._let_clicks_through()

    def show(self, output: str | None = None) -> None:
        """Show it as an output of its own, or in place of that one."""
        self._id = output or self._id
        self._say(_NO_CARD)
        self._page.show(self._card_id, {**self.bundle, **_EMPTY})
        self._flow.subscribe(self.paint)

    def leave(self) -> None:
        """Stop looking on, and leave a sentence in its place."""
        goes_on = self._flow.leave(self.paint)
        self._finish("The sign-in continues above." if goes_on else "The sign-in was cancelled.")

    def paint(self, view: LoginView) -> None:
        if view.over:
            self._finish(view.closing_line())
            return
        self._card.value, self._note.value = card_html(view), note_html(view)
        self._again.description = "Get a new code" if view.way is Way.device else "Try again"
        buttons = self._buttons.get(view.stage, self._cancel)
        rows = [self._fields[view.way]] if view.stage is Stage.waiting and view.way in self._fields else []
        if view.failed:
            buttons = (self._again, *self._buttons[Stage.waiting])
        elif view.stage is Stage.choosing:
            rows = [self._choices]
        # In the order in which Tab goes through them.
        children = (self._style, self._card, *rows, self._actions)
        if children != self._box.children or buttons != self._actions.children[1:]:
            self._actions.children = (self._note, *buttons)
            self._box.children = children
        if self._clicked and view.stage not in (Stage.starting, Stage.finishing):
            # The click has removed what had the focus; it goes to what has come in its place.
            self._clicked = False
            (*(child for row in rows for child in row.children), *buttons)[0].focus()

    def _say(self, line: str) -> None:
        self._page.show(self._id, {"text/markdown": quiet(words(line)), "text/plain": line.replace("`", "")})

    def _finish(self, line: str) -> None:
        self._say(line)
        self._page.show(self._card_id, _EMPTY)
        self.close()
        self._unlogged.logger.removeFilter(self._unlogged)


_TITLES = {
    Way.device: "Enter this code on the sign-in page",
    Way.browser: "Waiting for you to finish in the browser",
    Way.paste: "Paste an address",
    Way.key: "Paste an API key",
}


def card_html(view: LoginView) -> str:
    """Return what is going on and what there is to do; first what went wrong."""
    what, dot, rest = view.problem.partition(". ")
    problem = f'<p class="codex-problem" role="alert"><b>{escape(what + dot)}</b>{marked_html(rest)}</p>'
    if view.failed:
        return problem
    title = _TITLES[view.way] if view.stage is Stage.waiting and view.way else view.headline()
    title = f'<p class="codex-title" role="status">{escape(title)}</p>'
    if view.problem:  # of the last attempt, or why another sign-in is needed at all
        is_reason = view.stage is Stage.choosing
        title = f"{title}<p>{marked_html(view.problem)}</p>" if is_reason else problem + title
    return title + offer_html(view) + quota_html(view)


_OFFERS = [Template((_FOLDER / f"login_{kind}.html").read_text("utf-8")) for kind in ("page", "code")]
"""Without a code to type, and with one. Their buttons copy from a page without HTTPS, too, which has no clipboard."""


def offer_html(view: LoginView) -> str:
    """Return the steps of a sign-in, with the link and the code to be opened, copied or scanned."""
    if view.stage is not Stage.waiting:
        return ""
    if view.link is None:
        return f"<p>{escape(view.headline())}</p>"
    link, code = escape(view.link), escape(view.code or "")
    parts = {"shown": link.partition("://")[2], "spelled": " ".join(code.replace("-", ","))}
    # Only a link that a phone can follow has a picture; one that ends on this computer is of no use to it.
    picture = _qr_code(view.link) if code else ""
    return _OFFERS[bool(code)].substitute(parts, link=link, code=code, picture=picture)


def _qr_code(link: str) -> str:
    """Return the link's QR code: dark on light in every theme, because few readers take the inverse.

    Empty for a link too long for any.
    """
    import segno  # a sign-in is rare

    try:
        drawn = segno.make_qr(link, error="l").svg_inline(light="#fff", omitsize=True)
    except segno.DataOverflowError:
        return ""
    label = 'role="img" aria-label="QR code of the sign-in page"'
    return f'<span class="codex-qr" {label}>{drawn}Or scan it</span>'


def note_html(view: LoginView) -> str:
    """Return the time left; screen readers do not announce each second of a `timer`."""
    seconds = view.seconds_left()
    if seconds is None:
        is_choice = view.stage is Stage.choosing and not view.failed
        return "<small>No account? <code>%codex provider local</code></small>" if is_choice else ""
    text = f"{'Code' if view.code else 'Link'} expires in {seconds // 60}:{seconds % 60:02}"
    return f'<small role="timer">{f"<b>{text}</b>" if seconds <= 120 else text}</small>'


def quota_html(view: LoginView) -> str:
    """Return a bar for each window, with its numbers as text beside it."""
    if view.stage is not Stage.account or view.limits is None:
        return ""
    bars = ((left(window), escape(sentence(window))) for window in windows(view.limits))
    rows = (f'<progress max="100" value="{n}" aria-label="{text}"></progress>{text}' for n, text in bars)
    return f'<p class="codex-quota">{"<br>".join(rows)}</p>'
