from pathlib import Path

import pytest

from tests.planted.bugs import BUGS
from tests.planted.planting import ROOT, SIMULATION, Bug, NotPlanted, judge, plant, scratch

QUICK = ("terminal-state-overwritten", "intent-after-the-call")
LIMIT_S = 300.0


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_line_to_change_is_there_once(bug: Bug) -> None:
    for name in filter(None, (bug.file, bug.twin)):
        assert (ROOT / name).read_text().count(bug.right) == 1
    assert bug.wrong != bug.right


def test_names_are_unique_and_say_what_they_do() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
    assert len({(bug.file, bug.right, bug.wrong) for bug in BUGS}) == len(BUGS)
    assert all(bug.what for bug in BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_what_must_find_it_exists(bug: Bug) -> None:
    for part in bug.catcher:
        if part.startswith("tests/"):
            assert (ROOT / part).is_file()


def test_code_that_changed_meanwhile_is_told(tmp_path: Path) -> None:
    bug = Bug("gone", "nothing", "here.py", right="one", wrong="two")
    with pytest.raises(NotPlanted, match="0 times"):
        plant(tmp_path, bug)
    (tmp_path / "here.py").write_text("one one")
    with pytest.raises(NotPlanted, match="2 times"):
        plant(tmp_path, bug)


def test_the_code_as_it_is_passes_and_quick_ones_are_found() -> None:
    with scratch() as folder:
        assert not judge(folder, None, SIMULATION, seeds=4, limit_s=LIMIT_S).caught
    for bug in BUGS:
        if bug.name in QUICK:
            with scratch() as folder:
                plant(folder, bug)
                verdict = judge(folder, bug, bug.catcher, seeds=20, limit_s=LIMIT_S)
            assert verdict.caught, verdict.said
            assert verdict.seeds is not None
