"""What the options of `cynthus run` become."""

import click
import pytest
from click.testing import CliRunner

from cynthus.cli.app import root
from cynthus.cli.commands import run_values
from cynthus.cli.failure import Failure
from cynthus.cli.running.data import parse
from cynthus.cli.running.place import locate, project_name
from cynthus.cli.running.settings import read_settings

NOTHING = {
    "entry": None, "arguments": (), "module": None, "task": None, "name": None, "data": (), "env": (),
    "env_file": (), "secret_file": (), "label": (), "cpu": None, "memory": None, "gpu": None,
    "runtime": None, "timeout": None, "retries": None, "idempotency_key": None,
}  # fmt: skip


def wish(here, rest=(), **given):
    return run_values.wish({**NOTHING, **given}, rest, here)


def test_arguments_before_and_after_the_dashes_go_to_the_program(tmp_path):
    assert wish(tmp_path, ["--epochs", "3"], arguments=("a",)).arguments == ("a", "--epochs", "3")


def test_variables_come_from_files_then_from_the_line(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("# c\nexport A=1\nB='two words'\n\nC=3\n")
    monkeypatch.setenv("MINE", "yes")
    asked = wish(tmp_path, env_file=(".env",), env=("C=4", "MINE"))
    assert asked.env == {"A": "1", "B": "two words", "C": "4", "MINE": "yes"}


def test_a_secret_is_a_files_content_or_a_line_of_one(tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "all").write_text("A=1\nB=2\n")
    asked = wish(tmp_path, secret_file=("API_KEY=key", "all"))
    assert asked.secrets == {"API_KEY": "s3cret", "A": "1", "B": "2"}


def test_a_bad_line_in_a_secret_file_is_refused_without_its_value(tmp_path):
    (tmp_path / "all").write_text("not a name=hunter2\n")
    with pytest.raises(click.UsageError) as refused:
        wish(tmp_path, secret_file=("all",))
    assert "hunter2" not in refused.value.message
    assert "s3cret" not in repr(wish(tmp_path))


@pytest.mark.parametrize(
    "given", [{"env": ("A B=1",)}, {"env": ("NO_SUCH_VARIABLE_HERE",)}, {"env_file": ("x",)}]
)
def test_bad_variables_are_refused(tmp_path, given):
    with pytest.raises(click.UsageError):
        wish(tmp_path, **given)


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (["run", "--timeout", "soon"], "duration"),
        (["run", "--memory", "lots"], "size"),
        (["run", "--cpu", "many"], "number"),
        (["run", "--retries", "-1"], "range"),
        (["run", "--wait-for", "dinner"], "started"),
        (["logs"], "RUN"),
        (["destroy"], "--all"),
    ],
)
def test_bad_values_are_refused_by_name(arguments, needle):
    ended = CliRunner().invoke(root, arguments)
    assert ended.exit_code == 2
    assert needle in ended.output


def test_a_folder_is_the_project_and_a_script_runs_in_the_folder_we_are_in(tmp_path):
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "train.py").write_text("")
    assert locate("proj", tmp_path) == locate(None, tmp_path / "proj")
    assert locate("proj/train.py", tmp_path).entry == "proj/train.py"
    elsewhere = locate(str(tmp_path / "proj" / "train.py"), tmp_path.parent / "other")
    assert (elsewhere.root, elsewhere.entry) == (tmp_path / "proj", "train.py")


def test_the_home_folder_is_no_project(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Failure) as refused:
        locate("train.py", tmp_path)
    assert refused.value.code == "folder_too_wide"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Weather_2", "weather-2"), ("3d", "project-3d"), ("éé", "project"), ("a" * 80, "a" * 63)],
)
def test_a_folders_name_becomes_a_projects(tmp_path, folder, name):
    assert project_name(tmp_path / folder) == name


def test_data_is_found_where_it_is_locally(tmp_path):
    (tmp_path / "proj" / "data").mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    (tmp_path / "proj" / "one.csv").write_text("")
    found = parse(
        ["./data", "../shared", "../shared:in/here", "one.csv"],
        root=tmp_path / "proj",
        here=tmp_path / "proj",
    )
    assert [one.mount for one in found] == ["data", "shared", "in/here", "one.csv"]
    assert [one.one_file for one in found] == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("./dta", "data_not_found"),
        ("hf://datasets/x", "data_scheme_unsupported"),
        (".", "data_invalid"),
        ("data:/abs", "data_invalid"),
        ("data:../up", "data_invalid"),
    ],
)
def test_data_that_cannot_be_is_refused(tmp_path, text, code):
    (tmp_path / "data").mkdir()
    with pytest.raises(Failure) as refused:
        parse([text], root=tmp_path, here=tmp_path)
    assert refused.value.code == code
    assert refused.value.fix


def test_a_misspelt_data_folder_is_guessed(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(Failure, match="dta") as refused:
        parse(["./dta"], root=tmp_path, here=tmp_path)
    assert "data" in (refused.value.fix or "")


def test_two_data_at_one_place_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(Failure, match="would be at"):
        parse(["a", "a"], root=tmp_path, here=tmp_path)


def test_settings_give_patterns_data_and_resources_by_task(tmp_path):
    (tmp_path / "cynthus.toml").write_text(
        'name = "weather"\nignore = ["*.x"]\n[resources]\ncpu = "2+"\nmemory = "4GB"\n'
        '[[data]]\nsource = "./d"\nmount = "in"\n'
        '[task.big]\ncommand = "python a.py"\n[task.big.resources]\ncpu = "8"\n'
    )
    found = read_settings(tmp_path)
    assert (found.ignore, found.data) == (("*.x",), ("./d:in",))
    assert found.asked(None).cpu == 2
    assert (found.asked("big").cpu, found.asked("big").memory) == (8, 4 * 10**9)


def test_a_wrong_key_is_named_with_its_line(tmp_path):
    (tmp_path / "cynthus.toml").write_text('name = "weather"\ntimout = 3\n')
    with pytest.raises(Failure) as refused:
        read_settings(tmp_path)
    assert refused.value.code == "spec_invalid"
    assert refused.value.exit_code == 3
    assert refused.value.what.startswith("cynthus.toml:2")
