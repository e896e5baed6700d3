"""The loop itself: virtual time, seeded order, death without last words."""

import asyncio
import time

import pytest

from tests.simulation.loop import Deadlock, Livelock, Process, RealWorld, VirtualLoop
from tests.simulation.world import inside


def run(coroutine, seed=1):
    loop = VirtualLoop(seed)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.dispose()


def test_a_year_takes_no_time():
    async def sleep() -> float:
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()
    assert run(sleep()) == 365 * 86400
    assert time.monotonic() - begun < 1


def test_the_order_of_what_is_ready_is_the_seeds():
    async def race() -> str:
        order = []

        async def runner(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            order.append(name)

        await asyncio.gather(*(runner(name) for name in "abcdefgh"))
        return "".join(order)

    orders = [run(race(), seed) for seed in range(20)]
    assert orders == [run(race(), seed) for seed in range(20)]
    assert len(set(orders)) > 10


def test_a_killed_process_cleans_nothing_up():
    said = []

    async def victim() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            said.append("last words")

    async def story() -> None:
        process = Process("victim")
        asyncio.get_running_loop().create_task(victim(), context=inside(process))
        await asyncio.sleep(1)
        process.kill(1.0)
        await asyncio.sleep(100)
        assert said == []

    run(story())


def test_a_stopped_process_goes_on_where_it_was():
    async def story() -> None:
        loop, process, beats = asyncio.get_running_loop(), Process("victim"), []

        async def victim() -> None:
            while True:
                await asyncio.sleep(1)
                beats.append(loop.time())

        loop.create_task(victim(), context=inside(process))
        await asyncio.sleep(2.5)
        process.paused = True
        await asyncio.sleep(10)
        assert beats == [1, 2]
        loop.resume(process)
        await asyncio.sleep(1.1)
        assert beats == [1, 2, 12.5, 13.5]

    run(story())


def test_nothing_left_to_happen_is_a_deadlock():
    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run(story())


def test_standing_still_for_ever_is_a_livelock():
    async def story() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run(story())


@pytest.mark.parametrize(
    "reach",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("127.0.0.1", 9),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.start_server(print, "127.0.0.1", 0),
    ],
)
def test_there_is_no_way_out(reach):
    async def story() -> None:
        await reach()

    with pytest.raises(RealWorld):
        run(story())
