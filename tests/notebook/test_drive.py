"""One generator, driven by a blocking loop and by an event loop."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from codex_magic.notebook.cells import drive_async
from codex_magic.waiting import drive


def both_ways(make):
    return drive(make()), asyncio.run(drive_async(make()))


def test_steps_are_told_whether_their_future_is_done():
    def steps():
        done: Future[None] = Future()
        first = yield done, 0.01
        threading.Timer(0.01, done.set_result, [None]).start()
        second = yield done, None
        return first, second

    assert both_ways(steps) == ((False, True), (False, True))


def test_an_error_of_the_steps_reaches_the_caller():
    def steps():
        yield _done(), None
        raise ValueError("from the steps")

    with pytest.raises(ValueError, match="from the steps"):
        drive(steps())
    with pytest.raises(ValueError, match="from the steps"):
        asyncio.run(drive_async(steps()))


def test_cancelling_is_thrown_in_as_a_keyboard_interrupt_and_the_steps_end_by_themselves():
    async def cancelled():
        task = asyncio.create_task(drive_async(_patient()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(cancelled()) == "stopped, then tidied up"


def test_a_failed_future_is_the_steps_own_business():
    def steps():
        failed: Future[None] = Future()
        failed.set_exception(ValueError())
        yield failed, None
        return str(failed.exception())

    assert both_ways(steps) == ("", "")


def _patient():
    try:
        yield Future(), None
    except KeyboardInterrupt:
        yield _done(), None
        return "stopped, then tidied up"


def _done():
    done: Future[None] = Future()
    done.set_result(None)
    return done
