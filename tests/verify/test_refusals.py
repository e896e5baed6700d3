"""Each invariant refuses the histories that break it, and no other invariant does."""

import copy
from pathlib import Path

import pytest

from tests.verify import corruptions, corruptions_of_attempts, corruptions_of_messages
from tests.verify.evidence import Evidence
from tests.verify.report import NAMES, verify
from tests.verify.synthetic import correct_world
from tests.verify.synthetic_world import World

assert corruptions_of_messages
assert corruptions_of_attempts  # they add to the list


@pytest.fixture(scope="module")
def correct() -> World:
    return correct_world()


def violated(world: World, folder: Path) -> dict[str, list[str]]:
    outcomes = verify(Evidence(world.write(folder)), dict.fromkeys(NAMES, 1))
    assert not [outcome.invariant.name for outcome in outcomes if outcome.short]
    return {
        outcome.invariant.name: [finding.what for finding in outcome.checked]
        for outcome in outcomes
        if outcome.checked.findings
    }


def test_the_history_they_are_made_of_is_correct(correct, tmp_path):
    assert violated(correct, tmp_path) == {}


@pytest.mark.parametrize(
    ("invariant", "corrupt"),
    [(invariant, corrupt) for invariant, _, corrupt in corruptions.ALL],
    ids=[f"{invariant}: {what}" for invariant, what, _ in corruptions.ALL],
)
def test_a_corrupted_history_is_refused_for_what_is_wrong_with_it(correct, tmp_path, invariant, corrupt):
    world = copy.deepcopy(correct)
    corrupt(world)
    found = violated(world, tmp_path)
    assert list(found) == [invariant], found


def test_every_invariant_has_a_history_that_breaks_it():
    assert {invariant for invariant, _, _ in corruptions.ALL} == set(NAMES)


def test_findings_name_the_lines_that_show_them(correct, tmp_path):
    for _, _, corrupt in corruptions.ALL[::7]:
        world = copy.deepcopy(correct)
        corrupt(world)
        for outcome in verify(Evidence(world.write(tmp_path)), {}):
            for finding in outcome.checked:
                assert finding.lines, finding.what
