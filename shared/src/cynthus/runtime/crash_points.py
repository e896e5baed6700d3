"""Named places where a test lets a process die: the worst moments, between two steps that belong together.

`CYNTHUS_CRASH_AT="relay.published"` (or `relay.published:3`, the third time) kills the process there, as
suddenly as a power cut would; the name is first appended to the file that `CYNTHUS_CRASH_LOG` names.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

SETTING = "CYNTHUS_CRASH_AT"
LOG = "CYNTHUS_CRASH_LOG"

NAMES = (
    "append.before_statement",
    "append.before_commit",
    "append.committed",
    "append.announced",
    "relay.before_publish",
    "relay.published",
    "relay.before_checkpoint",
    "relay.checkpoint_saved",
    "consumer.before_handle",
    "consumer.handled",
    "consumer.before_park",
    "consumer.parked",
    "bus.before_acknowledge",
    "bus.acknowledged",
    "catch_up.before_hand_over",
    "catch_up.handed_over",
    "catch_up.checkpoint_saved",
    "submit.before_append",
    "submit.accepted",
    "build.claimed",
    "build.before_finish",
    "build.finished",
    "ledger.intended",
    "provider.before_create",
    "provider.created",
    "ledger.created",
    "provider.refused",
    "ledger.closed",
    "provider.before_delete",
    "provider.deleted",
    "ledger.before_gone",
    "ledger.gone",
)


class CrashPointUnknown(ValueError):
    """The setting names no place of this version."""


@dataclass(slots=True)
class _Armed:
    name: str
    left: int


def armed(environment: Mapping[str, str]) -> _Armed | None:
    """What an environment asks for. Raises CrashPointUnknown."""
    text = environment.get(SETTING)
    if not text:
        return None
    name, colon, nth = text.partition(":")
    if name not in NAMES or (colon and not (nth.isascii() and nth.isdigit() and int(nth))):
        raise CrashPointUnknown(f"{SETTING}={text}: there is no such place; there are {', '.join(NAMES)}")
    return _Armed(name, int(nth) if colon else 1)


def reach(name: str) -> None:
    """Nothing, unless this is where the process is to die."""
    if _armed is not None and _armed.name == name:
        _armed.left -= 1
        if _armed.left == 0:
            _die(name)


def _die(name: str) -> NoReturn:
    if log := os.environ.get(LOG):
        with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 - nothing more than needed on the way
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def _at_start() -> _Armed | None:
    try:
        return armed(os.environ)
    except CrashPointUnknown:
        return None  # the settings refuse it, and say so


_armed = _at_start()
