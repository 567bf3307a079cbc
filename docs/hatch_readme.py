"""Give a package the README as its description, with links that lead somewhere on the index's page too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

README = Path(__file__).parents[1] / "README.md"
LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)")
"""A relative link or picture, up to its target."""


class ReadmeHook(MetadataHookInterface):
    """Sets `readme`; see the module."""

    def update(self, metadata: dict[str, Any]) -> None:
        repository = metadata["urls"]["Documentation"].partition("#")[0]

        def absolute(link: re.Match[str]) -> str:
            return f"{link[1]}{link[2]}{repository}/{'raw' if link[1] else 'blob'}/HEAD/"

        text = LINK.sub(absolute, README.read_text(encoding="utf-8"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
