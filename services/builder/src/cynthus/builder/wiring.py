"""Assembles the builder: the only place that knows its concrete classes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cynthus.builder.adapters.apt_archive import AptArchive
from cynthus.builder.adapters.apt_packages import AptPackages
from cynthus.builder.adapters.blob_sources import BlobSources
from cynthus.builder.adapters.dockerfile_builds import DockerfileBuilds
from cynthus.builder.adapters.image_archive import Known
from cynthus.builder.adapters.import_trial import SandboxImportTrial
from cynthus.builder.adapters.leftovers import tidy
from cynthus.builder.adapters.postgres_builds import PostgresBuilds
from cynthus.builder.adapters.postgres_catalogue import PostgresCatalogue
from cynthus.builder.adapters.postgres_collectable import PostgresCollectable
from cynthus.builder.adapters.postgres_index import PostgresIndex
from cynthus.builder.adapters.registry_bases import CatalogueEntry, RegistryBases
from cynthus.builder.adapters.source_builds import SourceBuilds
from cynthus.builder.adapters.uv_resolver import UvResolver
from cynthus.builder.adapters.wheelhouse import Wheelhouse
from cynthus.builder.api import distribution, internal
from cynthus.builder.assembly.dependencies import Dependencies
from cynthus.builder.assembly.imports import ImportChecks
from cynthus.builder.assembly.own_dockerfile import OwnDockerfile
from cynthus.builder.assembly.packed import PackedImages, Parts
from cynthus.builder.assembly.recipe import Defaults, Recipe
from cynthus.builder.assembly.shipping import Shipping
from cynthus.builder.collector import Collector
from cynthus.builder.domain.image_build import BuildLimits
from cynthus.builder.domain.repositories import Repositories
from cynthus.builder.handlers import SERVICE, BuildHandler
from cynthus.builder.main import create_app
from cynthus.builder.settings import BuilderSettings
from cynthus.builder.workshop import Pace, Workshop
from cynthus.containers.discovery import discover
from cynthus.events import Event, RunCancelled, RunFailed, RunRequested, RunSucceeded
from cynthus.oci.authentication import Credentials
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.ports import Registry
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.store.consumer import Handle
from cynthus.web.tokens import TokenRefused, WorkerTokens

_ANSWER_S = 30.0
_GRACE_S = 30.0
"""A Dockerfile's build ends by itself in time, and then says where it was."""


@dataclass(frozen=True, slots=True)
class Works:
    """What makes images, without the service around it."""

    recipe: Recipe
    registry: Registry
    repositories: Repositories
    catalogue: PostgresCatalogue
    collector: Collector


@asynccontextmanager
async def open_builder(settings: BuilderSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    builds = PostgresBuilds(platform.database)
    store = history(platform, SERVICE, [builds])
    works = assemble(settings, platform, builds)
    nudged = asyncio.Event()
    handler = BuildHandler(store, builds, default_python=settings.default_python, started=nudged.set)
    pace = Pace(
        lease=timedelta(seconds=settings.lease_seconds),
        poll_s=min(2.0, settings.lease_seconds / 3),
        limit_s=settings.build_seconds + _GRACE_S,
    )
    workshop = Workshop(
        builds, works.recipe.make, handler.finished, nudged, concurrency=settings.concurrency, pace=pace
    )
    app = create_app(
        internal.router(works.catalogue, platform.internal_token),
        distribution.router(works.registry, _readers(platform.worker_tokens, works.repositories)),
    )
    handlers: dict[type[Event], Handle] = {
        RunRequested: handler.requested,
        RunSucceeded: handler.ended,
        RunFailed: handler.ended,
        RunCancelled: handler.ended,
    }
    tasks = await exchange(platform, app, store, handlers)
    yield Service(SERVICE, app, tasks=(*tasks, workshop.run, works.collector.run))


def assemble(settings: BuilderSettings, platform: Platform, builds: PostgresBuilds) -> Works:
    """Everything a build needs."""
    folder = settings.images_folder.resolve()
    work = _made(folder / "work")
    registry, host, repositories = _registry(settings, folder)
    index = PostgresIndex(platform.database)
    catalogue = PostgresCatalogue(platform.database, host)
    shipping = Shipping(registry, index)
    sources = BlobSources(platform.blobs)
    resolver, wheels = _packages(settings, folder)
    packed = PackedImages(
        Parts(
            builds=builds,
            sources=sources,
            index=index,
            shipping=shipping,
            dependencies=Dependencies(index, shipping, work, repositories.deps, threads=settings.threads),
            bases=_bases(settings, registry, index, host, repositories),
            resolver=resolver,
            wheels=wheels,
            systems=AptPackages(AptArchive(_made(folder / "debian")), registry, index, work),
            imports=_imports(settings, folder, registry, index),
            records=catalogue,
            repositories=repositories,
            folder=work,
            glibc=_glibc_here(),
        )
    )
    builds_of_dockerfiles = DockerfileBuilds(work, known=_known(index))
    dockerfiles = OwnDockerfile(
        builds_of_dockerfiles, registry, catalogue, repositories, BuildLimits(seconds=settings.build_seconds)
    )
    recipe = Recipe(
        builds,
        sources,
        platform.secrets,
        packed=packed,
        dockerfiles=dockerfiles,
        defaults=_defaults(settings),
    )
    collector = Collector(
        registry,
        shipping,
        catalogue,
        PostgresCollectable(platform.database),
        unused=timedelta(days=settings.keep_days),
        sweep=lambda: _sweep(folder, registry),
        clean=builds_of_dockerfiles.clean,
    )
    return Works(recipe, registry, repositories, catalogue, collector)


def _packages(settings: BuilderSettings, folder: Path) -> tuple[UvResolver, Wheelhouse]:
    uv, links = settings.uv or _find_uv(), settings.find_links
    builds = SourceBuilds(_made(folder / "built"), uv, find_links=links, walls_needed=settings.walls_needed)
    wheels = Wheelhouse(_made(folder / "wheels"), builds)
    return UvResolver(uv, wheels, find_links=links, torch_backend=settings.torch_backend), wheels


def _imports(
    settings: BuilderSettings, folder: Path, registry: Registry, index: PostgresIndex
) -> ImportChecks:
    trial = SandboxImportTrial(
        _made(folder / "trials"), registry, layers=settings.layers_folder, keep_bytes=settings.layers_bytes
    )
    return ImportChecks(trial, index, enabled=settings.import_checks)


def _defaults(settings: BuilderSettings) -> Defaults:
    has_engine = _has_engine if settings.machines_are_here else lambda: True
    return Defaults(settings.default_python, settings.default_runtime, has_engine)


def _has_engine() -> bool:
    return discover(os.environ) is not None


def _registry(settings: BuilderSettings, folder: Path) -> tuple[Registry, str | None, Repositories]:
    if settings.registry_url is None:
        return FolderRegistry(_made(folder / "registry")), None, Repositories()
    parts = urlsplit(settings.registry_url)
    credentials = None
    if settings.registry_username and settings.registry_password:
        credentials = Credentials(settings.registry_username, settings.registry_password.get_secret_value())
    registry = HttpRegistry(f"{parts.scheme}://{parts.netloc}", credentials)
    return registry, parts.netloc, Repositories(parts.path.strip("/"))


def _bases(
    settings: BuilderSettings,
    registry: Registry,
    index: PostgresIndex,
    host: str | None,
    repositories: Repositories,
) -> RegistryBases:
    catalogue = {
        python: CatalogueEntry(base.reference, base.python, base.glibc)
        for python, base in settings.bases.items()
    }
    return RegistryBases(
        registry,
        index,
        catalogue,
        fallback=settings.fallback_base,
        ours=host,
        repositories=repositories,
        elsewhere=_elsewhere,
    )


def _elsewhere(host: str) -> Registry:
    name = host.partition(":")[0]
    if host == "docker.io":
        host = "registry-1.docker.io"
    scheme = "http" if name in {"localhost", "127.0.0.1"} else "https"
    return HttpRegistry(f"{scheme}://{host}")


def _readers(tokens: WorkerTokens, repositories: Repositories) -> distribution.MayRead:
    def may_read(password: str, repository: str) -> bool:
        try:
            owner = tokens.verify_attempt(password).owner
        except TokenRefused:
            return _is_machine(tokens, password) and repositories.is_base(repository)
        return repositories.readable(repository, owner)

    return may_read


def _is_machine(tokens: WorkerTokens, password: str) -> bool:
    try:
        tokens.verify_machine(password)
    except TokenRefused:
        return False
    return True


def _glibc_here() -> tuple[int, int]:
    """A run without a base image meets this machine's."""
    try:
        words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = words[-1].split(".")[:2]
        return int(major), int(minor)
    except (OSError, ValueError, IndexError):
        return 2, 28


def _known(index: PostgresIndex) -> Callable[[str], Known | None]:
    """Layers of bases, asked for by the threads that store images."""
    loop = asyncio.get_running_loop()

    def known(diff_id: str) -> Known | None:
        layer = asyncio.run_coroutine_threadsafe(index.base_layer(diff_id), loop).result(_ANSWER_S)
        if layer is None or layer.repository is None:
            return None
        return Known(layer.descriptor(), layer.repository)

    return known


def _sweep(folder: Path, registry: Registry) -> None:
    tidy(folder / name for name in ("work", "trials", "built"))
    if isinstance(registry, FolderRegistry):
        registry.sweep()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _find_uv() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())
