"""Whatever befalls provider, messages and replicas: in the end there is what is needed, and nothing else."""

import asyncio
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cynthus.bus.ports import Delivery
from cynthus.events import (
    AttemptLost,
    Cause,
    Envelope,
    Event,
    MachineReleased,
    MachineRequested,
    VMLost,
    VMReady,
    new_id,
)
from cynthus.events.ids import drawn_from
from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from cynthus.provisioner.domain.leaks import leaks
from cynthus.provisioner.domain.machine import Stage
from cynthus.provisioner.domain.pool import Limits
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import Listed, MachineSpec, ProviderAway, Throttled
from cynthus.provisioner.reconciler import Reconciler
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import AlreadyHandled, ConcurrentAppend
from tests.fixtures.troubled_machines import Life, TroubledMachines

LIMITS = Limits(slots=3, warm=1, idle_ttl=timedelta(seconds=4), boot_timeout=timedelta(seconds=30))
CAUSE = Cause(code="lost_machine", message="silent")
RUNS = ("r1", "r2", "r3", "r4")
TROUBLES = [
    (operation, trouble)
    for operation in ("create", "delete", "list")
    for trouble in ("away", "lost reply", "throttled")
]
REFUSALS = ["out of stock", "quota", "refused"]
picks = st.integers(0, 99)
PUT_OFF = (ProviderAway, Throttled, ConcurrentAppend)


class Replica:
    """One of the provisioner's processes."""

    def __init__(self, store, ledger, machines):
        self.handler = DemandHandler(store, ledger, machines, slots=LIMITS.slots, changed=lambda: None)
        self.reconciler = Reconciler(
            ledger,
            machines,
            lambda: self.handler,
            lambda name: MachineSpec(name, "http://x", "t"),
            limits=LIMITS,
            patience=timedelta(seconds=20),
        )

    async def tick(self):
        with suppress(*PUT_OFF):
            await self.handler.serve_waiting()
        with suppress(*PUT_OFF):
            await self.reconciler.tick()


class Pool(RuleBasedStateMachine):
    """Two replicas, one ledger, a provider with troubles, messages in any order and any number."""

    @initialize(lag_s=st.sampled_from([0, 0, 20]))
    def open(self, lag_s):
        self.loop = asyncio.new_event_loop()
        self.now = datetime(2026, 11, 23, tzinfo=UTC)
        self.repeatable = ExitStack()
        chance = Random(0)
        self.repeatable.enter_context(drawn_from(lambda: int(self.now.timestamp() * 1e9), chance.randbytes))
        self.ledger = MemoryLedger(lambda: self.now, memory=timedelta(seconds=5))
        self.store = MemoryEventStore(source="provisioner", projections=[self.ledger])
        self.machines = TroubledMachines(lambda: self.now, lag_s=lag_s, zones=("a", "b"))
        self.machines.on_delete = self.check_delete
        self.replicas = [Replica(self.store, self.ledger, self.machines) for _ in range(2)]
        self.epochs = dict.fromkeys(RUNS, 0)
        self.sent: list[Delivery] = []
        self.later: list[Delivery] = []
        self.over: set[tuple[str, int]] = set()
        self.fenced: set[tuple[str, int]] = set()
        self.dead: set[str] = set()

    def teardown(self):
        if hasattr(self, "loop"):
            with self.repeatable:
                self.heal()
            self.loop.close()

    def check_delete(self, name):
        """Checked at every call: a machine that somebody holds is never deleted."""
        assert self.ledger.rows[name].stage is Stage.DELETING

    def do(self, work):
        return self.loop.run_until_complete(work)

    def send(self, event: Event, *, hold_back: bool = False):
        stream = f"run-{event.run_id}"
        envelope = Envelope(new_id("evt"), "orchestrator", self.now, event, stream, 1, "service:orchestrator")
        delivery = Delivery(envelope, 1)
        self.sent.append(delivery)
        if hold_back:
            self.later.append(delivery)
        else:
            self.deliver(delivery)

    def deliver(self, delivery, replica=0):
        handler = self.replicas[replica].handler
        handle = {
            MachineRequested: handler.requested,
            MachineReleased: handler.released,
            AttemptLost: handler.fenced,
        }[type(delivery.envelope.event)]
        for _ in range(5):
            try:
                with suppress(AlreadyHandled):
                    self.do(handle(delivery))
            except ConcurrentAppend:
                continue
            return

    @rule(run=st.sampled_from(RUNS), hold_back=st.booleans(), late=st.booleans(), fenced=st.booleans())
    def ask(self, run, hold_back, late, fenced):
        """A next attempt; the one before is over first, for the orchestrator, whoever hears it when."""
        if self.epochs[run]:
            self.end(run, late, fenced)
        self.epochs[run] += 1
        self.send(MachineRequested(run_id=run, epoch=self.epochs[run], owner="o"), hold_back=hold_back)

    @rule(run=st.sampled_from(RUNS), hold_back=st.booleans(), fenced=st.booleans())
    def end(self, run, hold_back, fenced):
        """The second of two messages comes first if the first is held back."""
        epoch = self.epochs[run]
        if not epoch or (run, epoch) in self.over:
            return
        self.over.add((run, epoch))
        if fenced:
            self.fenced.add((run, epoch))
            self.send(AttemptLost(run_id=run, epoch=epoch, cause=CAUSE), hold_back=hold_back)
        released = MachineReleased(run_id=run, epoch=epoch, lost=fenced)
        self.send(released, hold_back=hold_back != fenced)

    @precondition(lambda self: self.later)
    @rule(pick=picks)
    def overtaken(self, pick):
        self.deliver(self.later.pop(pick % len(self.later)))

    @precondition(lambda self: self.sent)
    @rule(pick=picks, replica=st.sampled_from([0, 1]))
    def again(self, pick, replica):
        self.deliver(self.sent[pick % len(self.sent)], replica)

    @rule(trouble=st.sampled_from(TROUBLES))
    def befall(self, trouble):
        self.trouble(*trouble)

    def trouble(self, operation, trouble):
        self.machines.troubles[operation].append(trouble)

    @rule(refusal=st.sampled_from(REFUSALS))
    def refuse(self, refusal):
        self.machines.troubles["create"].append(refusal)

    @rule(seconds=st.sampled_from([0.5, 1, 3, 7, 31]), share=st.floats(0, 1))
    def wait(self, seconds, share):
        self.now += timedelta(seconds=seconds)
        self.machines.behind_s = share * self.machines.lag_s

    @rule(replica=st.sampled_from([0, 1]))
    def tick(self, replica):
        self.do(self.replicas[replica].tick())

    @rule(seconds=st.sampled_from([0, 1, 8]), before=st.booleans())
    def stand_still_around_the_listing(self, seconds, before):
        """The other replica does everything meanwhile, and machines come up."""

        async def meanwhile():
            self.machines.after_list = self.machines.before_list = None
            self.now += timedelta(seconds=seconds)
            await self.replicas[1].tick()
            await self.greet_all()
            with suppress(*PUT_OFF):
                await self.replicas[1].handler.serve_waiting()

        if before:
            self.machines.before_list = meanwhile
        else:
            self.machines.after_list = meanwhile
        self.do(self.replicas[0].tick())
        self.machines.after_list = self.machines.before_list = None

    @rule()
    def come_up(self):
        self.do(self.greet_all())

    @rule(pick=picks)
    def appear(self, pick):
        """A call of long ago is carried out, or somebody made a machine under our label."""
        if f"cyn-{pick}" not in self.ledger.rows:
            self.appeared(MachineSpec(f"cyn-{pick}", "http://x", "t", "b", f"req-{pick}"))

    def appeared(self, spec):
        self.machines.lives.append(Life(spec, self.now))

    @precondition(lambda self: self.machines.alive)
    @rule(pick=picks)
    def vanish(self, pick):
        name = sorted(self.machines.alive)[pick % len(self.machines.alive)]
        self.dead.add(name)
        self.machines.vanish(name)

    @precondition(lambda self: self.machines.alive)
    @rule(pick=picks, boot=st.integers(2, 9))
    def start_anew(self, pick, boot):
        name = sorted(self.machines.alive)[pick % len(self.machines.alive)]
        self.dead.add(name)
        with suppress(*PUT_OFF):
            self.do(self.replicas[0].reconciler.hello(name, f"boot-{boot}"))

    async def greet_all(self):
        for name in sorted(self.machines.alive):
            with suppress(*PUT_OFF):
                await self.replicas[0].reconciler.hello(name, "boot-1")

    @invariant()
    def no_run_has_two_machines(self):
        held = [row.run_id for row in self.rows(Stage.HELD)]
        assert len(held) == len(set(held))

    @invariant()
    def no_machine_is_called_lost_that_is_there(self):
        if hasattr(self, "loop"):
            facts = (recorded.envelope.event for recorded in self.store.facts)
            assert {fact.machine for fact in facts if isinstance(fact, VMLost)} <= self.dead

    @invariant()
    def no_machine_of_a_fenced_attempt_serves_another(self):
        held: dict[str, tuple[str, int]] = {}
        for recorded in self.store.facts if hasattr(self, "loop") else ():
            if isinstance(fact := recorded.envelope.event, VMReady):
                assert held.get(fact.machine) not in self.fenced
                held[fact.machine] = (fact.run_id, fact.epoch)

    @invariant()
    def there_are_never_more_machines_than_there_may_be(self):
        if hasattr(self, "loop"):
            wanted = self.rows(Stage.INTENDED, Stage.BOOTING, Stage.IDLE, Stage.HELD)
            assert len(wanted) <= LIMITS.slots + LIMITS.warm
            assert len(self.rows(Stage.HELD)) <= LIMITS.slots

    def rows(self, *stages):
        if not hasattr(self, "loop"):
            return []
        return [row for row in self.ledger.rows.values() if row.stage in stages]

    def heal(self):
        """No more troubles, every message arrives, and time passes."""
        for troubles in self.machines.troubles.values():
            troubles.clear()
        while self.later:
            self.deliver(self.later.pop())
        for _ in range(30):
            self.now += timedelta(seconds=7)
            self.do(self.replicas[0].tick())
            self.do(self.greet_all())
        self.do(self.replicas[1].tick())
        self.check_need()

    def check_need(self):
        alive = {row.name for row in self.rows(Stage.INTENDED, Stage.BOOTING, Stage.IDLE, Stage.HELD)}
        assert self.machines.alive == alive
        assert not self.rows(Stage.DELETING)
        held = {(row.run_id, row.epoch) for row in self.rows(Stage.HELD)}
        assert not held & self.over
        assert all(epoch == self.epochs[run] for run, epoch in held)
        waiting = self.do(self.ledger.waiting())
        assert not {(one.run_id, one.epoch) for one in waiting} & self.over
        assert len(held) == LIMITS.slots or not waiting
        assert len(alive) == len(held) + LIMITS.warm
        listing = [Listed(name) for name in self.machines.alive]
        lag = timedelta(seconds=self.machines.lag_s)
        assert not leaks(self.ledger.rows.values(), listing, self.now, timedelta(seconds=10), lag)


TestPool = Pool.TestCase
TestPool.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def rarely(chance: Random) -> bool:
    return chance.random() < 0.25


def some(chance: Random) -> int:
    return chance.randrange(100)


MOVES = (
    (4, lambda pool, chance: pool.ask(chance.choice(RUNS), *(rarely(chance) for _ in range(3)))),
    (3, lambda pool, chance: pool.end(chance.choice(RUNS), rarely(chance), rarely(chance))),
    (3, lambda pool, chance: pool.later and pool.overtaken(some(chance))),
    (1, lambda pool, chance: pool.sent and pool.again(some(chance), chance.randrange(2))),
    (3, lambda pool, chance: pool.befall(chance.choice(TROUBLES))),
    (1, lambda pool, chance: pool.refuse(chance.choice(REFUSALS))),
    (5, lambda pool, chance: pool.wait(chance.choice([0.5, 1, 3, 7, 31]), chance.random())),
    (5, lambda pool, chance: pool.tick(chance.randrange(2))),
    (2, lambda pool, chance: pool.stand_still_around_the_listing(chance.choice([0, 1, 8]), rarely(chance))),
    (4, lambda pool, _: pool.come_up()),
    (1, lambda pool, chance: pool.appear(some(chance))),
    (1, lambda pool, chance: pool.machines.alive and pool.vanish(some(chance))),
    (1, lambda pool, chance: pool.machines.alive and pool.start_anew(some(chance), some(chance))),
)
"""The rules above; what moves things on more often than what hinders them."""


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_long_walks_end_well(first):
    for seed in range(first, first + 20):
        chance = Random(seed)
        pool = Pool()
        pool.open(chance.choice([0, 0, 20]))
        try:
            for _ in range(120):
                (_, move), *_ = chance.choices(MOVES, [weight for weight, _ in MOVES])
                move(pool, chance)
                pool.no_run_has_two_machines()
                pool.no_machine_is_called_lost_that_is_there()
                pool.no_machine_of_a_fenced_attempt_serves_another()
                pool.there_are_never_more_machines_than_there_may_be()
            pool.teardown()
        except AssertionError as failure:
            raise AssertionError(f"seed {seed}") from failure
