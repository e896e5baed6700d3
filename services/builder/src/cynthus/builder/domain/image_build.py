"""The build of a project's own Dockerfile: its limits, its result, its refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.image import Layer


class BuildRefused(Exception):
    """No image came of it: `code` is stable, `evidence` is the end of the build's own words."""

    def __init__(
        self, code: str, message: str, fix: str, evidence: tuple[str, ...] = (), *, transient: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.evidence = evidence
        self.transient = transient


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What one build may use; `image_bytes` counts the unpacked layers, the base among them."""

    seconds: float = 1800.0
    memory_bytes: int | None = 4 << 30
    image_bytes: int = 20 << 30
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class DockerfileImage:
    """An image in the registry. `bases` are name@sha256:..., `size` is the bytes of its layers as stored.

    `command` is what starts: the entry point and its arguments; `notes` are for people; `components` are the
    packages that its own files tell of.
    """

    digest: str
    size: int
    workdir: str
    user: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    builder: str = ""
    notes: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    components: tuple[Component, ...] = ()
