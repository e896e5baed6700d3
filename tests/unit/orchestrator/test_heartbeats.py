"""Beats: how often, how long a lease, and many renewals in one statement."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.store.ports import StoreUnavailable
from cynthus.web.tokens import AttemptClaims


class Gated:
    """Leases behind a gate: what is asked while it is shut comes as one question."""

    def __init__(self, fenced=()):
        self.asked = []
        self.fenced = set(fenced)
        self.away = False
        self.gate = asyncio.Event()

    async def renew(self, renewals, lease_s):
        self.asked.append(([renewal.run_id for renewal in renewals], lease_s))
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        return {(r.run_id, r.epoch): None for r in renewals if r.run_id not in self.fenced}


def claims(run_id):
    return AttemptClaims(run_id, 1, "local", "m")


async def answers(heartbeats, *runs):
    return await asyncio.gather(
        *(heartbeats.beat(claims(run), 0.0, 0) for run in runs), return_exceptions=True
    )


async def test_beats_that_come_while_one_is_written_go_together_into_the_next():
    leases = Gated(fenced={"c"})
    heartbeats = Heartbeats(leases, Rhythm(), jitter=lambda: 0.5)
    first = asyncio.create_task(answers(heartbeats, "a"))
    while not leases.asked:
        await asyncio.sleep(0)
    others = asyncio.create_task(answers(heartbeats, "b", "c", "d"))
    await asyncio.sleep(0)
    leases.gate.set()
    assert (await first)[0].next_beat_s == 1.0
    b, c, d = await others
    assert (b.lease_s, d.lease_s) == (60.0, 60.0)
    assert isinstance(c, Fenced)
    assert [runs for runs, _ in leases.asked] == [["a"], ["b", "c", "d"]]
    assert set(heartbeats.beats) == {"a", "b", "d"}


async def test_an_outage_is_told_to_each_and_the_next_beat_works():
    leases = Gated()
    leases.gate.set()
    leases.away = True
    heartbeats = Heartbeats(leases, Rhythm())
    assert [type(answer) for answer in await answers(heartbeats, "a", "b")] == [StoreUnavailable] * 2
    leases.away = False
    assert (await heartbeats.beat(claims("a"), 0.0, 0)).stop is None


async def test_a_caller_that_hung_up_hinders_nobody():
    leases = Gated()
    heartbeats = Heartbeats(leases, Rhythm())
    leaving = asyncio.create_task(heartbeats.beat(claims("a"), 0.0, 0))
    staying = asyncio.create_task(heartbeats.beat(claims("b"), 0.0, 0))
    while not leases.asked:
        await asyncio.sleep(0)
    leaving.cancel()
    leases.gate.set()
    assert (await staying).stop is None
    with pytest.raises(asyncio.CancelledError):
        await leaving


@given(st.integers(0, 10**7), st.floats(0, 1))
def test_a_fleet_of_any_size_stays_below_the_rate_and_may_lose_several_beats(fleet, chance):
    rhythm = Rhythm()
    beat = rhythm.beat(None, fleet, chance)
    assert fleet / rhythm.interval_s(fleet) <= rhythm.beats_per_second * 1.001
    assert beat.lease_s * 2 / 3 >= 3 * beat.next_beat_s
    assert 2 * beat.next_beat_s <= rhythm.suspect_after_s(fleet) < beat.lease_s
