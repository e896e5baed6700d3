"""What was packed before and where it is; base images."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from cynthus.builder.domain.image import Base, Layer


class Index(Protocol):
    """What was packed before, where it is, and answers that do not change."""

    async def layers(self, keys: Collection[str]) -> Mapping[str, Layer]:
        """Layers packed earlier, by key."""
        ...

    async def keep_layer(self, key: str, layer: Layer) -> None:
        """Remember a layer that is in its repository."""
        ...

    async def forget_layers(self, digests: Collection[str]) -> None:
        """These are in no repository after all."""
        ...

    async def placed(self, repository: str, digests: Collection[str]) -> frozenset[str]:
        """Which of them the repository has, as far as is known here."""
        ...

    async def place(self, repository: str, digests: Sequence[str]) -> None:
        """The repository has them."""
        ...

    async def displace(self, repository: str, digests: Collection[str]) -> None:
        """The repository has not got them."""
        ...

    async def displace_all(self, repository: str) -> None:
        """What is believed of the repository was wrong."""
        ...

    async def known(self, kind: str, key: str) -> Any | None:
        """An answer that was found before: a JSON value."""
        ...

    async def learn(self, kind: str, key: str, document: Any) -> None:
        """Keep an answer."""
        ...


class BaseUnavailable(Exception):
    """The base image cannot be had: `code` is stable."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


class Bases(Protocol):
    """Base images by Python version, pinned."""

    async def find(self, python: str, chosen: str | None, *, needed: bool) -> Base | None:
        """The base for a Python, or the project's own choice; None when there is none and none is needed.

        Its layers are readable in `repository` of our registry. Raises BaseUnavailable.
        """
        ...
