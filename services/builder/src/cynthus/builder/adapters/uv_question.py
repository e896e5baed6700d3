"""What is asked of uv: it grows while packages without wheels turn up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from cynthus.builder.adapters.wheel_metadata import Metadata, static_metadata
from cynthus.builder.domain.lock import LockedPackage, Target
from cynthus.planning.document import Plan

_GLIBCS = (17, 28, *range(31, 41))


@dataclass(slots=True)
class Question:
    """The requirements, and what is known by now.

    `sources` may come without wheels; `metadata` says what those need; `elsewhere` says for what other
    machines a package has wheels.
    """

    plan: Plan
    target: Target
    secrets: Mapping[str, str]
    folder: Path
    lines: Sequence[str]
    preferred: Sequence[str] = ()
    owner: str = ""
    sources: set[str] = field(default_factory=set)
    metadata: dict[str, list[Metadata]] = field(default_factory=dict)
    elsewhere: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


def allow(question: Question, names: Iterable[str], addressed: set[str]) -> None:
    """Take these from source; what they need is empty until it is known."""
    for name in names:
        question.sources.add(name)
        version = "0" if name in addressed else None
        question.metadata.setdefault(name, [Metadata(name, version, ())])


def known(question: Question, package: LockedPackage) -> bool:
    """Whether what a package from source needs is known."""
    if package.name not in question.sources:
        return True  # uv read it without running anything
    return any(one.version == package.version != "0" for one in question.metadata.get(package.name, ()))


def write(folder: Path, question: Question) -> None:
    """Lay out uv's input files."""
    (folder / "requirements.in").write_text("\n".join(question.lines) + "\n")
    (folder / "constraints.txt").write_text(
        "\n".join([*question.plan.constraints, *question.preferred]) + "\n"
    )
    entries = [one for name in sorted(question.metadata) for one in question.metadata[name]]
    (folder / "uv.toml").write_text(static_metadata(entries))


def platform_name(target: Target) -> str:
    """The newest platform that uv knows and the target has."""
    newest = max((minor for minor in _GLIBCS if (2, minor) <= target.glibc), default=_GLIBCS[0])
    return f"{target.machine}-manylinux_2_{newest}"


def origins_in(text: str) -> dict[str, str]:
    """Package name -> the index that uv names beneath it."""
    origins: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            name = str(canonicalize_name(line.partition("==")[0].partition(" ")[0].partition("[")[0]))
        elif (found := line.strip()).startswith("# from ") and name:
            origins[name] = found.removeprefix("# from ")
    return origins


def plain(url: str) -> str:
    """Without a password and a last slash, to be compared."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
