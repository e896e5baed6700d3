"""What every fact has in common."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

TYPE_PREFIX = "dev.cynthus."
TYPE_SUFFIX = ".v1"


class Event(BaseModel):
    """Something that happened: past tense, immutable, tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ClassVar[str]

    @classmethod
    def ce_type(cls) -> str:
        """The CloudEvents type, such as `dev.cynthus.run.failed.v1`."""
        return f"{TYPE_PREFIX}{cls.kind}{TYPE_SUFFIX}"

    @classmethod
    def topic(cls) -> str:
        """The bus topic that carries this fact, such as `cynthus.run-failed`."""
        return "cynthus." + cls.kind.replace(".", "-")

    @property
    def subject(self) -> str:
        """What the fact is about, such as `runs/run_01jd...`."""
        raise NotImplementedError
