"""QR codes, held to those of a library we did not write."""

import pytest
import qrcode

from codex_magic.notebook.qr import QUIET, qr_code, svg

TEXTS = [
    "https://auth.openai.com/codex/device",
    "http://127.0.0.1:43210/codex/device",
    "a",
    "seventeen bytes!!",
    "eighteen bytes !!!",
    "ä" * 26,
    "https://example.com/" + "x" * 86,
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_code_is_the_one_another_library_draws(text):
    """Any of the eight masks is right; which one is best is a matter of degree."""
    assert qr_code(text) in [theirs(text, mask) for mask in range(8)]


def theirs(text, mask):
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, mask_pattern=mask, border=0)
    code.add_data(qrcode.util.QRData(text, mode=qrcode.util.MODE_8BIT_BYTE))
    return tuple(tuple(map(bool, row)) for row in code.get_matrix())


def test_what_is_too_long_has_no_code():
    assert qr_code("x" * 106) is not None
    assert qr_code("x" * 107) is None


def test_the_picture_has_a_quiet_zone_and_says_what_it_is():
    drawn = svg(((True,),), label="QR code")
    assert f'viewBox="0 0 {1 + 2 * QUIET} {1 + 2 * QUIET}"' in drawn
    assert f"M{QUIET} {QUIET}h1" in drawn
    assert 'aria-label="QR code"' in drawn
