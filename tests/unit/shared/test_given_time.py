import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cynthus.store.clock
from cynthus.bus.ports import Undecodable
from cynthus.events import RunQueued
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore
from cynthus.store.parked import park
from cynthus.store.ports import START, Why
from cynthus.web.tokens import AttemptClaims, TokenRefused, WorkerTokens

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OWN_CLOCK = re.compile(r"time\.monotonic|time\.perf_counter|datetime\.now|random\.Random|SystemRandom")


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


async def test_facts_in_memory_are_dated_by_the_given_clock() -> None:
    clock = Clock()
    store = MemoryEventStore(source="here", clock=clock)
    [old] = await store.append("s", [RunQueued(run_id="run_1")], expected=0, why=Why("a"))
    clock.now += timedelta(hours=1)
    await store.append("s", [RunQueued(run_id="run_1")], expected=1, why=Why("a"))
    assert old.envelope.time == NOON
    assert await store.position_before(timedelta(minutes=30)) == old.position
    assert await store.position_before(timedelta(hours=2)) == START


async def test_parking_is_dated_by_the_given_clock() -> None:
    inbox = MemoryInbox(Clock())
    await inbox.park(park("here", Undecodable("1", {}, b"", "no", 1), reason="no", attempts=1))
    assert (await inbox.find("here", "1")).parked_at == NOON


def test_a_token_expires_by_the_given_clock() -> None:
    now = 1_000_000.0
    tokens = WorkerTokens("k" * 32, seconds=lambda: now)
    token = tokens.attempt(AttemptClaims("run_1", 1, "ann", "m1"), ttl_s=60)
    assert tokens.verify_attempt(token).run_id == "run_1"
    now += 120
    with pytest.raises(TokenRefused):
        tokens.verify_attempt(token)


def test_a_token_from_a_clock_that_is_ahead_is_good() -> None:
    ahead = WorkerTokens("k" * 32, seconds=lambda: 1_003_600.0)
    here = WorkerTokens("k" * 32, seconds=lambda: 1_000_000.0)
    assert here.verify_machine(ahead.machine("m1", ttl_s=60)) == "m1"


@pytest.mark.parametrize("package", ["bus", "store", "runtime"])
def test_what_runs_on_the_loop_asks_nobody_else_for_the_time(package: str) -> None:
    folder = Path(cynthus.store.clock.__file__).parents[1] / package
    asks = {path.name for path in folder.rglob("*.py") if OWN_CLOCK.search(path.read_text())}
    assert asks <= {"clock.py"}
