"""Debian packages as a layer: real apt, a real archive, real containers."""

import json
import subprocess
import tarfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from cynthus.builder.adapters.apt_archive import AptArchive
from cynthus.builder.adapters.apt_packages import AptPackages
from cynthus.builder.domain import image
from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.ports import SystemLayer
from cynthus.oci.descriptor import MediaType
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import Config, Manifest
from tests.fixtures.base_image import BaseImage
from tests.fixtures.registry import RunningRegistry

pytestmark = pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo")


class MemoryIndex:
    """The builder's index without a database."""

    def __init__(self) -> None:
        self.kept: dict[str, Layer] = {}
        self.answers: dict[tuple[str, str], str] = {}

    async def layers(self, keys: Collection[str]) -> dict[str, Layer]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    async def keep_layer(self, key: str, layer: Layer) -> None:
        self.kept[key] = layer

    async def place(self, repository: str, digests: Sequence[str]) -> None:
        pass

    async def known(self, kind: str, key: str):
        found = self.answers.get((kind, key))
        return None if found is None else json.loads(found)

    async def learn(self, kind: str, key: str, document) -> None:
        self.answers[kind, key] = json.dumps(document)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> AptArchive:
    return AptArchive(tmp_path_factory.mktemp("apt"))


@pytest.fixture
def target(registry: RunningRegistry) -> HttpRegistry:
    return HttpRegistry(registry.url)


@pytest.fixture
def base(base_image: BaseImage, target: HttpRegistry) -> Base:
    manifest = Manifest.decode(target.manifest(base_image.repository, base_image.digest).body)
    config = Config.decode(b"".join(target.read(base_image.repository, manifest.config.digest)))
    layers = tuple(
        Layer("base", one.digest, diff_id, one.size, repository=base_image.repository)
        for one, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    )
    return Base(base_image.reference, base_image.digest, base_image.repository, layers, base_image.python,
                (2, 36), config.env)  # fmt: skip


def packages(archive: AptArchive, target: HttpRegistry, folder: Path) -> AptPackages:
    return AptPackages(archive, target, MemoryIndex(), folder)


def push(target: HttpRegistry, base: Base, layer: Layer, repository: str) -> str:
    for one in base.layers:
        assert target.mount(repository, one.digest, base.repository)
    made = image.environment(base, [layer], gpu=False)
    source = made.config
    target.write(repository, made.config_digest, len(source), lambda: _opened(source))
    return target.write_manifest(repository, made.manifest, MediaType.MANIFEST)


def _opened(data: bytes):
    import io

    return io.BytesIO(data)


def docker(registry: RunningRegistry, repository: str, digest: str, *command: str) -> str:
    place = f"{registry.host}/{repository}@{digest}"
    done = subprocess.run(
        ["docker", "run", "--rm", "--network=none", "--workdir=/tmp", place, *command],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    subprocess.run(["docker", "rmi", place], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("docker")
@pytest.mark.timeout(300)
async def test_libraries_are_found_by_programs_in_the_image(
    archive: AptArchive, target: HttpRegistry, registry: RunningRegistry, base: Base, tmp_path: Path
):
    made = await packages(archive, target, tmp_path).layer(["libgl1", "libglib2.0-0"], base, "apt/gl")
    assert made.layer is not None
    assert any(one.startswith("libgl1=") for one in made.installed)
    digest = push(target, base, made.layer, "apt/gl")
    code = (
        "import ctypes, os, stat; ctypes.CDLL('libGL.so.1'); ctypes.CDLL('libgthread-2.0.so.0'); "
        "print(os.readlink('/lib'), oct(stat.S_IMODE(os.stat('/tmp').st_mode)))"
    )
    assert docker(registry, "apt/gl", digest, "python3", "-c", code) == "usr/lib 0o1777\n"
    said = docker(
        registry, "apt/gl", digest, "dpkg-query", "-W", "-f", "${Status}\n", "libgl1", "python3", "libc6"
    )
    assert said == "install ok installed\n" * 3


@pytest.mark.needs("docker")
@pytest.mark.timeout(300)
async def test_a_program_with_many_libraries_runs(
    archive: AptArchive, target: HttpRegistry, registry: RunningRegistry, base: Base, tmp_path: Path
):
    made = await packages(archive, target, tmp_path).layer(["ffmpeg"], base, "apt/ffmpeg")
    assert made.layer is not None
    digest = push(target, base, made.layer, "apt/ffmpeg")
    assert docker(registry, "apt/ffmpeg", digest, "ffmpeg", "-version").startswith("ffmpeg version")
    code = "import ctypes; ctypes.CDLL('libblas.so.3'); ctypes.CDLL('liblapack.so.3'); print('found')"
    assert docker(registry, "apt/ffmpeg", digest, "python3", "-c", code) == "found\n"
    assert docker(registry, "apt/ffmpeg", digest, "dpkg", "--audit") == ""


async def test_two_builders_make_the_same_bytes_and_the_second_time_is_remembered(
    archive: AptArchive, target: HttpRegistry, base: Base, tmp_path: Path
):
    one = packages(archive, target, tmp_path / "one")
    first = await one.layer(["libxml2", "file"], base, "apt/one")
    second = await packages(archive, target, tmp_path / "two").layer(["file", "libxml2"], base, "apt/two")
    assert first.layer is not None
    assert second.layer is not None
    assert (first.layer.digest, first.installed) == (second.layer.digest, second.installed)
    broken = AptArchive(tmp_path / "nowhere", keyrings=tmp_path)
    one._archive = broken
    assert await one.layer(["libxml2", "file"], base, "apt/one") == first


async def test_a_layer_has_no_path_twice_no_folder_of_the_base_and_no_set_user_id(
    archive: AptArchive, target: HttpRegistry, base: Base, tmp_path: Path
):
    made = await packages(archive, target, tmp_path).layer(["sudo", "libblas3"], base, "apt/sudo")
    assert made.layer is not None
    file = tmp_path / "layer.tar.gz"
    file.write_bytes(b"".join(target.read("apt/sudo", made.layer.digest)))
    with tarfile.open(file) as tar:
        members = {member.name: member for member in tar}
        assert len(members) == len(tar.getnames())
    assert not {"usr", "usr/bin", "lib", "bin", "etc", "tmp", "var/lib/dpkg"} & set(members)
    assert not any(name.startswith(("lib/", "bin/", "usr/share/man/")) for name in members)
    assert not any(member.mode & 0o6000 for member in members.values() if member.isreg())
    assert "usr/share/doc/sudo/copyright" in members
    assert members["usr/lib/x86_64-linux-gnu/libblas.so.3"].issym()
    assert any("set-user-ID" in note for note in made.notes)
    assert {member.mtime for member in members.values()} == {0}


async def test_what_the_base_has_needs_no_layer(
    archive: AptArchive, target: HttpRegistry, base: Base, tmp_path: Path
):
    assert await packages(archive, target, tmp_path).layer(["libgomp1"], base, "apt/none") == SystemLayer(
        None
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("libgll1", "no Debian package 'libgll1'"),
        ("awk", "only a name"),
        ("libgl1=99.9", "no version 99.9"),
        ("--allow-unauthenticated", "no name of a Debian package"),
        ("libgl1-", "no name of a Debian package"),
        ("lib.*", "no name of a Debian package"),
        ("./evil.deb", "no name of a Debian package"),
    ],
)
async def test_what_cannot_be_installed_is_explained(
    name: str, told: str, archive: AptArchive, target: HttpRegistry, base: Base, tmp_path: Path
):
    with pytest.raises(BuildRefused, match=told) as caught:
        await packages(archive, target, tmp_path).layer([name], base, "apt/bad")
    assert caught.value.fix


async def test_a_near_name_is_offered(archive: AptArchive, target: HttpRegistry, base: Base, tmp_path: Path):
    with pytest.raises(BuildRefused) as caught:
        await packages(archive, target, tmp_path).layer(["ffmpg"], base, "apt/bad")
    assert "ffmpeg" in caught.value.fix


async def test_an_archive_that_nobody_signed_for_is_refused(target: HttpRegistry, base: Base, tmp_path: Path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "debian-archive-keyring.gpg").write_bytes(b"")
    unsigned = AptArchive(tmp_path / "apt", keyrings=tmp_path / "keys")
    with pytest.raises(BuildRefused) as caught:
        await packages(unsigned, target, tmp_path / "work").layer(["file"], base, "apt/bad")
    assert caught.value.code == "apt_untrusted"
