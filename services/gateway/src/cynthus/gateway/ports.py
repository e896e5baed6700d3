"""What the gateway needs of the world."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import orjson

from cynthus.events import RunRequested
from cynthus.gateway.domain.problems import HistoryUnavailable

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object as it was sent: passed on as it is, or read."""

    body: bytes

    @classmethod
    def of(cls, content: Json) -> "Document":
        """A document of JSON values."""
        return cls(orjson.dumps(content))

    def read(self) -> Json:
        """Its content. Raises HistoryUnavailable."""
        try:
            content: Json = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise HistoryUnavailable("run history gave an answer that is no JSON") from error
        return content


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `snapshot` is its newest source."""

    id: str
    owner: str
    name: str
    snapshot: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that was accepted."""

    requested: RunRequested
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Untaken:
    """A run that was accepted and not taken over; `request` as it was recorded, by whichever version."""

    run_id: str
    owner: str
    project: str
    name: str
    request: Json


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; `labels` as `key:value`."""

    project: str | None = None
    states: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    name: str | None = None


class PageTokenInvalid(Exception):
    """The page token is none that was given out."""


class KeyTaken(Exception):
    """The owner's idempotency key, or the generated name, is in use: nothing was written."""


class Projects(Protocol):
    """The owners' projects."""

    async def create(self, owner: str, name: str) -> tuple[Project, bool]:
        """The project, and whether it is new."""
        ...

    async def find(self, owner: str, name: str) -> Project:
        """The project. Raises ProjectMissing."""
        ...

    async def require(self, owner: str, name: str) -> None:
        """Pass if the project exists. Raises ProjectMissing."""
        ...

    async def list(self, owner: str, *, after: str, limit: int) -> list[Project]:
        """Projects in order of name, from after a name."""
        ...

    async def set_snapshot(self, project: Project, snapshot: str) -> None:
        """Note the newest source."""
        ...


@dataclass(frozen=True, slots=True)
class SnapshotSize:
    """How much a snapshot holds."""

    files: int
    bytes: int


class Snapshots(Protocol):
    """Complete snapshots: their manifest and every blob are stored."""

    async def find(self, owner: str, digest: str) -> SnapshotSize | None:
        """The size of a complete snapshot, or None."""
        ...

    async def note(self, owner: str, digest: str, size: SnapshotSize) -> None:
        """A snapshot is complete."""
        ...


class Submissions(Protocol):
    """Runs that were accepted here."""

    async def by_key(self, owner: str, key: str) -> Accepted | None:
        """The run accepted under an idempotency key."""
        ...

    async def next_number(self, owner: str, project: str, stem: str) -> int:
        """The first free number of a generated name."""
        ...

    async def pending(self, owner: str, reference: str) -> Accepted | None:
        """The newest run by id, prefix of an id, or name that history has not taken over."""
        ...

    async def list_pending(self, owner: str, wanted: RunFilter, *, limit: int) -> list[Accepted]:
        """Runs that history has not taken over, newest first."""
        ...

    async def untaken(self, before: datetime, *, after: str, limit: int) -> list[Untaken]:
        """Anybody's runs accepted before then that history has not taken over, by id from after one."""
        ...


class RunHistory(Protocol):
    """What became of runs. Raises RunMissing, HistoryRefused, HistoryUnavailable."""

    async def runs(
        self, owner: str, wanted: RunFilter, *, page_size: int, page_token: str | None
    ) -> Document:
        """A page: `runs` and `next_page_token`."""
        ...

    async def run(self, owner: str, reference: str) -> Document:
        """One Run resource."""
        ...

    async def run_at(self, owner: str, reference: str, moment: datetime) -> Document:
        """One Run resource as it stood then; RunMissing when it was not asked for yet."""
        ...

    async def why(self, owner: str, reference: str) -> Document:
        """`run`, `state`, and the `chain` of facts that led to it, oldest first."""
        ...

    async def events(self, owner: str, run_id: str, *, after: int, wait_s: float) -> Document:
        """`events` from after a version, and `over`."""
        ...

    async def logs(self, owner: str, run_id: str, query: Mapping[str, str], *, wait_s: float) -> Document:
        """`chunks`, `cursor` and `over`."""
        ...

    async def offer(self, run: Untaken) -> None:
        """Have a run taken over, as if its request had only now come; one that cannot be taken ends."""
        ...

    async def delete(self, owner: str, run_id: str, *, results: Literal["keep", "delete"]) -> None:
        """Forget a run that is over."""
        ...

    async def status(self, owner: str) -> Json:
        """Services and counts by state."""
        ...

    async def changes(self, owner: str, *, after: str | None, wait_s: float) -> Document:
        """State changes of all runs: `events` and `cursor`."""
        ...


class Images(Protocol):
    """The images that were built. Raises ImageMissing, ImagesUnavailable."""

    async def list(
        self, owner: str, *, project: str | None, page_size: int, page_token: str | None
    ) -> Document:
        """A page: `images` and `next_page_token`. Raises PageTokenInvalid."""
        ...

    async def find(self, owner: str, digest: str) -> Document:
        """One Image resource, by the beginning of its digest. Raises ImageAmbiguous."""
        ...

    async def document(self, owner: str, digest: str, kind: Literal["sbom", "provenance"]) -> Document:
        """What was recorded of an image. Raises ImageAmbiguous, DocumentMissing."""
        ...


class Services(Protocol):
    """The services of the platform, as they are now; nothing is raised."""

    async def states(self) -> dict[str, Json]:
        """`state` (ok, failing or silent) and `version` of each whose address is known."""
        ...

    async def machine(self) -> Json | None:
        """`runtimes`, `gpus` and `driver` of the largest machine; None when nobody tells."""
        ...


class Leaks(Protocol):
    """Machines that outlived their need. Raises MachinesUnavailable."""

    async def now(self) -> Document:
        """`leaks`, when the provider was asked (`checked_at`), and how many `machines` it listed."""
        ...


class Tokens(Protocol):
    """Whose a token is."""

    async def owner_of(self, fingerprint: str) -> str | None:
        """The owner of a token that was not revoked."""
        ...


class ParkedElsewhere(Exception):
    """A service's refusal about its parked messages: HTTP status, code, detail."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class ParkedMessages(Protocol):
    """Messages that services gave up on."""

    async def all(self) -> Json:
        """`parked`, oldest first, and `unreachable` services."""
        ...

    async def one(self, service: str, message_id: str) -> Json:
        """One of them. Raises ParkedElsewhere."""
        ...

    async def replay(self, service: str, message_id: str) -> Json:
        """Have it handled again. Raises ParkedElsewhere."""
        ...
