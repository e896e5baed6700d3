"""What an environment is made of: one artifact per package, chosen for one kind of machine."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Self

from cynthus.planning.document import Plan, canonical

_ALGORITHM = "sha256"
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class LockRefused(Exception):
    """The requirements have no solution: `code` is stable, `evidence` is the resolver's own explanation."""

    def __init__(self, code: str, message: str, fix: str, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that packages must fit: Python minor, OCI platform, glibc."""

    python: str = "3.11"
    platform: str = "linux/amd64"
    glibc: tuple[int, int] = (2, 36)

    @property
    def machine(self) -> str:
        """As wheels write it: x86_64."""
        architecture = self.platform.partition("/")[2]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)

    def words(self) -> str:
        """For people: Python 3.11 on linux/amd64 (glibc 2.36)."""
        return f"Python {self.python} on {self.platform} (glibc {self.glibc[0]}.{self.glibc[1]})"


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package: a wheel, or the source that one is built from (`url` then may be git+https://…@commit).

    `sha256` is of the file; for a git commit, of its address. `size` in bytes. `index` names the private
    index it came from; None for what everybody can have.
    """

    name: str
    version: str
    filename: str
    url: str
    sha256: str
    size: int | None = None
    index: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it can be unpacked as it is."""
        return self.filename.endswith(".whl")

    @property
    def is_git(self) -> bool:
        """Whether it is a commit and not a file."""
        return self.url.startswith("git+")

    @property
    def private(self) -> bool:
        """Whether it must not get into anything shared."""
        return self.index is not None

    def line(self) -> str:
        """The line of a requirements file."""
        if self.is_git:
            return f"{self.name} @ {self.url}"
        return f"{self.name}=={self.version} --hash={_ALGORITHM}:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Lock:
    """A resolved environment. `text` is it as pylock.toml; `min_driver` is NVIDIA's, as "580.65.06"."""

    text: str
    packages: tuple[LockedPackage, ...] = ()
    backend: str | None = None
    min_driver: str | None = None
    notes: tuple[str, ...] = field(default=())

    def requirements(self) -> str:
        """Pinned lines with hashes, for people and for uv."""
        return "".join(f"{package.line()}\n" for package in self.packages)

    def to_json(self) -> str:
        """Everything, canonical."""
        packages = [[getattr(one, name) for name in LockedPackage.__slots__] for one in self.packages]
        return canonical(
            {
                "text": self.text,
                "packages": packages,
                "backend": self.backend,
                "min_driver": self.min_driver,
                "notes": list(self.notes),
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        packages = tuple(LockedPackage(*one) for one in values["packages"])
        return cls(values["text"], packages, values["backend"], values["min_driver"], tuple(values["notes"]))


def lock_key(plan: Plan, target: Target, backend: str | None, owner: str = "") -> str:
    """Names what a lock is resolved from: equal keys, equal needs. What indexes say is the owner's alone."""
    parts = {
        "owner": owner if plan.indexes else "",
        "format": 2,
        "requirements": sorted({requirement.line() for requirement in plan.requirements}),
        "additions": sorted({requirement.line() for requirement in plan.additions()}),
        "constraints": sorted(set(plan.constraints)),
        "locked": plan.locked,
        "indexes": [[index.name, index.url] for index in plan.indexes],
        "python": target.python,
        "platform": target.platform,
        "glibc": list(target.glibc),
        "backend": backend,
    }
    return f"{_ALGORITHM}:{hashlib.sha256(canonical(parts).encode()).hexdigest()}"


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 in hex."""
    return _DIGEST.match(text) is not None
