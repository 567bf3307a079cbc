"""`client.models`: the provider's catalog, asked for when what is remembered is too old."""

from __future__ import annotations

from ..waiting import Direct, blocking
from .catalog import FRESH, Model, default_model, find_model
from .transport import Outgoing, Transport

A_DAY = 86400.0
"""Seconds after which a remembered default model is asked for anew before it is used."""


class AsyncModels:
    """`client.models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._catalog = transport.core.catalog

    async def list(self, *, force_refresh: bool = False, max_age: float = FRESH) -> list[Model]:
        """Return the provider's models, best first, the hidden ones too (`model.hidden`).

        They are requested unless the remembered ones are at most `max_age` seconds old and no answer has
        announced others since. Raises CodexError.
        """
        remembered = None if force_refresh else self._catalog.remembered(max_age=max_age)
        if remembered is not None:
            return remembered
        request = Outgoing("GET", self._catalog.url, {"Accept": "application/json"})
        answer = await self._transport.fetch(request)
        return self._catalog.receive(answer.headers, answer.content)

    async def retrieve(self, model: str) -> Model:
        """Return the catalog's entry of one model. Raises ModelNotFoundError, whose `near` are the closest names."""
        models = self._catalog.remembered(max_age=FRESH) or []
        if not any(each.slug == model for each in models):
            models = await self.list(force_refresh=True)
        return find_model(models, model)

    def known(self, model: str | None) -> Model | None:
        """Return the remembered entry of one model, however old, without a request."""
        return self._catalog.known(model)

    async def default(self, *, max_age: float = A_DAY) -> Model:
        """Return the catalog's default. Raises ConfigurationError when it has none."""
        return default_model(await self.list(max_age=max_age))


class Models(Direct[AsyncModels]):
    """`client.models`."""

    list = blocking(AsyncModels.list)
    retrieve = blocking(AsyncModels.retrieve)
    default = blocking(AsyncModels.default)

    def known(self, model: str | None) -> Model | None:
        """Return the remembered entry of one model, however old, without a request."""
        return self.asynchronous.known(model)
