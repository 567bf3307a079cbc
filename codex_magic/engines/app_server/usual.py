"""What holds for a turn that does not say: what is usual, not what an earlier turn said.

The program keeps a model and an effort for the turns after the one that named them, and takes back neither.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..seam import TurnRequest
from .connection import Connection
from .kept import models

_KEPT = ("model", "effort")


class Usual:
    """Remembers, for each thread of the program, what its turns have named."""

    def __init__(self) -> None:
        self._named: defaultdict[str, set[str]] = defaultdict(set)

    async def parameters(
        self, connection: Connection, thread_id: str, request: TurnRequest
    ) -> dict[str, Any]:
        """Of `turn/start`, for what `request` leaves open and an earlier turn has named."""
        said = {name for name in _KEPT if getattr(request, name) is not None}
        named = self._named[thread_id]
        missing = named - said
        named |= said
        if not missing:
            return {}
        config = (await connection.call("config/read", {}))["config"]
        catalog = await models(connection, include_hidden=True)
        model = request.model or config["model"] or catalog[0].slug
        levels = {each.slug: each.default_reasoning_level for each in catalog}
        usual = {"model": model, "effort": config["model_reasoning_effort"] or levels.get(model)}
        return {name: usual[name] for name in missing if usual[name] is not None}
