"""The body of a submission, and its limits."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cynthus.events import DataMount, Resources, RunSpec
from cynthus.spec.problem import Wrong
from cynthus.spec.quantities import gpu
from cynthus.web.problems import Refused

MAX_BODY_BYTES = 1024 * 1024

_DIGEST = r"^sha256:[0-9a-f]{64}$"
_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"
_LABEL = r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"
_REMOTE = re.compile(r"^(hf|kaggle|gs|s3|https?)://", re.IGNORECASE)
_RESERVED = "CYNTHUS_"
_MAX_TEXT = 32 * 1024
_DAY_S = 24 * 3600
_MONTH_S = 31 * _DAY_S


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _relative(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or not path.strip("./"):
        raise ValueError("must be a path inside the project")
    return "/".join(part for part in parts if part not in {"", "."})


def _gpu(text: str) -> str:
    try:
        gpu(text)
    except Wrong as error:
        raise ValueError(f"{error.what}; {error.fix}") from error
    return text


RetryKind = Literal["preemption", "no_capacity", "infra", "failure"]
Digest = Annotated[str, Field(pattern=_DIGEST)]
Name = Annotated[str, Field(pattern=_NAME, description="lower-case letters, digits and dashes")]
Text = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_no_nul)]
Short = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_no_nul)]
Path = Annotated[Short, AfterValidator(_relative)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]
Label = Annotated[str, Field(pattern=_LABEL)]
LabelValue = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class DataSource(_Request):
    """Data a run reads: a snapshot that was uploaded, and the path where it appears."""

    source: Short
    snapshot: Digest | None = None
    mount: Path

    @model_validator(mode="after")
    def _uploaded(self) -> "DataSource":
        if _REMOTE.match(self.source):
            scheme = self.source.partition(":")[0]
            hint = "Download the data and give the folder with `--data ./folder`."
            raise Refused(422, "not_supported_yet", f"data from {scheme}:// is not supported yet", hint)
        if self.snapshot is None:
            raise ValueError("needs the snapshot of the uploaded data")
        return self

    def mounted(self) -> DataMount:
        """As part of a RunSpec."""
        assert self.snapshot is not None
        return DataMount(source=self.source, snapshot=self.snapshot, mount=self.mount)


class RequestedResources(_Request):
    """What a run asks of its machine."""

    cpu: float | None = Field(default=None, gt=0, le=1024)
    memory_bytes: int | None = Field(default=None, ge=1024 * 1024, le=2**50)
    gpu: Annotated[str, Field(max_length=64), AfterValidator(_gpu)] | None = Field(
        default=None, description='a name with a count, "L4" or "L4:2", or memory, "24GB+"'
    )

    def wish(self) -> Resources:
        """As part of a RunSpec."""
        return Resources(cpu=self.cpu, memory_bytes=self.memory_bytes, gpu=self.gpu)


class RunSubmission(_Request):
    """A run to be accepted."""

    snapshot: Digest
    name: Name | None = None
    entry: Path | None = None
    arguments: list[Text] = Field(default=[], max_length=1000)
    task: Short | None = None
    data: list[DataSource] = Field(default=[], max_length=64)
    env: dict[Variable, Text] = Field(default={}, max_length=256)
    secrets: dict[Variable, Text] = Field(default={}, max_length=64)
    labels: dict[Label, LabelValue] = Field(default={}, max_length=64)
    resources: RequestedResources = RequestedResources()
    timeout_s: float | None = Field(default=None, gt=0, le=_MONTH_S)
    retries: int = Field(default=0, ge=0, le=100, description="attempts after the first one that failed")
    retry_on: list[RetryKind] | None = Field(
        default=None, max_length=8, description="kinds of causes that are tried again; without it all"
    )
    retry_backoff_s: float | None = Field(default=None, ge=0, le=_DAY_S)
    runtime: Literal["process", "container"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "RunSubmission":
        reserved = [name for name in (*self.env, *self.secrets) if name.upper().startswith(_RESERVED)]
        if reserved:
            raise ValueError(f"{reserved[0]}: names that begin with CYNTHUS_ are the platform's")
        if both := self.env.keys() & self.secrets.keys():
            raise ValueError(f"{min(both)} is both in env and in secrets")
        mounts = [item.mount for item in self.data]
        if len(set(mounts)) < len(mounts):
            raise ValueError("two data sources have the same mount")
        return self

    def spec(self) -> RunSpec:
        """What is recorded: secrets by name only."""
        return RunSpec(
            snapshot=self.snapshot,
            entry=self.entry,
            arguments=tuple(self.arguments),
            task=self.task,
            data=tuple(item.mounted() for item in self.data),
            env=self.env,
            secrets=tuple(sorted(self.secrets)),
            resources=self.resources.wish(),
            timeout_s=self.timeout_s,
            retries=self.retries,
            retry_backoff_s=self.retry_backoff_s,
            **({} if self.retry_on is None else {"retry_on": tuple(dict.fromkeys(self.retry_on))}),
            runtime=self.runtime,
        )
