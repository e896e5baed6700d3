"""The pool's plan, from given ledger, listing and need."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Stage, Standing
from cynthus.provisioner.domain.pool import (
    Adopt,
    Appeared,
    Close,
    Create,
    Delete,
    Ensure,
    Gone,
    Limits,
    Plan,
    Provider,
    Vanished,
    backoff,
    reconcile,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMITS = Limits(slots=2, warm=1, idle_ttl=timedelta(seconds=10), boot_timeout=timedelta(seconds=60))
EXACT = Provider()
LAGGING = Provider(("a", "b"), timedelta(seconds=30))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def row(name: str, stage: Stage, age_s: float = 0, **more) -> MachineRow:
    return MachineRow(name, stage, ago(age_s), **more)


def look(*rows: MachineRow, listed=None, waiting: int = 0, provider: Provider = EXACT, **known) -> Plan:
    names = [one.name for one in rows] if listed is None else listed
    listing = [one if isinstance(one, Listed) else Listed(one) for one in names]
    return reconcile(Snapshot(NOW, rows, waiting, **known), listing, LIMITS, provider)


def plan(*rows: MachineRow, **how):
    return look(*rows, **how).actions


def closed(actions) -> dict[str, str]:
    return {action.machine.name: action.why for action in actions if isinstance(action, Close)}


def test_an_empty_pool_warms_one_machine_up():
    assert plan() == [Create()]


def test_waiting_runs_get_machines_up_to_the_slots_and_the_warm_ones():
    assert plan(waiting=9) == [Create()] * 3


def test_a_machine_that_is_coming_is_not_created_again():
    assert plan(row("a", Stage.BOOTING)) == []


def test_an_intent_whose_call_may_not_have_happened_is_called_again_but_not_too_soon():
    intent = row("a", Stage.INTENDED, next_try=ago(1))
    assert plan(intent, listed=[]) == [Ensure(intent)]
    assert plan(row("a", Stage.INTENDED, next_try=ago(-1)), listed=[]) == []


def test_an_intent_that_is_listed_was_heard_whatever_was_answered():
    intent = row("a", Stage.INTENDED, next_try=ago(1))
    assert plan(intent) == [Appeared(intent)]


def test_an_intent_that_nobody_needs_any_more_is_not_called_again_and_is_given_up():
    fresh = row("b", Stage.INTENDED, next_try=ago(5), needless_since=ago(9))
    stale = row("c", Stage.INTENDED, next_try=ago(5), needless_since=ago(11))
    actions = plan(row("a", Stage.IDLE), fresh, stale, listed=["a"])
    assert closed(actions) == {"c": "nobody needs it"}
    assert not [action for action in actions if isinstance(action, Ensure)]


def test_a_zone_that_had_no_room_lately_is_passed_over():
    assert plan(provider=LAGGING, shut=frozenset({"a"})) == [Create("b")]
    assert plan(provider=LAGGING, shut=frozenset({"a", "b"})) == []


def test_nothing_is_created_while_the_quota_is_used_up():
    assert plan(waiting=1, quota=True) == []


def test_an_idle_machine_beyond_the_warm_ones_goes_after_its_time_and_the_last_used_stays():
    old = row("old", Stage.IDLE, age_s=30)
    new = row("new", Stage.IDLE, age_s=3)
    first = look(old, new)
    assert first.marks.needless == {"old"}
    assert first.actions == []
    assert closed(plan(row("old", Stage.IDLE, 30, needless_since=ago(10)), new)) == {"old": "nobody needs it"}


def test_a_machine_that_is_needed_again_is_noted_as_needed_and_stays():
    surplus = row("old", Stage.IDLE, 30, needless_since=ago(60))
    again = look(surplus, row("new", Stage.IDLE, 3), waiting=1)
    assert again.marks.needed == {"old"}
    assert again.actions == []


def test_a_machine_that_is_coming_for_a_withdrawn_request_goes_after_its_time():
    late = row("late", Stage.BOOTING, 20, needless_since=ago(11))
    assert closed(plan(row("a", Stage.IDLE), late)) == {"late": "nobody needs it"}


def test_the_last_warm_machine_stays_however_long_it_idles():
    assert plan(row("a", Stage.IDLE, age_s=3600)) == []


def test_a_machine_nobody_knows_is_taken_in_to_be_deleted():
    assert Adopt(Listed("stranger")) in plan(row("a", Stage.IDLE), listed=["a", "stranger"])


def test_a_machine_that_should_be_gone_but_is_listed_is_taken_in_to_be_deleted():
    actions = plan(row("a", Stage.IDLE), row("ghost", Stage.GONE), listed=["a", "ghost"])
    assert Adopt(Listed("ghost")) in actions


@pytest.mark.parametrize("stage", [Stage.BOOTING, Stage.IDLE, Stage.HELD])
def test_a_machine_that_is_not_listed_has_vanished(stage):
    gone = row("a", stage, run_id="run_1", epoch=1)
    assert Vanished(gone) in plan(gone, listed=[])


@pytest.mark.parametrize("stage", [Stage.BOOTING, Stage.IDLE, Stage.HELD, Stage.DELETING])
def test_a_listing_that_lags_must_miss_a_machine_twice_a_lag_apart(stage):
    fresh, young, old = (
        row(name, stage, absent_since=since)
        for name, since in (("fresh", None), ("young", ago(29)), ("old", ago(30)))
    )
    seen = look(fresh, young, old, listed=[], provider=LAGGING)
    assert seen.marks.absent == {"fresh"}
    over = [action for action in seen.actions if isinstance(action, Vanished | Gone)]
    assert [action.machine for action in over] == [old]


def test_a_machine_that_is_listed_again_was_never_away():
    back = look(row("a", Stage.HELD, absent_since=ago(50)), provider=LAGGING)
    assert back.marks.seen == {"a"}
    assert not [action for action in back.actions if isinstance(action, Vanished)]


def test_deleting_goes_on_with_pauses_until_the_provider_no_longer_lists_it():
    due, not_yet = row("a", Stage.DELETING, next_try=ago(0)), row("b", Stage.DELETING, next_try=ago(-1))
    actions = plan(due, not_yet)
    assert [action for action in actions if isinstance(action, Delete)] == [Delete(due)]
    assert Gone(due) in plan(due, listed=[])


def test_a_machine_that_does_not_boot_is_deleted_and_another_one_created():
    assert closed(plan(row("a", Stage.BOOTING, age_s=61))) == {"a": "it did not come up within 60 s"}
    assert Create() in plan(row("a", Stage.DELETING, age_s=1))


def test_a_machine_that_its_provider_takes_away_gets_no_run_and_one_with_a_run_is_left_alone():
    leaving = [Listed("a", standing=Standing.LEAVING)]
    idle = look(row("a", Stage.IDLE), listed=leaving)
    assert closed(idle.actions) == {"a": "its provider takes it away"}
    held = look(row("a", Stage.HELD), listed=leaving)
    assert held.marks.leaving == {"a"}
    assert not closed(held.actions)


def test_pauses_double_up_to_a_limit():
    first, most = timedelta(seconds=1), timedelta(seconds=10)
    pauses = [backoff(attempts, first, most).total_seconds() for attempts in (0, 1, 2, 3, 4, 5, 10_000)]
    assert pauses == [1, 1, 2, 4, 8, 10, 10]


ages = st.integers(0, 200)
maybe = st.none() | ages.map(ago)
rows = st.lists(
    st.builds(
        MachineRow,
        name=st.sampled_from([f"m{number}" for number in range(8)]),
        stage=st.sampled_from([stage for stage in Stage if stage is not Stage.GONE]),
        since=ages.map(ago),
        run_id=st.just("run_1"),
        epoch=st.just(1),
        next_try=maybe,
        absent_since=maybe,
        needless_since=maybe,
        leaving=st.booleans(),
    ),
    unique_by=lambda one: one.name,
)
listings = st.lists(
    st.builds(Listed, st.sampled_from([f"m{n}" for n in range(10)]), st.just("a"), st.sampled_from(Standing)),
    unique_by=lambda one: one.name,
)
providers = st.sampled_from([EXACT, LAGGING])


@given(rows, listings, st.integers(0, 20), providers)
def test_a_held_machine_is_never_deleted_and_the_pool_never_outgrows_its_limits(
    ledger, listed, waiting, provider
):
    actions = plan(*ledger, listed=listed, waiting=waiting, provider=provider)
    held = {one.name for one in ledger if one.stage is Stage.HELD}
    touched = {action.machine.name for action in actions if isinstance(action, Delete | Close | Gone)}
    assert not held & touched
    created = sum(isinstance(action, Create) for action in actions)
    assert created == 0 or len(ledger) + created <= LIMITS.slots + LIMITS.warm


@given(rows, listings, providers)
def test_every_listed_machine_is_known_and_wanted_or_on_its_way_out(ledger, listed, provider):
    done = look(*ledger, listed=listed, provider=provider)
    known = {one.name for one in ledger}
    adopted = {action.listed.name for action in done.actions if isinstance(action, Adopt)}
    assert {one.name for one in listed} <= known | adopted
    assert not known & adopted


@given(rows, listings)
def test_with_a_lag_nothing_is_gone_by_one_listing(ledger, listed):
    actions = plan(*ledger, listed=listed, provider=LAGGING)
    for action in actions:
        if isinstance(action, Vanished | Gone):
            assert action.machine.absent_since is not None
            assert NOW - action.machine.absent_since >= LAGGING.lag
