"""What kind each cause is of, and out of which budget another attempt is made: the one table."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a user's `retry.on` names; `permanent` cannot be named, for it is never tried again."""

    PREEMPTION = "preemption"
    NO_CAPACITY = "no_capacity"
    INFRA = "infra"
    FAILURE = "failure"
    PERMANENT = "permanent"


class Budget(StrEnum):
    """Whose failures are counted; none burns another's."""

    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    PREEMPTION = "preemption"
    CAPACITY = "capacity"


BUDGETS = {
    Kind.PREEMPTION: Budget.PREEMPTION,
    Kind.NO_CAPACITY: Budget.CAPACITY,
    Kind.INFRA: Budget.INFRASTRUCTURE,
    Kind.FAILURE: Budget.USER,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """The kind of a code, in a few words why; `slow` ones need time to pass before the first repetition.

    After one of its `machine` the machine is given to nobody else.
    """

    kind: Kind
    why: str
    slow: bool = False
    machine: bool = False


TABLE: dict[str, Entry] = {
    "preempted": Entry(Kind.PREEMPTION, "the provider took the machine away", machine=True),
    "no_capacity": Entry(Kind.NO_CAPACITY, "no machine came in time"),
    "quota": Entry(Kind.NO_CAPACITY, "the provider's limit is reached; it ends the run after a bounded wait"),
    "boot_failed": Entry(Kind.INFRA, "machines were made and did not come up", slow=True),
    "container_refused": Entry(
        Kind.INFRA, "this machine's engine did not start it; another's may", slow=True, machine=True
    ),
    "engine_restarted": Entry(Kind.INFRA, "the container engine went away", machine=True),
    "image_missing": Entry(Kind.INFRA, "the registry does not have the image, or not yet", slow=True),
    "index_unreachable": Entry(Kind.INFRA, "the index of packages does not answer", slow=True),
    "lost_machine": Entry(Kind.INFRA, "the machine was not heard from, or is gone", machine=True),
    "registry_unreachable": Entry(Kind.INFRA, "the registry of images does not answer", slow=True),
    "storage_full": Entry(Kind.INFRA, "the object store has no room", slow=True),
    "upload_stalled": Entry(Kind.INFRA, "logs and outputs did not arrive in time", machine=True),
    "worker_failed": Entry(Kind.INFRA, "the agent on the machine failed", machine=True),
    "worker_stopped": Entry(Kind.INFRA, "the agent on the machine was stopped", machine=True),
    "disk_full": Entry(Kind.FAILURE, "the program wrote more than fits; `infra` if it had not begun"),
    "oom": Entry(Kind.FAILURE, "the program needs more memory than it has"),
    "outputs_failed": Entry(Kind.FAILURE, "what the program left cannot be kept as it is"),
    "signal": Entry(Kind.FAILURE, "the program crashed or was killed"),
    "timeout": Entry(Kind.FAILURE, "the program took longer than it may"),
    "user_exit": Entry(Kind.FAILURE, "the program ended with an exit code other than 0"),
    "build_abandoned": Entry(Kind.PERMANENT, "the builder has tried it often enough itself"),
    "build_error": Entry(Kind.PERMANENT, "the builder cannot do it"),
    "build_failed": Entry(Kind.PERMANENT, "the code cannot be made ready"),
    "build_timeout": Entry(Kind.PERMANENT, "the build takes longer than it may"),
    "command_not_executable": Entry(Kind.PERMANENT, "the same file is there next time"),
    "command_not_found": Entry(Kind.PERMANENT, "the same environment is there next time"),
    "content_missing": Entry(Kind.PERMANENT, "an input is not in the object store"),
    "data_missing": Entry(Kind.PERMANENT, "an input is not in the object store"),
    "dataset_failed": Entry(Kind.PERMANENT, "the data cannot be made ready"),
    "driver_too_old": Entry(Kind.PERMANENT, "the machine's driver does not change by itself"),
    "image_refused": Entry(Kind.PERMANENT, "the image is not what it should be, and stays so"),
    "import_failed": Entry(Kind.PERMANENT, "the program's imports do not work in its environment"),
    "internal_error": Entry(Kind.PERMANENT, "the platform could not handle the request for the run"),
    "interpreter_missing": Entry(Kind.PERMANENT, "the same environment is there next time"),
    "machine_refused": Entry(Kind.PERMANENT, "the provider says that it will never give such a machine"),
    "needs_container": Entry(Kind.PERMANENT, "the image cannot be used without a container"),
    "no_container_engine": Entry(Kind.PERMANENT, "the machine has no container engine"),
    "no_gpu": Entry(Kind.PERMANENT, "no machine has such a GPU"),
    "order_invalid": Entry(Kind.PERMANENT, "what was asked for cannot be laid out on a machine"),
    "python_missing": Entry(Kind.PERMANENT, "the machine has no such Python"),
    "registry_denied": Entry(Kind.PERMANENT, "the registry does not let us in"),
    "registry_refused": Entry(Kind.PERMANENT, "the registry does not take the image"),
    "sandbox_missing": Entry(Kind.PERMANENT, "the machine cannot confine the program as asked"),
    "source_invalid": Entry(Kind.PERMANENT, "the project's files are not what they should be"),
    "source_missing": Entry(Kind.PERMANENT, "the project's files are not in the object store"),
    "wheel_refused": Entry(Kind.PERMANENT, "a package cannot be used"),
}


def kind_of(code: str, otherwise: Kind) -> Kind:
    """The kind of a cause; a code that is not in the table is of the kind that its teller stands for."""
    entry = TABLE.get(code)
    return otherwise if entry is None else entry.kind


def is_slow(code: str) -> bool:
    """Whether not even the first repetition should come at once."""
    entry = TABLE.get(code)
    return entry is not None and entry.slow


def is_of_machine(code: str) -> bool:
    """Whether the machine is broken or goes, whoever uses it."""
    entry = TABLE.get(code)
    return entry is not None and entry.machine
