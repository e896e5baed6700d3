"""Whether what was built can run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cynthus.builder.domain.image import Layer
from cynthus.builder.domain.image_build import BuildRefused


class NoContainerEngine(Exception):
    """The run needs a container and the machine has no engine; says what needs it."""

    fix = "Install Docker or Podman on this machine and start it, or remove what needs a container."


class ImportsFailed(BuildRefused):
    """A module that the code imports cannot be imported in the image."""


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A module that cannot be imported, why, and the line to add to the project; `evidence` is Python's."""

    module: str
    why: str
    fix: str
    evidence: tuple[str, ...] = ()


class ImportTrial(Protocol):
    """Imports modules in an environment made of layers, with no network."""

    async def try_imports(
        self, repository: str, layers: Sequence[Layer], python: str, modules: Sequence[str]
    ) -> tuple[ImportProblem, ...] | None:
        """What cannot be imported; None when it could not be tried here."""
        ...
