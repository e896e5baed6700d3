"""What is asked of a plan: the command line's words and what the project declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cynthus.planning.document import Index

Runtime = Literal["process", "container"]
FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a program that fails may start, after what kinds of causes, and the first wait in seconds."""

    attempts: int = 1
    on: tuple[str, ...] = ("preemption", "no_capacity", "infra", FAILURE)
    backoff: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where results are left, which are kept, and for how long (seconds)."""

    path: str = "outputs"
    include: tuple[str, ...] = ("**",)
    keep: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One `[task.NAME]`, in plain values; durations are seconds."""

    name: str
    command: str | tuple[str, ...]
    where: str = "cynthus.toml"
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    timeout: int | None = None
    checkpoint: str | None = None
    retry: Retry | None = None
    outputs: Outputs | None = None
    gpu: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What cynthus.toml or [tool.cynthus] says that a plan depends on.

    With `find_dockerfile` a file named Dockerfile in the project's root is taken, when none is named.
    """

    file: str = "cynthus.toml"
    name: str | None = None
    python: str | None = None
    requirements: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    dockerfile: str | None = None
    find_dockerfile: bool = True
    base: str | None = None
    indexes: "tuple[Index, ...]" = ()
    runtime: Runtime | None = None
    import_check: bool = True
    gpu: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The words of one `cynthus run`; what is given here wins over what is declared.

    `entry` is a file, a notebook, a folder inside the tree, or "-m package.module".
    """

    entry: str | None = None
    args: tuple[str, ...] = ()
    task: str | None = None
    declared: Declared | None = None
    python: str | None = None
    default_python: str = "3.11"
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: int | None = None
    attempts: int | None = None
    gpu: str | None = None
    runtime: Runtime | None = None
    default_runtime: Runtime = "process"
