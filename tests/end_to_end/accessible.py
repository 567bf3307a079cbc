"""What keeps somebody from reading or using a part of a page, in each theme: by axe, and by contrasts of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.lab import BUILT

AXE = BUILT.parent / "node_modules" / "axe-core" / "axe.min.js"
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")

CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text()
"""Yields the texts below some selectors that stand out too little, as `[contrast, colour, ground, text]`."""

READY = """() => [...document.querySelectorAll('.cdx-b:enabled')].every(each =>
    !each.checkVisibility() || getComputedStyle(each).opacity === '1')"""
"""Whether each button takes clicks: a theme that changes makes them wait once more."""


def faults(visit: Visit, *where: str) -> list[Any]:
    """What is wrong there that is serious, and the texts that axe can't measure or measures too kindly."""
    if not visit.page.evaluate("'axe' in window"):
        visit.page.add_script_tag(path=AXE)
    found = visit.page.evaluate(
        "async where => (await axe.run({ include: where })).violations", [[each] for each in where]
    )
    serious = [
        (each["id"], [(node["html"][:200], node["failureSummary"]) for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    return serious + visit.page.evaluate(CONTRASTS, list(where))


def faults_in_each_theme(visit: Visit, name: str, *where: str) -> list[Any]:
    """The same in each theme, with a picture of it."""
    found = []
    for theme in THEMES:
        visit.theme(theme)
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        visit.page.wait_for_function(READY)
        visit.screenshot(f"{name}-{theme.removeprefix('JupyterLab ').replace(' ', '-').lower()}")
        found += [(theme, *fault) for fault in faults(visit, *where)]
    return found
