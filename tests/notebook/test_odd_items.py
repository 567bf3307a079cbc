"""What a server sends in place of an item shows in every command that shows a thread."""

import random

import pytest

from tests.responses.wire import Wire, good, stream
from tests.threads.test_odd_items import KINDS, answer, bent


@pytest.mark.parametrize("seed", range(10))
def test_a_thread_with_odd_items_is_shown(run, seed):
    wire = Wire()
    run(f"%config CodexMagics.provider = {f'{wire.url}/v1'!r}")
    run("%config CodexMagics.model = 'm'")
    chance = random.Random(1000 + seed)
    item, _ = bent(KINDS[seed % len(KINDS)], chance)
    wire.answer(answer(item, chance), stream(*good()))
    run("%codex -- one")
    assert "Hello" in run("%codex -- two")
    history = run("%codex history")
    assert "one" in history
    assert "Hello" in history
    run("%codex show 1")
    run("%codex fork")
    assert "Hello" in run("%codex show 2")
    wire.close()
