"""Which wheels fit a target, and which of them fits best."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename

_ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST = {"x86_64": 5, "aarch64": 17}


def fits(
    filename: str, python: str = "3.11", platform: str = "linux/amd64", glibc: tuple[int, int] = (2, 36)
) -> bool:
    """Whether this wheel can be installed there."""
    return best([filename], python, platform, glibc) is not None


def best(
    filenames: Iterable[str],
    python: str = "3.11",
    platform: str = "linux/amd64",
    glibc: tuple[int, int] = (2, 36),
) -> str | None:
    """Of one release's wheels the most specific that fits; of equals the highest build, then by name."""
    ranks = _ranks(python, platform, glibc)
    fitting: list[tuple[int, tuple[int, str], str]] = []
    for filename in filenames:
        try:
            _, _, build, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None:
            fitting.append((-rank, _number(build), filename))
    return max(fitting)[2] if fitting else None


def _number(build: BuildTag) -> tuple[int, str]:
    return (build[0], build[1]) if build else (-1, "")


@lru_cache(64)
def _ranks(python: str, platform: str, glibc: tuple[int, int]) -> dict[Tag, int]:
    version = tuple(int(part) for part in python.split("."))
    platforms = list(_platforms(platform, glibc))
    tags = [*cpython_tags(version, platforms=platforms)]
    interpreter = f"cp{version[0]}{version[1]}"
    tags += compatible_tags(version, interpreter=interpreter, platforms=platforms)
    return {tag: rank for rank, tag in reversed([*enumerate(tags)])}


def _platforms(platform: str, glibc: tuple[int, int]) -> Iterator[str]:
    architecture = _ARCHITECTURES[platform]
    major, newest = glibc
    for minor in range(newest, _OLDEST[architecture] - 1, -1):
        yield f"manylinux_{major}_{minor}_{architecture}"
        if minor in _OLD_NAMES:
            yield f"{_OLD_NAMES[minor]}_{architecture}"
    yield f"linux_{architecture}"
