"""Imports are tried in the image's own layers before a machine is asked for."""

import asyncio
import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cynthus.builder.adapters.import_trial import SandboxImportTrial
from cynthus.builder.domain.image import Layer
from cynthus.builder.ports import ImportProblem
from cynthus.environments import sandbox
from cynthus.environments.shelf import Shelf
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.manifest import Note
from tests.fixtures.layer_files import LayerFile, layer, site

pytestmark = pytest.mark.needs("bubblewrap")
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


class Trial:
    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.registry = FolderRegistry(folder / "registry")
        self.trial = SandboxImportTrial(folder, self.registry, **options)  # type: ignore[arg-type]

    def keep(self, file: LayerFile) -> Layer:
        one = file.descriptor
        self.registry.write("ada/digits", one.digest, one.size, lambda: io.BytesIO(file.data))
        return Layer(one.annotations[Note.LAYER], one.digest, one.annotations[Note.DIFF_ID], one.size)

    async def __call__(
        self, *modules: str, python: str = MINOR, **packages: str
    ) -> tuple[ImportProblem, ...] | None:
        files = [layer(site(name, text, python)) for name, text in packages.items()]
        layers = [self.keep(one) for one in (layer({}, kind="venv"), *files)]
        return await self.trial.try_imports("ada/digits", layers, python, modules)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    yield Trial(tmp_path, module_s=2.0)
    assert not list(tmp_path.glob("imports-*"))


@pytest.mark.parametrize("python", ["3.12", "3.13"])
async def test_another_python_is_used_where_there_is_one(trial: Trial, python: str) -> None:
    here = trial.trial.untried([], python) is None

    found = await trial("alpha", python=python, alpha="import sys; assert sys.version_info >= (3, 12)")

    assert found == (() if here else None)


async def test_what_can_be_imported_is_no_problem(trial: Trial) -> None:
    assert await trial("alpha", "json", "alpha.__init__", alpha="print('hello')\n") == ()
    assert await trial() == ()


async def test_a_missing_package_is_named_with_the_line_to_add(trial: Trial) -> None:
    found = await trial("alpha", "cv2", "cynthus_no_such", alpha="import yaml\n")

    assert found is not None
    assert [(one.module, one.why) for one in found] == [
        ("alpha", "there is no module 'yaml' in the image"),
        ("cv2", "there is no module 'cv2' in the image"),
        ("cynthus_no_such", "there is no module 'cynthus_no_such' in the image"),
    ]
    assert "Add PyYAML" in found[0].fix or "pyyaml" in found[0].fix
    assert "opencv" in found[1].fix
    assert found[0].evidence[-1] == "ModuleNotFoundError: No module named 'yaml'"


@pytest.mark.parametrize(
    ("library", "fix"),
    [
        ("libGL.so.1", 'apt = ["libgl1"]'),
        ("libgomp.so.1", 'apt = ["libgomp1"]'),
        ("libodd.so.3", "libodd.so.3"),
    ],
)
@pytest.mark.parametrize("error", ["ImportError", "OSError"])
async def test_a_missing_shared_library_is_named_with_its_debian_package(
    trial: Trial, library: str, fix: str, error: str
) -> None:
    text = f"raise {error}('{library}: cannot open shared object file: No such file or directory')"
    found = await trial("alpha", alpha=text)

    assert found is not None
    assert library in found[0].why
    assert fix in found[0].fix


async def test_what_only_the_machine_can_have_is_not_held_against_the_image(trial: Trial) -> None:
    driver = "raise ImportError('libcuda.so.1: cannot open shared object file: No such file or directory')"
    packages = {"driver": driver, "key": "import os; os.environ['KEY']", "leaves": "raise SystemExit(3)"}

    assert await trial("driver", "key", "leaves", **packages) == ()


async def test_a_crash_and_a_hang_are_told_of_their_module_and_the_others_are_tried(trial: Trial) -> None:
    found = await trial(
        *("alpha", "crash", "hang", "leave", "omega"),
        crash="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        hang="import time; time.sleep(1000)",
        leave="import os; os._exit(3)",
        alpha="",
        omega="import nothing_here",
    )

    assert found is not None
    assert [(one.module, one.why) for one in found] == [
        ("crash", "importing it crashes with SIGSEGV"),
        ("hang", "importing it takes more than 2 s"),
        ("leave", "importing it exits with code 3"),
        ("omega", "there is no module 'nothing_here' in the image"),
    ]


async def test_an_import_reaches_neither_network_nor_files_of_the_builder(trial: Trial) -> None:
    (trial.folder / "secret").write_text("x")
    nosy = (
        "import os, socket\n"
        "try: socket.create_connection(('127.0.0.1', PORT), 1); raise ImportError('network')\n"
        "except OSError: pass\n"
        f"if os.path.exists({str(trial.folder / 'secret')!r}): raise ImportError('files')\n"
        "if set(os.environ) - {'PATH', 'VIRTUAL_ENV', 'HOME', 'LANG', 'CUDA_VISIBLE_DEVICES'}:\n"
        "    raise ImportError(str(dict(os.environ)))\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nosy = nosy.replace("PORT", str(listening.getsockname()[1]))

        assert await trial("nosy", nosy=nosy) == ()


async def test_what_cannot_be_tried_here_is_not_tried(tmp_path: Path) -> None:
    small = Trial(tmp_path, most_bytes=10)
    trial = Trial(tmp_path)
    system = [trial.keep(layer({}, kind="system", place="usr"))]

    assert await small("alpha", alpha="") is None
    assert await trial("alpha", python="3.99", alpha="") is None
    assert trial.trial.untried([], "3.99") == "there is no Python 3.99 on this machine"
    assert await trial.trial.try_imports("ada/digits", system, MINOR, ["alpha"]) is None


async def test_a_cancelled_trial_leaves_nothing(trial: Trial) -> None:
    slow = Trial(trial.folder, module_s=60.0)
    running = asyncio.create_task(slow("hang", hang="import time; time.sleep(1000)"))
    while not list(trial.folder.glob("imports-*/pyvenv.cfg")):
        await asyncio.sleep(0.01)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_layers_are_kept_for_the_next_trial_but_not_too_many(tmp_path: Path) -> None:
    trial = Trial(tmp_path, keep_bytes=2_500_000)
    for n in range(4):
        assert await trial(f"p{n}", **{f"p{n}": f"x = '{str(n) * 1_000_000}'"}) == ()

    kept = list((tmp_path / "layers").glob("*.complete"))
    assert sum(int(mark.read_text()) for mark in kept) < 2_500_000
    assert len(kept) == 3


async def test_layers_of_somebody_else_are_used_and_left_alone(tmp_path: Path) -> None:
    layers = tmp_path / "cache" / "layers"
    trial = Trial(tmp_path / "builder", layers=layers, keep_bytes=None)

    assert await trial("alpha", alpha="x = 1\n") == ()

    kept = sorted(one.name for one in Shelf(str(layers)).kept())
    assert len(kept) == 2
    assert not list((tmp_path / "builder").glob("layers"))
    assert await trial("alpha", alpha="x = 1\n") == ()
    assert sorted(one.name for one in Shelf(str(layers)).kept()) == kept


async def test_what_killed_trials_left_is_removed(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    left = tmp_path / "imports-killed"
    left.mkdir()
    os.utime(left, (0, 0))

    assert await trial("json") == ()

    assert not left.exists()


@pytest.mark.parametrize(("failures", "found"), [(1, ()), (9, None)])
async def test_a_sandbox_that_cannot_be_made_is_no_fault_of_the_modules(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, failures: int, found: tuple[ImportProblem, ...] | None
) -> None:
    wrap, left = sandbox.wrap, iter(range(failures))

    def failing(*arguments: Any, **options: Any) -> list[str]:
        made = wrap(*arguments, **options)
        return (
            [made[0], "--bind", "/a-mount-that-went", "/a", *made[1:]]
            if next(left, None) is not None
            else made
        )

    assert trial.trial.untried([], MINOR) is None
    monkeypatch.setattr(sandbox, "wrap", failing)

    assert await trial("json") == found
