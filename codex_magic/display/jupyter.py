"""A turn as one notebook output, redrawn in place; works in every front end, with or without ours."""

from __future__ import annotations

from .pace import NOTEBOOK
from .view import TurnView


class JupyterSurface:
    """The whole bundle each time, under one display id.

    The metadata never changes: VS Code replaces all outputs of a cell when it does. Measured for an answer
    of 40,000 characters in 20 s: 0.94 MB in 74 messages; for 160,000 in the same time 1.27 MB in 28.
    """

    pace = NOTEBOOK

    def __init__(self) -> None:
        self._shown: object = None

    def open(self, view: TurnView) -> None:
        self._show(view, update=False)

    def update(self, view: TurnView) -> None:
        self._show(view, update=True)

    def pause(self) -> None:
        """Other outputs have places of their own."""

    def close(self, view: TurnView) -> None:
        self._show(view, update=True)

    def _show(self, view: TurnView, *, update: bool) -> None:
        from IPython.display import publish_display_data

        bundle = view.bundle()
        if bundle == self._shown:
            return
        self._shown = bundle
        publish_display_data(  # type: ignore[no-untyped-call]  # IPython.display is untyped
            bundle, metadata={}, transient={"display_id": view.id}, update=update
        )
