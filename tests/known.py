"""What a test knows of a value and its type does not say."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def some(value: T | None) -> T:
    """The value, which is there."""
    assert value is not None
    return value


def the(kind: type[T], value: object) -> T:
    """The value, which is of this kind."""
    assert isinstance(value, kind), value
    return value
