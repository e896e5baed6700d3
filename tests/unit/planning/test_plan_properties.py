import contextlib
import json
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Oracle
from packaging.specifiers import SpecifierSet

from cynthus.planning import CannotPlan, FolderTree, MemoryTree, Plan, PlanRequest, describe, plan
from cynthus.planning.python_version import allows
from cynthus.planning.requirement_line import BadRequirement, read_line
from cynthus.planning.source import BadSyntax, imports_of, loose_imports

WORDS = st.sampled_from(
    [
        "import ",
        "from ",
        "numpy",
        "os",
        ".",
        " as x",
        "\n",
        "    ",
        "try:\n",
        "except ImportError:\n",
        "if TYPE_CHECKING:\n",
        "(",
        ")",
        "def f():\n",
        "pass\n",
        "*",
        ",",
        "'",
        "\\",
        "\0",
        "\ufeff",
        "é",
        "__import__('a')",
        "match x:\n",
        "async ",
    ]
)
PYTHONISH = st.lists(WORDS, max_size=40).map("".join)


ANYTHING = st.one_of(
    st.binary(max_size=400), PYTHONISH.map(str.encode), st.text(max_size=200).map(str.encode)
)


@settings(deadline=None)
@given(ANYTHING)
def test_scanning_anything_gives_imports_or_a_syntax_error(source):
    loose_imports(source)
    try:
        found = imports_of(source, (3, 11))
    except BadSyntax:
        return
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    "source", ["(" * 500, "-" * 20000 + "1", "a" + ".b" * 20000, "[" * 90 + "]" * 90, "x=" * 5000 + "1"]
)
def test_hostile_nesting_does_not_break_the_scan(source):
    with contextlib.suppress(BadSyntax):
        assert imports_of(source.encode(), (3, 11)) == ()


FILES = st.dictionaries(
    st.sampled_from(
        [
            "main.py",
            "a.py",
            "pkg/__init__.py",
            "requirements.txt",
            "pyproject.toml",
            "uv.lock",
            "environment.yml",
            "Dockerfile",
            ".python-version",
            "n.ipynb",
        ]
    ),
    st.one_of(
        PYTHONISH,
        st.text(max_size=80),
        st.sampled_from(
            ["numpy\n", "3.12", "-r a.txt", "[project]\n", "{}", "dependencies:\n- pip:\n  - rich\n"]
        ),
    ),
    max_size=5,
)


def outcome(files) -> tuple[str, ...]:
    try:
        return (plan(MemoryTree(files), PlanRequest()).to_json(),)
    except CannotPlan as error:
        return (error.code, error.what, error.why, error.fix)


@settings(max_examples=200, deadline=None)
@given(FILES)
def test_a_plan_is_made_or_refused_with_a_fix_and_is_the_same_twice(files):
    encodable = {path: text.encode("utf-8", "ignore") for path, text in files.items()}
    first, second = outcome(encodable), outcome(encodable)
    assert first == second
    assert all(first)


@settings(max_examples=50, deadline=None)
@given(FILES, st.lists(st.text(max_size=10), max_size=3))
def test_a_plan_survives_json(files, args):
    encodable = {path: text.encode("utf-8", "ignore") for path, text in files.items()} | {
        "main.py": b"import numpy"
    }
    try:
        made = plan(MemoryTree(encodable), PlanRequest(args=tuple(args), env={"A": "b"}, timeout=3))
    except CannotPlan:
        return
    again = Plan.from_json(made.to_json())
    assert again == made
    assert again.to_json() == made.to_json()
    assert again.digest() == made.digest()
    assert describe(again)


def test_a_plan_of_a_newer_version_is_still_read():
    made = plan(MemoryTree({"main.py": ""}), PlanRequest())
    newer = {**json.loads(made.to_json()), "something_new": 1}
    assert Plan.from_json(json.dumps(newer)) == made


def test_the_environment_digest_ignores_what_the_environment_does_not_hold():
    one = plan(MemoryTree({"main.py": "import numpy"}), PlanRequest(env={"A": "1"}))
    two = plan(MemoryTree({"main.py": "\n\nimport numpy"}), PlanRequest(timeout=5))
    three = plan(MemoryTree({"main.py": "import numpy, yaml"}), PlanRequest())
    assert one.digest() != two.digest()
    assert one.environment_digest() == two.environment_digest() != three.environment_digest()


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(
    r"[0-9]{1,2}(\.[0-9]{1,2}){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?", fullmatch=True
)
CLAUSES = st.tuples(st.sampled_from(["==", ">=", "<=", "!=", ">", "<"]), VERSIONS).map("".join)
MARKERS = st.sampled_from(
    [
        "",
        ' ; python_version < "3.12"',
        " ; sys_platform == 'linux' and extra == 'x'",
        ' ; ("a" in os_name) or python_version>="3"',
    ]
)


@settings(deadline=None)
@given(NAMES, st.lists(NAMES, max_size=2), st.lists(CLAUSES, max_size=3), MARKERS)
def test_every_proper_requirement_is_read_as_the_standard_reader_reads_it(name, extras, clauses, marker):
    text = f"{name}{'[' + ','.join(extras) + ']' if extras else ''}{','.join(clauses)}{marker}"
    line = read_line(text)
    oracle = Oracle(line.text)
    assert oracle == Oracle(text)
    assert line.name == read_line(oracle.name).name
    assert read_line(line.text) == line


@pytest.mark.parametrize(
    "marker", ["<", "(", "python_version", '"a" "b"', "os_name ==", '(os_name == "x"', "and", '== "x"', ") ("]
)
def test_half_a_condition_is_refused(marker):
    with pytest.raises(BadRequirement):
        read_line(f"numpy; {marker}")


@settings(deadline=None)
@given(st.text(alphabet=string.ascii_letters[:6] + string.digits[:3] + " ._-[]<>=!~;,@'\"()*", max_size=16))
def test_what_is_accepted_is_a_requirement_by_the_standard_too(text):
    try:
        line = read_line(text)
    except BadRequirement:
        return
    try:
        Oracle(line.text)
    except InvalidRequirement as error:
        pytest.fail(f"{text!r} was accepted: {error}")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([">=", "<=", "<", ">", "!=", "=="]),
            st.sampled_from(["3.9", "3.11", "3.12.4", "3.13", "4"]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_python_rules_mean_what_the_standard_says(clauses):
    rule = ",".join("".join(clause) for clause in clauses)
    for minor in range(9, 15):
        releases = [f"3.{minor}.{patch}" for patch in range(60)]
        assert allows(rule, f"3.{minor}", "x") == any(SpecifierSet(rule).filter(releases))


def test_a_real_folder_gives_the_same_plan_as_its_files_in_memory(tmp_path: Path):
    files = {"train.py": "import numpy\nfrom pkg import a", "pkg/a.py": "import yaml"}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert plan(FolderTree(tmp_path, files), PlanRequest()) == plan(MemoryTree(files), PlanRequest())


def test_the_rows_for_a_person_mark_every_guess():
    rows = describe(plan(MemoryTree({"train.py": "import cv2"}), PlanRequest()))
    assert rows[0] == ("entry", "train.py (the only script) · Python 3.11 (default)")
    assert rows[1] == ("packages", "guessed from imports (1)")
    assert rows[2][1].startswith("opencv-python-headless  import cv2 at train.py:1")
    stated = describe(
        plan(
            MemoryTree({"t.py": "import sklearn", "requirements.txt": "rich\ntqdm"}),
            PlanRequest(entry="t.py"),
        )
    )
    assert stated[1:] == [
        ("packages", "requirements.txt (2)"),
        ("", "also seen: import sklearn -> scikit-learn (added)"),
        ("runtime", "process: nothing needs a container"),
    ]


def test_planning_and_an_absent_spec_cost_no_pydantic():
    code = (
        "import sys\nfrom cynthus.planning import *\nfrom cynthus.spec import load_spec, reader\n"
        "tree = MemoryTree({'a.py': 'import numpy', 'pyproject.toml': '[project]'})\n"
        "assert load_spec(reader(tree)) is None\nplan(tree, PlanRequest())\n"
        "heavy = {'pydantic', 'packaging', 'asyncio'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "numpy==1" + "a" * 1900 + "!"},
        {"requirements.txt": "numpy==1" + "rc" * 900 + "!"},
        {"requirements.txt": "a" * 3_000_000},
        {"main.py": "\n" * 300_000 + "x = (", ".python-version": "3.14"},
        {"main.py": "if " + " " * 300_000},
        {"pyproject.toml": "[project]\ndependencies = [" + '"a' + " " * 500_000 + '"]'},
    ],
)
def test_text_made_to_be_slow_is_not(files):
    assert outcome({path: text.encode() for path, text in {"main.py": "", **files}.items()})


def test_a_file_larger_than_any_project_file_is_refused_unread():
    class Enormous(MemoryTree):
        def size(self, path: str) -> int:
            return 10**10 if path == "requirements.txt" else super().size(path)

        def read(self, path: str) -> bytes:
            assert path != "requirements.txt"
            return super().read(path)

    with pytest.raises(CannotPlan) as caught:
        plan(Enormous({"main.py": "", "requirements.txt": ""}), PlanRequest())
    assert caught.value.code == "file_too_large"
