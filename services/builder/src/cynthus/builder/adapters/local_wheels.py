"""Wheels in the folders that the operator gives: what they are, and how large."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from cynthus.builder.domain.lock import LockedPackage, Target
from cynthus.builder.domain.tags import rank


def local_builds(find_links: Iterable[str], backend: str, target: Target) -> list[str]:
    """Pins of the builds for one backend (`+cpu`, `+cu130`) that fit the target, the newest of each."""
    newest: dict[str, Version] = {}
    for wheel in _wheels(find_links):
        try:
            name, version, _, _ = parse_wheel_filename(wheel)
        except InvalidWheelFilename:
            continue
        fits = version.local == backend and rank(wheel, target) is not None
        if fits and (name not in newest or newest[name] < version):
            newest[name] = version
    return [f"{name}=={version}" for name, version in sorted(newest.items())]


def sized(package: LockedPackage) -> LockedPackage:
    """Files of this machine have no size in the lock. Blocking."""
    if package.size is None and package.url.startswith("file:"):
        path = Path(unquote(urlsplit(package.url).path))
        if path.is_file():
            return replace(package, size=path.stat().st_size)
    return package


def _wheels(find_links: Iterable[str]) -> list[str]:
    folders = [
        Path(unquote(urlsplit(one).path)) for one in find_links if urlsplit(one).scheme in {"", "file"}
    ]
    return [path.name for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.whl"))]
