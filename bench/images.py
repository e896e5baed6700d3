"""Images: from files to an image in a registry, by docker, BuildKit, buildah and the builder, side by side.

All push to one registry on this machine. The builder is measured inside its running process, as a run meets
it: planning, the lock, layers, requests. `python -m bench images [quick] [cold]`: with `cold` only the empty
build machine, for which the engine's build cache is emptied; without it nothing of others is touched.
"""

import asyncio
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import asyncpg

from bench.homes import folder
from bench.measure import Aim, Table, divide, median, number, ratio, spread
from cynthus.builder.domain.build import Built
from cynthus.embedded.postgres import PostgresServer
from cynthus.oci.connections import Request, Response
from cynthus.oci.manifest import Manifest
from tests.fixtures.base_image import base_layout
from tests.fixtures.image_works import Bench, image_works
from tests.fixtures.registry import RunningRegistry, running_registry

QUICK, SLOW = 9, 3
PACKAGES = ("numpy==2.3.5", "scikit-learn==1.7.2")
SMALL = ("tabulate", "toolz", "colorama", "wcwidth", "pyjokes", "inflection", "text-unidecode", "xmltodict",
         "munch", "iniconfig", "pluggy", "idna")  # fmt: skip
DOCKERFILE = """\
FROM {base}
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
COPY requirements.txt /app/requirements.txt
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --break-system-packages \
    -r /app/requirements.txt
COPY . /app
WORKDIR /app
CMD ["python3", "main.py"]
"""
_serial = itertools.count(1)


def run() -> list[Table]:
    return asyncio.run(_run())


async def _run() -> list[Table]:
    with folder() as home, running_registry(home / "registry") as registry:
        base = Base.push(registry)
        server = PostgresServer(home)
        await asyncio.to_thread(server.start)
        try:
            return await Comparison(home, registry, base, server.url).tables()
        finally:
            await asyncio.to_thread(server.stop)


@dataclass(frozen=True)
class Base:
    """One base for all: Debian's Python with pip."""

    reference: str

    @classmethod
    def push(cls, registry: RunningRegistry) -> "Base":
        layout = base_layout("python3,python3-pip,libgomp1,ca-certificates")
        target = f"docker://{registry.host}/bases/python:3.11"
        _run_quietly("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:latest", target)
        digest = _run_quietly(
            "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", target
        ).strip()
        return cls(f"{registry.host}/bases/python@{digest}")


@dataclass
class Sources:
    """A project of 200 files and 2.4 MB, changed in one line or one requirement at a time."""

    root: Path
    requirements: list[str] = field(default_factory=lambda: list(PACKAGES))

    def write(self, base: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for file in range(199):
            text = "".join(f"VALUE_{file}_{line} = {line * file}\n" for line in range(430))
            path = self.root / f"package{file % 10}" / f"module{file}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (self.root / "Dockerfile").write_text(DOCKERFILE.format(base=base))
        bundle = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
        shutil.copy(bundle, self.root / "ca.crt")
        self.require()
        self.change()

    def change(self) -> None:
        (self.root / "main.py").write_text(f"import sklearn\nprint({next(_serial)}, sklearn.__version__)\n")

    def require(self, *more: str) -> None:
        self.requirements += more
        (self.root / "requirements.txt").write_text("\n".join(self.requirements) + "\n")

    def files(self) -> dict[str, bytes]:
        """As they are uploaded: all but what only docker needs."""
        skipped = {"Dockerfile", "ca.crt"}
        found = (path for path in self.root.rglob("*") if path.is_file() and path.name not in skipped)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}


class Tool:
    """A builder of Dockerfiles: `build` gives the seconds from files to an image in the registry."""

    def __init__(self, name: str, registry: RunningRegistry, sources: Sources, storage: Path) -> None:
        """`storage` is for a tool that needs no engine."""
        self.name = name
        self.tag = f"{registry.host}/bench/{name}:latest"
        self._root = str(sources.root)
        self._storage = storage

    def build(self, *, fresh: bool = False, cached_from: bool = False) -> float:
        begun = time.perf_counter()
        for command in self._commands(fresh=fresh, cached_from=cached_from):
            _run_quietly(*command, **self._environment())
        return time.perf_counter() - begun

    def forget(self, *, cache: bool = True) -> None:
        """An empty build machine, as far as this benchmark filled it; and the engine's build cache."""
        if self.name == "buildah":
            shutil.rmtree(self._storage, ignore_errors=True)
            return
        _run_quietly("docker", "image", "rm", "--force", self.tag, check=False)
        _run_quietly("docker", "image", "prune", "--force", "--filter", f"label={MARK}")
        if cache:
            _run_quietly(DOCKER, "builder", "prune", "--all", "--force")

    def _environment(self) -> dict[str, str]:
        return {"DOCKER_BUILDKIT": "1" if self.name == "buildkit" else "0"}

    def _commands(self, *, fresh: bool, cached_from: bool) -> Iterator[tuple[str, ...]]:
        uncached = ("--no-cache",) if fresh else ()
        if self.name == "buildah":
            buildah = ("buildah", "--root", f"{self._storage}/root", "--runroot", f"{self._storage}/run")
            yield (*buildah, "build", "--quiet", "--layers", "--network=host", "--isolation=chroot",
                   "--tls-verify=false", *uncached, "--tag", self.tag, self._root)  # fmt: skip
            yield (*buildah, "push", "--quiet", "--tls-verify=false", self.tag)
            return
        inline = ("--build-arg", "BUILDKIT_INLINE_CACHE=1") if self.name == "buildkit" else ()
        source = ("--cache-from", self.tag) if cached_from else ()
        yield (DOCKER, "build", "--quiet", "--network=host", "--label", MARK, *inline, *source, *uncached,
               "--tag", self.tag, self._root)  # fmt: skip
        yield (DOCKER, "push", "--quiet", self.tag)


MARK = "dev.cynthus.bench=images"
DOCKER = next(
    (path for path in ("/usr/bin/docker", shutil.which("docker") or "docker") if Path(path).exists()),
    "docker",
)
"""The client that came with the engine: a newer one lacks BuildKit without its plugin."""


class Comparison:
    """The same project and the same changes for everybody, one after another."""

    def __init__(self, home: Path, registry: RunningRegistry, base: Base, database: str) -> None:
        self.home = home
        self.registry = registry
        self.base = base
        self.database = database
        self.sources = Sources(home / "project")
        self.sources.write(base.reference)
        names = ("classic", "buildkit", "buildah")
        self.tools = [Tool(name, registry, self.sources, home / "storage") for name in names]
        self.small = iter(SMALL)

    async def tables(self) -> list[Table]:
        table = Table(
            "Images: from files to an image in the registry (seconds)",
            ["case", "docker classic", "BuildKit", "buildah", "cynthus", "classic / ours", "BuildKit / ours"],
        )  # fmt: skip
        quick = "quick" in sys.argv
        rounds, slow = (3, 1) if quick else (QUICK, SLOW)
        try:
            async with self._works("warm") as works:
                if "cold" in sys.argv:
                    await self._build(works)
                    await self._cold(table, works, slow)
                else:
                    await self._warm(table, works, rounds, slow)
        finally:
            for tool in self.tools:
                tool.forget(cache="cold" in sys.argv)
            _run_quietly("docker", "image", "rm", "--force", self.base.reference, check=False)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.notes += [
            f"medians of {rounds}; of {slow} for a first build, a dependency and an empty build machine",
            f"peak memory of the process with the builder in it, this benchmark included: {number(peak)} MiB",
            "an empty build machine: nothing on its disk; of cynthus, a service that has just started",
            "wheels to layers: python -m bench layers",
        ]
        _aims(table)
        return [table]

    async def _warm(self, table: Table, works: Bench, rounds: int, slow: int) -> None:
        await self._case(table, "first build, no cache", works, slow, fresh=True)
        await self._case(table, "no change", works, rounds, same=True)
        await self._case(table, "one source file changed", works, rounds, before=self.sources.change)
        await self._requests(table, works)
        await self._case(table, "one small dependency added", works, slow, before=self._depend)
        await self._second_user(table, works, rounds)

    async def _requests(self, table: Table, works: Bench) -> None:
        """What one changed source file costs the registry."""
        self.sources.change()
        with Sent(works) as sent:
            await self._build(works)
        registry = works.works.registry
        repository = works.works.repositories.project("ada", "digits")
        layers = Manifest.decode(registry.manifest(repository, sent.manifest).body).layers
        source = layers[-1].size
        table.notes.append(
            f"one source file changed: {len(sent.requests)} requests ({', '.join(sent.requests)}), "
            f"{number(sent.bytes / 1e3)} KB of them {number(source / 1e3)} KB the source layer"
        )
        table.aims.append(Aim("requests of a source change", len(sent.requests), at_most=5, is_ratio=False))
        table.raw["requests"] = {"requests": sent.requests, "bytes": sent.bytes, "source": source}

    async def _case(
        self,
        table: Table,
        name: str,
        works: Bench,
        rounds: int,
        *,
        before: Callable[[], None] = lambda: None,
        fresh: bool = False,
        same: bool = False,
    ) -> None:
        samples: dict[str, list[float]] = {tool.name: [] for tool in self.tools} | {"cynthus": []}
        for turn in range(rounds):
            before()
            for tool in self.tools:
                samples[tool.name].append(await asyncio.to_thread(tool.build, fresh=fresh))
            if fresh:
                async with self._works(f"fresh{turn}") as empty:
                    samples["cynthus"].append(await self._build(empty))
            elif same:
                samples["cynthus"].append(await self._build(works, key="same"))
            else:
                samples["cynthus"].append(await self._build(works))
        if fresh:
            await self._build(works)
        if same:
            samples["cynthus"] = samples["cynthus"][1:] or samples["cynthus"]
        _row(table, name, samples)

    async def _cold(self, table: Table, works: Bench, rounds: int) -> None:
        """Nothing on the build machine's disk; what was built before is in the registry and our index."""
        plain: dict[str, list[float]] = {"classic": [], "buildkit": [], "buildah": [], "cynthus": []}
        for _ in range(rounds):
            self.sources.change()
            for tool in self.tools:
                await asyncio.to_thread(tool.forget)
                plain[tool.name].append(await asyncio.to_thread(tool.build))
            plain["cynthus"].append(await self._elsewhere())
        _row(table, "one source file changed, empty build machine", plain)
        cached: dict[str, list[float]] = {"buildkit": [], "cynthus": []}
        buildkit = self.tools[1]
        for _ in range(rounds):
            self.sources.change()
            await asyncio.to_thread(buildkit.forget)
            cached["buildkit"].append(await asyncio.to_thread(lambda: buildkit.build(cached_from=True)))
            cached["cynthus"].append(await self._elsewhere())
        _row(table, "the same, BuildKit with --cache-from", cached)

    async def _elsewhere(self) -> float:
        with tempfile.TemporaryDirectory(dir=self.home) as empty:
            async with self._works("warm", Path(empty)) as works:
                return await self._build(works)

    async def _second_user(self, table: Table, works: Bench, rounds: int) -> None:
        ours = [await self._build(works, owner=f"user{turn}") for turn in range(rounds)]
        first = table.raw["first build, no cache"]
        samples = {name: first[name] for name in ("classic", "buildkit", "buildah")} | {"cynthus": ours}
        _row(table, SECOND, samples)

    def _depend(self) -> None:
        self.sources.require(next(self.small))

    async def _build(self, works: Bench, *, owner: str = "ada", key: str | None = None) -> float:
        job = await works.job(self.sources.files(), owner=owner, key=key)
        begun = time.perf_counter()
        outcome = await works.works.recipe.make(job)
        spent = time.perf_counter() - begun
        assert isinstance(outcome, Built), outcome
        return spent

    @asynccontextmanager
    async def _works(self, name: str, disk: Path | None = None) -> AsyncIterator[Bench]:
        """Works with a database and repositories of their own; `disk` is the build machine's."""
        base = {"reference": self.base.reference, "python": "/usr/bin/python3.11", "glibc": [2, 36]}
        await self._database(name)
        async with image_works(
            urlsplit(self.database)._replace(path=f"/{name}").geturl(),
            self.home / name,
            images_folder=(disk or self.home / name) / "images",
            registry_url=f"{self.registry.url}/{name}",
            bases={"3.11": base},
            import_checks=False,
        ) as works:
            yield works

    async def _database(self, name: str) -> None:
        connection = await asyncpg.connect(self.database)
        try:
            with suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()


class Sent:
    """Every request to the registry meanwhile."""

    def __init__(self, works: Bench) -> None:
        self.requests: list[str] = []
        self.bytes = 0
        self.manifest = ""
        self._connections = works.works.registry._client.connections  # noqa: SLF001 - all of it passes here
        self._send = self._connections.send

    def __enter__(self) -> Self:
        self._connections.send = self._counted
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.send = self._send

    def _counted(self, request: Request) -> Response:
        self.requests.append(request.method)
        self.bytes += request.body.length if request.body else 0
        if "/manifests/" in request.url and request.method == "PUT":
            self.manifest = request.url.rpartition("/")[2]
        return self._send(request)


def _row(table: Table, name: str, samples: dict[str, list[float]]) -> None:
    table.raw[name] = samples
    ours = median(samples["cynthus"])
    ratios = [_times(divide(median(samples.get(tool, [])), ours)) for tool in ("classic", "buildkit")]
    cells = [spread(samples.get(tool, [])) for tool in ("classic", "buildkit", "buildah", "cynthus")]
    table.rows.append([name, *cells, *ratios])
    print(table.rows[-1], file=sys.stderr, flush=True)


def _times(value: float | None) -> str:
    return ratio(value) if value is not None else ""


def _aims(table: Table) -> None:
    def found(case: str, tool: str) -> float | None:
        samples = table.raw.get(case, {})
        return divide(median(samples.get(tool, [])), median(samples.get("cynthus", [])))

    changed, cold = "one source file changed", "one source file changed, empty build machine"
    first, added = "first build, no cache", "one small dependency added"
    best = [value for tool in ("classic", "buildkit", "buildah") if (value := found(first, tool))]
    for what, case, tool, least in (
        ("source change against docker classic", changed, "classic", 10),
        ("source change against BuildKit", changed, "buildkit", 5),
        ("source change on an empty build machine against docker", cold, "classic", 100),
        ("the same against --cache-from", "the same, BuildKit with --cache-from", "buildkit", 30),
        ("one added dependency against docker classic", added, "classic", 15),
        ("another user's first deploy with the same lock", SECOND, "classic", 100),
        ("no change against docker classic", "no change", "classic", 10),
    ):
        if case in table.raw:
            table.aims.append(Aim(what, found(case, tool), at_least=least))
    if first in table.raw:
        table.aims.append(Aim("first build against the best", min(best, default=None), at_least=3))


SECOND = "first deploy of another user, same lock (theirs: the first build)"


def _run_quietly(*command: str, check: bool = True, **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout
