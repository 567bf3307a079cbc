"""A QR code of a short text (ISO/IEC 18004), so that a phone can open a sign-in link.

Byte mode, error correction L, versions 1 to 5: one block of codewords and one alignment pattern,
which is enough for 106 bytes. Written out here because a package for it would be one more for
every user to install.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import pairwise

Matrix = tuple[tuple[bool, ...], ...]
"""Rows of modules, dark ones true, without the quiet zone."""

QUIET = 4
"""Light modules that readers need around the code."""

_CODEWORDS = ((19, 7), (34, 10), (55, 15), (80, 20), (108, 26))
"""Of data and of error correction, by version."""

_HEADER_BITS = 12
"""The mode's four and eight for the length."""

_FINDER = ("1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111")
_ALIGNMENT = ("11111", "10001", "10101", "10001", "11111")

_MASKS: tuple[Callable[[int, int], bool], ...] = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, x: y % 2 == 0,
    lambda y, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: y * x % 2 + y * x % 3 == 0,
    lambda y, x: (y * x % 2 + y * x % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2 == 0,
)


def qr_code(text: str) -> Matrix | None:
    """The code of `text`; `None` when it is too long."""
    data = text.encode()
    fitting = (n for n, (size, _) in enumerate(_CODEWORDS) if 8 * len(data) + _HEADER_BITS <= 8 * size)
    version = next(fitting, None)
    if version is None:
        return None
    size, corrections = _CODEWORDS[version]
    codewords = _data(data, size)
    codewords += _remainder(codewords, corrections)
    bits = "".join(f"{codeword:08b}" for codeword in codewords)
    return min((_draw(bits, version, mask) for mask in range(len(_MASKS))), key=_penalty)


def svg(matrix: Matrix, *, label: str) -> str:
    """The code as an SVG element: dark on light in every theme, because few readers take the inverse."""
    side = len(matrix) + 2 * QUIET
    path = "".join(
        f"M{x + QUIET} {y + QUIET}h1v1h-1z"
        for y, row in enumerate(matrix)
        for x, dark in enumerate(row)
        if dark
    )
    return (
        f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="{label}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path fill="#000" d="{path}"/></svg>'
    )


# Codewords ---------------------------------------------------------------------------------------


def _data(data: bytes, size: int) -> list[int]:
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data) + "0000"
    bits = bits[: 8 * size]
    bits += "0" * (-len(bits) % 8)
    codewords = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    padding = (0xEC, 0x11) * size
    return codewords + list(padding[: size - len(codewords)])


def _remainder(codewords: list[int], corrections: int) -> list[int]:
    """Reed and Solomon's error correction: the remainder after division by the generator polynomial."""
    generator = reduce(_times_root, range(corrections), [1])
    rest = codewords + [0] * corrections
    for at in range(len(codewords)):
        factor = rest[at]
        for n, coefficient in enumerate(generator):
            rest[at + n] ^= _multiply(coefficient, factor)
    return rest[len(codewords) :]


def _times_root(polynomial: list[int], exponent: int) -> list[int]:
    """The polynomial times (x - 2^exponent)."""
    root = reduce(lambda power, _: _multiply(power, 2), range(exponent), 1)
    shifted, scaled = [*polynomial, 0], [0, *(_multiply(c, root) for c in polynomial)]
    return [a ^ b for a, b in zip(shifted, scaled, strict=True)]


def _multiply(a: int, b: int) -> int:
    """In the field of 256 elements, modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for _ in range(8):
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


# Modules -----------------------------------------------------------------------------------------


def _draw(bits: str, version: int, mask: int) -> Matrix:
    side = 21 + 4 * version
    modules = _function_patterns(side, version)
    modules.update(_format_modules(side, mask))
    free = ((y, x) for y, x in _zigzag(side) if (y, x) not in modules)
    flips = _MASKS[mask]
    drawn = {(y, x): bit for (y, x), bit in zip(free, _endless(bits), strict=False)}
    modules.update({(y, x): bit ^ flips(y, x) for (y, x), bit in drawn.items()})
    return tuple(tuple(modules[y, x] for x in range(side)) for y in range(side))


def _function_patterns(side: int, version: int) -> dict[tuple[int, int], bool]:
    modules = {(6, n): n % 2 == 0 for n in range(side)} | {(n, 6): n % 2 == 0 for n in range(side)}
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        around = ((y, x) for y in range(top - 1, top + 8) for x in range(left - 1, left + 8))
        modules.update({(y, x): False for y, x in around if 0 <= y < side and 0 <= x < side})
        modules.update(_placed(_FINDER, top, left))
    if version:
        modules.update(_placed(_ALIGNMENT, side - 9, side - 9))
    return modules


def _placed(pattern: tuple[str, ...], top: int, left: int) -> dict[tuple[int, int], bool]:
    return {(top + y, left + x): bit == "1" for y, row in enumerate(pattern) for x, bit in enumerate(row)}


def _format_modules(side: int, mask: int) -> dict[tuple[int, int], bool]:
    """Which correction and mask, twice, and the one module that is always dark."""
    value = 0b01 << 3 | mask
    rest = value << 10
    for shift in range(4, -1, -1):
        rest ^= 0b10100110111 << shift if rest >> (shift + 10) & 1 else 0
    word = (value << 10 | rest) ^ 0b101010000010010
    bits = [bool(word >> n & 1) for n in range(15)]
    upright = [*range(6), 7, 8, *range(side - 7, side)]
    across = [*range(side - 1, side - 9, -1), 7, *range(5, -1, -1)]
    modules = {(y, 8): bit for y, bit in zip(upright, bits, strict=True)}
    modules.update({(8, x): bit for x, bit in zip(across, bits, strict=True)})
    return {**modules, (side - 8, 8): True}


def _zigzag(side: int) -> Iterator[tuple[int, int]]:
    """Two columns at a time, from the right, upwards and downwards in turn; the timing column is skipped."""
    upwards = True
    for right in (*range(side - 1, 6, -2), 5, 3, 1):
        for y in range(side - 1, -1, -1) if upwards else range(side):
            yield y, right
            yield y, right - 1
        upwards = not upwards


def _endless(bits: str) -> Iterator[bool]:
    """The bits, then light for the few modules left over."""
    yield from (bit == "1" for bit in bits)
    while True:
        yield False


def _penalty(matrix: Matrix) -> int:
    """How hard the code is to read: long runs, blocks, what looks like a finder, and imbalance."""
    rows = ["".join("01"[dark] for dark in row) for row in matrix]
    columns = ["".join(column) for column in zip(*rows, strict=True)]
    lines = rows + columns
    runs = sum(len(run[0]) - 2 for line in lines for run in re.finditer("0{5,}|1{5,}", line))
    finders = sum(len(re.findall("(?=10111010000|00001011101)", line)) for line in lines)
    blocks = sum(
        len({above[n], above[n + 1], below[n], below[n + 1]}) == 1
        for above, below in pairwise(rows)
        for n in range(len(rows) - 1)
    )
    dark = sum(map(sum, matrix)) / len(matrix) ** 2
    return runs + 40 * finders + 3 * blocks + 10 * int(abs(dark - 0.5) * 20)
