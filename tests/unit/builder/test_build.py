"""The history of a run's build."""

from itertools import permutations

import pytest

from cynthus.builder.domain import build
from cynthus.builder.domain.build import Build, Built, Failed
from cynthus.events import BuildFailed, BuildStarted, Cause, Image, ImageBuilt, RunRequested, RunSpec

SPEC = RunSpec(snapshot="sha256:aa", entry="train.py", arguments=("--x", "1"))
REQUESTED = RunRequested(run_id="run_1", owner="o", project="p", name="n", spec=SPEC)
IMAGE = Image(
    digest="sha256:i", source="sha256:aa", lock="sha256:l", python="3.11", command=("python", "train.py")
)
BUILT = Built(IMAGE, packages=2)
FAILED = Failed(Cause(code="dependency_not_found", message="no"))


def after(*events) -> Build:
    state = Build()
    for event in events:
        state = build.evolve(state, event)
    return state


def test_what_was_built_before_is_answered_at_once():
    requested, answer = build.request(Build(), REQUESTED, "k", BUILT)
    assert requested == REQUESTED
    image = IMAGE.model_copy(update={"command": ("python", "train.py", "--x", "1")})
    assert answer == ImageBuilt(run_id="run_1", image=image, packages=2, cached=True)


def test_what_is_new_is_started():
    started = BuildStarted(run_id="run_1", key="k")
    assert build.request(Build(), REQUESTED, "k", None) == [REQUESTED, started]


def test_a_request_twice_is_no_news():
    assert build.request(after(REQUESTED), REQUESTED, "k", BUILT) == []


@pytest.mark.parametrize("outcome", [BUILT, FAILED])
def test_a_build_ends_once(outcome):
    started = after(REQUESTED, BuildStarted(run_id="run_1", key="k"))
    (ended,) = build.finish(started, "run_1", outcome, 1.5, cached=False)
    assert isinstance(ended, ImageBuilt | BuildFailed)
    assert build.finish(build.evolve(started, ended), "run_1", outcome, 1.5, cached=False) == []


def test_equal_inputs_have_equal_keys_and_every_input_counts():
    keys = {
        build.key(REQUESTED, "3.11"),
        build.key(REQUESTED.model_copy(update={"run_id": "run_2", "name": "other"}), "3.11"),
    }
    assert len(keys) == 1
    for change in ({"snapshot": "sha256:bb"}, {"entry": "main.py"}, {"entry": None}, {"task": "t"}):
        other = REQUESTED.model_copy(update={"spec": SPEC.model_copy(update=change)})
        keys.add(build.key(other, "3.11"))
    keys.add(build.key(REQUESTED, "3.12"))
    keys.add(build.key(REQUESTED.model_copy(update={"owner": "p"}), "3.11"))
    assert len(keys) == 7


def test_facts_in_any_order_make_the_same_build():
    facts = [REQUESTED, BuildStarted(run_id="run_1", key="k"), ImageBuilt(run_id="run_1", image=IMAGE)]
    assert len({after(*order) for order in permutations(facts)}) == 1


def test_other_arguments_of_a_script_are_the_same_build_with_another_command():
    other = REQUESTED.model_copy(update={"spec": SPEC.model_copy(update={"arguments": ("--lr", "0.1")})})
    assert build.key(other, "3.11") == build.key(REQUESTED, "3.11")
    started = after(other, BuildStarted(run_id="run_1", key="k"))
    (built,) = build.finish(started, "run_1", BUILT, 1.0, cached=False)
    assert built.image.command == ("python", "train.py", "--lr", "0.1")


def test_arguments_of_a_task_are_part_of_the_build():
    task = SPEC.model_copy(update={"entry": None, "task": "main"})
    one = REQUESTED.model_copy(update={"spec": task})
    two = REQUESTED.model_copy(update={"spec": task.model_copy(update={"arguments": ("other",)})})
    assert build.key(one, "3.11") != build.key(two, "3.11")
