"""pylock.toml (PEP 751): read, with one artifact chosen per package, and written."""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.utils import canonicalize_name

from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target, is_digest
from cynthus.builder.domain.tags import platforms_of, rank

_VERSION = "1."
_SHOWN = 8


def parse_pylock(
    text: str, target: Target, indexes: Mapping[str, str] | None = None
) -> tuple[LockedPackage, ...]:
    """The packages that the target needs, by name, each with its best artifact.

    `indexes` names private ones by URL. Packages that are folders of the project are left out. Raises
    LockRefused.
    """
    names = {url.rstrip("/"): name for url, name in (indexes or {}).items()}
    chosen: dict[str, LockedPackage] = {}
    for entry in _document(text):
        if not _applies(entry, target) or isinstance(entry.get("directory"), dict):
            continue
        package = _package(entry, target, names)
        if package.name in chosen and chosen[package.name] != package:
            raise _broken(f"{package.name} is in it twice")
        chosen[package.name] = package
    return tuple(chosen[name] for name in sorted(chosen))


def folders(text: str) -> tuple[tuple[str, str], ...]:
    """Packages that are folders: name and path."""
    found = [
        (_text(entry, "name"), str(entry["directory"].get("path", "")))
        for entry in _document(text)
        if isinstance(entry.get("directory"), dict)
    ]
    return tuple(sorted(found))


def write_pylock(packages: Iterable[LockedPackage], target: Target) -> str:
    """The lock as a file other tools read; equal packages give equal bytes."""
    blocks = [
        f'lock-version = "1.0"\ncreated-by = "cynthus"\nrequires-python = {_quoted(f"=={target.python}.*")}\n'
    ]
    for package in sorted(packages, key=lambda one: one.name):
        lines = [
            "[[packages]]",
            f"name = {_quoted(package.name)}",
            f"version = {_quoted(package.version)}",
            _artifact(package),
        ]
        if package.index is not None:
            lines.append(f"[packages.tool.cynthus]\nindex = {_quoted(package.index)}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _artifact(package: LockedPackage) -> str:
    if package.is_git:
        url, commit, folder = _git_parts(package.url)
        tail = f", subdirectory = {_quoted(folder)}" if folder else ""
        return f'vcs = {{ type = "git", url = {_quoted(url)}, commit-id = {_quoted(commit)}{tail} }}'
    size = f", size = {package.size}" if package.size is not None else ""
    table = (
        f"{{ name = {_quoted(package.filename)}, url = {_quoted(package.url)}{size},"
        f" hashes = {{ sha256 = {_quoted(package.sha256)} }} }}"
    )
    return f"wheels = [{table}]" if package.is_wheel else f"sdist = {table}"


def _document(text: str) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _broken(f"it is not TOML: {error}") from error
    version = document.get("lock-version")
    if not isinstance(version, str) or not version.startswith(_VERSION):
        raise _broken(f"its version is {version!r} and not 1.0")
    entries = document.get("packages", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _broken("its packages are not a list of tables")
    return entries


def _applies(entry: Mapping[str, Any], target: Target) -> bool:
    marker = entry.get("marker")
    if marker is None:
        return True
    try:
        return Marker(str(marker)).evaluate({"extra": "", **_environment(target)})
    except (InvalidMarker, UndefinedEnvironmentName) as error:
        raise _broken(f"the condition {str(marker)!r} cannot be read") from error


def _environment(target: Target) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }


def _package(entry: Mapping[str, Any], target: Target, names: Mapping[str, str]) -> LockedPackage:
    name = canonicalize_name(_text(entry, "name"))
    version = _text(entry, "version") if "version" in entry else ""
    index = _index(entry, names)
    if isinstance(entry.get("vcs"), dict):
        return _from_git(name, version, entry["vcs"])
    wheels = [_file(name, version, wheel, index) for wheel in _tables(entry, "wheels")]
    fitting = [(place, wheel.filename, wheel) for wheel in wheels if (place := rank(wheel.filename, target))]
    if fitting:
        return min(fitting)[2]
    for kind in ("sdist", "archive"):
        if isinstance(source := entry.get(kind), dict):
            return _fitting_archive(_file(name, version, source, index), target)
    raise wheel_missing(name, version, target, [wheel.filename for wheel in wheels])


def _index(entry: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    tool = entry.get("tool")
    ours = tool.get("cynthus") if isinstance(tool, dict) else None
    if isinstance(ours, dict) and isinstance(ours.get("index"), str):
        return str(ours["index"])
    return names.get(str(entry.get("index", "")).rstrip("/"))


def _fitting_archive(package: LockedPackage, target: Target) -> LockedPackage:
    if package.is_wheel and rank(package.filename, target) is None:
        raise wheel_missing(package.name, package.version, target, [package.filename])
    return package


def _from_git(name: str, version: str, vcs: Mapping[str, Any]) -> LockedPackage:
    if _text(vcs, "type") != "git":
        raise LockRefused(
            "source_unsupported",
            f"{name} comes from a {_text(vcs, 'type')} repository, which cannot be built here.",
            f"Use a git repository or a published version of {name}.",
        )
    commit, folder = _text(vcs, "commit-id"), str(vcs.get("subdirectory", ""))
    address = f"git+{_text(vcs, 'url').removeprefix('git+')}@{commit}" + (
        f"#subdirectory={folder}" if folder else ""
    )
    digest = hashlib.sha256(address.encode()).hexdigest()
    return LockedPackage(name, version, f"{name}-{version or '0'}-{commit[:12]}.git", address, digest)


def _git_parts(address: str) -> tuple[str, str, str]:
    bare, _, fragment = address.removeprefix("git+").partition("#")
    url, _, commit = bare.rpartition("@")
    return url, commit, fragment.removeprefix("subdirectory=")


def git_parts(package: LockedPackage) -> tuple[str, str, str]:
    """Repository, commit and folder in it of a git package."""
    return _git_parts(package.url)


def _file(name: str, version: str, table: Mapping[str, Any], index: str | None) -> LockedPackage:
    url = table.get("url")
    if not isinstance(url, str) or not url or not url.isprintable():
        raise _broken(f"an artifact of {name} has no address")
    filename = table.get("name") or unquote(urlsplit(url).path).rpartition("/")[2]
    hashes = table.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    size = table.get("size")
    if (
        not isinstance(filename, str)
        or not filename
        or "/" in filename
        or filename in {".", ".."}
        or not filename.isprintable()
    ):
        raise _broken(f"an artifact of {name} has no file name")
    if not isinstance(digest, str) or not is_digest(digest):
        raise LockRefused(
            "hash_missing",
            f"The index gives no SHA-256 for {filename}.",
            "Use an index that publishes hashes, or take the package from another one.",
        )
    return LockedPackage(
        name,
        version,
        filename,
        url,
        digest,
        size if isinstance(size, int) and size >= 0 else None,
        index,
    )


def wheel_missing(name: str, version: str, target: Target, filenames: Iterable[str]) -> LockRefused:
    """Nothing of a package can run on the target, and there is no source to build."""
    has = sorted({platform for filename in filenames for platform in platforms_of(filename)})
    return no_wheel(f"{name} {version}".strip(), target, has)


def no_wheel(package: str, target: Target, platforms: Iterable[str]) -> LockRefused:
    """The same, from the platforms' names."""
    has = list(platforms)
    shown = ", ".join(has[:_SHOWN]) + (", …" if len(has) > _SHOWN else "")
    only = f" It has wheels for {shown}." if has else ""
    name = package.partition(" ")[0]
    return LockRefused(
        "wheel_missing",
        f"{package} has no wheel for {target.words()} and no source to build one from.{only}",
        f"Require another version of {name}, leave it out on Linux"
        f' ({name}; sys_platform != "linux"), or choose another Python version.',
    )


def _tables(entry: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    found = entry.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise _broken(f"{name} is not a list of tables")
    yield from found


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _broken(f"{name} is missing somewhere")
    return value


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _broken(why: str) -> LockRefused:
    return LockRefused(
        "lock_unreadable",
        f"The lock cannot be read: {why}.",
        "Make the lock again with the tool it came from.",
    )
