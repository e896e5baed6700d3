import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cynthus.cli.failure import Failure
from cynthus.cli.source.scanning import LONGEST_PATH_BYTES, scan_data, scan_project


def test_files_links_and_empty_folders_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.sh").write_text("x")
    (tmp_path / "a" / "run.sh").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("a/run.sh")
    found = scan_project(tmp_path)
    assert [(file.path, file.size, file.executable) for file in found.files] == [("a/run.sh", 1, True)]
    assert (found.links, found.folders) == ({"link": "a/run.sh"}, ["empty"])


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "a/../../outside"])
def test_a_link_out_of_the_tree_is_reported_and_left_out(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    found = scan_project(tmp_path)
    assert not found.links
    assert [item.path for item in found.skipped.named] == ["link"]
    assert target in found.skipped.named[0].why


def test_a_link_to_a_folder_is_kept_as_a_link_and_not_walked(tmp_path):
    (tmp_path / "loop").symlink_to(".")
    assert scan_project(tmp_path).links == {"loop": "."}


def test_sockets_and_pipes_are_left_out_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        found = scan_project(tmp_path)
    assert [(item.path, item.why) for item in found.skipped.named] == [
        ("pipe", "a pipe, not a file"),
        ("sock", "a socket, not a file"),
    ]


def test_names_that_differ_only_in_case_are_warned_about(tmp_path):
    for name in ("Data.csv", "data.csv"):
        (tmp_path / name).write_text(name)
    assert scan_project(tmp_path).warnings == ["Data.csv and data.csv differ only in case"]


def test_a_name_that_is_not_utf8_is_refused_by_name(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(Failure) as refused:
        scan_project(tmp_path)
    assert refused.value.code == "name_not_utf8"
    assert "caf\\udce9.txt" in (refused.value.why or "")
    assert "rename" in (refused.value.fix or "")


def test_a_name_that_is_not_utf8_may_be_ignored(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    (tmp_path / ".gitignore").write_text("x/\n")
    assert scan_project(tmp_path).paths() == [".gitignore"]


def test_a_path_that_is_too_long_is_refused(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(LONGEST_PATH_BYTES // 200 + 2):
            os.mkdir("d" * 200, dir_fd=here)
            inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    with pytest.raises(Failure) as refused:
        scan_project(tmp_path)
    assert refused.value.code == "path_too_long"


def test_an_unreadable_folder_and_file_are_named_with_the_fix():
    """Root may read everything, so an ordinary user looks."""
    folder = Path(tempfile.mkdtemp(prefix="cynthus-scan-"))
    try:
        (folder / "locked").mkdir()
        (folder / "secret.txt").write_text("x")
        folder.chmod(0o755)
        (folder / "locked").chmod(0)
        code = (
            "import sys; from pathlib import Path; from cynthus.cli.source.scanning import scan_project\n"
            "from cynthus.cli.failure import Failure\n"
            "try: scan_project(Path(sys.argv[1]))\n"
            "except Failure as failure: print(failure.code, failure.why, failure.fix)"
        )
        user = 65534 if os.geteuid() == 0 else None
        root = Path(__file__).parents[3]
        environment = {"PYTHONPATH": f"{root}/cli/src:{root}/shared/src", "HOME": "/nonexistent"}
        done = subprocess.run(
            [_python(user), "-c", code, folder],
            user=user,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.stdout.startswith("unreadable locked (Permission denied)"), done.stderr
        assert "chmod" in done.stdout
    finally:
        (folder / "locked").chmod(0o700)
        shutil.rmtree(folder)


def _python(user):
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([candidate, "-c", ""], user=user, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    raise AssertionError("no Python that an ordinary user may run: install /usr/bin/python3")


def test_a_data_folder_that_is_a_link_is_followed_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_text("1")
    (tmp_path / "data").symlink_to("real")
    assert scan_data((tmp_path / "data").resolve()).paths() == ["a.csv"]


def test_many_ignored_files_are_counted_but_not_all_remembered(tmp_path):
    for number in range(300):
        (tmp_path / f"{number}.log").write_text("")
    (tmp_path / ".gitignore").write_text("*.log\n")
    ignored = scan_project(tmp_path).ignored
    assert ignored.reasons.total() == 300
    assert len(ignored.named) == 100
