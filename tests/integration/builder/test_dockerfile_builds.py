"""A project's own Dockerfile, built by real builders into real registries."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cynthus.builder.adapters.dockerfile_builds import DockerfileBuilds
from cynthus.builder.adapters.image_archive import Known
from cynthus.builder.adapters.image_builders import LABEL
from cynthus.builder.domain.image_build import BuildLimits, BuildRefused, DockerfileImage
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import Config, Manifest, Note
from cynthus.oci.ports import Registry
from cynthus.snapshots.manifest import Entry
from tests.fixtures.base_image import BaseImage
from tests.fixtures.registry import RunningRegistry

EVERY_BUILDER = [
    pytest.param("classic", marks=pytest.mark.needs("docker")),
    pytest.param("buildkit", marks=pytest.mark.needs("docker")),
    pytest.param("buildah", marks=pytest.mark.needs("buildah", "root")),
]
pytestmark = pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo")
FEW = BuildLimits(seconds=100, memory_bytes=None)


@dataclass
class Project:
    """A project in memory, and what its build said."""

    files: dict[str, bytes]
    links: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        named = [Entry(name, len(data), executable=name.endswith(".sh")) for name, data in self.files.items()]
        return [*named, *(Entry(name, link=to) for name, to in self.links.items())]

    def read(self, entry: Entry) -> Iterator[bytes]:
        yield self.files[entry.path]

    async def build(
        self, builds: DockerfileBuilds, target: Registry, limits: BuildLimits = FEW
    ) -> DockerfileImage:
        return await builds.build(
            self.entries(), self.read, "Dockerfile", repository="ada/own", target=target, limits=limits,
            report=self.told.append,
        )  # fmt: skip


def project(base: BaseImage, text: str, **files: str) -> Project:
    written = textwrap.dedent(text).lstrip().replace("BASE", base.reference)
    return Project({"Dockerfile": written.encode(), **{name: data.encode() for name, data in files.items()}})


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of most builds: buildah keeps the base in it. Images of builds go at the end."""
    yield tmp_path_factory.mktemp("dockerfile-builds")
    if shutil.which("docker"):
        prune = ["docker", "image", "prune", "--force", f"--filter=label={LABEL}"]
        subprocess.run(prune, capture_output=True, check=False)


@pytest.fixture
def known(base_image: BaseImage, registry: RunningRegistry) -> dict[str, Known]:
    """The base's own layer, so that tests need not pack it."""
    target = HttpRegistry(registry.url)
    base = Manifest.decode(target.manifest(base_image.repository, base_image.digest).body)
    config = Config.decode(b"".join(target.read(base_image.repository, base.config.digest)))
    return {config.diff_ids[0]: Known(base.layers[0], base_image.repository)}


@pytest.fixture
def target(registry: RunningRegistry) -> HttpRegistry:
    return HttpRegistry(registry.url)


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_dockerfile_becomes_an_image_that_engines_run(
    name: str,
    base_image: BaseImage,
    known: dict[str, Known],
    target: HttpRegistry,
    registry: RunningRegistry,
    shop: Path,
):
    mine = project(
        base_image,
        """
        FROM BASE AS first
        RUN echo made > /made
        FROM BASE
        ENV GREETING="hello there"
        WORKDIR /srv
        COPY --from=first /made made
        COPY . .
        RUN echo a step speaks
        USER 1000:1000
        ENTRYPOINT ["python3"]
        CMD ["main.py"]
        """,
        **{"main.py": "import os; print(os.environ['GREETING'], open('made').read(), os.listdir('.'))",
           ".dockerignore": "*.log\n!keep.log\n", "some.log": "", "keep.log": ""},
    )  # fmt: skip
    builds = DockerfileBuilds(shop, forced=name, known=known.get)
    image = await mine.build(builds, target)
    assert (image.workdir, image.user) == ("/srv", "1000:1000")
    assert image.command == ("python3", "main.py")
    assert image.env["GREETING"] == "hello there"
    assert image.bases == (base_image.reference,)
    assert image.builder == name
    assert "a step speaks" in mine.told
    stored = Manifest.decode(target.manifest("ada/own", image.digest).body)
    assert stored.annotations[Note.BASE_DIGEST] == base_image.digest
    assert image.size == sum(layer.size for layer in stored.layers)
    place = f"{registry.host}/ada/own@{image.digest}"
    seen = json.loads(run("skopeo", "inspect", "--tls-verify=false", "--no-tags", f"docker://{place}"))
    assert seen["Digest"] == image.digest
    assert [*shop.glob("build-*")] == []
    if name != "buildah":
        said = run("docker", "run", "--rm", "--network=none", place)
        assert "hello there made" in said
        assert "keep.log" in said
        assert "some.log" not in said
        run("docker", "rmi", place)


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_failing_step_is_named_with_its_line_and_its_words(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path
):
    mine = project(
        base_image,
        """
        # a comment
        FROM BASE
        RUN true

        RUN echo first words && \\
            # why
            echo last words >&2 && exit 3
        """,
    )
    with pytest.raises(
        BuildRefused, match=r"Line 5 of the Dockerfile failed: RUN .*\(exit status 3\)"
    ) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert caught.value.code == "dockerfile_failed"
    assert {"first words", "last words"} <= set(caught.value.evidence)


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_file_that_is_not_there_is_explained(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path
):
    mine = project(base_image, "FROM BASE\nRUN true\nCOPY nothing.txt /srv/\n")
    with pytest.raises(BuildRefused, match="Line 3") as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert ".dockerignore" in caught.value.fix


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_base_by_tag_is_pinned_in_the_record(
    name: str, base_image: BaseImage, known: dict[str, Known], target: HttpRegistry, shop: Path
):
    mine = project(base_image, 'ARG TAG=3.11\nFROM BASE\nCMD ["true"]\n')
    tagged = base_image.reference.partition("@")[0] + ":$TAG"
    mine.files["Dockerfile"] = mine.files["Dockerfile"].replace(
        base_image.reference.encode(), tagged.encode()
    )
    image = await mine.build(DockerfileBuilds(shop, forced=name, known=known.get), target)
    assert image.bases == (base_image.reference,)
    assert any("can move" in note for note in image.notes)


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_base_that_is_not_there_is_named(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path
):
    mine = project(base_image, "FROM BASE\n")
    missing = base_image.reference.partition("/")[0] + "/bases/nothing:1"
    mine.files["Dockerfile"] = f"FROM {missing}\n".encode()
    with pytest.raises(BuildRefused, match=missing) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert caught.value.code == "base_not_found"


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_base_whose_registry_is_away_may_be_tried_again(name: str, target: HttpRegistry, shop: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    mine = Project({"Dockerfile": f"FROM {host}/bases/python:3\n".encode()})
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert (caught.value.code, caught.value.transient) == ("base_unreachable", True)


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_build_that_takes_too_long_is_ended(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path, tmp_path: Path
):
    mine = project(base_image, f"FROM BASE\nRUN echo {tmp_path.name} && sleep 4321\n")
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target, BuildLimits(seconds=6))
    assert caught.value.code == "build_timeout"
    assert tmp_path.name in caught.value.evidence
    await until(lambda: not running("sleep 4321"))


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_an_image_that_is_too_large_is_refused(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path
):
    mine = project(base_image, "FROM BASE\nRUN head -c 30000000 /dev/zero > /large\n")
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target, BuildLimits(image_bytes=190_000_000))
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("name", [one for one in EVERY_BUILDER if one.values != ("buildkit",)])
async def test_memory_is_capped(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path, tmp_path: Path
):
    mine = project(base_image, 'FROM BASE\nRUN python3 -c "bytearray(400 << 20)"\n')
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target, BuildLimits(memory_bytes=128 << 20))
    assert "memory" in caught.value.fix


@pytest.mark.needs("docker")
async def test_where_memory_must_be_capped_the_builder_that_can_is_chosen(
    base_image: BaseImage, known: dict[str, Known], target: HttpRegistry, tmp_path: Path
):
    mine = project(base_image, "FROM BASE\nCMD true\n")
    builds = DockerfileBuilds(tmp_path, known=known.get)
    assert (await mine.build(builds, target, BuildLimits(memory_bytes=1 << 30))).builder == "classic"
    assert (await mine.build(builds, target, FEW)).builder == "buildkit"


@pytest.mark.needs("docker")
async def test_what_only_buildkit_understands_goes_there(
    base_image: BaseImage, known: dict[str, Known], target: HttpRegistry, tmp_path: Path
):
    mine = project(base_image, "FROM BASE\nRUN --mount=type=cache,target=/cache echo x > /cache/x\n")
    image = await mine.build(DockerfileBuilds(tmp_path, known=known.get), target, BuildLimits(seconds=100))
    assert image.builder == "buildkit"
    assert any("does not cap the memory" in note for note in image.notes)


@pytest.mark.needs("docker")
async def test_without_a_builder_the_fix_is_told(base_image: BaseImage, target: HttpRegistry, tmp_path: Path):
    builds = DockerfileBuilds(tmp_path, engine=tmp_path / "nothing.sock", forced="classic")
    assert await builds.available() == []
    with pytest.raises(BuildRefused) as caught:
        await project(base_image, "FROM BASE\n").build(builds, target)
    assert caught.value.code == "no_dockerfile_builder"


@pytest.mark.needs("docker")
async def test_equal_builds_have_one_digest_and_a_folder_takes_them_too(
    base_image: BaseImage, target: HttpRegistry, tmp_path: Path
):
    mine = project(base_image, 'FROM BASE\nCOPY main.py /srv/\nCMD ["true"]\n', **{"main.py": "1"})
    first = await mine.build(DockerfileBuilds(tmp_path / "one", forced="classic"), target)
    again = await mine.build(
        DockerfileBuilds(tmp_path / "two", forced="classic"), FolderRegistry(tmp_path / "kept")
    )
    assert first.digest == again.digest


@pytest.mark.needs("docker")
async def test_a_layer_that_is_known_is_mounted_and_not_packed_again(
    base_image: BaseImage, known: dict[str, Known], target: HttpRegistry, tmp_path: Path
):
    mine = project(base_image, "FROM BASE\nRUN echo known > /known\n")
    image = await mine.build(DockerfileBuilds(tmp_path, forced="classic", known=known.get), target)
    layers = Manifest.decode(target.manifest("ada/own", image.digest).body).layers
    assert layers[0].digest == next(iter(known.values())).layer.digest


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_link_out_of_the_project_brings_nothing_in(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path, tmp_path: Path
):
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    mine = project(
        base_image, "FROM BASE\nCOPY . /srv/\nRUN cat /srv/out; cat /srv/folder/secret.txt; exit 7\n"
    )
    mine.links = {"out": str(secret), "folder": str(tmp_path)}
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert "exit status 7" in caught.value.message
    assert "not yours" not in " ".join(caught.value.evidence)


async def test_files_behind_a_link_are_refused(base_image: BaseImage, target: HttpRegistry, tmp_path: Path):
    mine = project(base_image, "FROM BASE\n", **{"folder/file": ""})
    mine.links = {"folder": str(tmp_path)}
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(tmp_path / "builds"), target)
    assert caught.value.code == "source_damaged"
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_nothing_of_this_process_reaches_a_build(
    name: str, base_image: BaseImage, target: HttpRegistry, shop: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CANARY_TOKEN", "canary-4711")
    mine = project(
        base_image, "FROM BASE\nARG CANARY_TOKEN\nRUN env; cat /proc/*/environ | tr '\\0' '\\n'; exit 1\n"
    )
    with pytest.raises(BuildRefused) as caught:
        await mine.build(DockerfileBuilds(shop, forced=name), target)
    assert "canary-4711" not in " ".join([*caught.value.evidence, *mine.told])


KILLED = """
import asyncio, sys
from pathlib import Path
from cynthus.builder.adapters.dockerfile_builds import DockerfileBuilds
from cynthus.builder.domain.image_build import BuildLimits
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.snapshots.manifest import Entry

folder, name, reference, seconds = sys.argv[1:]
text = f"FROM {reference}\\nRUN echo begun && sleep {seconds}\\n".encode()
builds = DockerfileBuilds(Path(folder), forced=name)
asyncio.run(builds.build([Entry("Dockerfile", len(text))], lambda _: [text], "Dockerfile", repository="a/b",
                         target=FolderRegistry(Path(folder) / "kept"), limits=BuildLimits(),
                         report=lambda line: print(line, flush=True)))
"""


@pytest.mark.parametrize("name", EVERY_BUILDER)
async def test_a_builder_that_is_killed_leaves_no_build_behind(
    name: str, base_image: BaseImage, tmp_path: Path
):
    seconds = str(10_000 + os.getpid() % 1000)
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), name, base_image.reference, seconds],
        stdout=subprocess.PIPE,
    )
    assert killed.stdout is not None
    with killed.stdout:
        while killed.stdout.readline().strip() != b"begun":
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert [*tmp_path.glob("build-*")] != []
    await DockerfileBuilds(tmp_path, forced=name).clean()
    await until(lambda: not running(f"sleep {seconds}"))
    assert [*tmp_path.glob("build-*")] == []


def running(command: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b" ".join(words).strip().decode(errors="replace") == command:
            return True
    return False


async def until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
