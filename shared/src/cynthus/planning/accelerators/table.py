"""The compatibility table of GPUs, drivers and builds, as read from its file."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

Capability = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from, and when they were read."""

    url: str
    what: str
    date: date


@dataclass(frozen=True, slots=True)
class Cuda:
    """A CUDA version (and all later minors, up to the next row)."""

    version: tuple[int, ...]
    min_driver: str
    oldest: Capability
    newest: Capability


@dataclass(frozen=True, slots=True)
class Backend:
    """A build of PyTorch; without `cuda` it is for processors."""

    name: str
    index: str
    base: str
    cuda: tuple[int, ...] = ()
    oldest: Capability = (0, 0)
    newest: Capability = (0, 0)

    def knows(self, capability: Capability | None) -> bool:
        """Whether it runs on such a GPU; None is any GPU."""
        return capability is None or self.oldest <= capability <= self.newest


@dataclass(frozen=True, slots=True)
class Framework:
    """What must be asked for, by CUDA major, so that a framework finds a GPU; what it then brings."""

    name: str
    versions: str
    cuda: tuple[str, ...]
    ask: Mapping[str, str]
    brings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GPU:
    """A model of GPU."""

    name: str
    architecture: str
    capability: Capability


@dataclass(frozen=True, slots=True)
class CudaTable:
    """All rows; `torch` has the releases from old to new, each with its backends in order of preference."""

    sources: Mapping[str, Source]
    cuda: tuple[Cuda, ...]
    backends: Mapping[str, Backend]
    torch: Mapping[str, tuple[str, ...]]
    frameworks: tuple[Framework, ...]
    gpus: Mapping[str, GPU]
    drivers: Mapping[str, str]
    """Driver by GPU, on the platform's own machines."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file's text."""
        data = tomllib.loads(text)
        backends = {row["name"]: _backend(row) for row in data["backend"]}
        gpus = {
            name: GPU(name, row["architecture"], capability(row["capability"]))
            for row in data["gpu"]
            for name in row["names"]
        }
        return cls(
            {name: Source(row["url"], row["what"], row["date"]) for name, row in data["sources"].items()},
            tuple(
                Cuda(version(row["version"]), row["min_driver"], *map(capability, row["capabilities"]))
                for row in data["cuda"]
            ),
            backends,
            {row["release"]: tuple(row["backends"]) for row in data["torch"]},
            tuple(_framework(row) for row in data["framework"]),
            gpus,
            {gpu: row["driver"] for row in data["machine"] for gpu in row["gpus"]},
        )

    def gpu(self, asked: str) -> GPU | None:
        """The model that "L4:1" or "NVIDIA A100 80GB" means; None for memory ("24GB+") and unknown names."""
        bare = re.sub(r"[^A-Z0-9]", "", asked.partition(":")[0].upper())
        bare = re.sub(r"^(?:NVIDIA)?(?:TESLA|GEFORCE)?", "", bare)
        return self.gpus.get(bare)

    def row(self, cuda: tuple[int, ...]) -> Cuda | None:
        """The row of a CUDA version."""
        known = [one for one in self.cuda if one.version[0] == cuda[0] and one.version <= cuda]
        return max(known, key=lambda one: one.version, default=None)


def version(text: str) -> tuple[int, ...]:
    """Numbers of a version: (12, 6)."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def capability(text: str) -> Capability:
    """Major and minor of a compute capability."""
    major, minor = version(text)
    return major, minor


def _backend(row: Mapping[str, Any]) -> Backend:
    if "cuda" not in row:
        return Backend(row["name"], row["index"], row["base"])
    oldest, newest = map(capability, row["capabilities"])
    return Backend(row["name"], row["index"], row["base"], version(row["cuda"]), oldest, newest)


def _framework(row: Mapping[str, Any]) -> Framework:
    return Framework(row["name"], row["versions"], tuple(row["cuda"]), row["ask"], tuple(row["brings"]))
