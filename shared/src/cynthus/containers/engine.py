"""A container engine over its API: blocking calls, each with a timeout, safe from several threads."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from cynthus.containers.errors import (
    ContainerConflict,
    EngineRefused,
    EngineUnavailable,
    ImageUnknown,
    NoSuchContainer,
    PullRefused,
)
from cynthus.containers.frames import FramesBroken, unmix
from cynthus.containers.specification import ContainerSpec
from cynthus.containers.transport import Answer, Stream, Transport

_OK = 400
_NOT_MODIFIED = 304
_NOT_FOUND = 404
_CONFLICT = 409
_SERVER_ERROR = 500
_PULL_SILENCE_S = 300.0
_AWAY = ("connection refused", "is the docker daemon running", "shutting down", "no such host")


class Credentials(NamedTuple):
    """For a registry; never shown."""

    host: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.host!r}, {self.username!r})"


class ImageFacts(NamedTuple):
    """What the engine knows of an image it has."""

    id: str
    env: dict[str, str]
    folder: str
    entrypoint: list[str]
    arguments: list[str]
    user: str


class State(NamedTuple):
    """How a container is: `created`, `running`, `exited`, `dead`...; `pid` on this machine, 0 for none."""

    status: str
    pid: int
    exit_code: int
    oom_killed: bool
    error: str
    started_at: str
    ended_at: str

    @property
    def over(self) -> bool:
        """It ran and will not run again."""
        return self.status in {"exited", "dead", "removing", "stopped"}


class Container(NamedTuple):
    """One line of a list."""

    id: str
    name: str
    status: str
    labels: dict[str, str]


class Usage(NamedTuple):
    """CPU so far, memory and processes now."""

    cpu_seconds: float
    memory_bytes: int
    processes: int


class Engine:
    """Docker or Podman at a Unix socket."""

    def __init__(self, transport: Transport, kind: str, facts: Mapping[str, Any]) -> None:
        self.kind = kind
        self.transport = transport
        self.version = str(facts.get("ServerVersion", ""))
        options = facts.get("SecurityOptions") or ()
        self.rootless = any("rootless" in str(option) for option in options)
        self.cgroup_version = str(facts.get("CgroupVersion") or "1")
        self.root_folder = str(facts.get("DockerRootDir", ""))

    @property
    def name(self) -> str:
        """`docker 20.10.24`."""
        return f"{self.kind} {self.version}"

    def info(self) -> dict[str, Any]:
        """Everything the engine says of itself. Raises EngineUnavailable."""
        read: dict[str, Any] = _checked(self.transport.ask("GET", "/info")).body
        return read

    # images

    def image(self, reference: str) -> ImageFacts:
        """An image that is here, by name@digest or id. Raises ImageUnknown."""
        answer = self.transport.ask("GET", f"/images/{quote(reference, safe='/:@')}/json")
        if answer.status == _NOT_FOUND:
            raise ImageUnknown(reference)
        body = _checked(answer).body
        config = body.get("Config") or {}
        pairs = (item.partition("=") for item in config.get("Env") or ())
        return ImageFacts(
            id=body["Id"],
            env={name: value for name, _, value in pairs},
            folder=config.get("WorkingDir") or "/",
            entrypoint=list(config.get("Entrypoint") or ()),
            arguments=list(config.get("Cmd") or ()),
            user=config.get("User") or "",
        )

    def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        *,
        insecure: bool = False,
        told: Callable[[dict[str, Any]], object] = lambda _: None,
        silence_s: float = _PULL_SILENCE_S,
    ) -> None:
        """Fetch host/repository@digest; `told` gets each line of progress and may raise to end it.

        `insecure` allows plain HTTP; Docker allows it for registries of this machine without being told.
        Raises PullRefused, EngineUnavailable.
        """
        headers = {"X-Registry-Auth": _encoded(credentials)} if credentials else {}
        path, query = "/images/create", {"fromImage": reference}
        if self.kind == "podman":
            secure = str(not insecure).lower()
            path, query = "/v4.0.0/libpod/images/pull", {"reference": reference, "tlsVerify": secure}
        with self.transport.open("POST", path, query, headers=headers, timeout_s=silence_s) as stream:
            if stream.status >= _OK:
                answer = Answer(stream.status, stream.document())
                raise PullRefused(answer.message)
            for line in stream.lines():
                if line.get("error"):
                    raise PullRefused(str(line["error"]))
                told(line)

    def remove_image(self, reference: str) -> None:
        """Forget an image; one that is not here, or in use, is left."""
        answer = self.transport.ask("DELETE", f"/images/{quote(reference, safe='/:@')}")
        if answer.status not in {_NOT_FOUND, _CONFLICT}:
            _checked(answer)

    # containers

    def create(self, name: str, spec: ContainerSpec) -> str:
        """The new container's id. Raises ImageUnknown, ContainerConflict, EngineRefused."""
        answer = self.transport.ask(
            "POST", "/containers/create", {"name": name}, spec.encode(self.kind), timeout_s=60.0
        )
        if answer.status == _NOT_FOUND:
            raise ImageUnknown(answer.message)
        return str(_checked(answer).body["Id"])

    def start(self, container: str) -> None:
        """Raises NoSuchContainer, EngineRefused with what the runtime said."""
        self._container("POST", container, "start", timeout_s=60.0)

    def state(self, container: str) -> State:
        """Raises NoSuchContainer."""
        return _state(self.inspect(container)["State"])

    def inspect(self, container: str) -> dict[str, Any]:
        """Everything known of a container. Raises NoSuchContainer."""
        read: dict[str, Any] = self._container("GET", container, "json").body
        return read

    def wait(self, container: str, timeout_s: float) -> int | None:
        """The exit code, or None after the time. Raises NoSuchContainer, EngineUnavailable."""
        try:
            answer = self._container("POST", container, "wait", timeout_s=timeout_s)
        except EngineUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                return None
            raise
        return int(answer.body["StatusCode"])

    def kill(self, container: str, signal: int | str = "SIGKILL") -> None:
        """Send a signal; a container that does not run is left. Raises NoSuchContainer."""
        try:
            self._container("POST", container, "kill", {"signal": signal})
        except ContainerConflict:
            return

    def stop(self, container: str, grace_s: int) -> None:
        """SIGTERM, and SIGKILL after the grace. Raises NoSuchContainer."""
        self._container("POST", container, "stop", {"t": grace_s}, timeout_s=grace_s + 30.0)

    def remove(self, container: str) -> None:
        """Kill and remove it with its volumes; one that is not there, or going already, is fine."""
        try:
            self._container("DELETE", container, "", {"force": "true", "v": "true"}, timeout_s=20.0)
        except (NoSuchContainer, ContainerConflict):
            return

    def containers(self, labels: Mapping[str, str], *, timeout_s: float | None = None) -> list[Container]:
        """All that carry these labels, running or not."""
        filters = json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
        query = {"all": "true", "filters": filters}
        found = _checked(self.transport.ask("GET", "/containers/json", query, timeout_s=timeout_s)).body
        return [
            Container(item["Id"], _name(item), str(item.get("State", "")), dict(item.get("Labels") or {}))
            for item in found or ()
        ]

    def usage(self, container: str) -> Usage:
        """What it uses. Raises NoSuchContainer."""
        query = {"stream": "false", "one-shot": "true"}
        body = self._container("GET", container, "stats", query).body or {}
        memory = body.get("memory_stats") or {}
        cache = (memory.get("stats") or {}).get("total_inactive_file", 0)
        return Usage(
            ((body.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage", 0) / 1e9,
            max(0, int(memory.get("usage") or 0) - int(cache)),
            int((body.get("pids_stats") or {}).get("current") or 0),
        )

    def logs(self, container: str, *, follow: bool = False) -> Iterator[tuple[str, bytes]]:
        """(`stdout` or `stderr`, bytes) from the beginning, as the engine's log driver kept them.

        Drivers work by lines: an unterminated last one gets an end, and json-file replaces bytes that are no
        UTF-8.
        Raises NoSuchContainer, EngineUnavailable.
        """
        query = {"stdout": "true", "stderr": "true", "follow": str(follow).lower()}
        with self.transport.open("GET", f"/containers/{container}/logs", query) as stream:
            _check_stream(stream, container)
            try:
                yield from unmix(stream.pieces())
            except FramesBroken as error:
                raise EngineUnavailable(str(error)) from error

    def archive(self, container: str, path: str) -> Stream:
        """A tar of what is at `path`; close it. Raises NoSuchContainer, EngineRefused for no such path."""
        stream = self.transport.open("GET", f"/containers/{container}/archive", {"path": path})
        try:
            _check_stream(stream, container)
        except BaseException:
            stream.close()
            raise
        return stream

    # networks

    def ensure_network(self, name: str, bridge: str) -> None:
        """A network of its own behind the bridge interface `bridge`, unless there is one of that name.

        It has a way out; on Docker its containers do not see each other.
        """
        if self.transport.ask("GET", f"/networks/{name}").status < _OK:
            return
        path, body = "/networks/create", _docker_network(name, bridge)
        if self.kind == "podman":
            path, body = "/v4.0.0/libpod/networks/create", _podman_network(name, bridge)
        answer = self.transport.ask("POST", path, body=body)
        if answer.status != _CONFLICT and "already" not in answer.message:
            _checked(answer)

    def remove_network(self, name: str) -> None:
        """Forget a network; one that is not there, or in use, is left."""
        self.transport.ask("DELETE", f"/networks/{name}")

    def _container(
        self,
        method: str,
        container: str,
        call: str,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        path = f"/containers/{container}/{call}".rstrip("/")
        answer = self.transport.ask(method, path, query, timeout_s=timeout_s)
        if answer.status == _NOT_FOUND:
            raise NoSuchContainer(container)
        return _checked(answer)


def _checked(answer: Answer) -> Answer:
    if answer.status < _OK:
        return answer
    if answer.status == _CONFLICT:
        raise ContainerConflict(answer.message)
    said = answer.message.lower()
    if answer.status >= _SERVER_ERROR and any(sign in said for sign in _AWAY):
        raise EngineUnavailable(answer.message)
    raise EngineRefused(answer.status, answer.message)


def _check_stream(stream: Stream, container: str) -> None:
    if stream.status < _OK:
        return
    answer = Answer(stream.status, stream.document())
    if answer.status == _NOT_FOUND and "no such container" in answer.message.lower():
        raise NoSuchContainer(container)
    _checked(answer)


def _state(body: Mapping[str, Any]) -> State:
    return State(
        status=str(body.get("Status", "")),
        pid=int(body.get("Pid") or 0),
        exit_code=int(body.get("ExitCode") or 0),
        oom_killed=bool(body.get("OOMKilled")),
        error=str(body.get("Error") or ""),
        started_at=str(body.get("StartedAt") or ""),
        ended_at=str(body.get("FinishedAt") or ""),
    )


def _name(item: Mapping[str, Any]) -> str:
    return str(next(iter(item.get("Names") or ()), "")).removeprefix("/")


def _docker_network(name: str, bridge: str) -> dict[str, Any]:
    options = {
        "com.docker.network.bridge.name": bridge,
        "com.docker.network.bridge.enable_icc": "false",
    }
    return {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "EnableIPv6": False, "Options": options}


def _podman_network(name: str, bridge: str) -> dict[str, Any]:
    return {"name": name, "driver": "bridge", "network_interface": bridge, "dns_enabled": False}


def _encoded(credentials: Credentials) -> str:
    told = {
        "username": credentials.username,
        "password": credentials.password,
        "serveraddress": credentials.host,
    }
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
