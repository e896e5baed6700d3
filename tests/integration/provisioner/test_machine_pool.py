"""Requests, machines and the reconciler over a real database."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from cynthus.bus.ports import Delivery
from cynthus.events import (
    Envelope,
    MachineReleased,
    MachineRequested,
    Resources,
    VMDeleted,
    VMLost,
    VMReady,
    new_id,
)
from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.adapters.postgres_holds import MachineHolds
from cynthus.provisioner.adapters.postgres_ledger import PostgresLedger
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.machine import Stage
from cynthus.provisioner.domain.pool import Limits
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import Greeting, Intent, MachineRefused, MachineSpec
from cynthus.provisioner.reconciler import Reconciler
from cynthus.store.database import open_database
from cynthus.store.migrations import migrate
from cynthus.store.ports import AlreadyHandled
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.rebuild import rebuild


class Pool:
    """A provisioner without its web application and its bus; time stands still unless moved."""

    def __init__(self, database, *, slots=2, warm=0, machines=None):
        self.now = datetime.now(UTC)
        self.ledger = PostgresLedger(database)
        self.store = PostgresEventStore(
            database, schema="provisioner", source="provisioner", projections=[RequestTable(), MachineHolds()]
        )
        self.machines = machines or MemoryMachines(Host(cpu=2, memory_bytes=8 * 10**9))
        limits = Limits(slots, warm, timedelta(seconds=10), timedelta(seconds=60))
        self.handler = DemandHandler(
            self.store, self.ledger, self.machines, slots=slots, changed=lambda: None
        )
        self.reconciler = Reconciler(
            self.ledger,
            self.machines,
            lambda: self.handler,
            lambda name: MachineSpec(name, "http://x", "t"),
            limits=limits,
        )
        self.limits = limits

    async def tick(self):
        await self.handler.serve_waiting()
        await self.reconciler.tick()

    async def later(self, seconds):
        """Time passes: everything in the ledger is so much older."""
        times = ("since", "next_try", "asked_at", "absent_since", "needless_since")
        older = ", ".join(f"{name} = {name} - make_interval(secs => $1)" for name in times)
        async with self.store.database.connection() as connection:
            await connection.execute(f"UPDATE provisioner.machines SET {older}", float(seconds))

    async def request(self, run="r1", epoch=1, **wish) -> Delivery:
        event = MachineRequested(run_id=run, epoch=epoch, owner="o", resources=Resources(**wish))
        return await self.deliver(event, self.handler.requested)

    async def release(self, run="r1", epoch=1):
        return await self.deliver(MachineReleased(run_id=run, epoch=epoch), self.handler.released)

    async def deliver(self, event, handle) -> Delivery:
        envelope = Envelope(
            new_id("evt"), "orchestrator", self.now, event, f"run-{event.run_id}", 1, "service:orchestrator"
        )
        delivery = Delivery(envelope, 1)
        await handle(delivery)
        return delivery

    async def hello(self) -> str:
        (name,) = [row.name for row in await self.rows() if row.stage is Stage.BOOTING]
        assert await self.ledger.hello(name, "boot-1") is Greeting.WELCOME
        return name

    async def rows(self):
        return (await self.ledger.snapshot()).rows

    async def kinds(self, run="r1"):
        return [recorded.envelope.event.kind for recorded in await self.store.read(f"run-{run}")]

    async def last(self, run="r1"):
        return (await self.store.read(f"run-{run}"))[-1].envelope.event


@pytest.fixture
async def pool(database_url):
    await migrate(database_url, "provisioner")
    async with open_database(database_url) as database:
        yield Pool(database)


async def test_a_request_leads_to_an_intent_a_machine_a_hello_and_a_held_machine(pool):
    await pool.request()
    await pool.tick()
    assert len(pool.machines.specs) == 1
    machine = await pool.hello()
    await pool.tick()
    assert await pool.last() == VMReady(run_id="r1", epoch=1, machine=machine, reused=False)


async def test_a_released_machine_serves_the_next_run_at_once(pool):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    await pool.release()
    await pool.request("r2")
    assert await pool.last("r2") == VMReady(run_id="r2", epoch=1, machine=machine, reused=True)


async def test_the_same_message_twice_has_one_effect(pool):
    delivery = await pool.request()
    before = await pool.kinds()
    with contextlib.suppress(AlreadyHandled):
        await pool.handler.requested(delivery)
    assert await pool.kinds() == before


async def test_more_runs_than_places_wait_and_say_so(pool):
    for run in ("r1", "r2"):
        await pool.request(run)
        await pool.tick()
        await pool.hello()
        await pool.tick()
    await pool.request("r3")
    assert await pool.kinds("r3") == ["machine.requested", "machine.delayed"]
    await pool.release("r1")
    await pool.tick()
    assert (await pool.kinds("r3"))[-1] == "vm.ready"
    assert len(pool.machines.specs) == 2


async def test_an_intent_without_its_call_is_carried_out_later(pool):
    await pool.request()
    intent = Intent("cyn-left", "here", "req-left", "a request waits")
    assert await pool.ledger.intend(intent, pool.limits, timedelta(seconds=1))
    await pool.tick()
    assert pool.machines.specs == {}
    await pool.later(1)
    await pool.tick()
    assert [(spec.name, spec.request_id) for spec in pool.machines.specs.values()] == [
        ("cyn-left", "req-left")
    ]


async def test_a_machine_that_goes_away_is_lost_to_its_run_once(pool):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    pool.machines.specs.clear()
    await pool.tick()
    await pool.tick()
    kinds = await pool.kinds()
    assert kinds.count("vm.lost") == 1
    lost = next(
        r.envelope.event for r in await pool.store.read("run-r1") if r.envelope.event.kind == "vm.lost"
    )
    assert isinstance(lost, VMLost)
    assert lost.machine == machine


async def test_a_machine_that_starts_anew_while_its_run_gives_it_back_gets_an_answer(pool, monkeypatch):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    read, released = pool.store.read, []

    async def read_and_be_overtaken(stream):
        history = await read(stream)
        if not released:
            released.append(stream)
            await pool.release()
        return history

    monkeypatch.setattr(pool.store, "read", read_and_be_overtaken)

    assert await pool.reconciler.hello(machine, "boot-2") is False
    assert "vm.lost" not in await pool.kinds()
    await pool.tick()
    assert machine not in pool.machines.specs


async def test_an_idle_machine_goes_when_its_time_is_over_and_its_last_run_is_told(pool):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    await pool.release()
    await pool.tick()
    await pool.later(9)
    await pool.tick()
    assert set(pool.machines.specs) == {machine}
    await pool.later(2)
    await pool.tick()
    await pool.tick()
    assert pool.machines.specs == {}
    assert await pool.last() == VMDeleted(run_id="r1", machine=machine)


async def test_a_machine_nobody_knows_is_deleted(pool):
    await pool.machines.create(MachineSpec("cyn-stranger", "http://x", "t"))
    await pool.tick()
    assert pool.machines.specs == {}


async def test_a_machine_that_comes_up_after_its_run_was_cancelled_is_not_held(pool):
    await pool.request()
    await pool.tick()
    await pool.release()
    await pool.hello()
    await pool.tick()
    assert "vm.ready" not in await pool.kinds()
    assert await pool.ledger.held() == 0


async def test_a_deleted_machine_is_told_to_leave(pool):
    await pool.request()
    await pool.tick()
    (name,) = pool.machines.specs
    (row,) = await pool.rows()
    assert await pool.ledger.close(row, "a test", timedelta())
    assert await pool.ledger.hello(name, "boot-1") is Greeting.UNWANTED


async def test_a_wish_that_cannot_be_served_fails_at_once(pool):
    await pool.request(cpu=64)
    assert await pool.kinds() == ["machine.requested", "vm.failed"]


async def test_a_provider_that_refuses_fails_the_request(pool):
    async def refuse(spec):
        raise MachineRefused("no")

    pool.machines.create = refuse
    await pool.request()
    await pool.tick()
    assert (await pool.kinds())[-1] == "vm.failed"
    assert await pool.ledger.waiting() == []


async def test_the_ledger_refuses_to_hold_one_machine_twice(pool):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    assert await pool.ledger.idle_machine() is None
    held = await pool.ledger.find(machine)
    assert not await pool.ledger.close(held, "a test", timedelta())


async def test_a_handled_message_is_not_handled_again_by_another_replica(pool):
    request = await pool.request("r9")
    other = Pool(pool.ledger._database)
    with contextlib.suppress(AlreadyHandled):
        await other.handler.requested(request)
    assert (await pool.kinds("r9")).count("machine.requested") == 1


async def test_a_request_that_comes_after_its_release_gets_no_machine(pool):
    await pool.request("r0")
    await pool.tick()
    await pool.hello()
    await pool.release("r0")
    await pool.release()
    await pool.request()
    await pool.tick()
    assert await pool.kinds() == ["machine.released"]
    assert await pool.ledger.held() == 0


async def test_a_newer_request_of_a_run_takes_the_machine_of_the_older_one_away(pool):
    await pool.request()
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    await pool.request(epoch=2)
    assert (await pool.ledger.find(machine)).stage is Stage.DELETING
    await pool.release(epoch=1)
    await pool.tick()
    assert await pool.ledger.held() == 0
    assert machine not in pool.machines.specs


async def test_a_release_that_comes_before_its_request_ends_the_older_attempts(pool):
    await pool.request()
    await pool.release(epoch=2)
    assert await pool.ledger.waiting() == []
    await pool.request("r2")
    await pool.tick()
    machine = await pool.hello()
    await pool.tick()
    await pool.release("r2", epoch=2)
    assert (await pool.ledger.find(machine)).stage is Stage.DELETING


async def test_a_newer_request_ends_an_older_one_that_still_waits(pool):
    await pool.request()
    await pool.request(epoch=2)
    assert [(one.run_id, one.epoch) for one in await pool.ledger.waiting()] == [("r1", 2)]


async def test_requests_rebuilt_from_the_history_equal_the_live_ones(pool):
    for run in ("r1", "r2", "r3"):
        await pool.request(run)
        await pool.tick()
        if run != "r3":
            await pool.hello()
            await pool.tick()
    await pool.release("r1")
    await pool.request("r4", cpu=64)
    pool.machines.specs.clear()
    await pool.tick()

    async def rows():
        async with pool.store.database.connection() as connection:
            return [
                tuple(row)
                for row in await connection.fetch("SELECT * FROM provisioner.requests ORDER BY 1, 2")
            ]

    live = await rows()
    await rebuild(pool.store, [RequestTable()])
    assert await rows() == live
    assert {row[2] for row in live} >= {"released", "failed"}
