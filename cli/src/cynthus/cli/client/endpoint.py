"""Where the platform is and who speaks to it."""

from dataclasses import dataclass, field
from typing import Literal

Origin = Literal["environment", "login", "embedded"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`origin` says where the address came from; the embedded platform's may change when it restarts."""

    url: str
    token: str | None = field(default=None, repr=False)
    origin: Origin = "environment"
