"""Sources laid out in a folder: an archive, a commit, or a folder of this machine."""

import asyncio
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from cynthus.builder.adapters.uv_program import Scrubber
from cynthus.builder.domain.lock import LockedPackage, LockRefused
from cynthus.builder.domain.pylock import git_parts
from cynthus.builder.ports import ResolverUnavailable

_MOST_FILES = 200_000
_MOST_BYTES = 4 << 30
_GIT = (
    "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false",
    "-c", "gc.auto=0",
)  # fmt: skip
_PASSING = (
    "Could not resolve host",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "early EOF",
)


async def lay_out(package: LockedPackage, archive: Path | None, folder: Path, *, time_s: float) -> Path:
    """The folder that holds the project's pyproject.toml or setup.py. Raises LockRefused."""
    if package.is_git:
        return await _commit(package, folder, time_s)
    if archive is None:
        source = Path(unquote(urlsplit(package.url).path))
        await asyncio.to_thread(shutil.copytree, source, folder, symlinks=True, ignore=_version_control)
        return folder
    try:
        await asyncio.to_thread(_unpack, archive, folder)
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise _unusable(package, f"it cannot be unpacked ({type(error).__name__})") from error
    return await asyncio.to_thread(_root, package, folder)


def _version_control(_folder: str, names: list[str]) -> set[str]:
    return {".git", ".hg", ".venv", "__pycache__"} & set(names)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    if zipfile.is_zipfile(archive):
        _unzip(archive, folder)
        return
    files = total = 0
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            files, total = files + 1, total + member.size
            if files > _MOST_FILES or total > _MOST_BYTES:
                raise ValueError("too large")
            tar.extract(member, folder, filter="data")


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        entries = packed.infolist()
        if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
            raise ValueError("too large")
        for entry in entries:
            path = PurePosixPath(entry.filename)
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
                raise ValueError("a path leads out")
            packed.extract(entry, folder)


def _root(package: LockedPackage, folder: Path) -> Path:
    for found in (
        folder,
        *sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()),
    ):
        if (found / "pyproject.toml").is_file() or (found / "setup.py").is_file():
            return found
    raise _unusable(package, "it has neither pyproject.toml nor setup.py")


async def _commit(package: LockedPackage, folder: Path, time_s: float) -> Path:
    url, commit, inner = git_parts(package)
    await asyncio.to_thread(folder.mkdir)
    await _git(package, folder, time_s, "init", "--quiet", ".")
    try:
        await _git(package, folder, time_s, "fetch", "--quiet", "--depth", "1", "--no-tags", url, commit)
    except LockRefused:  # the server gives no single commits
        await _git(package, folder, time_s, "fetch", "--quiet", url, "+refs/*:refs/remotes/origin/*")
    await _git(package, folder, time_s, "checkout", "--quiet", "--detach", commit)
    if (folder / ".gitmodules").is_file():
        await _git(
            package, folder, time_s, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"
        )
    if ".." in PurePosixPath(inner).parts or inner.startswith("/"):
        raise _unusable(package, f"the folder {inner} leads out of the repository")
    return await asyncio.to_thread(_root, package, folder / inner)


async def _git(package: LockedPackage, folder: Path, time_s: float, *arguments: str) -> None:
    variables = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
        if name in os.environ
    }
    variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    process = await asyncio.create_subprocess_exec(
        "git", *_GIT, *arguments, cwd=folder, env=variables, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), time_s)
    except TimeoutError as error:
        raise ResolverUnavailable(f"git gave no answer for {package.name} in {time_s:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return
    words = Scrubber().clean(errors.decode(errors="replace"))
    if any(sign in words for sign in _PASSING):
        raise ResolverUnavailable(words.strip().splitlines()[-1])
    raise LockRefused(
        "source_unreadable",
        f"The repository of {package.name} cannot be read.",
        "Check its address and that it can be read without a password; commits must still be there.",
        tuple(words.strip().splitlines()[-10:]),
    )


def _unusable(package: LockedPackage, why: str) -> LockRefused:
    return LockRefused(
        "source_unreadable",
        f"The source of {package.name} {package.version} cannot be built: {why}.",
        f"Require a version of {package.name} that has a wheel.",
    )
