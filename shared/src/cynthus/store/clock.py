"""Time as something that is given, so that a test can turn it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""What time it is, with its zone."""


def utc_now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)
