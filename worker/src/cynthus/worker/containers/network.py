"""The network of containers: the world, but neither this machine, nor its metadata, nor its neighbours."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator

from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineRefused

NAME = "cynthus"
BRIDGES = {"docker": "cynthus0", "podman": "cynthus1"}
_METADATA = "169.254.0.0/16"
_METADATA_6 = ("fe80::/10", "fd20:ce::/64", "fd00:ec2::/64")
_TIMEOUT_S = 10.0
_TRUST_S = 60.0
_lock = threading.Lock()
_seen: dict[str, float] = {}


def ensure(engine: Engine) -> str:
    """The network's name, its rules in force as far as this user may set them. Raises EngineRefused."""
    place = engine.transport.socket_path
    with _lock:
        if time.monotonic() - _seen.get(place, -_TRUST_S) < _TRUST_S:
            return NAME
        bridge = BRIDGES[engine.kind]
        engine.ensure_network(NAME, bridge)
        if os.geteuid() == 0 and not engine.rootless:
            for program, rule in rules(bridge):
                _enforce(program, rule)
        _seen[place] = time.monotonic()
    return NAME


def forget() -> None:
    """The engine may have lost it: look again."""
    with _lock:
        _seen.clear()


def rules(bridge: str) -> Iterator[tuple[str, list[str]]]:
    """Before any other rule, for everything that comes out of the bridge."""
    here = ["-m", "addrtype", "--dst-type", "LOCAL"]
    for kind in ("tcp", "udp"):  # a cloud's metadata address is its name server too
        metadata = ["-i", bridge, "-d", _METADATA, "-p", kind, "-m", kind, "!", "--dport", "53"]
        yield "iptables", [*metadata, "-j", "DROP"]
    yield "iptables", ["-i", bridge, *here, "-j", "DROP"]
    for place in _METADATA_6:
        yield "ip6tables", ["-i", bridge, "-d", place, "-j", "DROP"]
    yield "ip6tables", ["-i", bridge, *here, "-j", "DROP"]


def _enforce(program: str, rule: list[str]) -> None:
    chain = [program, "-w", "5", "-t", "raw"]
    if _run([*chain, "-C", "PREROUTING", *rule]) is None:
        return
    problem = _run([*chain, "-I", "PREROUTING", *rule])
    if problem is not None and program == "iptables":  # there may be no IPv6 at all
        raise EngineRefused(0, f"the network of containers cannot be closed: {problem}")


def _run(command: list[str]) -> str | None:
    """None when it worked."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip()
