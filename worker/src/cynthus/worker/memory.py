"""The limit of the user's memory, and the kernel's own count of what it killed for lack of it."""

import os
from contextlib import suppress

_V1 = "/sys/fs/cgroup/memory"
_V2 = "/sys/fs/cgroup"


class MemoryLimit:
    """A cgroup (v1 or v2) where one can be made; else `cgroup` is None and each process gets a limit."""

    def __init__(self, name: str, limit_bytes: int | None) -> None:
        self.limit_bytes = limit_bytes
        self.cgroup = _make(name, limit_bytes) if limit_bytes else None
        self._before = _count("/proc/vmstat")

    def kills(self) -> int:
        """Processes the kernel has killed meanwhile for lack of memory; read it before `remove`."""
        if self.cgroup:
            return _count(f"{self.cgroup}/memory.oom_control") + _count(f"{self.cgroup}/memory.events")
        return _count("/proc/vmstat") - self._before

    def remove(self) -> None:
        """Remove the cgroup."""
        if self.cgroup:
            with suppress(OSError):
                os.rmdir(self.cgroup)


def _make(name: str, limit_bytes: int) -> str | None:
    controllers = _controllers()
    if "memory" in controllers:
        return _limited(f"{_V1}{controllers['memory']}/{name}", {"memory.limit_in_bytes": limit_bytes})
    own = _V2 + controllers.get("", "")
    return _limited(f"{own}/{name}", {"memory.max": limit_bytes, "memory.swap.max": 0})


def _limited(folder: str, limits: dict[str, int]) -> str | None:
    try:
        os.mkdir(folder)
    except OSError:
        return None
    try:
        for file, value in limits.items():
            if file == "memory.swap.max" and not os.path.exists(f"{folder}/{file}"):
                continue
            descriptor = os.open(f"{folder}/{file}", os.O_WRONLY)
            try:
                os.write(descriptor, str(value).encode())
            finally:
                os.close(descriptor)
    except OSError:
        with suppress(OSError):
            os.rmdir(folder)
        return None
    return folder


def _controllers() -> dict[str, str]:
    found = {}
    with suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                found[name] = path if path != "/" else ""
    return found


def _count(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            counts = dict(line.split() for line in file if len(line.split()) == 2)  # noqa: PLR2004 - name, value
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))
