"""A history made short on one provider: sealed by the service where it can, else summed up by the model."""

from __future__ import annotations

from typing import cast

from ..protocol.errors import InvalidRequestError, ModelNotFoundError, ServiceError
from ..responses.client import AsyncClient
from ..responses.compaction import Compacted, kept
from ..responses.inputs import Item, assistant, user
from ..responses.parameters import Parameters

SUMMARISE = """\
Summarise this conversation for yourself, to go on with it after everything before is gone: what the user
wants, what was decided and why, what was done and found out (names, numbers and code that are still
needed, word for word), and what is left to do. Answer with the summary alone."""

SUMMARY = "Summary of the conversation so far:\n\n"

KEPT_TOKENS = 4_000
"""Of the newest messages of the user, in front of a summary."""

_NO_SUCH_ENDPOINT = (404, 405, 501)


class Shortener:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._has_no_endpoint = False

    async def shortened(self, history: list[Item], parameters: Parameters) -> Compacted:
        """What replaces `history`. Raises CodexError."""
        if not self._has_no_endpoint:
            parameters = _without(parameters, "output_schema", "verbosity")
            try:
                return await self._client.responses.compact(history, **parameters)
            except InvalidRequestError as error:
                if error.status not in _NO_SUCH_ENDPOINT or isinstance(error, ModelNotFoundError):
                    raise
                self._has_no_endpoint = True
        return await self._summed_up(history, parameters)

    async def _summed_up(self, history: list[Item], parameters: Parameters) -> Compacted:
        parameters = _without(parameters, "output_schema", "verbosity", "tools", "parallel_tool_calls")
        response = await self._client.responses.create([*history, user(SUMMARISE)], **parameters)
        if not response.output_text:
            raise ServiceError("The model was to sum up the conversation, and said nothing.")
        messages = [item for item in kept(history, tokens=KEPT_TOKENS) if item["role"] == "user"]
        output = [*messages, assistant(SUMMARY + response.output_text)]
        return Compacted(id=response.id, output=output, usage=response.usage)


def _without(parameters: Parameters, *names: str) -> Parameters:
    left = {name: each for name, each in parameters.items() if name not in names}
    return cast(Parameters, left)
