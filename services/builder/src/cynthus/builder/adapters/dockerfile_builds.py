"""The project's own Dockerfile, built by what this machine has, into a registry."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cynthus.builder.adapters import build_refusals
from cynthus.builder.adapters.build_context import Read, chosen, lay_out
from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.adapters.buildah_builds import BuildahBuilds
from cynthus.builder.adapters.engine_builds import BuildKitBuilds, ClassicBuilds
from cynthus.builder.adapters.image_archive import ArchiveDamaged, ArchiveStore, ImageTooLarge, Known, Stored
from cynthus.builder.adapters.image_builders import (
    LABEL,
    BaseUnknown,
    BaseUnreachable,
    BuilderBroken,
    ImageBuilder,
    Order,
    StepFailed,
)
from cynthus.builder.domain.dockerfile import Dockerfile, parse, pinned
from cynthus.builder.domain.dockerfile_syntax import DockerfileRefused
from cynthus.builder.domain.image import Layer
from cynthus.builder.domain.image_build import BuildLimits, BuildRefused, DockerfileImage
from cynthus.containers.errors import EngineRefused, EngineUnavailable
from cynthus.oci.manifest import Note
from cynthus.oci.ports import Registry
from cynthus.oci.reference import NotAReference, Reference
from cynthus.snapshots.manifest import Entry

ENGINE = Path("/var/run/docker.sock")
_WORK = "build-"


class DockerfileBuilds:
    """The DockerfileBuilder port. `folder` is private to one service; `credentials` open base images by host.

    `forced` names the builder to use: buildkit, classic or buildah; else the first that can do all that is
    asked. `local_bases` lets FROM name images that only the engine has: for one person's own machine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: Path = ENGINE,
        forced: str | None = None,
        network: str = "default",
        credentials: Mapping[str, tuple[str, str]] | None = None,
        local_bases: bool = False,
        known: Callable[[str], Known | None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._network = network
        self._known = known
        self._made: dict[str, Known] = {}
        logins = credentials or {}
        self._builders: tuple[ImageBuilder, ...] = (
            BuildKitBuilds(engine, logins, local_bases=local_bases),
            ClassicBuilds(engine, logins, local_bases=local_bases),
            BuildahBuilds(folder / "buildah", logins),
        )
        self._forced = forced
        self._here: list[ImageBuilder] | None = None

    async def available(self) -> list[str]:
        """The builders of this machine, looked for once something is there."""
        return [builder.name for builder in await self._found()]

    async def clean(self) -> None:
        """Remove what builds of an earlier life of this service left; safe beside running ones."""
        others = await asyncio.to_thread(self._sweep)
        if others == 0:
            for builder in await self._found():
                await builder.clean()

    async def build(
        self,
        context: Sequence[Entry],
        read: Read,
        dockerfile: str,
        *,
        repository: str,
        target: Registry,
        limits: BuildLimits,
        report: Callable[[str], None] | None = None,
    ) -> DockerfileImage:
        """Raises BuildRefused, and what the registry raises; `read` and `report` are called in threads."""
        log, place = BuildLog(report), (target, repository)
        try:
            async with asyncio.timeout(limits.seconds), self._workplace() as work:
                text = await asyncio.to_thread(_text, context, read, dockerfile)
                parsed = parse(text)
                builder = await self._choose(parsed, limits)
                pins = await self._pin(parsed, builder)
                scope = hashlib.sha256(repository.encode()).hexdigest()[:16]
                order = Order(
                    work / "context", work, pinned(text, parsed, pins, scope), limits, self._network
                )
                await asyncio.to_thread(_lay_out, context, read, dockerfile, order.context)
                image = await _built(builder, order, parsed, log)
                stored = await self._stored(builder, order, image, place, _base_notes(parsed, pins))
        except DockerfileRefused as error:
            raise BuildRefused(
                "dockerfile_refused", f"The Dockerfile, line {error.line}: {error.what}.", error.fix
            ) from error
        except TimeoutError as error:
            raise build_refusals.too_slow(limits, log) from error
        notes = _notes(builder, parsed, limits)
        return _described(stored, builder.name, pins, notes, log.tail())

    async def _found(self) -> list[ImageBuilder]:
        if not self._here:
            wanted = [one for one in self._builders if self._forced in {None, one.name}]
            self._here = [builder for builder in wanted if await builder.is_here()]
        return self._here

    async def _choose(self, parsed: Dockerfile, limits: BuildLimits) -> ImageBuilder:
        """Every need of the Dockerfile first, then the memory cap, then the order of preference."""
        here = await self._found()
        if not here:
            raise build_refusals.no_builder()
        able = [one for one in here if one.knows_all or not parsed.only_buildkit] or here
        capping = [one for one in able if one.caps_memory or limits.memory_bytes is None]
        return (capping or able)[0]

    async def _pin(self, parsed: Dockerfile, builder: ImageBuilder) -> dict[str, str]:
        """Each base as name@digest, fetched."""
        pins: dict[str, str] = {}
        for base in parsed.bases:
            if base.image in pins:
                continue
            try:
                named = Reference.parse(base.image)
                digest = await builder.pull(named)
            except (NotAReference, BaseUnknown) as error:
                raise build_refusals.base_not_found(base, error) from error
            except BaseUnreachable as error:
                raise build_refusals.base_unreachable(base, error) from error
            except BuilderBroken as error:
                raise build_refusals.broken(builder, error) from error
            pins[base.image] = f"{named.host}/{named.repository}@{digest}"
        return pins

    async def _stored(
        self,
        builder: ImageBuilder,
        order: Order,
        image: str,
        place: tuple[Registry, str],
        notes: Mapping[str, str],
    ) -> Stored:
        target, repository = place
        store = ArchiveStore(target, repository, order.work, known=self._layer, made=self._made.__setitem__)

        def move() -> Stored:
            with builder.export(image, order) as archive:
                return store.store(archive, order.limits.image_bytes, notes, LABEL)

        try:
            return await asyncio.to_thread(move)
        except ImageTooLarge as error:
            raise build_refusals.too_large(order.limits) from error
        except (ArchiveDamaged, EngineUnavailable, EngineRefused) as error:
            raise build_refusals.broken(builder, error) from error

    def _layer(self, diff_id: str) -> Known | None:
        return self._known(diff_id) or self._made.get(diff_id)

    @asynccontextmanager
    async def _workplace(self) -> AsyncIterator[Path]:
        """A private folder, locked for as long as this build lives."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=self._folder))
        lock = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield work
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, work, ignore_errors=True))
            os.close(lock)

    def _sweep(self) -> int:
        """Remove the folders of builds that are no more; how many still live."""
        alive = 0
        for work in self._folder.glob(f"{_WORK}*"):
            lock = os.open(work, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(work, ignore_errors=True)
            except BlockingIOError:
                alive += 1
            finally:
                os.close(lock)
        return alive


async def _built(builder: ImageBuilder, order: Order, parsed: Dockerfile, log: BuildLog) -> str:
    try:
        return await builder.build(order, log)
    except StepFailed as failure:
        raise build_refusals.step_failed(failure, parsed, builder, log) from failure
    except BuilderBroken as error:
        raise build_refusals.broken(builder, error, log.tail()) from error


def _text(context: Sequence[Entry], read: Read, dockerfile: str) -> str:
    entry = next((one for one in context if one.path == dockerfile and one.link is None), None)
    if entry is None:
        raise DockerfileRefused(
            1, f"{dockerfile} is no file of the project", "Name the Dockerfile that is there."
        )
    try:
        return b"".join(read(entry)).decode()
    except UnicodeDecodeError as error:
        raise DockerfileRefused(1, "it is not UTF-8 text", "Save it as UTF-8.") from error


def _lay_out(context: Sequence[Entry], read: Read, dockerfile: str, folder: Path) -> None:
    folder.mkdir()
    lay_out(chosen(context, dockerfile, read), read, folder)


def _base_notes(parsed: Dockerfile, pins: Mapping[str, str]) -> dict[str, str]:
    base = pins.get(parsed.final.base)
    if base is None:
        return {}
    name, _, digest = base.partition("@")
    return {Note.BASE_NAME: name, Note.BASE_DIGEST: digest}


def _notes(builder: ImageBuilder, parsed: Dockerfile, limits: BuildLimits) -> tuple[str, ...]:
    notes = tuple(str(remark) for remark in parsed.remarks)
    if limits.memory_bytes is None or builder.caps_memory:
        return notes
    return (*notes, f"this builder ({builder.name}) does not cap the memory of a build")


def _described(
    stored: Stored, builder: str, pins: Mapping[str, str], notes: tuple[str, ...], tail: tuple[str, ...]
) -> DockerfileImage:
    execution = stored.config.execution
    return DockerfileImage(
        digest=stored.digest,
        size=stored.size,
        workdir=execution.get("WorkingDir") or "/",
        user=execution.get("User") or "",
        command=(*(execution.get("Entrypoint") or ()), *(execution.get("Cmd") or ())),
        env=stored.config.env,
        bases=tuple(dict.fromkeys(pins.values())),
        builder=builder,
        notes=notes,
        log_tail=tail,
        layers=tuple(
            Layer(
                one.annotations.get(Note.LAYER, ""),
                one.digest,
                one.annotations.get(Note.DIFF_ID, ""),
                one.size,
            )
            for one in stored.layers
        ),
        components=stored.components,
    )
