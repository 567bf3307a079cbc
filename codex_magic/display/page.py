"""Where the outputs of one request go, and how they can change after they were shown.

A front end that runs its cells itself replaces an output under its display id. Where a server runs
them, display updates are appended as outputs of their own or dropped; what is cleared and shown again
ends right everywhere. An Output widget takes new outputs only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Bundle = Mapping[str, Any]


class Pace(NamedTuple):
    """Seconds between two paints: a floor, and a share for every character painted."""

    floor: float
    per_char: float = 0.0


NOTEBOOK = Pace(floor=0.05, per_char=30e-6)
"""A front end spends about 10 us on a character of live Markdown: this leaves it two thirds of its time."""

REPAINT = Pace(floor=1.0, per_char=100e-6)
"""Clearing and showing again costs a jump on screen, and a shared document keeps every version of it."""


class Page:
    """`show` bundles that change, under an id of theirs; `say` what stays as it is; `close` with the request."""

    pace = REPAINT
    changes = True
    """Whether what is shown can change while the request runs."""
    has_controls = False
    """Whether widgets are drawn, and an output can change after the end of its request too."""

    def __init__(self) -> None:
        self._parts: dict[str, Bundle] = {}

    def show(self, id: str, bundle: Bundle) -> None:
        raise NotImplementedError

    def say(self, bundle: Bundle) -> None:
        _publish(bundle)

    def close(self) -> None:
        """Show what has not been shown yet."""


class UpdatedPage(Page):
    """Each bundle is an output, replaced in place; from any thread, and after the end of the request.

    The metadata never changes: VS Code replaces all outputs of a cell when it does.
    """

    pace = NOTEBOOK
    has_controls = True

    def show(self, id: str, bundle: Bundle) -> None:
        _publish(bundle, display_id=id, update=id in self._parts)
        self._parts[id] = {}


class RepaintedPage(Page):
    """One output for all of a request that has its cell to itself, cleared and shown again at each change."""

    def show(self, id: str, bundle: Bundle) -> None:
        from IPython.display import clear_output

        if self._parts.get(id) == bundle:
            return
        if self._parts:
            clear_output(wait=True)  # type: ignore[no-untyped-call]  # IPython.display is untyped
        self._parts[id] = bundle
        _publish(_joined(self._parts.values()))

    def say(self, bundle: Bundle) -> None:
        self.show(f"part {len(self._parts)}", bundle)


class AppendedPage(Page):
    """Nothing shown can change, as in an Output widget, or where clearing would take what others have printed.

    What changes is shown once, in one output, when the request is closed.
    """

    changes = False

    def show(self, id: str, bundle: Bundle) -> None:
        self._parts[id] = bundle

    def close(self) -> None:
        if self._parts:
            _publish(_joined(self._parts.values()))
            self._parts = {}


def _joined(bundles: Iterable[Bundle]) -> Bundle:
    """One bundle that reads like these below each other; other data is that of the last one that has it."""
    joined: dict[str, Any] = {}
    for bundle in bundles:
        texts = {
            kind: "\n\n".join(filter(None, (joined.get(kind), bundle.get(kind))))
            for kind in ("text/markdown", "text/plain")
        }
        joined.update({**bundle, **texts})
    return joined


def _publish(bundle: Bundle, *, display_id: str | None = None, update: bool = False) -> None:
    from IPython.display import publish_display_data

    publish_display_data(  # type: ignore[no-untyped-call]  # IPython.display is untyped
        dict(bundle), metadata={}, transient={"display_id": display_id} if display_id else {}, update=update
    )
