"""The plan: everything a machine must know to run a folder, as one canonical JSON document."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from cynthus.planning.request import Outputs, Retry, Runtime

EntryKind = Literal["script", "notebook", "module", "command", "image"]
RequirementsSource = Literal["pep723", "uv.lock", "pyproject", "requirements.txt", "imports", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is started: a script, a notebook, a module, a command of the project's own, or its image's."""

    kind: EntryKind
    target: str
    found: str  # how it was chosen, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One line of PEP 508, with where it comes from; `guessed` when an import implied it."""

    text: str
    name: str  # normalised; "" for an address without a name
    why: str
    source: str  # file:line
    guessed: bool = False
    hashes: tuple[str, ...] = ()

    def line(self) -> str:
        """The line for a requirements file."""
        return " ".join((self.text, *(f"--hash={digest}" for digest in self.hashes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A package index beside the public one; `secret` names the run's secret that opens it."""

    name: str
    url: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a folder runs. Equal folders and requests give equal plans."""

    format: int = 1
    entry: Entry
    command: tuple[str, ...]
    python: str
    python_source: str
    requirements: tuple[Requirement, ...] = ()
    requirements_source: RequirementsSource = "none"
    requirements_files: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    locked: str | None = None  # sha256:… of the project's own uv.lock
    lock_path: str | None = None
    pythonpath: tuple[str, ...] = ()  # folders of the project, "" is its root
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    timeout: int | None = None  # seconds
    retry: Retry = field(default_factory=Retry)
    outputs: Outputs = field(default_factory=Outputs)
    checkpoint: str | None = None
    task: str | None = None
    modules: tuple[str, ...] = ()  # foreign modules that the code imports unconditionally, dotted, sorted
    import_check: bool = True  # whether the built image must be able to import `modules`
    indexes: tuple[Index, ...] = ()
    apt: tuple[str, ...] = ()  # Debian packages
    dockerfile: str | None = None  # path of the project's own, which wins over all else
    base: str | None = None  # a base image of the user's choice
    gpu: str | None = None  # "L4:1" or "24GB+"
    runtime: Runtime = "process"
    runtime_why: str = "nothing needs a container"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Canonical: sorted keys, no spaces, so equal plans are equal bytes."""
        return canonical(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; keys of a newer version are left out."""
        made: Self = _build(cls, json.loads(text))
        return made

    def additions(self) -> tuple[Requirement, ...]:
        """Requirements from outside the files the project states them in: what a frozen uv.lock may lack."""
        return tuple(
            one for one in self.requirements if one.source.partition(":")[0] not in self.requirements_files
        )

    def digest(self) -> str:
        """Names the whole plan: sha256:<hex>."""
        return "sha256:" + hashlib.sha256(self.to_json().encode()).hexdigest()

    def environment_digest(self) -> str:
        """Names only what the environment is made from: packages, their indexes, the system, the GPU."""
        parts = {
            "python": self.python,
            "requirements": sorted({requirement.line() for requirement in self.requirements}),
            "constraints": sorted(set(self.constraints)),
            "locked": self.locked,
            "indexes": [[index.url, index.secret] for index in self.indexes],
            "apt": self.apt,
            "base": self.base,
            "dockerfile": self.dockerfile,
            "gpu": self.gpu,
        }
        return "sha256:" + hashlib.sha256(canonical(parts).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


NESTED: dict[str, Any] = {"entry": Entry, "retry": Retry, "outputs": Outputs}
LISTED: dict[str, Any] = {"requirements": Requirement, "indexes": Index}


def _build(cls: Any, values: Mapping[str, Any]) -> Any:
    known: dict[str, Any] = {}
    for name, value in values.items():
        if name not in cls.__dataclass_fields__:
            continue
        if name in NESTED:
            known[name] = _build(NESTED[name], value)
        elif name in LISTED:
            known[name] = tuple(_build(LISTED[name], one) for one in value)
        else:
            known[name] = tuple(value) if isinstance(value, list) else value
    return cls(**known)
