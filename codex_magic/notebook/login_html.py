"""The parts of the sign-in widget that are only to be read, as HTML. Pure.

Colours and fonts are the theme's (JupyterLab's CSS variables, which VS Code and Notebook define too).
Nothing is told by colour alone, and what changes is announced to screen readers.
"""

from __future__ import annotations

from html import escape

from . import quota
from .login_view import LoginView, Stage
from .qr import qr_code, svg

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
    return f'<div class="codex-offer"><div class="codex-fields">{fields}</div>{_qr(view)}</div>'


def _readonly(label: str, value: str, kind: str = "") -> str:
    """A field that is reached by Tab and selects all of itself then, and by a click."""
    field = f'<input readonly class="{kind}" value="{escape(value)}" onclick="this.select()">'
    return f"<label>{escape(label)}{field}</label>"


def _qr(view: LoginView) -> str:
    """Of links that a phone can follow; one that ends on this computer is of no use to it."""
    code = qr_code(view.link or "") if view.code is not None else None
    return svg(code, label="QR code of the link") if code is not None else ""


def countdown_html(view: LoginView) -> str:
    """Not announced every second: `timer` is silent unless asked."""
    left = view.countdown()
    return f'<p role="timer">Time left: {left}</p>' if left else ""


def quota_html(view: LoginView) -> str:
    """A bar for each window, with its numbers as text beside it."""
    if view.stage is not Stage.account or view.limits is None:
        return ""
    rows = []
    for window in quota.windows(view.limits):
        left, text = quota.left(window), escape(quota.sentence(window))
        meter = (
            f'role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{left}" aria-label="{text}"'
        )
        rows.append(
            f'<div class="codex-bar" {meter}><div style="width: {left}%"></div></div><span>{text}</span>'
        )
    return f'<div class="codex-quota">{"".join(rows)}</div>'
