"""Messages about a run's machines come in any order and more than once."""

from hypothesis import given
from hypothesis import strategies as st

from cynthus.events import AttemptLost, Cause, MachineReleased, MachineRequested, VMReady
from cynthus.provisioner.domain import demand
from cynthus.provisioner.domain.demand import Assign, Demand, Fail, Lose, Offer
from cynthus.provisioner.domain.host import Host

HOST = Host(cpu=2, memory_bytes=8_000_000_000)
CAUSE = Cause(code="x", message="x")
EPOCHS = 3


def requested(epoch):
    return MachineRequested(run_id="run_1", epoch=epoch, owner="o")


def released(epoch):
    return MachineReleased(run_id="run_1", epoch=epoch)


def lost(epoch):
    return AttemptLost(run_id="run_1", epoch=epoch, cause=CAUSE)


facts = [build(epoch) for epoch in range(1, EPOCHS + 1) for build in (requested, released, lost)]
commands = [
    build(epoch)
    for epoch in range(1, EPOCHS + 1)
    for build in (
        lambda epoch: Assign("run_1", epoch, f"m{epoch}", reused=False),
        lambda epoch: Fail("run_1", epoch, CAUSE, transient=True),
        lambda epoch: Lose("run_1", epoch, f"m{epoch}", CAUSE),
    )
]
everything = st.lists(st.sampled_from(facts + commands), max_size=30)
offers = st.sampled_from([Offer(), Offer(machine="idle"), Offer(delay="full")])


def decide(state, message, offer):
    match message:
        case MachineRequested():
            return demand.request(state, message, offer, HOST)
        case MachineReleased():
            return demand.release(state, message)
        case AttemptLost():
            return demand.fence(state, message)
        case _:
            return demand.settle(state, message)


def told(messages, offer, state=None):
    history, state = [], state or Demand()
    for message in messages:
        for event in decide(state, message, offer):
            history.append(event)
            state = demand.evolve(state, event)
    return history, state


@given(everything, offers)
def test_an_epoch_that_was_released_or_lost_is_never_served_afterwards(messages, offer):
    history, _ = told(messages, offer)
    over = 0
    for event in history:
        if isinstance(event, MachineReleased | AttemptLost):
            over = max(over, event.epoch)
        if isinstance(event, VMReady):
            assert event.epoch > over


@given(everything, offers)
def test_an_epoch_is_served_once_and_never_after_a_later_one(messages, offer):
    history, _ = told(messages, offer)
    served = [event.epoch for event in history if isinstance(event, VMReady)]
    assert served == sorted(set(served))


@given(st.permutations(facts), everything, offers)
def test_once_everything_was_heard_nothing_is_waited_for_and_nothing_held(order, before, offer):
    _, state = told([*before, *order], offer)
    assert not state.waiting
    assert state.machine is None


@given(everything, st.sampled_from(facts), offers)
def test_a_message_twice_in_a_row_is_no_news_the_second_time(messages, message, offer):
    _, state = told([*messages, message], offer)
    assert decide(state, message, offer) == []
