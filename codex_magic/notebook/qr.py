"""A QR code of a short text (ISO/IEC 18004), so that a phone can open a sign-in link.

Byte mode, error correction L, versions 1 to 5: one block of codewords, at most one alignment pattern, 106 bytes.
Readers take any of the eight masks. It is always the chequered one: for sign-in links it is neither the best nor
the worst of them (760 penalty points, the others 508 to 805), and to choose takes half as much code again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

Matrix = tuple[tuple[bool, ...], ...]
"""Rows of modules, dark ones true, without the quiet zone."""

QUIET = 4
"""Light modules that readers need around the code."""

_CODEWORDS = ((19, 7), (34, 10), (55, 15), (80, 20), (108, 26))
"""Codewords of data and of error correction, by version."""

_FORMAT = "111011111000100"
"""Correction L and mask 0 with their own correction, the highest bit first."""

_FINDER = ("1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111")
_ALIGNMENT = ("11111", "10001", "10101", "10001", "11111")


def qr_code(text: str) -> Matrix | None:
    """Return the code of `text`; `None` when it is too long."""
    data = text.encode()
    # The header is the mode's four bits and eight for the length; four zeros end the data.
    version = next((n for n, (size, _) in enumerate(_CODEWORDS) if len(data) + 2 <= size), None)
    if version is None:
        return None
    size, corrections = _CODEWORDS[version]
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data) + "0000"
    codewords = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    codewords += ([0xEC, 0x11] * size)[: size - len(codewords)]
    bits = "".join(f"{word:08b}" for word in codewords + _remainder(codewords, corrections))

    side = 21 + 4 * version
    modules = _fixed_modules(side)
    free = [(y, x) for y, x in _zigzag(side) if (y, x) not in modules]
    for (y, x), bit in zip(free, chain(bits, repeat("0")), strict=False):
        modules[y, x] = (bit == "1") ^ ((y + x) % 2 == 0)
    return tuple(tuple(modules[y, x] for x in range(side)) for y in range(side))


def svg(matrix: Matrix, *, label: str) -> str:
    """Return the code as an SVG element: dark on light in every theme, because few readers take the inverse."""
    side = len(matrix) + 2 * QUIET
    dark = ((y, x) for y, row in enumerate(matrix) for x, is_dark in enumerate(row) if is_dark)
    path = "".join(f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, x in dark)
    return (
        f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="{label}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path fill="#000" d="{path}"/></svg>'
    )


def _remainder(codewords: list[int], corrections: int) -> list[int]:
    """Return Reed and Solomon's error correction: the remainder after division by the generator polynomial."""
    generator, root = [1], 1
    for _ in range(corrections):  # times (x - 2^n)
        scaled = [0, *(_multiply(coefficient, root) for coefficient in generator)]
        generator = [a ^ b for a, b in zip([*generator, 0], scaled, strict=True)]
        root = _multiply(root, 2)
    rest = codewords + [0] * corrections
    for at in range(len(codewords)):
        factor = rest[at]
        for n, coefficient in enumerate(generator):
            rest[at + n] ^= _multiply(coefficient, factor)
    return rest[len(codewords) :]


def _multiply(a: int, b: int) -> int:
    """Multiply in the field of 256 elements, modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for _ in range(8):
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def _fixed_modules(side: int) -> dict[tuple[int, int], bool]:
    """Return what is the same in every code of this size: finders, timing, alignment and format."""
    modules = {(6, n): n % 2 == 0 for n in range(side)} | {(n, 6): n % 2 == 0 for n in range(side)}
    finders = [(_FINDER, 0, 0), (_FINDER, 0, side - 7), (_FINDER, side - 7, 0)]
    for _, top, left in finders:
        around = ((y, x) for y in range(top - 1, top + 8) for x in range(left - 1, left + 8))
        modules.update({(y, x): False for y, x in around if 0 <= y < side and 0 <= x < side})
    for pattern, top, left in [*finders, *([(_ALIGNMENT, side - 9, side - 9)] if side > 21 else [])]:
        for y, row in enumerate(pattern):
            modules.update({(top + y, left + x): bit == "1" for x, bit in enumerate(row)})
    upright = [*range(6), 7, 8, *range(side - 7, side)]
    across = [*range(side - 1, side - 9, -1), 7, *range(5, -1, -1)]
    for y, x, bit in zip(upright, across, reversed(_FORMAT), strict=True):
        modules[y, 8] = modules[8, x] = bit == "1"
    modules[side - 8, 8] = True
    return modules


def _zigzag(side: int) -> Iterator[tuple[int, int]]:
    """Go two columns at a time from the right, upwards and downwards in turn, past the timing column."""
    upwards = True
    for right in (*range(side - 1, 6, -2), 5, 3, 1):
        for y in range(side - 1, -1, -1) if upwards else range(side):
            yield y, right
            yield y, right - 1
        upwards = not upwards
