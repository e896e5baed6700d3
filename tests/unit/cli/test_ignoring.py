import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.cli.source.scanning import scan_data, scan_project

NAMES = st.sampled_from(["a", "b", "c.log", "d.txt", "build"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(
    st.sampled_from(
        ["*.log", "!c.log", "build", "build/", "/a", "a/b", "**/d.txt", "!build/", "b/*", "!b/d.txt", "#", ""]
    ),
    max_size=4,
)  # fmt: skip


def make(where, files, **rules):
    for path in files:
        target = where / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("x")
        except OSError:  # a name that is both a file and a folder: the first one stays
            continue
    for folder, lines in rules.items():
        path = where / folder.replace("root", "") / ".gitignore"
        if path.parent.is_dir():
            path.write_text("\n".join(lines) + "\n")


def test_ignore_rules_mean_what_git_means_by_them(tmp_path_factory):
    @settings(max_examples=40, deadline=None)
    @given(files=st.lists(PATHS, min_size=1, max_size=8), top=PATTERNS, nested=PATTERNS)
    def check(files, top, nested):
        root = tmp_path_factory.mktemp("tree")
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        make(root, files, root=top, a=nested)
        listed = subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard", "-z"],
            cwd=root,
            capture_output=True,
            check=True,
        ).stdout
        assert scan_project(root).paths() == sorted(listed.decode().split("\0")[:-1])

    check()


def test_the_reason_is_the_file_and_its_pattern(tmp_path):
    make(tmp_path, ["x.log", "keep.txt"], root=["*.log"])
    found = scan_project(tmp_path)
    assert found.paths() == [".gitignore", "keep.txt"]
    assert [(item.path, item.why) for item in found.ignored.named] == [("x.log", ".gitignore: *.log")]


def test_cynthusignore_is_stronger_than_gitignore_at_any_depth(tmp_path):
    make(tmp_path, ["a/model.bin", "a/other.bin"], root=["*.bin"], a=["model.bin"])
    (tmp_path / ".cynthusignore").write_text("!a/model.bin\n")
    assert "a/model.bin" in scan_project(tmp_path).paths()
    assert "a/other.bin" not in scan_project(tmp_path).paths()


def test_cynthus_toml_adds_patterns(tmp_path):
    make(tmp_path, ["a.ipynb", "a.py"])
    assert scan_project(tmp_path, ["*.ipynb"]).paths() == ["a.py"]


def test_what_tools_leave_behind_stays_at_home_unless_asked_for(tmp_path):
    make(tmp_path, ["__pycache__/a.pyc", "node_modules/x.js", ".git/config", "a.py"])
    assert scan_project(tmp_path).paths() == ["a.py"]
    (tmp_path / ".cynthusignore").write_text("!node_modules/\n!.git/\n")
    assert scan_project(tmp_path).paths() == [".cynthusignore", "a.py", "node_modules/x.js"]


def test_a_virtual_environment_is_known_by_its_marker(tmp_path):
    make(tmp_path, ["env/pyvenv.cfg", "env/lib/x.py", "a.py"])
    found = scan_project(tmp_path)
    assert found.paths() == ["a.py"]
    assert found.ignored.named[0].why == "built in: a virtual environment"


def test_rules_above_the_project_hold_inside_a_repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("/sub/secret.txt\n*.tmp\n")
    make(tmp_path / "sub", ["secret.txt", "x.tmp", "main.py"])
    assert scan_project(tmp_path / "sub").paths() == ["main.py"]


def test_rules_above_the_project_do_not_hold_without_a_repository(tmp_path):
    (tmp_path / ".gitignore").write_text("*\n")
    make(tmp_path / "sub", ["main.py"])
    assert scan_project(tmp_path / "sub").paths() == ["main.py"]


def test_data_is_not_left_out_because_git_leaves_it_out(tmp_path):
    make(tmp_path, ["a.csv", "b.csv"], root=["*.csv"])
    (tmp_path / ".cynthusignore").write_text("b.csv\n")
    assert "a.csv" in scan_data(tmp_path).paths()
    assert "b.csv" not in scan_data(tmp_path).paths()


@pytest.mark.parametrize("name", ["outputs", "data"])
def test_what_goes_in_another_way_is_no_source(tmp_path, name):
    make(tmp_path, [f"{name}/x", "main.py"])
    found = scan_project(tmp_path, left_out=[(name, "built in: said so")])
    assert found.paths() == ["main.py"]
    assert found.ignored.named[0].why == "built in: said so"
