"""Layers of real wheels, unpacked by the system's tar: what an installer gives, and it works."""

import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from cynthus.builder.packing.packages import packages_layer, venv_layer, wheel_layer
from tests.integration.builder.real_wheels import NAMES, VERSION, split

pytestmark = pytest.mark.timeout(300)

_INTERPRETER = os.path.realpath(sys.executable)
_OWN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock", "CACHEDIR.TAG"}
_CHECK = """
import importlib.metadata, json, pathlib, sys
from base64 import urlsafe_b64encode
from hashlib import sha256
wrong = []
for one in importlib.metadata.distributions(path=[p for p in sys.path if "site-packages" in p]):
    for file in one.files or ["no files"]:
        data = pathlib.Path(one.locate_file(file)).read_bytes()
        digest = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
        if file.name != "RECORD" and (file.size, file.hash.value) != (len(data), digest):
            wrong.append(str(file))
import numpy, pandas, sklearn.linear_model, PIL.Image, yaml, requests, greenlet
fitted = sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, 2]).predict([[3]])
print(json.dumps({
    "versions": {name: importlib.metadata.version(name) for name in sys.argv[1:]},
    "installers": sorted({one.read_text("INSTALLER") for one in importlib.metadata.distributions()}),
    "wrong": wrong, "prefix": sys.prefix, "fitted": round(float(fitted[0]), 6),
    "commands": sorted(entry.name for entry in importlib.metadata.entry_points(group="console_scripts")),
}))
"""


def _unpacked(wheels: list[Path], folder: Path) -> Path:
    """The environment, below `folder`."""
    heavy, light = split(wheels)
    root = folder / "root"
    root.mkdir()
    layers = [venv_layer(VERSION, _INTERPRETER, folder / "venv")]
    layers += [wheel_layer(wheel, VERSION, folder / wheel.stem) for wheel in heavy]
    layers.append(packages_layer(light, VERSION, folder / "packages"))
    for layer in layers:
        done = subprocess.run(
            ["tar", "-xzf", str(layer.path), "-C", str(root)], check=True, capture_output=True, text=True
        )
        assert done.stderr == ""
    return root / "opt" / "venv"


@pytest.fixture(scope="module")
def environment(real_wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _unpacked(real_wheels, tmp_path_factory.mktemp("unpacked"))


def _tree(root: Path) -> dict[str, tuple[str, bool]]:
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink() or not path.is_file() or path.name in _OWN or path.suffix == ".pyc":
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = (digest, bool(path.stat().st_mode & 0o100))
    return found


def test_the_files_are_those_that_uv_installs(real_wheels, environment, tmp_path):
    uv, other = str(find_uv_bin()), tmp_path / "venv"
    subprocess.run([uv, "venv", "-q", "--python", _INTERPRETER, str(other)], check=True, capture_output=True)
    empty = _tree(other)
    subprocess.run(
        [uv, "pip", "install", "-q", "--no-deps", "--no-index", "--python", str(other / "bin" / "python"),
         *map(str, real_wheels)],
        check=True, capture_output=True,
    )  # fmt: skip
    theirs = {name: item for name, item in _tree(other).items() if name not in empty}
    ours = _tree(environment)
    ours.pop("pyvenv.cfg")
    assert ours.keys() == theirs.keys()
    commands = {name for name in ours if name.startswith("bin/")}
    assert len(commands) >= 5
    assert {name: item for name, item in ours.items() if name not in commands} == {
        name: item for name, item in theirs.items() if name not in commands
    }
    assert all(ours[name][1] for name in commands)


def test_installed_packages_work_and_know_themselves(environment):
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-I", "-c", _CHECK, *NAMES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["installers"] == ["cynthus\n"]
    assert told["prefix"] == str(environment)
    assert told["fitted"] == 6
    assert told["versions"].keys() == set(NAMES)
    assert {"numpy-config", "f2py"} <= set(told["commands"])
    assert set(told["commands"]) <= {path.name for path in (environment / "bin").iterdir()}


_MAKE = """
import encodings.cp437, os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from cynthus.builder.packing.packages import packages_layer, venv_layer, wheel_layer
from cynthus.builder.packing.source import source_layer
from cynthus.snapshots.manifest import Entry
os.setgid(int(sys.argv.pop())), os.setuid(int(sys.argv.pop()))
folder, version, wheels = Path(sys.argv[2]), sys.argv[3], [Path(name) for name in sys.argv[4:]]
made = [venv_layer(version, "/usr/bin/python3", folder / "venv")]
made.append(wheel_layer(wheels[0], version, folder / "wheel"))
made.append(packages_layer(wheels[1:], version, folder / "packages"))
entries = [Entry("a.py", 3, chunks=("0" * 64,)), Entry("b/c", 3, True, ("0" * 64,)), Entry("d", link="a.py")]
made.append(source_layer(entries, lambda entry: iter([b"abc"]), folder / "source")[0])
print(os.getuid(), *(layer.digest for layer in made))
"""


@pytest.mark.needs("root", "nobody-user")
def test_layers_are_the_same_for_every_user_umask_folder_and_time(real_wheels, tmp_path_factory):
    heavy, light = split(real_wheels)
    chosen = [min(heavy, key=lambda wheel: wheel.stat().st_size), *light]
    told = []
    nobody = pwd.getpwnam("nobody")
    for user, group, umask, when in [(0, 0, "077", 1), (nobody.pw_uid, nobody.pw_gid, "002", 1_700_000_000)]:
        folder = tmp_path_factory.mktemp("made")
        folder.chmod(0o777)
        for parent in list(folder.parents)[:2]:
            parent.chmod(0o755)
        wheels = [Path(shutil.copy(wheel, folder)) for wheel in chosen]
        for wheel in wheels:
            os.utime(wheel, (when, when))
            wheel.chmod(0o644)
        done = subprocess.run(
            [sys.executable, "-c", _MAKE, umask, str(folder), VERSION, *map(str, [*wheels, user, group])],
            capture_output=True, text=True, check=False, cwd="/", env={"TZ": f"Etc/GMT+{when % 7}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split())
    assert told[0][0] != told[1][0]
    assert told[0][1:] == told[1][1:]
