import os
from pathlib import Path

import pytest

from cynthus.worker.checkpoints import Schedule
from cynthus.worker.control import Notice
from cynthus.worker.found import FileChanged, Found
from cynthus.worker.orders import OrderInvalid
from cynthus.worker.workspace import Workspace


def test_a_save_is_due_a_period_after_the_last_one() -> None:
    schedule = Schedule(60.0, 1000.0)

    assert schedule.wait_s(1000.0) == 60.0
    assert schedule.wait_s(1070.0) == 0.0
    schedule.saved(1071.0)
    assert schedule.wait_s(1071.0) == 60.0


def test_a_save_that_was_put_off_is_tried_again_soon() -> None:
    schedule = Schedule(60.0, 0.0)

    schedule.put_off(60.0)

    assert schedule.wait_s(60.0) == 5.0


def test_without_a_period_nothing_is_saved_before_the_end() -> None:
    assert Schedule(0.0, 0.0).wait_s(1e9) is None


@pytest.mark.parametrize("leave_s", [0.0, 3.0, 25.0, 120.0])
def test_a_notice_leaves_time_to_save_and_to_report(leave_s: float) -> None:
    notice = Notice("SIGTERM", 100.0, leave_s)

    assert 100.0 <= notice.kill_at <= notice.save_by <= notice.report_by <= 100.0 + leave_s
    assert notice.kill_at <= 110.0


def test_a_folder_is_the_same_until_anything_in_it_changes(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("1")
    before = Found(str(tmp_path), str(folder)).state
    assert Found(str(tmp_path), str(folder)).state == before

    changes = [
        lambda: (folder / "deep/b").write_text("2"),
        lambda: (folder / "deep/b").rename(folder / "deep/c"),
        lambda: (folder / "deep/c").replace(folder / "a"),
        lambda: os.truncate(folder / "a", 0),
        (folder / "a").unlink,
        (folder / "empty").mkdir,
    ]
    for change in changes:
        change()
        after = Found(str(tmp_path), str(folder)).state
        assert after != before
        before = after


def test_nothing_is_read_through_a_link_that_appears_meanwhile(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "run" / "work"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/secret").write_text("public")
    (folder / "file").write_text("public")
    found = Found(str(tmp_path / "run"), str(folder))

    (folder / "deep").rename(folder / "shallow")
    (folder / "deep").symlink_to(outside)
    (folder / "file").unlink()
    (folder / "file").symlink_to(outside / "secret")

    for name in ("deep/secret", "file"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            b"".join(found.read(name, 0, 6))
    assert "deep/secret" not in Found(str(tmp_path / "run"), str(folder)).files


def test_a_folder_that_is_a_link_out_of_the_run_is_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/outputs").symlink_to("/etc")

    found = Found(str(tmp_path / "run"), str(tmp_path / "run/outputs"))

    assert found.empty
    assert found.skipped


def test_a_file_kept_open_is_read_as_it_was_though_another_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/model").write_text("old")
    found = Found(str(tmp_path), str(tmp_path / "work"), keep=1)
    assert b"".join(found.read("model", 0, 3)) == b"old"

    (tmp_path / "work/fresh").write_text("new")
    (tmp_path / "work/fresh").replace(tmp_path / "work/model")

    assert b"".join(found.read("model", 0, 3)) == b"old"
    found.close()


def test_a_file_that_became_shorter_or_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in ("short", "pipe"):
        (tmp_path / "work" / name).write_text("longer")
    found = Found(str(tmp_path), str(tmp_path / "work"))
    os.truncate(tmp_path / "work/short", 2)
    (tmp_path / "work/pipe").unlink()
    os.mkfifo(tmp_path / "work/pipe")

    for name in ("short", "pipe"):
        with pytest.raises(FileChanged):
            b"".join(found.read(name, 0, 6))


def test_a_checkpoint_folder_never_leaves_the_project(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "run_1", 1, [])
    Path(workspace.work, "link").symlink_to("/etc")
    for place in (".", "..", "/etc", "link", "link/x", "a/../../b"):
        with pytest.raises(OrderInvalid):
            workspace.keep_checkpoint_at(place, restored=True)

    Path(workspace.work, "ckpt/old").mkdir(parents=True)
    workspace.keep_checkpoint_at("ckpt", restored=False)
    assert [path.name for path in Path(workspace.checkpoint).iterdir()] == ["old"]
    workspace.keep_checkpoint_at("./ckpt", restored=True)
    assert workspace.checkpoint == f"{workspace.work}/ckpt"
    assert not list(Path(workspace.checkpoint).iterdir())
