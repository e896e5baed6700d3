"""Where packages come from: locks, wheels, system packages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.lock import Lock, LockedPackage, Target
from cynthus.planning.document import Index as PackageIndex
from cynthus.planning.document import Plan
from cynthus.planning.tree import SourceTree


class ResolverUnavailable(Exception):
    """The package index cannot be reached now."""

    def __init__(
        self,
        why: str,
        *,
        message: str = "The package index cannot be reached.",
        fix: str = "Check the network; the run can be repeated with `cynthus rerun`.",
    ) -> None:
        super().__init__(why)
        self.message = message
        self.fix = fix


class Resolver(Protocol):
    """Turns a plan's requirements into a lock."""

    async def resolve(
        self, plan: Plan, tree: SourceTree, target: Target, secrets: Mapping[str, str], owner: str = ""
    ) -> Lock:
        """`secrets` by name, for private indexes of `owner`. Raises LockRefused, ResolverUnavailable."""
        ...

    def backend(self, plan: Plan) -> str | None:
        """What torch's wheels are chosen for: "cpu", "cu130"; None where the index decides."""
        ...


class Wheels(Protocol):
    """Wheels of locked packages, on disk."""

    async def fetch(
        self,
        packages: Sequence[LockedPackage],
        target: Target,
        indexes: Sequence[PackageIndex],
        secrets: Mapping[str, str],
        owner: str = "",
    ) -> Mapping[str, Path]:
        """Wheel files by the SHA-256 of what was locked; source distributions are built first.

        `indexes` are the plan's, `secrets` what opens them, by name; what comes from them is kept for `owner`
        alone. Raises LockRefused, ResolverUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class SystemLayer:
    """The layer, None when the base has everything; `installed` is name=version of each package in it.

    `notes` are for people: what the packages would have run when installed.
    """

    layer: Layer | None
    installed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class SystemPackages(Protocol):
    """Debian packages as one layer on a base."""

    async def layer(self, packages: Sequence[str], base: Base, repository: str) -> SystemLayer:
        """The layer, in `repository`. Raises BuildRefused, ResolverUnavailable."""
        ...
