"""Builds of projects' own Dockerfiles."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from cynthus.builder.domain.image_build import BuildLimits, DockerfileImage
from cynthus.oci.ports import Registry
from cynthus.snapshots.manifest import Entry


class DockerfileBuilder(Protocol):
    """Builds a project's own Dockerfile."""

    async def build(
        self,
        context: Sequence[Entry],
        read: Callable[[Entry], Iterator[bytes]],
        dockerfile: str,
        *,
        repository: str,
        target: Registry,
        limits: BuildLimits,
        report: Callable[[str], None] | None = None,
    ) -> DockerfileImage:
        """The image, in `repository` of `target`. Raises BuildRefused, RegistryUnavailable."""
        ...
