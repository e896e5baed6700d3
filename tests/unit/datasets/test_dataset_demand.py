"""The data of a run is asked for and answered once."""

from cynthus.datasets.domain.demand import Demand, decide, evolve
from cynthus.events import DataMount, Dataset, DatasetFailed, DatasetReady, RunRequested, RunSpec

MOUNT = DataMount(source="./data", snapshot="sha256:d", mount="data")
PIN = Dataset(source="./data", mount="data", manifest="sha256:d", files=1, bytes=2)


def requested(*mounts: DataMount) -> RunRequested:
    spec = RunSpec(snapshot="sha256:s", data=mounts)
    return RunRequested(run_id="run_1", owner="o", project="p", name="n", spec=spec)


def test_a_run_without_data_needs_no_answer():
    assert decide(Demand(), requested(), (), None) == []


def test_pinned_data_is_ready():
    message = requested(MOUNT)
    assert decide(Demand(), message, (PIN,), None) == [message, DatasetReady(run_id="run_1", datasets=(PIN,))]


def test_missing_data_fails_by_its_name_and_says_what_to_do():
    _, failed = decide(Demand(), requested(MOUNT), (), "./data")
    assert isinstance(failed, DatasetFailed)
    assert "./data" in failed.cause.message
    assert failed.cause.fix


def test_an_answer_is_given_once():
    message = requested(MOUNT)
    state = Demand()
    for event in decide(state, message, (PIN,), None):
        state = evolve(state, event)
    assert decide(state, message, (PIN,), None) == []
