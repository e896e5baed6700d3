"""What a run's request for a machine becomes."""

from itertools import permutations

import pytest

from cynthus.events import (
    Cause,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    Resources,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.provisioner.domain import demand
from cynthus.provisioner.domain.demand import Assign, Demand, Fail, Lose, Offer
from cynthus.provisioner.domain.host import Host

HOST = Host(cpu=2, memory_bytes=8_000_000_000)
CAUSE = Cause(code="x", message="x")


def requested(epoch: int = 1, **wish) -> MachineRequested:
    return MachineRequested(run_id="run_1", epoch=epoch, owner="o", resources=Resources(**wish))


READY = VMReady(run_id="run_1", epoch=1, machine="m", reused=True)
RELEASED = MachineReleased(run_id="run_1", epoch=1, machine="m")


def after(*events) -> Demand:
    state = Demand()
    for event in events:
        state = demand.evolve(state, event)
    return state


def test_an_idle_machine_is_held_at_once():
    assert demand.request(Demand(), requested(), Offer(machine="m"), HOST) == [requested(), READY]


def test_a_full_house_says_that_it_takes_longer():
    reason = "waiting for a free place: 2 of 2 are taken"
    delayed = MachineDelayed(run_id="run_1", epoch=1, reason=reason)
    assert demand.request(Demand(), requested(), Offer(delay=reason), HOST) == [requested(), delayed]


@pytest.mark.parametrize("wish", [{"cpu": 3}, {"memory_bytes": 9_000_000_000}])
def test_a_wish_no_machine_can_serve_fails_for_good_and_says_what_to_ask_for(wish):
    _, failed = demand.request(Demand(), requested(**wish), Offer(machine="m"), HOST)
    assert isinstance(failed, VMFailed)
    assert not failed.transient
    assert "at most" in failed.cause.fix


def test_the_same_request_twice_is_no_news():
    assert demand.request(after(requested()), requested(), Offer(machine="m"), HOST) == []


def test_a_later_epoch_is_a_new_request():
    assert demand.request(after(requested(), READY, RELEASED), requested(2), Offer(), HOST) == [requested(2)]


def test_a_machine_is_given_to_whoever_still_waits():
    assign = Assign("run_1", 1, "m", reused=True)
    assert demand.settle(after(requested()), assign) == [READY]
    assert demand.settle(after(requested(), RELEASED), assign) == []
    assert demand.settle(after(requested(), READY), assign) == []
    assert demand.settle(after(requested(), RELEASED, requested(2)), assign) == []


def test_only_the_holder_loses_a_machine():
    lose = Lose("run_1", 1, "m", CAUSE)
    lost = VMLost(run_id="run_1", epoch=1, machine="m", cause=CAUSE)
    assert demand.settle(after(requested(), READY), lose) == [lost]
    assert demand.settle(after(requested(), READY, lost), lose) == []
    assert demand.settle(after(requested(), READY, RELEASED), lose) == []


def test_a_waiting_request_can_be_given_up():
    fail = Fail("run_1", 1, CAUSE, transient=True)
    assert demand.settle(after(requested()), fail) == [
        VMFailed(run_id="run_1", epoch=1, cause=CAUSE, transient=True)
    ]
    assert demand.settle(after(requested(), READY), fail) == []


def test_a_release_counts_once():
    assert demand.release(after(requested(), READY), RELEASED) == [RELEASED]
    assert demand.release(after(requested(), READY, RELEASED), RELEASED) == []


def test_whatever_comes_late_from_an_old_epoch_changes_nothing():
    late = [READY, RELEASED, VMLost(run_id="run_1", epoch=1, machine="m", cause=CAUSE)]
    for order in permutations(late):
        assert after(requested(), requested(2), *order) == Demand(epoch=2, over=1, waiting=True)
