import pytest

from cynthus.planning import CannotPlan, Declared, MemoryTree, Plan, PlanRequest, Task, describe, plan
from cynthus.planning.document import Index

DOCKERFILE = {"Dockerfile": "FROM scratch", "train.py": "import cv2, not_a_known_module\n"}


def planned(files, declared=None, **request):
    facts = None if declared is None else Declared(**declared)
    return plan(MemoryTree(files), PlanRequest(declared=facts, **request))


def refused(*given, **request) -> CannotPlan:
    with pytest.raises(CannotPlan) as caught:
        planned(*given, **request)
    return caught.value


def modules(source, **files):
    return planned({"a.py": source, **files}, entry="a.py").modules


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os, numpy.linalg, yaml", ("numpy.linalg", "yaml")),
        ("from sklearn.svm import SVC\nclass A:\n    import tqdm", ("sklearn.svm", "tqdm")),
        ("from google.cloud import storage, bigquery", ("google.cloud.bigquery", "google.cloud.storage")),
        ("from google.cloud.storage import Client", ("google.cloud.storage",)),
        ("from ruamel.yaml import YAML", ("ruamel.yaml",)),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", ()),
        ("try:\n    import numpy\nexcept ImportError:\n    raise SystemExit(1)", ("numpy",)),
        ("try:\n    import numpy\nexcept ValueError:\n    import pandas", ("numpy",)),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas", ()),
        ("def f():\n    import numpy", ()),
        ("def f():\n    import numpy\nimport numpy", ("numpy",)),
        ("if x:\n    import numpy\nelse:\n    import pandas", ()),
        ("import sys\nif sys.version_info >= (3, 8):\n    import numpy", ("numpy",)),
        ("match x:\n    case 1:\n        import numpy", ()),
        ("with open('x') as f:\n    import numpy", ("numpy",)),
        ("import importlib\nimportlib.import_module('numpy')", ("numpy",)),
    ],
)
def test_only_what_is_imported_in_any_case_is_tried_in_the_image(source, expected):
    assert modules(source) == expected


def test_modules_come_through_local_files_and_not_through_those_that_only_a_call_reaches():
    files = {"near.py": "import numpy", "far.py": "import torch\nimport near", "unused.py": "import django"}
    assert modules("import near\ndef f():\n    import far", **files) == ("numpy",)
    assert modules("def f():\n    import far\nimport far", **files) == ("numpy", "torch")


def test_a_notebooks_modules_are_tried_too():
    cell = '{"cells": [{"cell_type": "code", "source": "%pip install rich\\nimport numpy, rich"}]}'
    assert planned({"a.ipynb": cell}).modules == ("numpy", "rich")


def test_a_module_off_the_usual_path_is_not_tried():
    source = "import sys\nsys.path.append('lib')\nimport mine, numpy"
    assert modules(source, **{"lib/mine.py": ""}) == ("numpy",)
    files = {"a.py": "import mine, numpy", "lib/mine.py": "", "requirements.txt": "numpy"}
    assert planned(files, entry="a.py", env={"PYTHONPATH": "lib"}).modules == ("numpy",)
    assert planned(files, entry="a.py").modules == ("mine", "numpy")


def test_a_command_that_names_no_file_has_nothing_to_try():
    task = Task(name="main", command="make train")
    assert planned({"a.py": "import numpy"}, {"tasks": (task,)}).modules == ()


def test_a_dockerfile_in_the_root_wins_and_runs_its_own_command():
    made = planned(DOCKERFILE)
    assert (made.dockerfile, made.entry.kind, made.command) == ("Dockerfile", "image", ())
    assert (made.python, made.requirements, made.modules) == ("", (), ())
    assert (made.runtime, made.runtime_why) == ("container", "Dockerfile needs a container")
    assert describe(made) == [
        ("entry", "Dockerfile (its own command)"),
        ("image", "Dockerfile (the project's own; python, packages and apt settings are not used)"),
        ("runtime", "container: Dockerfile needs one"),
    ]
    assert planned(DOCKERFILE, args=("--epochs", "3")).command == ("--epochs", "3")


def test_an_entry_or_a_task_is_what_a_dockerfile_runs():
    assert planned(DOCKERFILE, entry="train.py").command == ("python", "train.py")
    made = planned(DOCKERFILE, {"tasks": (Task(name="main", command="./go --fast"),)})
    assert (made.dockerfile, made.command, made.entry.kind) == ("Dockerfile", ("./go", "--fast"), "command")


def test_a_dockerfile_deeper_down_is_used_only_when_named():
    files = {"docker/Dockerfile": "FROM x", "train.py": ""}
    assert planned(files).dockerfile is None
    assert planned(files, {"dockerfile": "docker/Dockerfile"}).dockerfile == "docker/Dockerfile"
    error = refused(files, {"dockerfile": "docker/Dockerfil"})
    assert (error.code, error.fix) == ("dockerfile_missing", "did you mean docker/Dockerfile?")


def test_a_found_dockerfile_gives_way_to_a_process():
    files = {**DOCKERFILE, "train.py": "import numpy"}
    made = planned(files, runtime="process")
    assert (made.dockerfile, made.runtime, made.runtime_why) == (None, "process", "--runtime process")
    assert made.notes == ("Dockerfile is not used: --runtime process was asked for",)
    assert planned(files, {"find_dockerfile": False}).runtime == "process"


def test_settings_that_a_dockerfile_leaves_unused_are_named():
    made = planned(DOCKERFILE, {"apt": ("git",), "python": "3.12"})
    assert [one.partition(" is not")[0] for one in made.warnings] == ["[image] python", "[image] apt"]


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"apt": ("libgl1",)}, "libgl1 needs a container"),
        ({"apt": ("b", "a=1", "c", "d")}, "b, a, c … need a container"),
        ({"base": "python:3.12"}, "the base image python:3.12 needs a container"),
        ({"runtime": "container"}, '[image] runtime = "container"'),
    ],
)
def test_the_runtime_follows_from_what_the_image_needs(declared, why):
    made = planned({"a.py": ""}, declared)
    assert (made.runtime, made.runtime_why) == ("container", why)


def test_the_platform_may_run_everything_in_containers():
    made = planned({"a.py": ""}, default_runtime="container")
    assert (made.runtime, made.runtime_why) == ("container", "the platform's default")
    assert planned({"a.py": ""}, default_runtime="container", runtime="process").runtime == "process"


@pytest.mark.parametrize("declared", [{"apt": ("git",)}, {"base": "x"}, {"dockerfile": "Dockerfile"}])
def test_a_process_cannot_have_what_only_a_container_has(declared):
    error = refused(DOCKERFILE, declared, runtime="process")
    assert error.code == "runtime_cannot"
    assert "--runtime process" in error.fix


def test_rows_tell_apt_base_indexes_and_gpu():
    index = Index(name="corp", url="https://pypi.corp/simple", secret="PYPI")
    made = planned({"a.py": ""}, {"apt": ("libgl1",), "base": "python:3.12", "indexes": (index,)}, gpu="L4:1")
    assert describe(made)[1:] == [
        ("packages", "none needed"),
        ("index", "corp https://pypi.corp/simple (secret PYPI)"),
        ("system", "libgl1"),
        ("base", "python:3.12"),
        ("gpu", "L4:1"),
        ("runtime", "container: libgl1 needs one"),
    ]
    assert Plan.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    "change",
    [
        {"apt": ("git",)},
        {"base": "x"},
        {"gpu": "L4"},
        {"indexes": (Index(name="a", url="https://a"),)},
    ],
)
def test_the_environment_is_another_when_what_it_is_made_of_is(change):
    plain = planned({"a.py": ""})
    assert plain.environment_digest() != planned({"a.py": ""}, change).environment_digest()
    assert plain.environment_digest() == planned({"a.py": "# x"}, runtime="container").environment_digest()


UV = """\
[project]
dependencies = ["rich"]
[[tool.uv.index]]
name = "corp"
url = "https://pypi.corp/simple"
[[tool.uv.index]]
url = "https://other.example/simple/"
[[tool.uv.index]]
name = "torch"
url = "https://download.pytorch.org/whl/cpu"
explicit = true
[[tool.uv.index]]
name = "plain"
url = "http://pypi.corp/simple"
"""


def test_indexes_named_for_uv_are_used():
    made = planned({"a.py": "", "pyproject.toml": UV})
    assert [(one.name, one.url) for one in made.indexes] == [
        ("corp", "https://pypi.corp/simple"),
        ("other-example", "https://other.example/simple/"),
    ]
    assert made.warnings == (
        "pyproject.toml: the index torch is not used: it is for [tool.uv.sources] only",
        "pyproject.toml: the index plain is not used: it is not an https address",
    )
    mine = Index(name="mine", url="https://pypi.corp/simple/", secret="S")
    joined = planned({"a.py": "", "pyproject.toml": UV}, {"indexes": (mine,)}).indexes
    assert [one.name for one in joined] == ["mine", "other-example"]


def test_a_password_in_an_index_is_refused_and_not_repeated():
    text = UV.replace("https://pypi", "https://me:hunter2@pypi")
    error = refused({"a.py": "", "pyproject.toml": text})
    assert error.code == "bad_index"
    assert "secret =" in error.fix
    assert "hunter2" not in str(error)
