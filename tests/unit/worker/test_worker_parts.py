import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cynthus.worker.cache import Cache, remove_tree
from cynthus.worker.control import Control, Dropped, Stopped
from cynthus.worker.orders import OrderInvalid, read_order
from cynthus.worker.settings import SettingsInvalid, read_settings
from cynthus.worker.workspace import Workspace

ORDER = {
    "run_id": "run_1",
    "epoch": 2,
    "token": "private",
    "attempts_url": "http://o/worker/v1/attempts",
    "blobs_url": "http://g/v1/",
    "image": {"source": "sha256:0", "lock": "sha256:1", "python": "3.11", "command": ["python", "x.py"]},
    "secrets": {"KEY": "hidden"},
}


def test_an_order_knows_its_addresses() -> None:
    order = read_order(ORDER)

    assert order.attempt_url == "http://o/worker/v1/attempts/run_1/2"
    assert read_order({**ORDER, "attempts_url": order.attempt_url}).attempt_url == order.attempt_url
    assert order.blobs_url == "http://g/v1"


def test_an_order_never_shows_its_secrets() -> None:
    shown = repr(read_order(ORDER))

    assert "private" not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize("without", ["run_id", "token", "image", "attempts_url"])
def test_an_order_that_lacks_something_is_refused(without: str) -> None:
    with pytest.raises(OrderInvalid):
        read_order({name: value for name, value in ORDER.items() if name != without})


def test_the_worker_loads_nothing_but_the_standard_library() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\n"
        "import cynthus.worker.__main__, cynthus.worker.agent\n"
        "import cynthus.worker.attempt, cynthus.worker.eviction\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout.split() == ["cynthus"]


def test_the_token_is_taken_out_of_the_environment() -> None:
    environment = {
        "CYNTHUS_WORKER_URL": "http://p",
        "CYNTHUS_WORKER_TOKEN": "h.eyJzdWIiOiJtYWNoaW5lOm03In0.s",
        "CYNTHUS_WORKER_HOME": "/tmp/home",
    }

    settings = read_settings([], environment)

    assert "CYNTHUS_WORKER_TOKEN" not in environment
    assert settings.machine == "m7"


@pytest.mark.parametrize("arguments", [["--machine"], ["--token", "x"], ["run"]])
def test_unknown_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SettingsInvalid):
        read_settings(arguments, {})


def test_being_dropped_outranks_being_stopped() -> None:
    control = Control()
    control.stop("cancelled")
    with pytest.raises(Stopped):
        control.check()
    control.check_ours()
    control.drop("fenced")
    control.stop("timeout")

    assert (control.reason, control.dropped) == ("cancelled", "fenced")
    with pytest.raises(Dropped):
        control.check()
    control.close()


def test_a_pause_ends_when_the_attempt_is_taken_away() -> None:
    control = Control()
    threading.Timer(0.05, control.drop, ["fenced"]).start()

    with pytest.raises(Dropped):
        control.pause(30)
    control.close()


def test_a_damaged_blob_is_not_used(tmp_path: Path) -> None:
    cache, name = Cache(str(tmp_path / "cache")), "ab" + "0" * 62
    cache.keep(name, b"not what its name says")
    target = (tmp_path / "target").open("wb")

    assert not cache.copy(name, 22, target.fileno(), 0)
    assert not Path(cache.blob(name)).exists()
    target.close()


def test_removing_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "folder").chmod(0o555)

    remove_tree(str(tmp_path / "folder"))
    remove_tree(str(tmp_path / "folder"))

    assert not (tmp_path / "folder").exists()
    assert (tmp_path / "kept" / "file").exists()


def test_a_workspace_is_deep_enough_for_data_beside_the_project(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "run_1", 1, ["../../data", "inside"])
    place = workspace.mount("../../data", "/somewhere")

    assert place.startswith(f"{workspace.folder}/")
    for outside in ("../x", "/x", ".."):
        with pytest.raises(OrderInvalid):
            workspace.inside(outside)
    workspace.remove(keep=False)
    assert list(tmp_path.iterdir()) == []
