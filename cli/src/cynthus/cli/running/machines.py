"""What the platform's machine offers, and whether a plan can run there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cynthus.cli import exits, units
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session
from cynthus.planning import Plan

_ENGINES = {"docker", "podman", "container"}
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Machine:
    """`runtimes` such as process or docker; `gpus` by model with their bytes; `driver` is NVIDIA's."""

    runtimes: tuple[str, ...]
    gpus: tuple[tuple[str, int], ...] = ()
    driver: str | None = None

    @property
    def has_engine(self) -> bool:
        """Whether it can run containers."""
        return not _ENGINES.isdisjoint(self.runtimes)


def of(status: Mapping[str, Any]) -> Machine | None:
    """What `GET /v1/status` says of the machine; None when it says nothing."""
    machine = status.get("machine")
    if not isinstance(machine, Mapping) or not machine.get("runtimes"):
        return None
    gpus = tuple((str(one["name"]), int(one["memory_bytes"])) for one in machine.get("gpus") or ())
    return Machine(tuple(map(str, machine["runtimes"])), gpus, machine.get("driver"))


def look(session: Session) -> Machine | None:
    """Ask, starting nothing and without waiting long; None when nobody answers."""
    try:
        return of(session.api("never", patience_s=0, timeout_s=_TIMEOUT_S).status())
    except Failure:
        return None


def place(where: str, plan: Plan, machine: Machine | None) -> str:
    """The plan's line of where and how, with what is offered there."""
    how = "in a container" if plan.runtime == "container" else "as a process with an environment of its own"
    said = f"{where}, {how}" if plan.runtime == "container" or where == "this machine" else where
    if machine is None:
        return said
    driver = f", driver {machine.driver}" if machine.driver else ""
    return f"{said}   (offers {', '.join(machine.runtimes)}; {_gpus(machine)}{driver})"


def warnings(plan: Plan, machine: Machine | None) -> Iterator[str]:
    """What of the plan the machine does not have."""
    if machine is None:
        return
    if plan.runtime == "container" and not machine.has_engine:
        failure = _no_engine(plan)
        yield f"{failure.what}; {failure.fix}"
    if plan.gpu and not _has(machine, plan.gpu):
        yield f"the GPU {plan.gpu} is asked for, and the machine has {_gpus(machine)}"


def _gpus(machine: Machine) -> str:
    return ", ".join(f"{name} {units.size(memory)}" for name, memory in machine.gpus) or "no GPU"


def _has(machine: Machine, asked: str) -> bool:
    from cynthus.spec import gpu

    wanted = gpu(asked)
    if wanted.memory is not None:
        return any(memory in wanted.memory for _, memory in machine.gpus)
    return any(str(wanted.name).lower() in name.lower() for name, _ in machine.gpus)


def check(plan: Plan, machine: Machine | None) -> None:
    """Refuse what is sure to fail there. Raises Failure."""
    if plan.runtime == "container" and machine is not None and not machine.has_engine:
        raise _no_engine(plan)


def _no_engine(plan: Plan) -> Failure:
    fix = "install Docker or Podman there (cynthus doctor looks for them)"
    if plan.dockerfile == "Dockerfile":
        fix += ", or leave the Dockerfile out: --runtime process"
    return Failure(
        code="runtime_missing",
        what="the platform's machine has no container engine",
        why=plan.runtime_why,
        fix=fix,
        exit_code=exits.SPEC_INVALID,
    )
