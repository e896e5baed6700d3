"""Wheels on this disk, by the SHA-256 of what was locked: fetched once, verified, built where need be."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

from cynthus.builder.adapters.downloads import Downloads, Fetched
from cynthus.builder.adapters.index_access import login_for
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target
from cynthus.planning.document import Index

Progress = Callable[[LockedPackage, int], None]
"""Called with a package and the bytes of it that came just now."""

_STALE_S = 6 * 3600


class WheelBuilder(Protocol):
    """Makes a wheel of a source; `archive` is None for a git commit or a folder."""

    async def wheel(self, package: LockedPackage, archive: Path | None, target: Target) -> Path:
        """The wheel's file. Raises LockRefused, ResolverUnavailable."""
        ...


class Wheelhouse:
    """The Wheels port: a folder that several processes may share."""

    def __init__(
        self,
        folder: Path,
        builder: WheelBuilder | None = None,
        *,
        concurrency: int = 8,
        downloads: Downloads | None = None,
    ) -> None:
        self._folder = folder
        self._builder = builder
        self._places = asyncio.Semaphore(concurrency)
        self._downloads = downloads or Downloads()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def fetch(
        self,
        packages: Sequence[LockedPackage],
        target: Target,
        indexes: Sequence[Index],
        secrets: Mapping[str, str],
        owner: str = "",
        *,
        progress: Progress | None = None,
    ) -> Mapping[str, Path]:
        """Wheel files by the packages' SHA-256. Raises LockRefused, ResolverUnavailable."""
        wanted = {package.sha256: (package, self._place(package, owner)) for package in packages}
        away = any(package.url.startswith("http") and not _has(place) for package, place in wanted.values())
        session: AbstractAsyncContextManager[object] = self._downloads.session() if away else nullcontext()
        try:
            async with session, asyncio.TaskGroup() as group:
                tasks = {
                    digest: group.create_task(
                        self._wheel(package, place, target, indexes, secrets, progress=progress)
                    )
                    for digest, (package, place) in wanted.items()
                }
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return {digest: task.result() for digest, task in tasks.items()}

    async def _wheel(
        self,
        package: LockedPackage,
        place: Path,
        target: Target,
        indexes: Sequence[Index],
        secrets: Mapping[str, str],
        *,
        progress: Progress | None,
    ) -> Path:
        turn = self._turns.setdefault(str(place), asyncio.Lock())
        async with turn:
            archive = None
            if not package.is_git and not await asyncio.to_thread(_is_folder, package):
                login = login_for(package.url, package.index, indexes, secrets)
                async with self._places:
                    archive = await self._file(package, place, login, progress)
            if package.is_wheel:
                assert archive is not None
                return archive
        if self._builder is None:
            raise LockRefused(
                "source_build_off",
                f"{package.name} {package.version} has no wheel, and nothing is built from source here.",
                f"Require a version of {package.name} that has a wheel for {target.words()}.",
            )
        return await self._builder.wheel(package, archive, target)

    async def _file(
        self,
        package: LockedPackage,
        place: Path,
        login: tuple[str, str] | None,
        progress: Progress | None,
    ) -> Path:
        if _has(place):
            return place
        part = place.with_name(f".{os.getpid()}-{time.monotonic_ns()}.part")
        with _room(place.parent):
            await asyncio.to_thread(_prepare, place.parent)
            try:
                fetched = await self._bytes(package, part, login, progress)
                _verify(package, fetched)
                await asyncio.to_thread(_keep, part, place)
            finally:
                part.unlink(missing_ok=True)
        return place

    async def _bytes(
        self,
        package: LockedPackage,
        part: Path,
        login: tuple[str, str] | None,
        progress: Progress | None,
    ) -> Fetched:
        def tell(size: int) -> None:
            if progress is not None:
                progress(package, size)

        parts = urlsplit(package.url)
        if parts.scheme == "file":
            return await self._downloads.copy(Path(unquote(parts.path)), part, package.filename)
        if parts.scheme not in {"http", "https"}:
            raise LockRefused(
                "source_unsupported",
                f"{package.filename} lies at an address that cannot be fetched here ({parts.scheme}://).",
                "Take the package from a package index.",
            )
        fetched = await self._downloads.fetch(package, part, login, tell)
        if fetched.sha256 != package.sha256:  # damaged on the way, perhaps: once more from the beginning
            fetched = await self._downloads.fetch(package, part, login, tell)
        return fetched

    def _place(self, package: LockedPackage, owner: str) -> Path:
        """What a private index gave to one owner is given to nobody else."""
        folder = self._folder
        if package.private:
            folder = folder / "private" / sha256(owner.encode()).hexdigest()
        return folder / package.sha256[:2] / package.sha256 / package.filename


def _has(place: Path) -> bool:
    return place.is_file()


def _is_folder(package: LockedPackage) -> bool:
    parts = urlsplit(package.url)
    return parts.scheme == "file" and Path(unquote(parts.path)).is_dir()


def _verify(package: LockedPackage, fetched: Fetched) -> None:
    if fetched.sha256 == package.sha256 and package.size in {None, fetched.size}:
        return
    raise LockRefused(
        "hash_mismatch",
        f"{package.filename} is not the file that was locked.",
        "Somebody changed the file in the index, or the network did: check the index, then lock again.",
        (
            f"locked: sha256:{package.sha256}, {package.size} bytes",
            f"found: sha256:{fetched.sha256}, {fetched.size} bytes",
        ),
    )


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(".*.part"):  # left by a process that was killed
        with suppress(OSError):
            if part.stat().st_mtime < time.time() - _STALE_S:
                part.unlink()


def _keep(part: Path, place: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(place)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise LockRefused(
            "storage_full",
            "There is no room left on the builder's disk for packages.",
            "The platform's operator frees space, or gives the builder's folder a larger disk.",
            (f"{folder.anchor}: {error.strerror}",),
        ) from error


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
