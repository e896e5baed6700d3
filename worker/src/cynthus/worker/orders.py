"""A work order as the orchestrator gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class OrderInvalid(Exception):
    """The order lacks what an attempt needs, or names a place outside its folder."""


@dataclass(frozen=True, slots=True)
class Image:
    """The environment and source to run, by digests."""

    source: str
    lock: str
    python: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    python_path: tuple[str, ...] = ()
    outputs: str = "outputs"
    checkpoint: str | None = None
    kind: str = "oci"
    runtime: str = "process"
    repository: str = ""
    digest: str = ""
    environment: str | None = None
    """The manifest without the source layer: what runs with a private copy of the source on `workdir`."""
    workdir: str = "/app"
    min_driver: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """Where images are pulled from; the password is the attempt's."""

    url: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mount:
    """A data snapshot and its place, relative to the project root."""

    mount: str
    manifest: str


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One attempt of one run; times in seconds. `secrets` and `token` are kept out of `repr`."""

    run_id: str
    epoch: int
    project: str
    token: str = field(repr=False)
    attempt_url: str
    blobs_url: str
    image: Image
    data: tuple[Mount, ...]
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    timeout_s: float | None
    grace_s: float
    next_beat_s: float
    lease_s: float
    checkpoint: str | None = None
    checkpoint_every_s: float = 60.0
    """0: only at the end."""
    memory_bytes: int | None = None
    cpu: float | None = None
    gpu: str | None = None
    network: bool = True
    registry: RegistryAccess | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The order as it came, without its secrets."""


def read_order(fields: Mapping[str, Any]) -> WorkOrder:
    """Raises OrderInvalid."""
    try:
        image = fields["image"]
        epoch = int(fields["epoch"])
        resources = fields.get("resources") or {}
        return WorkOrder(
            run_id=_name(fields["run_id"]),
            epoch=epoch,
            project=str(fields.get("project", "")),
            token=fields["token"],
            attempt_url=_attempt_url(fields["attempts_url"], f"{fields['run_id']}/{epoch}"),
            blobs_url=fields["blobs_url"].rstrip("/"),
            image=Image(
                source=image["source"],
                lock=image["lock"],
                python=image["python"],
                command=tuple(image["command"]),
                env=dict(image.get("env") or {}),
                python_path=tuple(image.get("python_path") or ()),
                outputs=image.get("outputs") or "outputs",
                checkpoint=image.get("checkpoint"),
                kind=image.get("kind") or "oci",
                runtime=image.get("runtime") or "process",
                repository=image.get("repository") or "",
                digest=image.get("digest") or "",
                environment=image.get("environment"),
                workdir=image.get("workdir") or "/app",
                min_driver=image.get("min_driver"),
            ),
            data=tuple(Mount(item["mount"], item["manifest"]) for item in fields.get("data") or ()),
            env=dict(fields.get("env") or {}),
            secrets=dict(fields.get("secrets") or {}),
            timeout_s=fields.get("timeout_s"),
            grace_s=float(fields.get("grace_s", 10.0)),
            next_beat_s=float(fields.get("next_beat_s", 5.0)),
            lease_s=float(fields.get("lease_s", 30.0)),
            checkpoint=fields.get("checkpoint"),
            checkpoint_every_s=_seconds(fields.get("checkpoint_every_s"), 60.0),
            memory_bytes=resources.get("memory_bytes"),
            cpu=resources.get("cpu"),
            gpu=resources.get("gpu"),
            network=fields.get("network") != "none",
            registry=_registry(fields.get("registry")),
            fields={name: value for name, value in fields.items() if name != "secrets"},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OrderInvalid(f"the work order is not understood: {type(error).__name__} {error}") from error


def _registry(fields: Mapping[str, Any] | None) -> RegistryAccess | None:
    if not fields:
        return None
    return RegistryAccess(
        str(fields["url"]).rstrip("/"), fields.get("username") or "", fields.get("password") or ""
    )


def _seconds(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _name(value: str) -> str:
    if not value or "/" in value or value.startswith("."):
        raise OrderInvalid(f"{value!r} is no run id")
    return value


def _attempt_url(url: str, attempt: str) -> str:
    url = url.rstrip("/")
    return url if url.endswith(attempt) else f"{url}/{attempt}"
