"""The reconciler and a provider that is late, away, full or wrong, over a real database."""

from datetime import timedelta

import pytest

from cynthus.events import AttemptLost, Cause, VMDeleted, VMFailed, VMLost, VMReady
from cynthus.provisioner.domain.machine import Stage
from cynthus.provisioner.reconciler.audit import Audit
from cynthus.store.database import open_database
from cynthus.store.migrations import migrate
from tests.fixtures.troubled_machines import TroubledMachines
from tests.integration.provisioner.test_machine_pool import Pool


class TroubledPool(Pool):
    """Provider and ledger age together."""

    def __init__(self, database, *, lag_s=0.0, zones=("here",), **limits):
        super().__init__(
            database, machines=TroubledMachines(lambda: self.now, lag_s=lag_s, zones=zones), **limits
        )

    async def later(self, seconds):
        self.now += timedelta(seconds=seconds)
        await super().later(seconds)

    async def held(self, run="r1") -> str:
        await self.request(run)
        await self.tick()
        machine = await self.hello()
        await self.tick()
        assert isinstance(await self.last(run), VMReady)
        return machine

    async def stage(self, machine) -> Stage:
        return (await self.ledger.find(machine)).stage


@pytest.fixture
async def database(database_url):
    await migrate(database_url, "provisioner")
    async with open_database(database_url) as database:
        yield database


@pytest.fixture
def pool(database):
    return TroubledPool(database)


async def test_a_create_whose_reply_was_lost_makes_one_machine(pool):
    pool.machines.troubles["create"].append("lost reply")
    await pool.request()
    for _ in range(3):
        await pool.tick()
        await pool.later(5)
    assert len(pool.machines.lives) == 1
    (name,) = pool.machines.alive
    assert await pool.stage(name) is Stage.BOOTING


async def test_a_create_that_was_not_heard_is_repeated_with_the_same_name_zone_and_request(pool):
    pool.machines.troubles["create"].append("away")
    await pool.request()
    await pool.tick()
    (intent,) = await pool.rows()
    await pool.later(5)
    await pool.tick()
    (life,) = pool.machines.lives
    assert (life.spec.name, life.spec.zone, life.spec.request_id) == (
        intent.name,
        intent.zone,
        intent.request_id,
    )


async def test_a_delete_whose_reply_was_lost_is_repeated_until_the_listing_agrees(pool):
    machine = await pool.held()
    await pool.release()
    pool.machines.troubles["delete"] += ["away", "throttled", "lost reply"]
    for _ in range(12):
        await pool.later(5)
        await pool.tick()
    assert pool.machines.alive == set()
    assert await pool.last() == VMDeleted(run_id="r1", machine=machine)


async def test_a_listing_that_fails_changes_nothing(pool):
    machine = await pool.held()
    pool.machines.troubles["list"].append("away")
    pool.machines.vanish(machine)
    with pytest.raises(Exception, match="no connection"):
        await pool.tick()
    assert await pool.stage(machine) is Stage.HELD
    await pool.tick()
    assert isinstance(await pool.last(), VMLost)


async def test_with_a_lag_a_lost_machine_is_confirmed_by_a_second_listing(database):
    pool = TroubledPool(database, lag_s=20)
    machine = await pool.held()
    await pool.tick()
    assert await pool.stage(machine) is Stage.HELD
    pool.machines.vanish(machine)
    await pool.later(1)
    await pool.tick()
    assert not isinstance(await pool.last(), VMLost)
    await pool.later(20)
    await pool.tick()
    lost = await pool.last()
    assert isinstance(lost, VMLost)
    assert "no longer lists" in lost.cause.evidence[0]


async def test_a_deleted_machine_that_a_listing_still_shows_is_no_leak_and_not_taken_for_a_new_one(database):
    pool = TroubledPool(database, lag_s=20)
    machine = await pool.held()
    await pool.release()
    await pool.tick()
    await pool.later(11)
    await pool.tick()
    assert pool.machines.alive == set()
    pool.machines.behind_s = 3
    await pool.tick()
    await pool.later(21)
    await pool.tick()
    assert await pool.stage(machine) is Stage.DELETING
    await pool.later(21)
    await pool.tick()
    assert await pool.stage(machine) is Stage.GONE
    assert len(pool.machines.lives) == 1


async def test_the_next_zone_is_asked_at_once_and_the_full_one_not_again_soon(database):
    pool = TroubledPool(database, zones=("a", "b", "c"))
    pool.machines.shut = {"a", "b"}
    await pool.request()
    await pool.tick()
    assert [life.spec.zone for life in pool.machines.lives] == ["c"]
    await pool.request("r2")
    await pool.tick()
    zones = [zone for operation, _, zone in pool.machines.calls if operation == "create"]
    assert zones == ["a", "b", "c", "c"]


async def test_a_run_without_room_is_told_and_waits_and_is_served_when_there_is_room(database):
    pool = TroubledPool(database, zones=("a",))
    pool.machines.shut = {"a"}
    await pool.request()
    await pool.tick()
    assert (await pool.kinds())[-1] == "machine.delayed"
    for _ in range(3):
        await pool.later(31)
        await pool.tick()
    assert (await pool.kinds()).count("machine.delayed") == 1
    pool.machines.shut = set()
    await pool.later(31)
    await pool.tick()
    await pool.hello()
    await pool.tick()
    assert (await pool.kinds())[-1] == "vm.ready"


async def test_a_quota_is_waited_for_with_bounds_and_then_fails_by_its_name(pool):
    pool.machines.troubles["create"] += ["quota"] * 100
    await pool.request()
    await pool.tick()
    assert (await pool.kinds())[-1] == "machine.delayed"
    clock = pool.ledger.snapshot

    async def an_hour_on():
        snapshot = await clock()
        return type(snapshot)(
            snapshot.now + timedelta(hours=1), (), snapshot.waiting, frozenset(), quota=True
        )

    pool.ledger.snapshot = an_hour_on
    await pool.reconciler.tick()
    failed = await pool.last()
    assert isinstance(failed, VMFailed)
    assert (failed.cause.code, failed.transient) == ("quota", False)
    assert pool.machines.count("create") == 1


async def test_a_permanent_refusal_fails_the_request_at_once_and_for_good(pool):
    pool.machines.troubles["create"].append("refused")
    await pool.request()
    await pool.tick()
    failed = await pool.last()
    assert isinstance(failed, VMFailed)
    assert (failed.cause.code, failed.transient) == ("machine_refused", False)


async def test_machines_that_do_not_come_up_are_no_refusal(pool):
    await pool.request()
    for _ in range(20):
        await pool.tick()
        for name in list(pool.machines.alive):
            pool.machines.vanish(name)
        await pool.later(10)
    failed = await pool.last()
    assert isinstance(failed, VMFailed)
    assert (failed.cause.code, failed.transient) == ("boot_failed", True)


async def test_a_machine_that_started_anew_is_lost_to_its_run_and_deleted(pool):
    machine = await pool.held()
    assert await pool.reconciler.hello(machine, "boot-1")
    assert not await pool.reconciler.hello(machine, "boot-2")
    lost = await pool.last()
    assert isinstance(lost, VMLost)
    assert "hello a second time" in lost.cause.evidence[0]
    await pool.tick()
    assert pool.machines.alive == set()


async def test_a_fenced_attempt_takes_its_machine_with_it(pool):
    machine = await pool.held()
    lost = AttemptLost(run_id="r1", epoch=1, cause=Cause(code="lost_machine", message="silent"))
    await pool.deliver(lost, pool.handler.fenced)
    assert await pool.stage(machine) is Stage.DELETING
    await pool.release()
    await pool.tick()
    assert pool.machines.alive == set()


async def test_a_machine_that_was_released_before_its_attempt_is_known_to_be_fenced_goes_too(pool):
    machine = await pool.held()
    await pool.release()
    lost = AttemptLost(run_id="r1", epoch=1, cause=Cause(code="lost_machine", message="silent"))
    await pool.deliver(lost, pool.handler.fenced)
    assert await pool.stage(machine) is Stage.DELETING


async def test_a_machine_that_comes_up_after_it_was_given_up_is_told_to_leave_and_deleted(database):
    pool = TroubledPool(database)
    await pool.request()
    await pool.tick()
    (late,) = pool.machines.alive
    await pool.later(61)
    await pool.tick()
    await pool.tick()
    assert not await pool.reconciler.hello(late, "boot-1")
    assert late not in pool.machines.alive
    assert len(pool.machines.alive) == 1


async def test_two_replicas_make_one_machine_for_one_request(database):
    pools = [TroubledPool(database) for _ in range(2)]
    pools[1].machines = pools[0].machines
    other = TroubledPool(database)
    await pools[0].request()

    async def meanwhile():
        pools[0].machines.after_list = None
        await other.reconciler.tick()

    pools[0].machines.after_list = meanwhile
    await pools[0].tick()
    assert len(pools[0].machines.lives) + len(other.machines.lives) == 1


async def test_a_replica_that_stood_still_does_not_delete_what_was_given_away_meanwhile(pool):
    machine = await pool.held()
    await pool.release()
    await pool.tick()
    await pool.later(11)

    async def meanwhile():
        pool.machines.after_list = None
        await pool.request("r2")

    pool.machines.after_list = meanwhile
    await pool.reconciler.tick()
    assert await pool.last("r2") == VMReady(run_id="r2", epoch=1, machine=machine, reused=True)
    assert await pool.stage(machine) is Stage.HELD
    assert pool.machines.count("delete") == 0


async def test_a_leak_is_told_with_its_age_and_its_reason_until_it_is_gone(pool):
    machine = await pool.held()
    audit = Audit(pool.ledger, pool.machines, pool.reconciler, timedelta(seconds=10))
    assert (await audit.leaks()).leaks == []
    await pool.release()
    pool.machines.troubles["delete"] += ["away"] * 3
    await pool.tick()
    await pool.later(11)
    await pool.tick()
    report = await audit.leaks()
    assert [(leak.machine, leak.reason) for leak in report.leaks] == [(machine, "nobody needs it")]
    assert report.leaks[0].age_s > 10
    assert report.machines == 1
    for _ in range(6):
        await pool.later(5)
        await pool.tick()
    assert (await audit.leaks()).leaks == []
