"""The documents beside the README are true: what they link to, name and command exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "labextension/README.md"]
MOST_OF_PICTURE = 150_000
"""Bytes."""
MOST_PICTURES = 6
"""Of the README; a reader of it scrolls, and the documentation has the others."""
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def links() -> list[tuple[str, str]]:
    """Relative links, by document."""
    return [
        (document, target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text(encoding="utf-8"))
        if "://" not in target
    ]


@pytest.mark.parametrize(("document", "target"), links())
def test_a_link_leads_somewhere(document: str, target: str) -> None:
    name, _, anchor = target.partition("#")
    path = (ROOT / document).parent / name
    assert path.is_file()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "pictures").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small_and_shown(path: Path) -> None:
    assert path.stat().st_size <= MOST_OF_PICTURE
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = [
        page
        for page in pages
        if re.search(rf"!\[[^\]]+\]\(.*pictures/{path.name}\)", page.read_text("utf-8"))
    ]
    assert shown


def test_the_readme_shows_the_product_first_and_has_few_pictures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = [match.start() for match in re.finditer(r"!\[", readme)]
    assert pictures[0] < readme.index("```")
    assert len(pictures) <= MOST_PICTURES


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:codex_magic|tests)/[\w/.]+)`", CONTRIBUTING))))
def test_a_path_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", CONTRIBUTING))))
def test_a_command_that_is_named_exists(target: str) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_the_layers_drawn_are_those_there_are() -> None:
    from tests.test_layers import LAYERS

    [drawing] = re.findall(r"^```text\n(.*?)^```$", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"^(\w+)", drawing, re.MULTILINE)) == set(LAYERS)


def test_the_changelog_begins_with_this_version() -> None:
    from codex_magic import __version__

    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == __version__
