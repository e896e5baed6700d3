"""What one `cynthus run` asks for, in the words of the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`target` is a script, a notebook or a folder; `data` is PATH[:MOUNT] each; times are seconds."""

    target: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    task: str | None = None
    name: str | None = None
    data: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu: float | None = None
    memory: int | None = None
    gpu: str | None = None
    runtime: Literal["process", "container"] | None = None
    timeout: float | None = None
    retries: int | None = None
    key: str | None = None
