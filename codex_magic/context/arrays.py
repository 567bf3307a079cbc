"""Arrays of every library by shape, type and a sample; models by their parameters, and whether they are fitted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .registry import Look, attributes, register, static, type_name
from .short import cut, number, short

SAMPLE = 10_000
"""Values that statistics are made of."""

WHOLE = 64
"""Values of an array that is shown as a whole."""

ATTRIBUTES = 12
MODULES = 40
DEEPEST = 20
"""Levels of modules in modules, which may be a circle."""


@register(
    "numpy.ndarray", "cupy.ndarray", "torch.Tensor", "jaxlib.ArrayImpl", "jax.Array", "tensorflow.Tensor"
)
@register("tensorflow._EagerTensorBase", "tensorflow.EagerTensor", "mlx.array")
def array(value: Any, look: Look) -> Iterator[str]:
    shape = tuple(int(each) for each in value.shape)
    size = math.prod(shape)
    facts = {"device": getattr(value, "device", None), "requires_grad": getattr(value, "requires_grad", None)}
    kept = [f"{name} {cut(str(fact), 40)}" for name, fact in facts.items() if fact and str(fact) != "cpu"]
    yield ", ".join([type_name(value), f"shape {shape}", f"{value.dtype}", *kept])
    if not look.rows or not size or (not hasattr(value, "tolist") and not hasattr(value, "numpy")):
        return
    if "cpu" not in str(getattr(value, "device", "cpu")).lower():
        yield "values are on the device and were not copied from it"
        return
    # The same step in each direction: a view, of which no more than the sample is copied.
    per_axis = SAMPLE ** (1 / max(len(shape), 1))
    steps = [max(1, math.ceil(each / max(per_axis, 1))) for each in shape]
    taken = list(_flat(_listed(value[tuple(slice(None, None, step) for step in steps)] if shape else value)))
    numbers = [each for each in taken if type(each) in (int, float) and each == each]
    if numbers:
        ordered = sorted(numbers)
        of = f" of {len(taken):,} sampled values" if len(taken) < size else ""
        missing = f", {len(taken) - len(numbers):,} nan" if len(numbers) < len(taken) else ""
        low, middle, high = ordered[0], statistics.median(ordered), ordered[-1]
        yield f"min {number(low)}, median {number(middle)}, max {number(high)}{missing}{of}"
    if size <= WHOLE:
        yield short(_listed(value), 600, depth=6)
    else:
        inner = [slice(look.rows * 2)] if len(shape) == 1 else [slice(look.rows), slice(6)]
        first = value[(*[0] * (len(shape) - 2), *inner)]
        yield f"begins: {short(_listed(first), 600, depth=6)}"


def _listed(value: Any) -> Any:
    """Of a small array: its values as lists."""
    own = value.detach() if hasattr(value, "detach") else value
    if str(own.dtype).startswith(("datetime64", "timedelta64")):
        own = own.astype(str)  # as a list they would be nanoseconds
    return own.tolist() if hasattr(own, "tolist") else own.numpy().tolist()


def _flat(held: Any) -> Iterator[Any]:
    if type(held) is not list:
        yield held
        return
    for each in held:
        yield from _flat(each)


@register("scipy._spbase", "scipy.spmatrix", "scipy.sparray", "pydata.SparseArray", "sparse.SparseArray")
def sparse(value: Any, look: Look) -> str:
    shape = tuple(int(each) for each in value.shape)
    share = value.nnz / max(math.prod(shape), 1)
    stored = f"{value.nnz:,} stored values ({share:.2%})"
    return f"{type_name(value)}, sparse, shape {shape}, {value.dtype}, {stored}"


@register("dask.Array")
def dask_array(value: Any, look: Look) -> str:
    return f"{type_name(value)}, lazy, shape {value.shape}, {value.dtype}, chunks of {value.chunksize}; not computed"


@register("xarray.Dataset", "xarray.DataArray", "xarray.Variable")
def labelled(value: Any, look: Look) -> Iterator[str]:
    """By dimensions, coordinates and variables; only indexes show values: others may still be in a file."""
    sizes = ", ".join(f"{short(name, quote=False)} {size:,}" for name, size in value.sizes.items())
    name, kind = getattr(value, "name", None), getattr(value, "dtype", "")
    yield f"{type_name(value)}{f' {short(name, quote=False)}' if name is not None else ''}, dimensions {sizes} {kind}".rstrip()
    for key, held in islice(getattr(value, "coords", {}).items(), MODULES):
        index = value.indexes.get(key)
        is_shown = look.rows and index is not None and len(index)
        ends = f", {short(index[0])} .. {short(index[-1])}" if is_shown else ""
        yield f"coordinate {short(key, quote=False)} {held.dims} {held.dtype}{ends}"
    for key, held in islice(getattr(value, "data_vars", {}).items(), MODULES):
        yield f"variable {short(key, quote=False)} {held.dims} {held.dtype}"
    if look.rows and value.attrs:
        yield f"attributes: {short(dict(value.attrs), 300)}"


@register("sklearn.BaseEstimator")
def estimator(value: Any, look: Look) -> Iterator[str]:
    learned = {
        name: held
        for name, held in attributes(value)
        if name.endswith("_") and not name.endswith("__") and not name.startswith("_")
    }
    asks = static(value, "__sklearn_is_fitted__") is not None  # a pipeline keeps nothing itself
    fitted = value.__sklearn_is_fitted__() if asks else learned
    yield f"{type_name(value)}, {'fitted' if fitted else 'not fitted'}"
    parameters = value.get_params(deep=False)
    if look.rows:
        yield f"parameters: {', '.join(f'{name}={short(held, 120)}' for name, held in parameters.items())}"
    else:
        yield f"parameters: {', '.join(parameters)}"
    for name, held in islice(learned.items(), ATTRIBUTES):
        yield f".{name}: {short(held, 160) if look.rows else type_name(held)}"


@register("torch.Module")
def module(value: Any, look: Look) -> Iterator[str]:
    parts = list(_modules("", value))
    mode = "training" if dict(attributes(value)).get("training") else "evaluating"
    yield f"{type_name(value)}, {sum(count for _, count in parts):,} parameters, {mode}"
    yield from (line for line, _ in parts[:MODULES])
    if len(parts) > MODULES:
        yield f"… {len(parts) - MODULES:,} more modules"


def _modules(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, int]]:
    """A line for each module inside, and how many parameters it has itself."""
    stored = dict(attributes(value))
    own = {key: tuple(held.shape) for key, held in stored.get("_parameters", {}).items() if held is not None}
    sizes = ", ".join(f"{key} {size}" for key, size in own.items())
    words = [f"{name}:" if name else "", type_name(value), sizes]
    yield cut("  " * depth + " ".join(filter(None, words)), 160), sum(map(math.prod, own.values()))
    for key, held in stored.get("_modules", {}).items():
        if held is not None and depth < DEEPEST:
            yield from _modules(key, held, depth + 1)
