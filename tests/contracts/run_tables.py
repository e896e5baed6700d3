"""What the orchestrator's tables tell, whoever keeps them: runs, leases and the index of logs."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from cynthus.events import (
    AttemptExited,
    AttemptStarted,
    Event,
    ImageBuilt,
    RunCancelRequested,
    RunRequested,
    RunSpec,
    VMDeleted,
    VMReady,
)
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import ExpireLease, Fenced, FinishAttempt, Message
from cynthus.orchestrator.domain.rhythm import UNHEARD_LEASES
from cynthus.orchestrator.domain.run import Run, State
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.refusals import RunAmbiguous, RunNotFound
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.orchestrator.ports import Leases, LogChunk, LogIndex, LogTotals, Renewal, RunFilter, Runs
from cynthus.store.ports import EventStore, Why
from tests.unit.orchestrator.given import BUILT, OUTPUTS

LIMITS = Limits(machines_are_free=False, starting_s=600.0)
LEASE_S = 60.0
WHY = Why("service:orchestrator")
ONE, TWO = "run_00000000000000000000000001", "run_00000000000000000000000002"


@dataclass(frozen=True, slots=True)
class Kept:
    """Empty tables of one kind, and the store whose appends keep them."""

    store: EventStore
    runs: Runs
    leases: Leases
    logs: LogIndex

    async def tell(self, run_id: str, *messages: Message) -> Run:
        """What happens to a run, one after another."""
        handler = RunHandler(self.store, RecentRuns(), ProcessBell(), LIMITS)
        run = Run()
        for message in messages:
            run = await handler.tell(run_id, message, WHY)
        return run

    async def starting(self, run_id: str = ONE, machine: str = "m1", **wish: object) -> None:
        """A run whose machine is there."""
        await self.tell(run_id, requested(run_id, **wish), of(BUILT, run_id))
        await self.tell(run_id, VMReady(run_id=run_id, epoch=1, machine=machine))

    async def running(self, run_id: str = ONE, machine: str = "m1") -> None:
        """A run whose program runs."""
        await self.starting(run_id, machine)
        await self.tell(run_id, AttemptStarted(run_id=run_id, epoch=1, machine=machine, pid=1))

    async def lost(self, run_id: str = ONE) -> None:
        """Its first attempt is fenced."""
        await self.tell(run_id, ExpireLease(1))

    async def succeeded(self, run_id: str = ONE, machine: str = "m1") -> None:
        """A run that is over."""
        await self.running(run_id, machine)
        exited = AttemptExited(run_id=run_id, epoch=1, exit_code=0)
        await self.tell(
            run_id, FinishAttempt(exited=exited, machine=machine, manifest=OUTPUTS, files=0, bytes=0)
        )


def requested(run_id: str, name: str = "n-1", owner: str = "ann", **labels: object) -> RunRequested:
    labelled = {key: str(value) for key, value in labels.items()}
    spec = RunSpec(snapshot="sha256:s", retries=1)
    return RunRequested(run_id=run_id, owner=owner, project="demo", name=name, labels=labelled, spec=spec)


def of(event: Event, run_id: str) -> ImageBuilt:
    assert isinstance(event, ImageBuilt)
    return event.model_copy(update={"run_id": run_id})


def chunk(seq: int, offset: int, size: int = 10, source: str = "stdout", epoch: int = 1) -> LogChunk:
    return LogChunk(ONE, epoch, seq, source, offset, size)


class RunTablesContract:
    """Inherited with a fixture `kept`."""

    async def test_a_run_is_found_by_id_beginning_and_name_of_its_owner_alone(self, kept: Kept) -> None:
        await kept.tell(ONE, requested(ONE))
        for key in (ONE, ONE[:29], "n-1"):
            assert (await kept.runs.find("ann", key)).id == ONE
        for owner, key in (("bob", ONE), ("ann", "n-2"), ("ann", ONE[:7])):
            with pytest.raises(RunNotFound):
                await kept.runs.find(owner, key)

    async def test_two_runs_that_begin_alike_are_ambiguous_and_the_newest_has_the_name(
        self, kept: Kept
    ) -> None:
        await kept.tell(ONE, requested(ONE))
        await kept.tell(TWO, requested(TWO))
        with pytest.raises(RunAmbiguous):
            await kept.runs.find("ann", ONE[:12])
        assert (await kept.runs.find("ann", "n-1")).id == TWO

    async def test_pages_go_from_new_to_old_and_know_filters(self, kept: Kept) -> None:
        await kept.tell(ONE, requested(ONE, a="b"))
        await kept.running(TWO)
        page = await kept.runs.page(RunFilter("ann"), 10)
        assert [run.id for run in page] == [TWO, ONE]
        for wanted, found in (
            (RunFilter("ann", before=TWO), [ONE]),
            (RunFilter("ann", states=("RUNNING",)), [TWO]),
            (RunFilter("ann", labels={"a": "b"}), [ONE]),
            (RunFilter("ann", project="other"), []),
            (RunFilter("bob"), []),
        ):
            assert [run.id for run in await kept.runs.page(wanted, 10)] == found
        assert await kept.runs.counts("ann") == {"BUILDING": 1, "RUNNING": 1}

    async def test_a_hidden_run_is_not_there(self, kept: Kept) -> None:
        await kept.succeeded()
        await kept.runs.hide(ONE)
        assert await kept.runs.page(RunFilter("ann"), 10) == []
        assert await kept.logs.watch("ann", ONE, (0, -1), 10, source=None, epoch=None) is None

    async def test_a_run_is_due_when_its_state_lasted_too_long(self, kept: Kept) -> None:
        await kept.starting()
        now = await kept.runs.now()
        assert await kept.runs.due(now, only_retries=False) == []
        later = now + timedelta(seconds=LIMITS.starting_s + 1)
        assert await kept.runs.due(later, only_retries=False) == [ONE]
        assert await kept.runs.due(later, only_retries=True) == []

    async def test_work_is_for_the_machine_of_a_starting_attempt(self, kept: Kept) -> None:
        await kept.starting(TWO, "m2")
        await kept.starting(ONE, "m1")
        work = await kept.runs.work_of("m1")
        assert work.run is not None
        assert (work.run.id, work.run.state, work.gone) == (ONE, State.STARTING, False)
        await kept.tell(ONE, AttemptStarted(run_id=ONE, epoch=1, machine="m1", pid=1))
        assert (await kept.runs.work_of("m1")).run is None
        await kept.tell(TWO, VMDeleted(run_id=TWO, machine="m2"))
        work = await kept.runs.work_of("m2")
        assert (work.run, work.gone) == (None, True)

    async def test_a_lease_is_there_from_the_machine_to_the_end_of_the_attempt(self, kept: Kept) -> None:
        beat = [Renewal(ONE, 1)]
        assert await kept.leases.renew(beat, LEASE_S) == {}
        await kept.running()
        assert await kept.leases.renew(beat, LEASE_S) == {(ONE, 1): None}
        assert await kept.leases.count() == 1
        await kept.lost()
        assert await kept.leases.renew(beat, LEASE_S) == {}
        assert await kept.leases.count() == 0

    async def test_a_lease_tells_to_stop(self, kept: Kept) -> None:
        await kept.running()
        await kept.tell(ONE, RunCancelRequested(run_id=ONE))
        assert await kept.leases.renew([Renewal(ONE, 1)], LEASE_S) == {(ONE, 1): "cancelled"}

    async def test_an_expired_lease_is_told_until_its_attempt_is_lost_and_never_renewed(
        self, kept: Kept
    ) -> None:
        await kept.running()
        later = await kept.runs.now() + timedelta(seconds=LEASE_S + 1)
        assert await kept.leases.expire(await kept.runs.now()) == []
        assert await kept.leases.expire(later) == [(ONE, 1)]
        assert await kept.leases.expire(await kept.runs.now()) == [(ONE, 1)]
        assert await kept.leases.renew([Renewal(ONE, 1)], LEASE_S) == {}
        await kept.lost()
        assert await kept.leases.expire(later) == []

    async def test_a_lease_that_was_not_heard_of_yet_is_longer(self, kept: Kept) -> None:
        await kept.starting()
        now = await kept.runs.now()
        assert await kept.leases.expire(now + timedelta(seconds=UNHEARD_LEASES * LEASE_S - 5)) == []
        assert await kept.leases.expire(now + timedelta(seconds=UNHEARD_LEASES * LEASE_S + 5)) == [(ONE, 1)]

    async def test_leases_are_extended_from_their_end(self, kept: Kept) -> None:
        await kept.running()
        await kept.leases.extend(20.0, at_least_s=5.0)
        now = await kept.runs.now()
        assert await kept.leases.expire(now + timedelta(seconds=LEASE_S + 15)) == []
        assert await kept.leases.expire(now + timedelta(seconds=LEASE_S + 25)) == [(ONE, 1)]

    async def test_an_extended_lease_has_at_least_so_much_left(self, kept: Kept) -> None:
        await kept.running()
        await kept.leases.extend(20.0, at_least_s=3 * LEASE_S)
        now = await kept.runs.now()
        assert await kept.leases.expire(now + timedelta(seconds=3 * LEASE_S - 5)) == []
        assert await kept.leases.expire(now + timedelta(seconds=3 * LEASE_S + 5)) == [(ONE, 1)]

    async def test_silence_is_told_once_and_again_after_a_beat(self, kept: Kept) -> None:
        await kept.running()
        later = await kept.runs.now() + timedelta(seconds=10)
        assert await kept.leases.silent(later, 5.0) == []
        await kept.leases.renew([Renewal(ONE, 1)], LEASE_S)
        (silence,) = await kept.leases.silent(later, 5.0)
        assert (silence.run_id, silence.epoch) == (ONE, 1)
        assert 5.0 < silence.seconds <= 10.0
        assert await kept.leases.silent(later, 5.0) == []

    async def test_chunks_follow_each_other_in_number_and_bytes(self, kept: Kept) -> None:
        await kept.running()
        assert await kept.logs.add(chunk(0, 0))
        assert await kept.logs.add(chunk(1, 0, 5, "stderr"))
        refused = [chunk(1, 10), chunk(3, 10), chunk(2, 11), chunk(2, 10, source="stderr")]
        assert [await kept.logs.add(one) for one in refused] == [False] * 4
        assert await kept.logs.add(chunk(2, 10))
        head = await kept.logs.head(chunk(1, 0, 5, "stderr"))
        assert (head.next_seq, head.next_offset, head.same) == (3, 5, chunk(1, 0, 5, "stderr"))
        assert await kept.logs.totals(ONE, 1) == LogTotals(3, {"stdout": 20, "stderr": 5})
        assert await kept.logs.first_at(ONE, 1) is not None

    async def test_of_equal_chunks_at_once_one_is_added(self, kept: Kept) -> None:
        await kept.running()
        added = await asyncio.gather(*(kept.logs.add(chunk(0, 0)) for _ in range(10)))
        assert sum(added) == 1

    async def test_an_attempt_that_does_not_count_logs_nothing(self, kept: Kept) -> None:
        await kept.running()
        await kept.logs.add(chunk(0, 0))
        await kept.lost()
        for call in (kept.logs.head, kept.logs.add):
            with pytest.raises(Fenced):
                await call(chunk(1, 10))
        assert (await kept.logs.totals(ONE, 1)).chunks == 1

    async def test_chunks_are_read_on_from_a_cursor_and_by_source(self, kept: Kept) -> None:
        await kept.running()
        for one in (chunk(0, 0), chunk(1, 0, 5, "stderr"), chunk(2, 10)):
            await kept.logs.add(one)

        async def seen(after: tuple[int, int], source: str | None = None, epoch: int | None = None):
            page = await kept.logs.page(ONE, after, 10, source, epoch)
            return [one.seq for one in page]

        assert await seen((0, -1)) == [0, 1, 2]
        assert await seen((1, 0)) == [1, 2]
        assert await seen((0, -1), source="stderr") == [1]
        assert await seen((0, -1), epoch=2) == []
        page = await kept.logs.watch("ann", ONE, (1, 1), 10, source=None, epoch=None)
        assert page is not None
        assert ([one.seq for one in page.chunks], page.over) == ([2], False)
        assert await kept.logs.watch("bob", ONE, (0, -1), 10, source=None, epoch=None) is None
