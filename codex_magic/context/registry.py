"""Which describer speaks for a value: by the qualified names of its type and of those that the type derives from.

No library is imported for it, and nothing of the value is run: a type can lie about itself only in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeVar


@dataclass(frozen=True)
class Look:
    """How closely to look at a value."""

    rows: int = 5
    """Rows or entries that are shown; 0 shows how a value is built, and nothing of what it holds."""
    tokens: int = 800


@dataclass(frozen=True)
class Picture:
    """What a describer gives beside its lines."""

    data: bytes
    mime: str = "image/png"


Part = str | Picture
Describer = Callable[[Any, Look], str | Iterable[Part]]
D = TypeVar("D", bound=Describer)

_describers: dict[str, Describer] = {}


def register(*kinds: type | str) -> Callable[[D], D]:
    """Describe values of these types, and of what derives from them, by the decorated function.

    A kind is a type or its qualified name, such as "pandas.DataFrame"; a name with two parts stands for a class
    anywhere in that package. The function takes the value and a `Look`, and returns text or yields lines, of
    which the first is the headline. What it yields before it fails or its time is up is kept.
    """

    def add(describer: D) -> D:
        _describers.update({kind if isinstance(kind, str) else names(kind)[0]: describer for kind in kinds})
        return describer

    return add


def find(value: object) -> Describer:
    """The describer of the nearest type; `object` has one."""
    every = [name for cls in mro(value) for name in names(cls)]
    return next(_describers[name] for name in [*every, "builtins.object"] if name in _describers)


def mro(value: object) -> tuple[type, ...]:
    """The types of a value as Python keeps them: no metaclass has a say."""
    return mro_of(type(value))


def mro_of(cls: type) -> tuple[type, ...]:
    order: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return order


def names(cls: type) -> tuple[str, str]:
    """`pandas.core.frame.DataFrame` and, without the modules between, `pandas.DataFrame`."""
    qualname: str = type.__dict__["__qualname__"].__get__(cls)
    module = vars(type)["__module__"].__get__(cls)
    module = module if type(module) is str else "builtins"
    return f"{module}.{qualname}", f"{module.partition('.')[0]}.{qualname}"


def type_name(value: object) -> str:
    """The name of a value's type as its users write it: `dict`, `pandas.DataFrame`, `Order`."""
    name = names(type(value))[1]
    return name.removeprefix("builtins.").removeprefix("__main__.").rpartition("<locals>.")[2]


def static(value: object, name: str) -> Any:
    """An attribute of a value's type that is there without running anything; None where there is none."""
    return next((own[name] for own in map(namespace, mro(value)) if name in own), None)


def namespace(cls: type) -> dict[str, Any]:
    """What a class holds itself, whatever its metaclass says."""
    own: dict[str, Any] = type.__dict__["__dict__"].__get__(cls)
    return own


def attributes(value: object) -> Iterator[tuple[str, Any]]:
    """What a value stores, in `__dict__` and in slots, without asking it."""
    storage = static(value, "__dict__")
    stored = storage.__get__(value) if type(storage) in (GetSetDescriptorType, MemberDescriptorType) else {}
    if issubclass(type(stored), dict):
        yield from [each for each in [*dict.items(stored)] if type(each[0]) is str]
    for cls in reversed(mro(value)):
        for name, slot in [*namespace(cls).items()]:
            if type(slot) is MemberDescriptorType and not name.startswith("__"):
                with suppress(AttributeError):  # an empty slot
                    yield name, slot.__get__(value)


def attribute(value: Any, name: str) -> Any:
    """What a value, its class or a table under that name holds; no property runs. Raises LookupError."""
    if is_table(value):
        return value[name]
    stored = dict(attributes(value))
    if name in stored:
        return stored[name]
    own = map(namespace, mro_of(value)) if issubclass(type(value), type) else ()
    found = next((each[name] for each in own if name in each), static(value, name))
    if found is None or (static(found, "__get__") is not None and type(found) is not FunctionType):
        raise LookupError(name)
    return found


def entry(value: Any, key: str | int) -> Any:
    """An entry of a container of Python's own, or of a table; no `__getitem__` of another class runs. Raises LookupError."""
    kind = type(value)
    if is_table(value):
        return value[key]
    if issubclass(kind, dict) and (found := dict.get(value, key, kind)) is not kind:
        return found
    base = next((each for each in (list, tuple) if issubclass(kind, each)), None)
    if base is None or type(key) is not int:
        raise LookupError(key)
    return base.__getitem__(value, key)


def is_table(value: object) -> bool:
    """Whether `[...]` is known to look something up in it, and to do nothing else; what derives from it may not."""
    return names(type(value))[1] in _TABLES


_TABLES = {
    *("pandas.DataFrame", "pandas.Series", "polars.DataFrame", "polars.Series", "geopandas.GeoDataFrame"),
    "numpy.ndarray",
}
