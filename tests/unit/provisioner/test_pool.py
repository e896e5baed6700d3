"""The pool's plan, from given ledger, listing and need."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cynthus.provisioner.domain.pool import (
    Create,
    Delete,
    Ensure,
    Limits,
    MachineRow,
    Stage,
    Vanished,
    reconcile,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMITS = Limits(slots=2, warm=1, idle_ttl=timedelta(seconds=10), boot_timeout=timedelta(seconds=60))


def row(name: str, stage: Stage, age_s: float = 0, **held) -> MachineRow:
    return MachineRow(name, stage, NOW - timedelta(seconds=age_s), **held)


def plan(*rows: MachineRow, listed: set[str] | None = None, waiting: int = 0):
    seen = frozenset(one.name for one in rows) if listed is None else frozenset(listed)
    return reconcile(rows, seen, waiting, NOW, LIMITS)


def test_an_empty_pool_warms_one_machine_up():
    assert plan() == [Create()]


def test_waiting_runs_get_machines_up_to_the_slots_and_the_warm_ones():
    assert plan(waiting=9) == [Create()] * 3


def test_a_machine_that_is_coming_is_not_created_again():
    assert plan(row("a", Stage.BOOTING)) == []


def test_an_intent_whose_call_may_not_have_happened_is_called_again():
    assert plan(row("a", Stage.INTENDED), listed=set()) == [Ensure("a")]


def test_an_idle_machine_beyond_the_warm_ones_goes_after_its_time():
    rows = (row("old", Stage.IDLE, age_s=30), row("new", Stage.IDLE, age_s=3))
    assert plan(*rows) == [Delete("old")]


def test_the_last_warm_machine_stays_however_long_it_idles():
    assert plan(row("a", Stage.IDLE, age_s=3600)) == []


def test_a_machine_nobody_knows_is_deleted():
    assert Delete("stranger") in plan(row("a", Stage.IDLE), listed={"a", "stranger"})


def test_a_machine_that_should_be_gone_but_is_listed_is_deleted():
    assert Delete("ghost") in plan(row("a", Stage.IDLE), row("ghost", Stage.GONE), listed={"a", "ghost"})


def test_a_held_machine_that_is_not_listed_has_vanished():
    held = row("a", Stage.HELD, run_id="run_1", epoch=1)
    assert Vanished(held) in plan(held, listed=set())


def test_deleting_goes_on_until_the_provider_no_longer_lists_it():
    machine = row("a", Stage.DELETING)
    assert Delete("a") in plan(machine)
    assert Vanished(machine) in plan(machine, listed=set())


def test_a_machine_that_does_not_boot_is_deleted():
    assert Delete("a") in plan(row("a", Stage.BOOTING, age_s=61))


rows = st.lists(
    st.builds(
        MachineRow,
        name=st.sampled_from([f"m{number}" for number in range(8)]),
        stage=st.sampled_from(list(Stage)),
        since=st.integers(0, 200).map(lambda age: NOW - timedelta(seconds=age)),
        run_id=st.just("run_1"),
        epoch=st.just(1),
    ),
    unique_by=lambda one: one.name,
)
listings = st.frozensets(st.sampled_from([f"m{number}" for number in range(10)]))


@given(rows, listings, st.integers(0, 20))
def test_a_held_machine_is_never_deleted_and_the_pool_never_outgrows_its_limits(ledger, listed, waiting):
    actions = reconcile(ledger, listed, waiting, NOW, LIMITS)
    held = {one.name for one in ledger if one.stage is Stage.HELD}
    assert not held & {action.name for action in actions if isinstance(action, Delete)}
    alive = sum(one.stage is not Stage.GONE for one in ledger)
    created = sum(isinstance(action, Create) for action in actions)
    assert created == 0 or alive + created <= LIMITS.slots + LIMITS.warm


@given(rows, listings)
def test_every_listed_machine_is_wanted_or_being_deleted(ledger, listed):
    actions = reconcile(ledger, listed, 0, NOW, LIMITS)
    wanted = {one.name for one in ledger if one.stage not in {Stage.GONE, Stage.DELETING}}
    deleted = {action.name for action in actions if isinstance(action, Delete)}
    assert listed <= wanted | deleted
