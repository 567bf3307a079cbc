"""The documentation: MyST pages, which include what README and CONTRIBUTING say; `make docs` builds it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from IPython.lib.lexers import IPythonConsoleLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import codex_magic

project = "codex_magic"
author = "The codex_magic developers"
version = release = codex_magic.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["hatch_readme.py"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
default_role = "literal"  # docstrings are written as in Markdown

autodoc_typehints = "none"  # the signature of a stub's name is long enough
autodoc_member_order = "bysource"

html_static_path = ["style"]
html_css_files = ["docs.css"]
html_theme = "pydata_sphinx_theme"
html_title = "codex_magic"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "use_edit_page_button": False,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", "start", "sign-in", "privacy")}
html_context = {"default_mode": "auto"}
copyright = "The codex_magic developers, Apache-2.0"

os.environ.pop(
    "CODEX_MAGIC_POLICY", None
)  # what an administrator of this machine bounds is not documentation


class PublicNames(SphinxDirective):
    """The public names of these modules of the package, by their docstrings."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        modules = [f"codex_magic.{name}" for name in " ".join(self.content).split()]
        exports = codex_magic._exports()
        lines = [
            line
            for name in codex_magic.__all__
            if exports[name] in modules
            for line in entry(name, getattr(codex_magic, name))
        ]
        return self.parse_text_to_nodes(StringList(lines, source=self.get_source_info()[0]))


def entry(name: str, value: Any) -> Iterator[str]:
    kind = next(kind for kind, takes in KINDS.items() if takes(value))
    yield f".. {kind}:: codex_magic.{name}"
    if kind in ("autoclass", "autoexception"):
        yield "   :members:"
    if kind == "autoclass":
        yield "   :undoc-members:"
    yield ""


KINDS = {
    "autoexception": lambda value: inspect.isclass(value) and issubclass(value, Exception),
    "autoclass": inspect.isclass,
    "autofunction": callable,
    "autodata": lambda value: True,
}


MARKS = re.compile(r"(`[^`]*`)(?=(\w?))|([*|\\])")
PARAMETERS = re.compile(r"(\w+(?:, \w+)*): ")


def read_as_markdown(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Write a docstring in reStructuredText: its marks alone, and a list of the parameters that it explains."""

    def marked(match: re.Match[str]) -> str:
        return f"\\{match[3]}" if match[3] else match[1] + "\\ " * bool(match[2])

    if what == "function" and not inspect.isroutine(value):  # `map`, which is an object
        lines[:] = (inspect.getdoc(type(value).__call__) or "").splitlines()
    written: list[str] = []
    for line in lines:
        text = MARKS.sub(marked, line)
        in_list = bool(written) and written[-1].startswith(("- ", "  "))
        if parameters := PARAMETERS.match(text):
            written += [""] * (not in_list) + [f"- `{parameters[1]}`: {text[parameters.end() :]}"]
        elif in_list and text.startswith(" "):
            written.append(f"  {text.strip()}")
        else:
            written += [""] * in_list + [text]
    lines[:] = written


class Commands(SphinxDirective):
    """The tables of `%codex help`: a group of commands, or `options`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from codex_magic.notebook.commands import GROUPS
        from codex_magic.notebook.options import CELL_OPTIONS

        rows = CELL_OPTIONS if self.arguments[0] == "options" else GROUPS[self.arguments[0]]
        lines = ["| Type | What it does |", "|---|---|"]
        lines += [f"| `{each.usage.replace('|', chr(92) + '|')}` | {each.help} |" for each in rows]
        return self.parse_text_to_nodes(StringList(lines, source=self.get_source_info()[0]))


def setup(app: Sphinx) -> None:
    app.add_lexer("ipython", IPythonConsoleLexer)
    app.add_directive("public-names", PublicNames)
    app.add_directive("codex-commands", Commands)
    app.connect("autodoc-process-docstring", read_as_markdown)
