"""The documentation is true: it builds without a warning, its links lead somewhere, and what it shows runs."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import codex_magic
from codex_magic.context.mentions import find_mentions
from codex_magic.notebook.commands import COMMANDS
from codex_magic.notebook.magics import CodexMagics
from codex_magic.notebook.options import OPTIONS
from codex_magic.protocol.policy import VARIABLE, policy_bounds
from tests.end_to_end.kernel import Kernel
from tests.end_to_end.notebooks import save_notebook
from tests.service import LocalService
from tests.test_readme import ROOT, agents_too, blocks, run_session

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
REPOSITORY = re.compile(r"https://github\.com/codex-magic/codex-magic/(?:blob|raw)/HEAD/(.+)")
IN_NOTEBOOK = ["%load_ext codex_magic", "%%codex\necho: yes"]
"""What the notebook that the commands of a page are about holds."""

built = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="MyST for Python 3.10 needs an older markdown-it-py than we are tested with",
)


def shown(language: str) -> list[Any]:
    """The code blocks of all pages, each named by its page; what they include is run where it stands."""
    return [
        pytest.param(block, id=f"{page.relative_to(DOCS)}-{number}", marks=marks(block))
        for page in PAGES
        for number, block in enumerate(blocks(language, page.read_text(encoding="utf-8")), 1)
    ]


def marks(block: str) -> Any:
    return getattr(agents_too(block), "marks", ())


class Page(HTMLParser):
    """`names`: what a link can lead to; `links`; `loaded`: what a browser fetches for the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.names |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        elif tag == "link" and "href" in of:
            self.loaded.append(of["href"])
        elif "src" in of:
            self.loaded.append(of["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, built as `make docs` builds them."""
    folder = tmp_path_factory.mktemp("site")
    [recipe] = re.findall(r"-m (sphinx .*?) docs ", (ROOT / "Makefile").read_text(encoding="utf-8"))
    command = [sys.executable, "-m", *recipe.split(), "docs", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


@built
def test_every_page_is_built(site: Path, pages: dict[Path, Page]) -> None:
    assert {site / page.relative_to(DOCS).with_suffix(".html") for page in PAGES} <= pages.keys()


@built
def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    dead = [
        f"{path.name}: {target}"
        for path, page in pages.items()
        for target in page.links
        if not leads_somewhere(path, target, pages)
    ]
    assert dead == []


def leads_somewhere(path: Path, target: str, pages: dict[Path, Page]) -> bool:
    """Within the site, or to a file of this repository; other sites are not asked."""
    if in_repository := REPOSITORY.fullmatch(target):
        return (ROOT / in_repository[1]).exists()
    parts = urlsplit(target)
    if parts.scheme:
        return parts.scheme == "https"
    to = file_of(path, target)
    if to not in pages:
        return to.is_file() and not parts.fragment
    return not parts.fragment or unquote(parts.fragment) in pages[to].names


@built
def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    loaded = {(path, target) for path, page in pages.items() for target in page.loaded}
    assert {target for path, target in loaded if not file_of(path, target).is_file()} == set()


def file_of(path: Path, target: str) -> Path:
    """The file that a relative link of a page leads to; without a path it is the page itself."""
    return (path.parent / (unquote(urlsplit(target).path) or path.name)).resolve()


@built
def test_every_public_name_is_documented(site: Path, pages: dict[Path, Page]) -> None:
    names = pages[site / "reference" / "api.html"].names
    assert [name for name in codex_magic.__all__ if f"codex_magic.{name}" not in names] == []


@pytest.mark.parametrize("block", shown("ipython"))
def test_a_session_runs_and_shows_what_it_says(block: str, service: LocalService, kernel: Kernel) -> None:
    run_session(block, kernel)


@pytest.mark.parametrize("block", shown("python"))
def test_a_python_example_runs(block: str, service: LocalService, kernel: Kernel) -> None:
    assert "error" not in {output["output_type"] for output in kernel.execute(block)}


@pytest.mark.parametrize("block", shown("sh"))
def test_commands_run(block: str, service: LocalService, wheel: Path, tmp_path: Path) -> None:
    save_notebook(tmp_path / "report.ipynb", *IN_NOTEBOOK)
    for line in block.replace("\\\n", " ").splitlines():
        subprocess.run(runnable(shlex.split(line, comments=True), wheel), cwd=tmp_path, check=True)


def runnable(words: list[str], wheel: Path) -> list[str]:
    """A command as it can run here: of this environment, and pip without a network, with our wheel, for trial."""
    variables = [word for word in words if re.match(r"[A-Z_]+=", word)]
    program, *rest = words[len(variables) :]
    if program == "make":
        return ["make", "--dry-run", "--always-make", "--directory", str(ROOT), *rest]
    if program == "pip":
        assert rest[0] in ("install", "download")
        trial = ["install", "--dry-run", "--no-deps", "--no-index", "--find-links", str(wheel.parent)]
        return [sys.executable, "-m", "pip", *trial, re.sub(r"^\.", "codex-magic", rest[-1])]
    module = [] if program == "python" else ["-m", program]
    return ["env", *variables, sys.executable, *module, *rest]


@pytest.mark.parametrize("block", shown("toml"))
def test_a_policy_is_one(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(block)
    monkeypatch.setenv(VARIABLE, str(path))
    assert path in dict(policy_bounds().policies)


def test_no_block_is_left_out() -> None:
    languages = {
        language
        for page in PAGES
        for language in re.findall(r"^```(\w+)$", page.read_text("utf-8"), re.MULTILINE)
    }
    assert languages == {"ipython", "python", "sh", "toml"}


SPANS = [
    pytest.param(span, id=f"{page.relative_to(DOCS)}: {span}")
    for page in PAGES
    for span in sorted(set(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))))
]


@pytest.mark.parametrize("span", SPANS)
def test_a_command_option_setting_or_variable_that_is_named_exists(span: str) -> None:
    """What is not of this package is not looked at: options of other programs, variables without our prefix."""
    if command := re.match(r"%codex ([a-z]+)\b", span):
        assert command[1] in COMMANDS
    if span.startswith("%"):
        own = {"offline", "report", "archived", *OPTIONS}
        assert set(re.findall(r" --([a-z-]+)", span)) <= own
    assert set(re.findall(r"CodexMagics\.(\w+)", span)) <= set(CodexMagics.class_trait_names(config=True))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in re.findall(r"\bCODEX_[A-Z_]+", span))


MENTIONS = re.findall(r"`(@\w[^`]*|@\"[^`]*|\{\{[^`]*)`", (DOCS / "use" / "questions.md").read_text("utf-8"))


@pytest.mark.parametrize("span", sorted(set(MENTIONS)))
def test_a_mention_that_is_listed_is_one(span: str) -> None:
    assert [mention.text for mention in find_mentions(span)] == [span]


OF_THE_CLI = sorted(
    {
        span
        for row in re.findall(
            r"^\| (`.+?) \|", (DOCS / "coming-from" / "codex-cli.md").read_text("utf-8"), re.MULTILINE
        )
        for span in re.findall(r"`((?:codex |--)[^`]+)`", row)
    }
)


@pytest.mark.peer("openai-codex-cli-bin")
@pytest.mark.parametrize("span", OF_THE_CLI)
def test_what_is_said_of_the_codex_cli_is_so(span: str) -> None:
    """What a person types there; `/new` and its like are known to its screen alone."""
    codex_cli_bin = pytest.importorskip("codex_cli_bin")
    words = shlex.split(span.removeprefix("codex "))
    commands = [word for word in words if word.isalpha() and word.islower()]
    command = [str(codex_cli_bin.bundled_codex_path()), *commands, "--help"]
    text = subprocess.check_output(command, text=True)
    assert " ".join(["Usage: codex", *commands]) in text
    assert [word for word in words if word.startswith("--") and word not in text] == []


TROUBLES = (DOCS / "reference" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [found[2] for found in re.finditer(r"^### (`+)(.+)\1$", TROUBLES, re.MULTILINE)]


@cache
def texts() -> list[str]:
    """All texts in the package's code, with `…` for what is put into them at run time."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "codex_magic").rglob("*.py"))
    return [text for tree in trees for text in texts_in(tree)]


def texts_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            yield "".join(map(str, parts))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_can_come(message: str) -> None:
    assert any(message in text for text in texts())


def test_every_heading_is_a_message_or_a_topic() -> None:
    assert len(MESSAGES) == len(re.findall("^### ", TROUBLES, re.MULTILINE)) > 0
