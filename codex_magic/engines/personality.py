"""How the model is to talk, in words: over HTTP there is no parameter for it."""

from __future__ import annotations

from ..protocol.errors import InvalidRequestError

PERSONALITIES = {
    "friendly": (
        "Be warm and encouraging: talk with the user as a kind colleague does, say what went well, and "
        "explain what may be new to them. Never let it cost correctness."
    ),
    "pragmatic": (
        "Be matter-of-fact: say what is so and what to do, in few words, without praise, small talk or "
        "repetition. Name problems plainly."
    ),
    "none": "",
}


def personality_text(name: str | None) -> str:
    """What is added to the instructions. Raises InvalidRequestError for a word that means nothing."""
    if name is None:
        return ""
    if name not in PERSONALITIES:
        raise InvalidRequestError(
            f"There is no personality {name!r}.", hint=f"It is one of {', '.join(PERSONALITIES)}."
        )
    return PERSONALITIES[name]
