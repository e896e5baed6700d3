"""What the three ways to build a Dockerfile have in common."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.domain.image_build import BuildLimits
from cynthus.oci.reference import Reference

LABEL = "dev.cynthus.build"
"""On everything a build leaves in an engine, so that it can be found again."""


class StepFailed(Exception):
    """The build itself failed, at a step by its text where that is known; `status` is its command's."""

    def __init__(self, reason: str, step: str | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.step = step
        self.status = status


class BaseUnknown(Exception):
    """No registry has this image, or not for us."""


class BaseUnreachable(Exception):
    """The registry of an image does not answer now."""


class BuilderBroken(Exception):
    """The builder did not do its work, through no fault of the Dockerfile."""


@dataclass(frozen=True, slots=True)
class Order:
    """One build: `context` is laid out, `work` is a private folder beside it, `text` is the Dockerfile."""

    context: Path
    work: Path
    text: str
    limits: BuildLimits
    network: str


class ImageBuilder(Protocol):
    """One way to build. Cancelling any call ends what it began."""

    name: str
    caps_memory: bool
    knows_all: bool
    """Whether it understands what only BuildKit does."""

    async def is_here(self) -> bool:
        """Whether this machine has it."""
        ...

    async def pull(self, base: Reference) -> str:
        """Fetch an image; the digest of its manifest. Raises BaseUnknown, BaseUnreachable, BuilderBroken."""
        ...

    async def build(self, order: Order, log: BuildLog) -> str:
        """The identity of the image. Raises StepFailed, BuilderBroken."""
        ...

    def export(self, image: str, order: Order) -> AbstractContextManager[BinaryIO]:
        """The image as a docker-archive; from a thread."""
        ...

    async def clean(self) -> None:
        """Remove what earlier builds left behind, where it is of no more use."""
        ...


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that is gone afterwards."""
    try:
        with path.open("rb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)
