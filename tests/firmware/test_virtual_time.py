"""The loop that other tests take for granted: time that passes by itself, in order, and no wait that is left out."""

import asyncio

import virtual_time
from virtual_time import advance, now_ms, sleep_ms

from tests.dual import raises


def test_hours_pass_in_order_and_at_once():
    seen = []

    async def sleeper(ms):
        await sleep_ms(ms)
        seen.append((ms, now_ms()))

    async def main():
        tasks = [asyncio.create_task(sleeper(ms)) for ms in (7_200_000, 400, 10_000)]
        for task in tasks:
            await task

    virtual_time.run(main())
    assert seen == [(400, 400), (10_000, 10_000), (7_200_000, 7_200_000)]


def test_a_limit_holds_and_what_comes_before_it_is_given():
    async def main():
        event = asyncio.Event()
        with raises(asyncio.TimeoutError):
            await asyncio.wait_for(event.wait(), 10)
        assert now_ms() == 10_000
        event.set()
        await asyncio.wait_for(event.wait(), 10)
        assert now_ms() == 10_000
        advance(5_000)
        await sleep_ms(1)
        assert now_ms() == 15_001

    virtual_time.run(main())


def test_a_wait_for_ever_is_an_error():
    async def main():
        await asyncio.Event().wait()

    with raises(RuntimeError):
        virtual_time.run(main())
