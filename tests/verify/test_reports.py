"""The program as a whole: what it accepts, and what it will not call a proof."""

import ast
import copy
import json
import sys
from pathlib import Path

import pytest

from tests.verify.__main__ import main
from tests.verify.report import INVARIANTS, NAMES
from tests.verify.synthetic import correct_world
from tests.verify.synthetic_world import World

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def correct() -> World:
    return correct_world()


@pytest.fixture
def world(correct) -> World:
    return copy.deepcopy(correct)


def test_a_correct_history_is_accepted(world, tmp_path, capsys):
    status = main([str(world.write(tmp_path))])
    said = capsys.readouterr().out
    assert status == 0, said
    assert said.endswith("verdict: everything holds\n")
    assert all(f"\n{name:<4}" in said for name in NAMES)


def test_the_report_for_programs_counts_what_was_looked_at(world, tmp_path, capsys):
    assert main([str(world.write(tmp_path)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is True
    assert [one["name"] for one in told["invariants"]] == list(NAMES)
    assert all(one["looked_at"] >= one["needed"] >= 1 for one in told["invariants"])


def test_every_invariant_of_the_list_is_checked():
    assert set(NAMES) == {f"I{number}" for number in [*range(1, 15), 18, 19, 20]}


@pytest.mark.parametrize(
    "name", ["client", "bus", "side", "worker", "blobs", "provider", "faults", "processes"]
)
def test_a_file_that_is_missing_proves_nothing(world, tmp_path, capsys, name):
    world.write(tmp_path)
    (tmp_path / f"{name}.jsonl").unlink()
    assert main([str(tmp_path)]) == 1
    assert f"{name}.jsonl is missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["client", "bus", "side", "worker", "blobs", "provider", "faults"])
def test_a_file_that_is_empty_proves_nothing(world, tmp_path, capsys, name):
    world.files[name].clear()
    assert main([str(world.write(tmp_path))]) == 1
    assert f"{name}.jsonl is empty" in capsys.readouterr().out


def test_an_empty_folder_proves_nothing(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "NOT PROVED" in capsys.readouterr().out


def test_a_line_that_is_no_json_proves_nothing(world, tmp_path, capsys):
    world.write(tmp_path)
    with (tmp_path / "client.jsonl").open("a") as file:
        file.write('{"t0": 1, "t1"')
    assert main([str(tmp_path)]) == 1
    assert "no JSON" in capsys.readouterr().out


@pytest.mark.parametrize("invariant", INVARIANTS, ids=NAMES)
def test_a_history_is_too_short_for_each_invariant_by_itself(world, tmp_path, capsys, invariant):
    assert main([str(world.write(tmp_path)), "--min", f"{invariant.name}=1000000"]) == 1
    said = capsys.readouterr().out
    assert said.count("TOO LITTLE") == 1
    assert f"TOO LITTLE, {1_000_000} are needed" in said


def test_a_short_scenario_may_ask_for_less_and_never_for_nothing(world, tmp_path, capsys):
    assert main([str(world.write(tmp_path)), "--min", "1"]) == 0
    for wrong in ("0", "I1=0", "I99=3", "I1=-2", "I1="):
        with pytest.raises(SystemExit) as refused:
            main([str(tmp_path), "--min", wrong])
        assert refused.value.code == 2


def test_it_shares_no_code_with_what_it_judges():
    """Neither the product nor any library of it; only this package and the standard library."""
    foreign = {
        f"{path.name}: {name}"
        for path in HERE.glob("*.py")
        if not path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if not name.startswith("tests.verify") and name.split(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
