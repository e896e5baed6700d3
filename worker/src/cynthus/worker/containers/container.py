"""The container of an attempt, as the engine is told."""

import os
import re
from typing import NamedTuple

from cynthus.containers.engine import Engine
from cynthus.containers.labels import labels
from cynthus.containers.specification import Bind, ContainerSpec, Limits
from cynthus.worker.containers.materials import Laid
from cynthus.worker.containers.stage import CHECKPOINT, INIT, INSIDE
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.settings import Settings
from cynthus.worker.workspace import Workspace

_USER = (1000, 1000)
_PROCESSES = 512
_GIB = 1024**3
_LEAST_TEMPORARY = 64 * 1024**2
_GPUS = re.compile(r".+:(\d+)")
_MOST_FILES = 16384
_MOST_PROCESSES = 16384
_HOSTNAME_CHARACTERS = 63


class User(NamedTuple):
    """Who the program is, outside and inside; `kept` where the engine maps them onto each other."""

    ids: tuple[int, int]
    inside: str
    kept: bool = False


def user_of(engine: Engine) -> User:
    """Never root, but where root inside is nobody outside: in rootless Docker it is the worker's own user."""
    if os.geteuid() == 0:
        return User(_USER, "{}:{}".format(*_USER))
    ids = (os.geteuid(), os.getegid())
    if engine.rootless and engine.kind == "docker":
        return User(ids, "0:0")
    return User(ids, f"{ids[0]}:{ids[1]}", kept=engine.rootless)


def hostname_of(order: WorkOrder) -> str:
    """Of the container: the run's id, as far as a host name goes."""
    return order.run_id.replace("_", "-").lower()[-_HOSTNAME_CHARACTERS:].strip("-")


def command_of(order: WorkOrder, laid: Laid) -> list[str]:
    """The plan's command; a foreign image's own where the plan has none. Raises OrderInvalid."""
    command = list(order.image.command) or [*laid.image.entrypoint, *laid.image.arguments]
    if not command:
        raise OrderInvalid("neither the project nor its image says what to run")
    return command


def specification(
    settings: Settings, order: WorkOrder, engine: Engine, laid: Laid, *, workspace: Workspace, stage: str
) -> ContainerSpec:
    """Read-only but for the project, /tmp and the checkpoint; nothing of the machine but its share."""
    user = user_of(engine)
    memory = order.memory_bytes or settings.memory_bytes
    temporary = max(_LEAST_TEMPORARY, (memory or _memory()) // 2)
    binds = [
        Bind(stage, INSIDE, writable=True),
        *([] if order.image.checkpoint else [Bind(workspace.checkpoint, CHECKPOINT, writable=True)]),
        Bind(workspace.work, laid.folder, writable=True),
        *laid.data,
    ]
    return ContainerSpec(
        image=laid.image.id,
        entrypoint=[INIT],
        arguments=command_of(order, laid),
        user=user.inside,
        folder=laid.folder,
        hostname=hostname_of(order),
        labels=labels(settings.machine, settings.home, order.run_id, order.epoch),
        binds=binds,
        scratch={"/tmp": temporary},  # noqa: S108 - a place in the container
        network=laid.network,
        limits=Limits(
            memory_bytes=memory,
            cpus=order.cpu,
            processes=settings.processes or _PROCESSES,
            shared_memory_bytes=min(_GIB, temporary),
            ceilings=_ceilings() if engine.kind == "podman" else {},
        ),
        gpus=gpus_of(order.gpu),
        keep_user=user.kept,
    )


def gpus_of(wish: str | None) -> int | None:
    """`L4:2` are two; a wish by memory is one."""
    if not wish:
        return None
    counted = _GPUS.fullmatch(wish)
    return int(counted[1]) if counted else 1


def _ceilings() -> dict[str, int]:
    """Podman sets limits of its own choice, and fails where it may not raise them so far."""
    import resource

    wanted = {
        "nofile": (resource.RLIMIT_NOFILE, _MOST_FILES),
        "nproc": (resource.RLIMIT_NPROC, _MOST_PROCESSES),
    }
    hard = {name: resource.getrlimit(kind)[1] for name, (kind, _) in wanted.items()}
    return {
        name: most if hard[name] == resource.RLIM_INFINITY else min(most, hard[name])
        for name, (_, most) in wanted.items()
    }


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
