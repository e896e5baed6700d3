"""Layers in real engines: pushed to a real registry on a real base, pulled and run by Docker and Podman."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cynthus.builder.packing.packages import packages_layer, venv_layer, wheel_layer
from cynthus.builder.packing.source import source_layer
from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import Config, Manifest, digest_of
from cynthus.snapshots.manifest import Entry
from tests.fixtures.base_image import BaseImage
from tests.fixtures.registry import RunningRegistry
from tests.integration.builder.real_wheels import VERSION, split

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo", "root", "python3.11"),
]

_REPOSITORY = "tests/packing"
_PROGRAM = b"""\
import os, stat, subprocess, sys
import sklearn.linear_model
def where(path):
    found = os.lstat(path)
    return f"{path} {found.st_uid}:{found.st_gid} {stat.filemode(found.st_mode)}"
print(sys.prefix, sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, 2]).coef_, flush=True)
for command in (["numpy-config", "--version"], ["ruff", "--version"], ["./run.sh"]):
    subprocess.run(command, check=True)
for path in ("/tmp", "/usr", "/opt/venv/bin", "/app", "/app/main.py", "/app/run.sh", "/app/link.py"):
    print(where(path))
"""


@pytest.fixture(scope="module")
def image(
    real_wheels: list[Path],
    registry: RunningRegistry,
    base_image: BaseImage,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Its reference."""
    folder = tmp_path_factory.mktemp("layers")
    heavy, light = split(real_wheels)
    files = {"main.py": _PROGRAM, "run.sh": b"#!/bin/sh\nid -u\n"}
    entries = [Entry(path, len(data), path.endswith(".sh"), ("0" * 64,)) for path, data in files.items()]
    entries.append(Entry("link.py", link="main.py"))
    source, _ = source_layer(entries, lambda entry: iter([files[entry.path]]), folder / "source")
    layers = [venv_layer(VERSION, base_image.python, folder / "venv"),
              *(wheel_layer(wheel, VERSION, folder / wheel.stem) for wheel in heavy),
              packages_layer(light, VERSION, folder / "packages"), source]  # fmt: skip
    kept = HttpRegistry(registry.url)
    base = Manifest.decode(kept.manifest(base_image.repository, base_image.digest).body)
    for layer in base.layers:
        assert kept.mount(_REPOSITORY, layer.digest, base_image.repository)
    for packed in layers:
        kept.write(_REPOSITORY, packed.digest, packed.size, lambda path=packed.path: path.open("rb"))
    below = Config.decode(b"".join(kept.read(base_image.repository, base.config.digest)))
    config = Config(
        "amd64", "linux", (*below.diff_ids, *(packed.diff_id for packed in layers)),
        {"User": "1000:1000", "WorkingDir": "/app", "Cmd": ["python", "main.py"],
         "Env": ["PATH=/opt/venv/bin:/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"]},
    ).encode()  # fmt: skip
    with (folder / "config").open("wb") as file:
        file.write(config)
    kept.write(_REPOSITORY, digest_of(config), len(config), lambda: (folder / "config").open("rb"))
    described = Descriptor(MediaType.CONFIG, digest_of(config), len(config))
    manifest = Manifest(described, (*base.layers, *(packed.descriptor() for packed in layers)))
    digest = kept.write_manifest(_REPOSITORY, manifest.encode(), MediaType.MANIFEST)
    return f"{registry.host}/{_REPOSITORY}@{digest}"


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, image: str) -> Iterator[list[str]]:
    """The words that start a container."""
    name: str = request.param
    more = [] if name == "docker" else ["--tls-verify=false", "--runtime=runc"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=2000:2000"]
    yield [
        name,
        "run",
        "--rm",
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        *limits,
        *more,
    ]
    subprocess.run([name, "rmi", "--force", image], check=False, capture_output=True)


@pytest.mark.needs("docker", "podman")
def test_an_image_of_our_layers_runs_in_an_engine(engine, image):
    done = subprocess.run([*engine, image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "/opt/venv [2.]"
    assert lines[2].startswith("ruff ")
    assert lines[3:] == [
        "1000",
        "/tmp 0:0 drwxrwxrwt",
        "/usr 0:0 drwxr-xr-x",
        "/opt/venv/bin 0:0 drwxr-xr-x",
        "/app 1000:1000 drwxr-xr-x",
        "/app/main.py 1000:1000 -rw-r--r--",
        "/app/run.sh 1000:1000 -rwxr-xr-x",
        "/app/link.py 1000:1000 lrwxrwxrwx",
    ]
