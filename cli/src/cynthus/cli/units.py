"""Sizes, durations and times: as people read them and as they write them."""

import re
from datetime import UTC, datetime, time, timedelta

_SIZES = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(count: float) -> str:
    """Bytes such as `3.1 MB`."""
    for unit in _SIZES:
        if count < _STEP or unit == _SIZES[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _STEP
    raise AssertionError


def digest(text: str) -> str:
    """A digest's first twelve digits, enough to name it."""
    kind, _, digits = text.rpartition(":")
    return f"{kind}:{digits[:12]}" if kind else digits[:12]


def files(count: int) -> str:
    """Such as `1 file` or `214 files`."""
    return f"{count} file{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration such as `0.3s`, `41s`, `3m12s` or `2h05m`."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def milliseconds(value: float) -> str:
    """A phase of a run: `12 ms` below a second, else a duration."""
    return f"{value:.0f} ms" if value < 1000 else duration(value / 1000)  # noqa: PLR2004


def parse_duration(text: str) -> float:
    """Seconds of `90`, `45s`, `1.5h` or `1h30m`. Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        raise ValueError(f"{text!r} is no duration; write 45s, 30m, 6h or 1h30m")
    if any(unit not in _SECONDS for _, unit in parts):
        raise ValueError(f"{text!r} has an unknown unit; use s, m, h, d or w")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_time(text: str) -> datetime:
    """An RFC 3339 time."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: `10m` ago, or an RFC 3339 time. Raises ValueError."""
    try:
        return datetime.fromtimestamp(now.timestamp() - parse_duration(text), UTC)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a duration such as 10m nor a time such as 2026-11-23T09:00:00Z"
        ) from None


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment of the past: the last `14:05` on the clock here, `5m` ago, or RFC 3339. Raises ValueError."""
    if _CLOCK.fullmatch(text):
        try:
            clock = time.fromisoformat(text.zfill(len("00:00")) if text.count(":") == 1 else text)
        except ValueError:
            raise ValueError(f"{text!r} is no time of the day") from None
        today = now.astimezone().date()
        moment = datetime.combine(today, clock).astimezone()
        return moment if moment <= now else datetime.combine(today - timedelta(days=1), clock).astimezone()
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no moment; write 14:05, 5m or 2026-11-23T14:05:00Z") from None


def rfc3339(moment: datetime) -> str:
    """In UTC, such as `2026-11-23T14:05:00Z`."""
    whole = "seconds" if not moment.microsecond else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=whole).replace("+00:00", "Z")


def ago(text: str | None, now: datetime) -> str:
    """How long since an RFC 3339 time, such as `3m12s ago`."""
    if text is None:
        return "-"
    return f"{duration(max(0.0, (now - parse_time(text)).total_seconds()))} ago"
