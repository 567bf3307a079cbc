"""Values that raise, lie, hang, recurse or are huge. Those that hang do so until `released` is set."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock

import pytest

pd = pytest.importorskip("pandas")

released = threading.Event()
touched: list[str] = []
"""What was run that should not have been."""


def hang(*_: Any) -> Any:
    released.wait()
    return ""


def fail(*_: Any) -> Any:
    raise RuntimeError("no")


def leave(*_: Any) -> Any:
    raise SystemExit(3)


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def touch(name: str) -> Callable[..., Any]:
    def run(*_: Any) -> Any:
        touched.append(name)
        raise AssertionError(name)

    return run


def made(name: str, *bases: type, **methods: Any) -> Any:
    return type(name, bases, methods)()


class Endless:
    """Recurses in its own repr."""

    def __repr__(self) -> str:
        return f"<{self!r}>"


class Lying:
    """Claims to be a dict, through a property."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        touched.append("__class__")
        return dict


class LyingDict(dict):
    def __iter__(self) -> Iterator[Any]:
        return itertools.count()

    def __len__(self) -> int:
        return -1

    keys = values = items = __getitem__ = __contains__ = touch("a dict's method")


class LyingList(list):
    __len__ = __iter__ = __getitem__ = touch("a list's method")


class LyingText(str):
    __slots__ = ()
    __str__ = __len__ = __getitem__ = __format__ = touch("a text's method")


class Answering:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        touched.append(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


class Refusing:
    """Has none, not even those of an object."""

    def __getattribute__(self, name: str) -> Any:
        raise AttributeError(name)


class Hidden:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        touched.append("__dict__")
        raise RuntimeError("no")


class Meta(type):
    __getattribute__ = touch("a metaclass's attribute")
    __instancecheck__ = __subclasscheck__ = touch("a metaclass's check")
    __hash__ = __eq__ = touch("a metaclass's hash")


class Falsified(NamedTuple):
    one: int


type.__setattr__(Falsified, "_fields", 7)


class Wide(enum.Enum):
    ONE = Endless()


class BadError(Exception):
    __str__ = fail


class Telling:
    """Describes itself without an end."""

    def __codex__(self) -> str:
        return "word " * 1_000_000


HANGING: dict[str, Callable[[], Any]] = {
    "a repr that hangs": lambda: made("Hangs", __repr__=hang, held=1),
    "words of its own that hang": lambda: made("Hangs", __codex__=hang),
    "a frame whose shape hangs": lambda: made("Stuck", pd.DataFrame, shape=property(hang)),
    "a picture that hangs": lambda: made("Hangs", _repr_png_=hang),
}

RAISING: dict[str, Callable[[], Any]] = {
    "a repr that raises": lambda: made("Raises", __repr__=fail),
    "a repr that leaves": lambda: made("Leaves", __repr__=leave),
    "a repr that interrupts": lambda: made("Interrupts", __repr__=interrupt),
    "a repr that recurses": Endless,
    "a repr that is no text": lambda: made("Wrong", __repr__=lambda self: 7),
    "words of its own that raise": lambda: made("Raises", __codex__=fail),
    "a frame whose shape raises": lambda: made("Shapeless", pd.DataFrame, shape=property(fail)),
    "a frame by its name alone": lambda: made("DataFrame", __module__="pandas"),
    "a tensor by its name alone": lambda: made("Tensor", __module__="torch"),
    "an exception that can't say what it is": BadError,
}

LYING: dict[str, Callable[[], Any]] = {
    "a class that lies": Lying,
    "a dict that lies": lambda: LyingDict(a=1),
    "a list that lies": lambda: LyingList([1]),
    "a text that lies": lambda: LyingText("text"),
    "every attribute": Answering,
    "no attribute": Refusing,
    "a dict that is a property": Hidden,
    "a metaclass that is never itself": lambda: type.__call__(Meta("Odd", (), {})),
    "a class of that metaclass": lambda: Meta("Odd", (), {}),
    "a tuple of false fields": lambda: Falsified(1),
    "an enum of hostile values": lambda: Wide,
    "no truth": lambda: made("Untrue", __bool__=touch("bool"), __eq__=touch("eq"), __hash__=touch("hash")),
    "a length that hangs": lambda: made("Long", __len__=hang, __iter__=touch("iter")),
    "a length that raises": lambda: made("Long", __len__=touch("len"), __getitem__=touch("getitem")),
    "an endless iterable": lambda: made("Many", __iter__=touch("iter"), __repr__=touch("repr")),
    "an iterator": lambda: made("Many", __iter__=touch("iter"), __next__=touch("next")),
    "properties": lambda: made("Computed", one=property(touch("property"))),
    "objects of hostile hashes in a frame": lambda: pd.DataFrame(
        {"a": [made("Key", __hash__=hang, __eq__=hang, __repr__=hang)]}
    ),
    "a mock": Mock,
    "a mock of all methods": MagicMock,
    "a repr of 256 megabytes": lambda: made("Huge", __repr__=lambda self: "x" * 2**28),
    "words of its own of 5 megabytes": Telling,
}
