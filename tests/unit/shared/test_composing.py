"""Layers become one environment that Python takes for its own, and stay as they are."""

import gzip
import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cynthus.environments.bytecode import compile_in_background, compiled_bytes
from cynthus.environments.composition import compose
from cynthus.environments.interpreters import NoInterpreter, interpreter_of
from cynthus.environments.unpack import unpack
from tests.fixtures.layer_files import layer, site, tree

SCRIPT = "#!/opt/venv/bin/python\nimport sys\nprint(sys.prefix)\n"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def unpacked(place: Path, name: str, **layers: object) -> str:
    folder = place / "layers" / name
    folder.mkdir(parents=True)
    given = layer(layers.pop("files"), **layers)  # type: ignore[arg-type]
    unpack(io.BytesIO(gzip.decompress(given.data)), str(folder))
    return str(folder)


def composed(place: Path, layers: list[str], name: str = "env") -> Path:
    target = place / name
    target.mkdir()
    compose(layers, str(target), interpreter=interpreter_of(MINOR), python=MINOR)
    return target


def said(environment: Path, *arguments: str) -> str:
    command = [f"{environment}/bin/python", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_packages_of_all_layers_are_importable_and_the_prefix_is_the_environments(tmp_path: Path) -> None:
    layers = [
        unpacked(tmp_path, "1", files=site("alpha", "name = 'alpha'", MINOR), links={"lib64": "lib"}),
        unpacked(tmp_path, "2", files=site("spread/one", "", MINOR)),
        unpacked(tmp_path, "3", files=site("spread/two", "", MINOR)),
    ]
    environment = composed(tmp_path, layers)

    script = "import sys, alpha, spread.one, spread.two; print(sys.prefix, alpha.name, sys.flags.isolated)"
    assert said(environment, "-c", script) == f"{environment} alpha 0"
    assert said(environment, "-c", "import sys; print(sys.base_prefix != sys.prefix)") == "True"


def test_files_are_shared_with_the_layers_and_not_copied(tmp_path: Path) -> None:
    source = unpacked(tmp_path, "1", files=site("alpha", "x = 1", MINOR))
    environment = composed(tmp_path, [source])
    path = f"lib/python{MINOR}/site-packages/alpha/__init__.py"

    assert (environment / path).samefile(Path(source) / "opt/venv" / path)
    assert (environment / path).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("name", ["env", "with space", "long" * 50])
def test_scripts_start_with_the_environments_python_and_the_layers_keep_theirs(
    tmp_path: Path, name: str
) -> None:
    source = unpacked(tmp_path, "1", files={"bin/tool": SCRIPT, "bin/other": "#!/bin/sh\necho other\n"})
    environment = composed(tmp_path, [source], name)

    done = subprocess.run([f"{environment}/bin/tool"], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == str(environment)
    assert (environment / "bin/other").samefile(f"{source}/opt/venv/bin/other")
    assert Path(source, "opt/venv/bin/tool").read_text() == SCRIPT


def test_a_later_layer_wins_and_an_earlier_one_is_not_changed(tmp_path: Path) -> None:
    first = unpacked(tmp_path, "1", files=site("alpha", "version = 1", MINOR))
    second = unpacked(tmp_path, "2", files=site("alpha", "version = 2", MINOR))
    before = tree(tmp_path / "layers")
    environment = composed(tmp_path, [first, second])

    assert said(environment, "-c", "import alpha; print(alpha.version)") == "2"
    assert tree(tmp_path / "layers") == before


def test_nothing_is_written_through_the_links_of_a_layer(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    hostile = tmp_path / "layers" / "hostile" / "opt" / "venv"
    hostile.mkdir(parents=True)
    for name in ("bin", "lib", "pyvenv.cfg"):
        (hostile / name).symlink_to(tmp_path / "victim")
    files = {"bin/tool": SCRIPT, "pyvenv.cfg": "home = /nowhere", **site("alpha", "x = 1", MINOR)}
    good = unpacked(tmp_path, "good", files=files)
    behind = tmp_path / "layers" / "behind"
    behind.mkdir()
    (behind / "opt").symlink_to(Path(good) / "opt")

    for number, layers in enumerate(([str(hostile.parent.parent)], [str(hostile.parent.parent), good])):
        environment = composed(tmp_path, layers, f"env{number}")
        assert said(environment, "-c", "import sys; print(sys.prefix)") == str(environment)
    assert list((tmp_path / "victim").iterdir()) == []
    assert not (composed(tmp_path, [str(behind)], "env-behind") / "bin/tool").exists()


def test_the_interpreter_is_this_ones_or_none() -> None:
    assert Path(interpreter_of(MINOR)).samefile(sys.base_prefix + "/bin/python3")
    for python in ("3.99", "/usr/bin/python3", "3.11; rm -rf"):
        with pytest.raises(NoInterpreter, match="Python"):
            interpreter_of(python)


def test_byte_code_is_compiled_beside_the_files_and_not_into_the_layers(tmp_path: Path) -> None:
    files = {**site("alpha", "x = 1", MINOR), **site("broken", "def (:", MINOR), **site("null", "\0", MINOR)}
    source = unpacked(tmp_path, "1", files=files)
    environment = composed(tmp_path, [source])
    before = tree(Path(source))

    compilation = compile_in_background(str(environment), interpreter_of(MINOR))

    assert compilation is not None
    assert compilation.wait(30)
    assert compile_in_background(str(environment), interpreter_of(MINOR)) is None
    cached = [path for path in environment.rglob("*.pyc") if "site-packages" in path.parts]
    assert [path.parent.parent.name for path in cached] == ["alpha"]
    assert compiled_bytes(str(environment)) == cached[0].stat().st_size
    assert tree(Path(source)) == before
    assert said(environment, "-v", "-c", "import alpha; print(alpha.x)") == "1"


def test_compiling_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    many = {f"lib/python{MINOR}/site-packages/m{n}.py": f"x = {list(range(3000))}" for n in range(300)}
    environment = composed(tmp_path, [unpacked(tmp_path, "1", files=many)])
    script = (
        "import sys\nfrom cynthus.environments.bytecode import compile_in_background\n"
        "print(compile_in_background(sys.argv[1], sys.argv[2])._process.pid, flush=True)\n"
    )
    asked = [sys.executable, "-c", script, str(environment), interpreter_of(MINOR)]
    pid = int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)

    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(20)
    assert compiled_bytes(str(environment)) == 0


def test_compiling_can_be_stopped(tmp_path: Path) -> None:
    environment = composed(tmp_path, [unpacked(tmp_path, "1", files=site("alpha", "x = 1", MINOR))])
    compilation = compile_in_background(str(environment), interpreter_of(MINOR))

    assert compilation is not None
    compilation.stop()
    assert compilation.over
