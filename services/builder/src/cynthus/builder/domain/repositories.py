"""Where in the registry things go."""

import hashlib
from dataclasses import dataclass

from cynthus.oci.reference import repository_name


@dataclass(frozen=True, slots=True)
class Repositories:
    """Names of repositories; `prefix` is a path or empty."""

    prefix: str = ""

    @property
    def deps(self) -> str:
        """Layers of public wheels, shared by all."""
        return self._below("deps")

    def base(self, repository: str) -> str:
        """A copy of a base image from elsewhere."""
        return self._below(f"bases/{repository}")

    def project(self, owner: str, project: str) -> str:
        """An owner's images of one project, and what is his alone."""
        return self._below(f"u/{_own(owner)}/{repository_name(project)}")

    def readable(self, repository: str, owner: str) -> bool:
        """Whether an owner may read a repository: his own, and bases. Shared layers come with his images."""
        own = self._below(f"u/{_own(owner)}/")
        return repository.startswith(own) or self.is_base(repository)

    def is_base(self, repository: str) -> bool:
        """Whether it is a base image, which anybody's machine may fetch ahead."""
        return repository.startswith(self._below("bases/"))

    def _below(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path


def _own(owner: str) -> str:
    """Never the same for two owners, whatever had to be replaced."""
    name = repository_name(owner)
    return name if name == owner else f"{name}-{hashlib.sha256(owner.encode()).hexdigest()[:12]}"
