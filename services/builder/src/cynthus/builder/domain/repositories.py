"""Where in the registry things go."""

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
        return self._below(f"u/{repository_name(owner, project)}")

    def readable(self, repository: str, owner: str) -> bool:
        """Whether an owner may read a repository: his own, and the bases. Shared layers come with his images."""
        own = self._below(f"u/{repository_name(owner)}/")
        return repository.startswith((own, self._below("bases/")))

    def _below(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path
