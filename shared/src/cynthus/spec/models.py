"""cynthus.toml as typed tables; the same stands under [tool.cynthus] in pyproject.toml."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from cynthus.spec import values


class Table(BaseModel):
    """A table that knows all its keys."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class Index(Table):
    """A package index beside the public one."""

    name: values.IndexName = Field(description="A name for it, shown in plans and errors")
    url: values.IndexURL = Field(description="Its address, https, without a password")
    secret: values.Variable | None = Field(
        None, description='The name of a secret that opens it, "user:password" or a token'
    )


class Image(Table):
    """What the program runs in; what is left out is found from the project."""

    python: values.PythonVersion | None = Field(None, description='Python version, such as "3.13"')
    requirements: values.Paths = Field((), description="Requirements files, instead of those found")
    apt: values.Packages = Field((), description='Debian packages: "libgl1" or "git=1:2.39.5-0"')
    dockerfile: values.Dockerfile = Field(
        None, description="The project's own, which wins over all else; false leaves the one found out"
    )
    base: values.ImageName | None = Field(None, description='A base image: "python:3.12-slim"')
    index: tuple[Index, ...] = Field((), description="Package indexes beside the public one")
    runtime: values.Runtime | None = Field(None, description="Instead of the one that is chosen")
    import_check: values.Flag = Field(
        default=True, description="Whether the built image must be able to import what the program imports"
    )


class Resources(Table):
    """What the machine has: "4" exact, "4+" at least, "4..8" a range."""

    cpu: values.CPU | None = Field(None, description='Cores: "4", "4+", "4..8"')
    memory: values.Size | None = Field(None, description='Memory: "16GB", "16GB+", "16GB..64GB"')
    gpu: values.GPU | None = Field(None, description='Name with a count, "L4:1", or memory, "24GB+"')
    disk: values.Size | None = Field(None, description='Disk: "100GB"')
    spot: values.Spot | None = Field(None, description="Machines that may be taken away, at a lower price")
    regions: values.Words = Field((), description="Regions in order of preference")
    max_price: values.Money | None = Field(None, description="US dollars an hour; dearer offers are refused")


class Data(Table):
    """One data set and where the program finds it."""

    source: values.Source = Field(description="./folder, hf://, kaggle://, gs:// or https://")
    revision: values.Text | None = Field(None, description="Branch, tag or commit")
    mount: values.Inside | None = Field(None, description="Path inside the project")


class Retry(Table):
    """When a run starts again."""

    attempts: values.Attempts = Field(1, description="How many times it may start, the first included")
    on: values.Causes = Field(values.CAUSES, description="Kinds of causes that are tried again")
    backoff: values.Duration | None = Field(
        None, description="Wait before the second attempt after a failure, doubling from there"
    )


class Outputs(Table):
    """What is kept of what the program writes."""

    path: values.Inside = Field("outputs", description="Folder whose files are the result")
    include: values.Words = Field(("**",), description="Patterns of files to keep")
    keep: values.Duration | None = Field(None, description='How long results are kept: "30d"')


class Task(Table):
    """Something to run; it inherits the top level and may say more."""

    command: values.Command = Field(description="A shell line or a list of words")
    secrets: values.Variables = Field((), description="Names of secrets, given as environment variables")
    timeout: values.Duration | None = Field(None, description='The run is stopped after this time: "6h"')
    budget: values.Money | None = Field(
        None, description="US dollars; the run is stopped and results are kept"
    )
    checkpoint: values.Inside | None = Field(None, description="Folder restored on the next attempt")
    retry: Retry | None = Field(None, description="When the run starts again")
    outputs: Outputs | None = Field(None, description="What is kept of what the program writes")
    after: values.Names = Field((), description="Tasks that come first; their outputs can be read")
    schedule: values.Schedule | None = Field(None, description='Cron: "0 6 * * 1"')
    env: dict[values.Variable, values.VariableValue] = Field({}, description="Variables of this task only")
    resources: Resources | None = Field(None, description="Resources of this task only")


class Spec(Table):
    """The whole file."""

    name: values.Name | None = Field(None, description="The project's name")
    ignore: values.Words = Field(
        (), description="Patterns not uploaded, on top of .gitignore and .cynthusignore"
    )
    image: Image = Field(default_factory=Image, description="What the program runs in")
    resources: Resources = Field(default_factory=Resources, description="What the machine has")
    data: tuple[Data, ...] = Field((), description="Data sets")
    env: dict[values.Variable, values.VariableValue] = Field({}, description="Environment variables")
    task: dict[values.Name, Task] = Field(
        {}, description="What can be run, by name; main is run when none is named"
    )
