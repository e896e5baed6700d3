"""Image references: host/repository:tag@sha256:digest."""

import re
from dataclasses import dataclass
from typing import Self

from cynthus.oci.descriptor import is_digest

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_HUB = "docker.io"
_LONGEST_REPOSITORY = 255


class NotAReference(ValueError):
    """This does not name an image."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image by name; pinned when it has a digest."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """As people write it: `python:3.12-slim` is docker.io/library/python. Raises NotAReference."""
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise NotAReference(f"{text!r} has no sha256 digest behind the @")
        host, repository = _split_host(rest)
        repository, colon, tag = repository.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise NotAReference(f"{tag!r} in {text!r} is no tag")
        if host == _HUB and "/" not in repository:
            repository = f"library/{repository}"
        if not (_HOST.fullmatch(host) and _REPOSITORY.fullmatch(repository)):
            raise NotAReference(f"{text!r} is no image: use host/name:tag or host/name@sha256:...")
        return cls(host, repository, tag or None, digest or None)

    @property
    def pinned(self) -> bool:
        """Whether it names bytes, and not something that can move."""
        return self.digest is not None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def _split_host(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return _HUB, text


def checked_repository(text: str) -> str:
    """The same, when it is a repository's path. Raises NotAReference."""
    if not _REPOSITORY.fullmatch(text) or len(text) > _LONGEST_REPOSITORY:
        raise NotAReference(f"{text!r} is no repository: lower case words, with / between them")
    return text


def checked_digest(text: str) -> str:
    """The same, when it is a digest. Raises NotAReference."""
    if not is_digest(text):
        raise NotAReference(f"{text!r} is no digest: sha256: and 64 hex digits")
    return text


def checked_tag(text: str) -> str:
    """The same, when it is a tag. Raises NotAReference."""
    if not _TAG.fullmatch(text):
        raise NotAReference(f"{text!r} is no tag")
    return text


def repository_name(*parts: str) -> str:
    """A valid repository path of any words: what is not allowed becomes a hyphen, lower case."""
    cleaned = [re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") or "x" for part in parts]
    return "/".join(cleaned)
