"""What a container is made of, and how an engine wants to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_CPU = 1_000_000_000
_FIRST_TO_BE_KILLED = 500
"""Where the machine's memory gets short, the program goes, not who looks after it."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine inside the container."""

    source: str
    target: str
    writable: bool = False

    def encode(self) -> dict[str, Any]:
        """As the API wants it."""
        return {"Type": "bind", "Source": self.source, "Target": self.target, "ReadOnly": not self.writable}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use; bytes, processors, processes. None is no limit."""

    memory_bytes: int | None = None
    cpus: float | None = None
    processes: int = 512
    shared_memory_bytes: int = 1024**3
    ceilings: Mapping[str, int] = field(default_factory=dict)
    """Resource limits by name (`nofile`), where the engine's own defaults are more than it may set."""

    def encode(self) -> dict[str, Any]:
        """Memory without swap: a program that needs more is ended, not slowed down."""
        told: dict[str, Any] = {
            "PidsLimit": self.processes,
            "ShmSize": self.shared_memory_bytes,
            "OomScoreAdj": _FIRST_TO_BE_KILLED,
        }
        if self.memory_bytes:
            told |= {"Memory": self.memory_bytes, "MemorySwap": self.memory_bytes}
        if self.cpus:
            told["NanoCpus"] = int(self.cpus * _CPU)
        ceilings = {"core": 0, **self.ceilings}
        told["Ulimits"] = [{"Name": name, "Soft": value, "Hard": value} for name, value in ceilings.items()]
        return told


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container that may do nothing but compute: no capability, no new privilege, a read-only root."""

    image: str
    entrypoint: Sequence[str]
    arguments: Sequence[str] = ()
    user: str = "1000:1000"
    folder: str = "/"
    hostname: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    binds: Sequence[Bind] = ()
    scratch: Mapping[str, int] = field(default_factory=dict)
    """Folders in memory, and their sizes in bytes."""
    network: str = "none"
    limits: Limits = Limits()
    gpus: int | None = None
    """How many; -1 is all."""
    keep_user: bool = False
    """Rootless Podman: the user inside is the user outside."""
    writable_root: bool = False

    def encode(self, kind: str) -> dict[str, Any]:
        """For `docker` or `podman`."""
        host: dict[str, Any] = {
            **self.limits.encode(),
            "Mounts": [bind.encode() for bind in self.binds],
            "Tmpfs": {
                path: f"rw,exec,nosuid,nodev,mode=1777,size={size}" for path, size in self.scratch.items()
            },
            "NetworkMode": self.network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": not self.writable_root,
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "no"},
            "Init": False,
            **_devices(kind, self.gpus),
        }
        if self.keep_user:
            host["UsernsMode"] = "keep-id"
        return {
            "Image": self.image,
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.arguments),
            "User": self.user,
            "WorkingDir": self.folder,
            "Hostname": self.hostname,
            "Env": [f"{name}={value}" for name, value in self.variables.items()],
            "Labels": dict(self.labels),
            "Tty": False,
            "OpenStdin": False,
            "StopSignal": "SIGTERM",
            "HostConfig": host,
        }


def _devices(kind: str, gpus: int | None) -> dict[str, Any]:
    if not gpus:
        return {}
    if kind == "podman":
        names = ["all"] if gpus < 0 else [str(number) for number in range(gpus)]
        return {"Devices": [{"PathOnHost": f"nvidia.com/gpu={name}"} for name in names]}
    return {"DeviceRequests": [{"Driver": "nvidia", "Count": gpus, "Capabilities": [["gpu"]]}]}
