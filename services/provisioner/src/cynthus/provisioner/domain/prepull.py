"""Images that machines fetch before anybody asks for them."""

from dataclasses import dataclass
from typing import Self

from cynthus.oci.reference import Reference

_HUB, _HUB_REGISTRY = "docker.io", "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Prepull:
    """An image by digest: the registry's address, and where it is in it."""

    url: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """A pinned reference, `http://` before it for a registry without TLS. Raises ValueError."""
        scheme, separator, rest = text.rpartition("://")
        if separator and scheme not in {"http", "https"}:
            raise ValueError(f"{text!r} begins with neither http:// nor https://")
        reference = Reference.parse(rest)
        if reference.digest is None:
            raise ValueError(f"{text!r} is not pinned: write name@sha256:...")
        host = _HUB_REGISTRY if reference.host == _HUB else reference.host
        return cls(f"{scheme or 'https'}://{host}", reference.repository, reference.digest)
