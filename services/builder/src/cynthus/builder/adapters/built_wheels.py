"""What came out of a build: the one wheel that fits the target, or a cause with a fix."""

import re
import zipfile
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from cynthus.builder.adapters.build_sandbox import Ended
from cynthus.builder.adapters.uv_program import Scrubber
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target
from cynthus.builder.domain.tags import rank

_NO_COMPILER = re.compile(
    r"(?:command|execute) '?[\w-]*(?:gcc|g\+\+|cc|clang)'?(?: failed)?: No such file"
    r"|unable to execute '?[\w-]*(?:gcc|g\+\+|cc|clang)|Unknown compiler\(s\)"
    r"|No such file or directory: '[\w-]*(?:gcc|g\+\+|cc|clang|gfortran|cargo|rustc)'"
    r"|No CMAKE_\w+_COMPILER could be found"
    r"|Python\.h: No such file|can't find Rust compiler|Rust(?: toolchain)? (?:not found|is not installed)"
    r"|cargo.{0,40}(?:not found|No such file)|No Fortran compiler",
    re.IGNORECASE,
)
_NO_NETWORK = re.compile(
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
)
_NO_MEMORY = re.compile(
    r"MemoryError|cannot allocate memory|virtual memory exhausted|out of memory", re.IGNORECASE
)
_GLIBC = re.compile(rb"GLIBC_2\.(\d{1,3})")
_SHOWN = 20
_PIECE = 1 << 20


def failure(package: LockedPackage, target: Target, ended: Ended, work: str) -> LockRefused:
    """Why a build gave nothing."""
    name = f"{package.name} {package.version}".strip()
    lines = [line.rstrip() for line in Scrubber().clean(ended.output).replace(work, "/build").splitlines()]
    evidence = tuple(line[:300] for line in lines if line)[-_SHOWN:]
    elsewhere = f"Require a version of {package.name} that has a wheel for {target.words()}"
    if ended.broken == "time":
        return LockRefused(
            "source_build_failed",
            f"Building {name} took too long and was stopped.",
            f"{elsewhere}.",
            evidence,
        )
    if ended.broken == "disk":
        return LockRefused(
            "source_build_failed",
            f"Building {name} used too much disk and was stopped.",
            f"{elsewhere}.",
            evidence,
        )
    if _NO_COMPILER.search(ended.output):
        return LockRefused(
            "compiler_missing",
            f"{name} has no wheel and must be compiled, and the builder has no compiler for it.",
            f"{elsewhere}, or have a compiler (gcc, Python's headers) installed on the builder.",
            evidence,
        )
    why = ""
    if _NO_NETWORK.search(ended.output):
        why = " It wanted the network, which builds do not have."
    elif _NO_MEMORY.search(ended.output):
        why = " It ran out of memory."
    return LockRefused(
        "source_build_failed",
        f"{name} has no wheel, and building it from source failed.{why}",
        f"{elsewhere}.",
        evidence,
    )


def fitting(folder: Path, filename: str, package: LockedPackage, target: Target) -> Path:
    """The wheel that the build names, if it is one for the target. Blocking. Raises LockRefused."""
    wheel = folder / filename
    if Path(filename).name != filename or not wheel.is_file() or wheel.is_symlink():
        raise _unfit(package, target, "no wheel came out")
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise _unfit(package, target, f"{filename} is no name of a wheel") from error
    if name != canonicalize_name(package.name):
        raise _unfit(package, target, f"{filename} came out")
    if package.version not in {"", "0", str(version)} and package.version != filename.split("-")[1]:
        raise _unfit(package, target, f"version {version} came out")
    if rank(filename, target) is None:
        raise _unfit(package, target, f"{filename} came out")
    if any(tag.platform != "any" for tag in tags) and (newest := _glibc(wheel)) > target.glibc[1]:
        raise _unfit(package, target, f"what came out needs glibc 2.{newest}")
    return wheel


def _glibc(wheel: Path) -> int:
    """The newest minor of glibc that anything in the wheel asks for."""
    newest = 0
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if ".so" not in entry.filename:
                    continue
                with archive.open(entry) as file:
                    last = b""
                    while piece := file.read(_PIECE):
                        found = _GLIBC.findall(last + piece)
                        newest = max([newest, *(int(minor) for minor in found)])
                        last = piece[-16:]
    except (zipfile.BadZipFile, OSError):
        return newest
    return newest


def _unfit(package: LockedPackage, target: Target, why: str) -> LockRefused:
    return LockRefused(
        "source_build_failed",
        f"{package.name} {package.version} was built from source, but {why}.",
        f"Require a version of {package.name} that has a wheel for {target.words()}.",
    )
