import pytest

from cynthus.planning import CannotPlan, Declared, MemoryTree, PlanRequest, Task, plan

MAIN = 'if __name__ == "__main__":\n    print(1)\n'


def planned(files, **request):
    return plan(MemoryTree(files), PlanRequest(**request))


def refused(files, **request) -> CannotPlan:
    with pytest.raises(CannotPlan) as caught:
        planned(files, **request)
    return caught.value


@pytest.mark.parametrize(
    ("files", "target", "found"),
    [
        (["main.py", "train.py"], "main.py", "main.py"),
        (["train.py", "README.md"], "train.py", "the only script"),
        (["train.py", "setup.py", "test_train.py", "conftest.py"], "train.py", "the only script"),
        (["analysis.ipynb"], "analysis.ipynb", "the only script"),
        (["deep/down/go.py", "deep/other.txt"], "deep/down/go.py", "the only script with a main block"),
    ],
)
def test_the_entry_point_is_found_without_being_named(files, target, found):
    contents = {path: "{}" if path.endswith("ipynb") else MAIN for path in files}
    entry = planned(contents).entry
    assert (entry.target, entry.found) == (target, found)


def test_of_several_scripts_the_one_with_a_main_block_is_started():
    assert planned({"lib.py": "x = 1", "go.py": MAIN}).entry.target == "go.py"


def test_several_scripts_are_listed_each_with_its_command():
    error = refused({"a.py": MAIN, "b c.py": MAIN})
    assert error.code == "several_entry_points"
    assert error.candidates == ("cynthus run a.py", "cynthus run 'b c.py'")


def test_an_empty_folder_and_one_without_python_are_told_apart():
    assert refused({}).code == "empty_folder"
    assert refused({"notes.txt": "x"}).code == "no_entry_point"


def test_a_wrong_name_gets_the_nearest_real_one():
    error = refused({"train.py": "x", "lib.py": "y"}, entry="trian.py")
    assert (error.code, error.fix) == ("entry_not_found", "did you mean train.py?")


def test_a_name_from_another_folder_finds_its_file():
    assert refused({"src/train.py": "x"}, entry="train.py").candidates == ("src/train.py",)


def test_arguments_follow_the_script():
    made = planned({"train.py": "x = 1"}, entry="./train.py", args=("--epochs", "3"))
    assert made.command == ("python", "train.py", "--epochs", "3")


def test_a_module_is_started_as_a_module():
    files = {"src/pkg/__init__.py": "", "src/pkg/train.py": "import numpy"}
    made = planned(files, entry="-m pkg.train", args=("-v",))
    assert made.command == ("python", "-m", "pkg.train", "-v")
    assert "src" in made.pythonpath
    assert [one.name for one in made.requirements] == ["numpy"]


def test_a_package_without_a_main_says_what_to_add():
    assert "__main__.py" in refused({"pkg/__init__.py": ""}, entry="-m pkg").fix


def test_a_folder_inside_the_project_is_an_entry():
    assert (
        planned({"jobs/main.py": "x = 1", "train.py": "y = 1"}, entry="jobs").entry.target == "jobs/main.py"
    )


def test_a_script_in_a_subfolder_still_imports_from_the_root():
    made = planned({"scripts/go.py": "import mylib", "mylib.py": "import requests"}, entry="scripts/go.py")
    assert made.pythonpath == ("",)
    assert [one.name for one in made.requirements] == ["requests"]


def test_a_notebook_is_run_with_its_outputs_kept():
    made = planned({"a.ipynb": "{}"})
    assert made.command[:5] == ("python", "-m", "papermill", "a.ipynb", "outputs/a.ipynb")
    assert {"papermill", "ipykernel"} <= {one.name for one in made.requirements}


def task(command, name="main", **more) -> Declared:
    return Declared(tasks=(Task(name=name, command=command, **more),), env={"A": "1"})


def test_the_main_task_is_the_command():
    made = planned({"train.py": "x = 1", "main.py": "y = 1"}, declared=task("python train.py --fast"))
    assert made.command == ("python", "train.py", "--fast")
    assert made.entry.found == "[task.main]"


def test_a_command_with_variables_goes_through_a_shell_that_takes_arguments():
    made = planned({"t.py": "x = 1"}, declared=task("python t.py $N"), args=("--x",))
    assert made.command == ("sh", "-c", 'python t.py $N "$@"', "sh", "--x")


def test_settings_of_task_file_and_command_line_are_joined_the_last_winning():
    declared = task(("python", "t.py"), env={"A": "2", "B": "2"}, timeout=60, secrets=("KEY",))
    made = planned({"t.py": "x = 1"}, declared=declared, env={"B": "3"}, timeout=90, attempts=4)
    assert made.env == {"A": "2", "B": "3"}
    assert (made.timeout, made.retry.attempts, made.secrets, made.task) == (90, 4, ("KEY",), "main")


def test_a_command_that_starts_a_missing_file_is_refused():
    error = refused({"train.py": "x = 1"}, declared=task("python trian.py"))
    assert (error.code, error.candidates) == ("entry_not_found", ("train.py",))


def test_an_unknown_task_names_the_nearest():
    error = refused({"t.py": ""}, declared=task("python t.py", name="evaluate"), task="evalute")
    assert (error.code, error.fix) == ("no_such_task", "did you mean --task evaluate?")


def test_a_command_that_names_no_python_guesses_from_all_files_and_says_so():
    made = planned(
        {"a.py": "import numpy, nowhere_to_be_found", "Makefile": "x"}, declared=task("make train")
    )
    assert [one.name for one in made.requirements] == ["numpy"]
    assert "guessed from all 1 .py files" in made.notes[0]
    assert "nowhere_to_be_found" in made.warnings[0]


@pytest.mark.parametrize(
    ("source", "place", "hint"),
    [
        ("x = (\n", "train.py:1:5", "correct the line"),
        ("x = 1\nprint 'hello'\n", "train.py:2:1", "Python 2"),
        ("try:\n    x = 1\nexcept ValueError, e:\n    pass\n", "train.py:3:8", "Python 2"),
        ("x = 1\n<<<<<<< HEAD\n", "train.py:2:1", "merge conflict"),
        ("x = '\0'", "train.py:1:1", "correct the line"),
    ],
)
def test_a_syntax_error_names_its_line_and_what_it_probably_is(source, place, hint):
    error = refused({"train.py": source})
    assert (error.code, error.where) == ("syntax_error", place)
    assert hint in error.fix


def test_a_syntax_error_in_a_module_the_script_imports_is_found():
    assert refused({"train.py": "import lib", "lib/__init__.py": "def"}, entry="train.py").where == (
        "lib/__init__.py:1:4"
    )


def test_a_syntax_error_in_a_file_nobody_imports_is_none_of_our_business():
    assert planned({"main.py": "x = 1", "old.py": "print 'x'"}).entry.target == "main.py"


@pytest.mark.parametrize(
    ("files", "request_", "version", "source"),
    [
        ({}, {}, "3.11", "default"),
        ({".python-version": "3.12.4\n"}, {}, "3.12", ".python-version"),
        ({".python-version": "# ours\ncpython-3.13\n"}, {}, "3.13", ".python-version"),
        ({".python-version": "3.12"}, {"declared": Declared(python="3.13")}, "3.13", "cynthus.toml"),
        ({".python-version": "3.12"}, {"python": "3.10"}, "3.10", "--python"),
        (
            {"pyproject.toml": '[project]\nrequires-python = ">=3.12,<3.14"'},
            {},
            "3.12",
            "requires-python in pyproject.toml",
        ),
        (
            {"pyproject.toml": '[project]\nrequires-python = ">=3.9"'},
            {},
            "3.11",
            "requires-python in pyproject.toml",
        ),
        (
            {"pyproject.toml": '[project]\nrequires-python = "<3.11"'},
            {},
            "3.10",
            "requires-python in pyproject.toml",
        ),
        (
            {"pyproject.toml": '[project]\nrequires-python = "~=3.12.1"'},
            {},
            "3.12",
            "requires-python in pyproject.toml",
        ),
        (
            {"pyproject.toml": '[project]\nrequires-python = "==3.13.*"'},
            {},
            "3.13",
            "requires-python in pyproject.toml",
        ),
        (
            {"main.py": '# /// script\n# requires-python = ">=3.13"\n# ///\n'},
            {},
            "3.13",
            "the script's header",
        ),
    ],
)
def test_the_python_version_comes_from_whoever_asks_most_plainly(files, request_, version, source):
    made = planned({"main.py": "x = 1", **files}, **request_)
    assert (made.python, made.python_source) == (version, source)


@pytest.mark.parametrize("text", ["2.7", "pypy3.10", "3", "3.99", "latest"])
def test_a_python_nobody_has_is_refused(text):
    error = refused({"main.py": "", ".python-version": text})
    assert (error.code, error.where) == ("bad_python_version", ".python-version")


def test_a_pinned_python_that_breaks_requires_python_is_warned_about():
    files = {
        "main.py": "",
        ".python-version": "3.11",
        "pyproject.toml": '[project]\nrequires-python = ">=3.12"',
    }
    assert "does not fit" in planned(files).warnings[0]
