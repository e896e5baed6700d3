"""API v1, call by call."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from cynthus.cli.client.connection import Answer, Connection, Patience
from cynthus.cli.client.resources import EventPage, LogPage, Outputs, Run

_NOT_THERE = frozenset({404})
_PAGE = 1000


class Api:
    """What users do. Raises Refused and Unreachable (see cynthus.cli.client.problems)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def me(self) -> dict[str, Any]:
        """`{"owner", "via"}`."""
        return cast("dict[str, Any]", self._get("/v1/me").json())

    def status(self) -> dict[str, Any]:
        """Services, versions, counts by state."""
        return cast("dict[str, Any]", self._get("/v1/status").json())

    def create_project(self, name: str) -> None:
        """Idempotent by name."""
        self.connection.request("POST", "/v1/projects", body={"name": name})

    def register_source(self, project: str, snapshot: str) -> None:
        """Make a snapshot the project's newest source; the project is made when there is none."""
        path, body = f"/v1/projects/{_quoted(project)}/snapshots", {"snapshot": snapshot}
        if self.connection.request("POST", path, body=body, accept=_NOT_THERE).status in _NOT_THERE:
            self.create_project(project)
            self.connection.request("POST", path, body=body)

    def submit(self, project: str, submission: Mapping[str, Any], *, key: str) -> Run:
        """Ask for a run; the same key and submission give the same run."""
        answer = self.connection.request(
            "POST",
            f"/v1/projects/{_quoted(project)}/runs",
            body=submission,
            headers={"Idempotency-Key": key},
        )
        return cast("Run", answer.json())

    def runs(self, *, limit: int, **filters: str) -> Iterator[Run]:
        """Newest first, at most `limit`; filters are `project`, `state`, `label`, `name`."""
        yield from self._listed("/v1/runs", "runs", limit, filters)

    def run(self, name: str, *, as_of: datetime | None = None) -> Run:
        """By id, id prefix or name; as it is, or as it stood at a moment."""
        query: dict[str, str | int | float] = {} if as_of is None else {"as_of": as_of.isoformat()}
        return cast("Run", self.connection.request("GET", _of_run(name), query=query).json())

    def why(self, name: str) -> dict[str, Any]:
        """`run`, `state`, and the `chain` of facts that led to it."""
        return cast("dict[str, Any]", self._get(f"{_of_run(name)}/why").json())

    def leaks(self) -> dict[str, Any]:
        """Machines left behind: `leaks`, `checked_at` and `machines`."""
        return cast("dict[str, Any]", self._get("/v1/leaks").json())

    def cancel(self, name: str) -> Run:
        """Ask a run to stop."""
        return cast("Run", self.connection.request("POST", f"{_of_run(name)}:cancel").json())

    def rerun(self, name: str, *, key: str | None = None) -> Run:
        """A new run of the same inputs."""
        headers = {"Idempotency-Key": key} if key else None
        return cast("Run", self.connection.request("POST", f"{_of_run(name)}:rerun", headers=headers).json())

    def delete_run(self, name: str, *, results: bool) -> None:
        """Remove a run that is over, with or without its results."""
        query = {"results": "delete" if results else "keep"}
        self.connection.request("DELETE", _of_run(name), query=query)

    def events(
        self, name: str, *, after: int = 0, wait_s: float = 0, patience: Patience | None = None
    ) -> EventPage:
        """A run's events after a version; waits for one at most `wait_s`."""
        query = {"after": after, "wait": wait_s}
        answer = self.connection.request("GET", f"{_of_run(name)}/events", query=query, patience=patience)
        return cast("EventPage", answer.json())

    def logs(
        self,
        name: str,
        *,
        after: str | None = None,
        wait_s: float = 0,
        patience: Patience | None = None,
        **filters: str | int,
    ) -> LogPage:
        """A run's log after a cursor; filters are `source`, `attempt`, `limit`."""
        query: dict[str, str | int | float] = {**filters, "wait": wait_s}
        if after is not None:
            query["after"] = after
        answer = self.connection.request("GET", f"{_of_run(name)}/logs", query=query, patience=patience)
        return cast("LogPage", answer.json())

    def outputs(self, name: str) -> Outputs:
        """What a run left behind."""
        return cast("Outputs", self._get(f"{_of_run(name)}/outputs").json())

    def images(self, *, limit: int, **filters: str) -> Iterator[dict[str, Any]]:
        """Newest first, at most `limit`; the filter is `project`."""
        return self._listed("/v1/images", "images", limit, filters)

    def image(self, digest: str) -> dict[str, Any]:
        """By digest or a prefix of at least 8 hex digits."""
        return cast("dict[str, Any]", self._get(f"/v1/images/{_quoted(digest)}").json())

    def sbom(self, digest: str) -> bytes:
        """An image's bill of materials, CycloneDX JSON as it was written."""
        return self._get(f"/v1/images/{_quoted(digest)}/sbom").body

    def parked(self, place: str = "") -> Any:
        """Parked messages, or one of them: `place` is then `<service>/<event id>`."""
        return self._get("/v1/admin/parked" + (f"/{quote(place)}" if place else "")).json()

    def replay_parked(self, place: str) -> Any:
        """Have a parked message handled again."""
        answer = self.connection.request("POST", f"/v1/admin/parked/{quote(place)}:replay")
        return answer.json() if answer.body else {}

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Which of these blobs (at most 10,000) the platform does not have."""
        answer = self.connection.request("POST", "/v1/blobs:missing", body={"digests": list(digests)})
        return cast("list[str]", answer.json()["missing"])

    def has_snapshot(self, digest: str) -> bool:
        """Whether a snapshot is whole on the platform."""
        accept = frozenset({404, 405})
        answer = self.connection.request("HEAD", f"/v1/snapshots/{digest}", accept=accept)
        if answer.status == 405:  # noqa: PLR2004 (a platform that has no HEAD here)
            with self.connection.stream(f"/v1/snapshots/{digest}", accept=_NOT_THERE) as response:
                return response.status not in _NOT_THERE
        return answer.status not in _NOT_THERE

    def _listed(self, path: str, key: str, limit: int, filters: Mapping[str, str]) -> Iterator[Any]:
        query: dict[str, str | int | float] = {**filters, "page_size": min(limit, _PAGE)}
        while limit > 0:
            page = self.connection.request("GET", path, query=query).json()
            yield from page[key][:limit]
            limit -= len(page[key])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    def _get(self, path: str) -> Answer:
        return self.connection.request("GET", path)


def _of_run(name: str) -> str:
    return f"/v1/runs/{_quoted(name)}"


def _quoted(part: str) -> str:
    return quote(part, safe="")
