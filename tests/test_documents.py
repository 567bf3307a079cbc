"""The documents beside the README are true: what they link to, name and command exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "labextension/README.md"]
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
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors


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
