"""What a machine can do, and why it cannot do what a run needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cynthus.events import Cause, MachineRequested
from cynthus.spec.problem import Wrong
from cynthus.spec.quantities import GPU, gpu

PROCESS = "process"
CONTAINER = "container"
_MEMORY_LEEWAY = 1.1
"""A GPU sold as 24 GB has up to 24 GiB."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its name as the driver tells it, and bytes of memory."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Host:
    """The largest machine the provider has: processors, bytes of memory, runtimes, GPUs, NVIDIA driver."""

    cpu: float
    memory_bytes: int
    runtimes: frozenset[str] = frozenset({PROCESS})
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None


def unsuitable(wish: MachineRequested, host: Host) -> Cause | None:
    """Why no machine of this provider can ever serve the wish."""
    return _too_small(wish, host) or _no_engine(wish, host) or _no_gpu(wish, host) or _old_driver(wish, host)


def _too_small(wish: MachineRequested, host: Host) -> Cause | None:
    cpu, memory_bytes = wish.resources.cpu, wish.resources.memory_bytes
    if cpu is not None and cpu > host.cpu:
        asked, has = f"{cpu:g} processors", f"{host.cpu:g}"
        fix = f"Ask for at most --cpu {host.cpu:g}."
    elif memory_bytes is not None and memory_bytes > host.memory_bytes:
        gigabytes = host.memory_bytes / 1e9
        asked, has = f"{memory_bytes / 1e9:.1f} GB of memory", f"{gigabytes:.1f} GB"
        fix = f"Ask for at most --memory {int(gigabytes)}GB."
    else:
        return None
    return Cause(code="no_capacity", message=f"The run asks for {asked}; this machine has {has}.", fix=fix)


def _no_engine(wish: MachineRequested, host: Host) -> Cause | None:
    if wish.runtime != CONTAINER or CONTAINER in host.runtimes:
        return None
    return Cause(
        code="no_container_engine",
        message="The run needs a container, and no container engine answers on this machine.",
        fix="Install Docker or Podman and start it. A run without --runtime container, apt packages, a "
        "Dockerfile and a base of its own needs none.",
    )


def _no_gpu(wish: MachineRequested, host: Host) -> Cause | None:
    asked = wish.resources.gpu
    if asked is None:
        return None
    try:
        wanted = gpu(asked)
    except Wrong as error:
        return Cause(code="no_gpu", message=f"{error.what}.", fix=f"Ask for another GPU: {error.fix}.")
    if sum(_is(wanted, one) for one in host.gpus) >= wanted.count:
        return None
    return Cause(
        code="no_gpu",
        message=f"The run asks for a GPU, {asked}; this machine has {_told(host)}.",
        fix="Ask for a GPU that is there." if host.gpus else "Run it without a GPU, or where there is one.",
    )


def _old_driver(wish: MachineRequested, host: Host) -> Cause | None:
    if wish.resources.gpu is None or wish.min_driver is None or host.driver is None:
        return None
    has, needs = _version(host.driver), _version(wish.min_driver)
    if not has or not needs or has >= needs:
        return None
    return Cause(
        code="driver_too_old",
        message=f"The image needs NVIDIA driver {wish.min_driver} or newer; this machine has {host.driver}.",
        fix=f"Update the driver to {wish.min_driver} or newer, or pin older versions of the GPU libraries.",
    )


def _is(wanted: GPU, one: Gpu) -> bool:
    if wanted.memory is not None:
        high = wanted.memory.high
        return wanted.memory.low <= one.memory_bytes and (
            high is None or one.memory_bytes <= high * _MEMORY_LEEWAY
        )
    words = re.findall(r"[a-z0-9]+", one.name.lower())
    asked = re.findall(r"[a-z0-9]+", (wanted.name or "").lower())
    return set(asked) <= set(words) or "".join(asked) in _runs(words)


def _runs(words: list[str]) -> Iterator[str]:
    """Neighbouring words as one: a GeForce RTX 4090 is an RTX4090."""
    for begin in range(len(words)):
        for end in range(begin, len(words)):
            yield "".join(words[begin : end + 1])


def _told(host: Host) -> str:
    if not host.gpus:
        return "none"
    return ", ".join(f"{one.name} with {one.memory_bytes / 1e9:.0f} GB" for one in host.gpus)


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version such as 580.65.06; none when it is not made of numbers."""
    parts = text.strip().split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
