"""Facts about what a run is made of: projects, images, datasets."""

from typing import ClassVar

from pydantic import Field

from cynthus.events.event import Event
from cynthus.events.run import Cause, Part, RunEvent


class ProjectUploaded(Event):
    """Gateway: a snapshot of a project's files is complete and readable."""

    kind: ClassVar[str] = "project.uploaded"
    owner: str
    project: str
    snapshot: str
    files: int
    bytes: int

    @property
    def subject(self) -> str:
        """`projects/<project>`."""
        return f"projects/{self.project}"


class Image(Part):
    """What a worker needs to run the code: by digests, never by names that can move.

    `kind` is `oci` (packed here) or `dockerfile` (the project's own); `environment` in facts from before
    images were packed, which nothing can run any more. `digest` is the complete image's manifest in
    `repository`, a path without a host; `environment` is the same image without the source layer, which is
    laid out on the machine from the snapshot `source`.
    """

    kind: str = "oci"
    digest: str
    source: str
    lock: str
    python: str
    command: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)
    python_path: tuple[str, ...] = ()
    outputs: str = "outputs"
    checkpoint: str | None = None
    reference: str | None = None
    runtime: str = "process"
    """`process` or `container`: what the run needs, or was asked for."""
    repository: str | None = None
    environment: str | None = None
    platform: str = "linux/amd64"
    base: str | None = None
    """The base image, pinned by digest; None when the image has none and runs as a process only."""
    workdir: str = "/app"
    size: int = 0
    """Bytes of all layers, as they are moved."""
    min_driver: str | None = None
    """The oldest NVIDIA driver that can run it, such as `580.65.06`."""


class BuildStarted(RunEvent):
    """Builder: nobody built this before, so it is being worked out; `key` names what is built."""

    kind: ClassVar[str] = "build.started"
    key: str


class ImageBuilt(RunEvent):
    """Builder: the code of a run is ready to start."""

    kind: ClassVar[str] = "image.built"
    image: Image
    packages: int = 0
    cached: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    phases_ms: dict[str, float] = Field(default_factory=dict)


class BuildFailed(RunEvent):
    """Builder: the code of a run cannot be made ready, and trying again would not help unless `transient`."""

    kind: ClassVar[str] = "build.failed"
    cause: Cause
    transient: bool = False


class Dataset(Part):
    """Data pinned to a manifest: the digest of a snapshot and where it appears in the project."""

    source: str
    mount: str
    manifest: str
    files: int
    bytes: int


class DatasetReady(RunEvent):
    """Datasets: every dataset of a run is pinned and readable."""

    kind: ClassVar[str] = "dataset.ready"
    datasets: tuple[Dataset, ...] = ()


class DatasetFailed(RunEvent):
    """Datasets: a dataset of a run cannot be had."""

    kind: ClassVar[str] = "dataset.failed"
    cause: Cause
