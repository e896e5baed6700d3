"""Fetch a snapshot into a folder: resumes, checks every hash, deletes nothing."""

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from cynthus.cli.client.api import Api
from cynthus.cli.client.problems import Unreachable
from cynthus.cli.failure import Failure
from cynthus.cli.transfer.crew import carry
from cynthus.cli.transfer.progress import Progress
from cynthus.snapshots.frames import MAX_BLOB_BYTES, FramesInvalid, unpack
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry, ManifestInvalid, decode

_BATCH_FILES = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_READ = 1024 * 1024
_THREADS = 4
_TRIES = 3
_PARTIAL = ".cynthus-partial"


@dataclass(slots=True)
class Fetched:
    """What is in the folder now. `kept`: files of the user's that were in the way, under their new names."""

    files: int = 0
    bytes: int = 0
    already: int = 0
    kept: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def download(
    api: Api,
    digest: str,
    folder: Path,
    *,
    include: Sequence[str] = (),
    progress: Progress,
    tick: Callable[[], None] = lambda: None,
) -> Fetched:
    """Bring a snapshot's files (those matching `include`) into a folder. Raises Failure."""
    entries = [entry for entry in _entries(api, digest) if _wanted(entry.path, include)]
    fetched = Fetched()
    folder.mkdir(parents=True, exist_ok=True)
    to_fetch = [entry for entry in entries if _prepare(folder, entry, fetched, tick)]
    progress.expect(len(to_fetch), sum(entry.size for entry in to_fetch))
    carry(
        _tasks(to_fetch),
        lambda task: _fetch(api, folder, task, progress),
        threads=_THREADS,
        tick=tick,
    )
    for entry in entries:
        _link(folder, entry, fetched)
    fetched.files += len(to_fetch)
    fetched.bytes = progress.bytes
    return fetched


def _entries(api: Api, digest: str) -> list[Entry]:
    try:
        with api.connection.stream(f"/v1/snapshots/{digest}") as response:
            return list(decode(response))
    except ManifestInvalid as error:
        raise _damaged(f"the manifest {digest} is not valid: {error}") from error


def _wanted(path: str, include: Sequence[str]) -> bool:
    return not include or any(fnmatchcase(path, pattern) for pattern in include)


def _prepare(folder: Path, entry: Entry, fetched: Fetched, tick: Callable[[], None]) -> bool:
    """Make room for an entry; whether its bytes have to be fetched."""
    if entry.link is not None:
        return False
    path = _inside(folder, entry.path)
    if entry.folder:
        path.mkdir(parents=True, exist_ok=True)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        if _is_same(path, entry, tick):
            fetched.already += 1
            return False
        fetched.kept.append(_put_aside(path).name)
    return True


def _inside(folder: Path, path: str) -> Path:
    """Where an entry goes; never through a link that leads out of the folder."""
    target = folder / path
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise Failure(
            code="outputs_lead_outside",
            what=f"{target} would be written outside {folder}, through a link",
            fix="fetch into an empty folder: cynthus pull RUN --to DIR",
        )
    return target


def _is_same(path: Path, entry: Entry, tick: Callable[[], None]) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        for chunk in entry.chunks:
            hasher, left = hashlib.sha256(), CHUNK_BYTES
            while left > 0 and (content := file.read(min(_READ, left))):
                hasher.update(content)
                left -= len(content)
            if hasher.hexdigest() != chunk:
                return False
            tick()
    return True


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.kept-{number}")).exists():
        number += 1
    return path.rename(aside)


def _tasks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    yield from ([entry] for entry in entries if entry.size > MAX_BLOB_BYTES)
    batch: list[Entry] = []
    weight = 0
    for entry in entries:
        if entry.size > MAX_BLOB_BYTES:
            continue
        if batch and (len(batch) == _BATCH_FILES or weight + entry.size > _BATCH_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(entry)
        weight += entry.size
    if batch:
        yield batch


def _fetch(api: Api, folder: Path, entries: list[Entry], progress: Progress) -> None:
    if entries[0].size > MAX_BLOB_BYTES:
        _fetch_large(api, folder / entries[0].path, entries[0], progress)
        return
    wanted = sorted({chunk for entry in entries for chunk in entry.chunks})
    contents: dict[str, bytes] = {}
    if wanted:
        body = api.connection.request("POST", "/v1/blobs:get", body={"digests": wanted}).body
        try:
            contents = dict(unpack(body))
        except FramesInvalid as error:
            raise _damaged(str(error)) from error
    for entry in entries:
        path = folder / entry.path
        partial = path.with_name(path.name + _PARTIAL)
        try:
            partial.write_bytes(b"".join(contents[chunk] for chunk in entry.chunks))
        except KeyError as error:
            raise _damaged(f"the platform did not send all of {entry.path}") from error
        _finish(partial, path, entry)
        progress.add(1, entry.size)


def _fetch_large(api: Api, path: Path, entry: Entry, progress: Progress) -> None:
    """Chunk by chunk into a partial file: what an earlier try left there whole is not fetched again."""
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        for number, chunk in enumerate(entry.chunks):
            start = number * CHUNK_BYTES
            length = min(CHUNK_BYTES, entry.size - start)
            if _digest_at(file.fileno(), start, length) != chunk:
                _fetch_chunk_patiently(api, file.fileno(), start, chunk)
                if _digest_at(file.fileno(), start, length) != chunk:
                    raise _damaged(f"a part of {entry.path} does not match its digest")
            progress.add(0, length)
        file.truncate(entry.size)
    _finish(partial, path, entry)
    progress.add(1, 0)


def _fetch_chunk_patiently(api: Api, descriptor: int, start: int, chunk: str) -> None:
    for _ in range(_TRIES - 1):
        try:
            return _fetch_chunk(api, descriptor, start, chunk)
        except Unreachable:
            continue  # cut in the middle: the connection has its own patience for finding the platform
    return _fetch_chunk(api, descriptor, start, chunk)


def _fetch_chunk(api: Api, descriptor: int, start: int, chunk: str) -> None:
    with api.connection.stream(f"/v1/blobs/{chunk}") as response:
        offset = start
        while content := response.read(_READ):
            os.pwrite(descriptor, content, offset)
            offset += len(content)


def _digest_at(descriptor: int, start: int, length: int) -> str:
    hasher, offset = hashlib.sha256(), start
    while offset < start + length:
        content = os.pread(descriptor, min(_READ, start + length - offset), offset)
        if not content:
            return ""
        hasher.update(content)
        offset += len(content)
    return hasher.hexdigest()


def _finish(partial: Path, path: Path, entry: Entry) -> None:
    if entry.executable:
        partial.chmod(partial.stat().st_mode | 0o111)
    partial.replace(path)


def _link(folder: Path, entry: Entry, fetched: Fetched) -> None:
    if entry.link is None:
        return
    landed = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.link))
    if entry.link.startswith("/") or landed == ".." or landed.startswith("../"):
        fetched.left_out.append(f"{entry.path} (a link out of the folder)")
        return
    path = _inside(folder, entry.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and str(path.readlink()) == entry.link:
        return
    if path.is_symlink() or path.exists():
        fetched.kept.append(_put_aside(path).name)
    path.symlink_to(entry.link)


def _damaged(what: str) -> Failure:
    return Failure(
        code="content_damaged",
        what="what the platform sent is not what it should be",
        why=what,
        fix="run the same command again; what is whole is not fetched twice",
    )
