"""Where a process is between its start and its end."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Lifecycle:
    """`started` once it serves; `stopping` is set when it was told to end."""

    started: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
