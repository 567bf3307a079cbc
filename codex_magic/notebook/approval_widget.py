"""A question with buttons. All that the model wrote is text in it: escaped, and never Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets

from .question import Choice, Passage, Question, Shown, choices, shown
from .screen import VIEW, let_clicks_through

STYLE = """<style>
.codex-approval { border: 1px solid var(--jp-border-color2); border-left: 3px solid var(--jp-warn-color1);
  padding: 12px 16px; max-width: 60em; overflow: visible }
.codex-approval, .codex-approval .widget-html-content { line-height: 1.5; color: var(--jp-ui-font-color1) }
.codex-approval .widget-html, .codex-approval .widget-html-content { height: auto; white-space: normal; margin: 0 }
.codex-approval .widget-html { width: auto }
.codex-approval .widget-box { overflow: visible }
.codex-approval > .widget-hbox { margin: 8px 0 0; gap: 4px }
.codex-approval p, .codex-approval pre { direction: ltr; unicode-bidi: isolate-override }
.codex-approval p { margin: 0 0 8px; overflow-wrap: anywhere; font-size: var(--jp-ui-font-size1) }
.codex-approval p.codex-title { font-size: var(--jp-ui-font-size2); font-weight: 600 }
.codex-approval pre { margin: 0 0 8px; padding: 8px; max-height: 24em; overflow: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; color: var(--jp-content-font-color1); background: var(--jp-layout-color2);
  font-family: var(--jp-code-font-family); font-size: var(--jp-code-font-size); line-height: var(--jp-code-line-height) }
.codex-approval pre ins { text-decoration: none; display: block; background: color-mix(in srgb, var(--jp-success-color1) 20%, transparent) }
.codex-approval pre del { text-decoration: none; display: block; background: color-mix(in srgb, var(--jp-error-color1) 20%, transparent) }
.codex-approval pre span { display: block }
.codex-approval .widget-button { height: auto; width: auto; padding: 4px 12px; white-space: normal; line-height: 1.5;
  animation: codex-just-come 0.6s }
@keyframes codex-just-come { from, 99% { pointer-events: none; opacity: 0.5 } }
</style>"""
"""The animation keeps the second click of a double click from answering the question that comes next. Text stands
in the order in which it is read, also where letters of a right-to-left script would turn it around."""


class ApprovalWidget:
    """Made in whichever thread paints the turn; a click answers the question, from whichever it comes in."""

    def __init__(self, question: Question) -> None:
        self._made: list[ipywidgets.Widget] = []
        text = self._keep(ipywidgets.HTML(STYLE + question_html(shown(question))))
        buttons = [self._button(question, choice) for choice in choices(question.request)]
        row = self._keep(ipywidgets.HBox(buttons, layout=ipywidgets.Layout(flex_flow="row wrap")))
        self._box = self._keep(ipywidgets.VBox([text, row]))
        self._box.add_class("codex-approval")
        let_clicks_through(self._made)

    @property
    def bundle(self) -> dict[str, object]:
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}}

    def close(self) -> None:
        for widget in self._made:
            widget.close()
        self._made.clear()

    def _keep(self, widget: ipywidgets.Widget) -> ipywidgets.Widget:
        parts = (widget.layout, getattr(widget, "style", None))
        self._made += [widget, *(part for part in parts if isinstance(part, ipywidgets.Widget))]
        return widget

    def _button(self, question: Question, choice: Choice) -> ipywidgets.Button:
        button = self._keep(ipywidgets.Button(description=choice.label))
        button.on_click(_answering(question, choice))
        return button


def _answering(question: Question, choice: Choice) -> Callable[[object], None]:
    return lambda _: question.answer(choice.decision)


def question_html(asked: Shown) -> str:
    """The question as HTML whose only tags are ours; it is told to screen readers as it comes."""
    parts = [f'<p class="codex-title" role="alert">{escape(asked.title)}</p>']
    parts += map(_passage_html, asked.passages)
    parts += [f"<p>{escape(label)}: {escape(text)}</p>" for label, text in asked.facts]
    return "".join(parts)


def _passage_html(passage: Passage) -> str:
    """Each line is an element: HTML forgets a line feed that comes first."""
    title = f"<p>{escape(passage.title)}</p>" if passage.title else ""
    tags = {"+": "ins", "-": "del"} if passage.language == "diff" else {}
    body = "".join(_line(line, tags.get(line[:1], "span")) for line in passage.text.split("\n"))
    return f'{title}<pre tabindex="0">{body}</pre>'


def _line(line: str, tag: str) -> str:
    """Added and removed lines keep their signs, so that nothing is told by colour alone."""
    return f"<{tag}>{escape(line) or ' '}</{tag}>"
