import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


class PostgresUnavailable(Exception):
    """The embedded database cannot serve: `what` happened, and the `fix`."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}\n{fix}")
        self.what = what
        self.fix = fix


def from_output(doing: str, output: str, home: object) -> PostgresUnavailable:
    """Name the cause that a PostgreSQL program printed while `doing` something."""
    if "No space left on device" in output:
        return disk_full(home)
    if "Permission denied" in output:
        return PostgresUnavailable(
            f"{doing} failed: a file or folder may not be used.\n{_tail(output)}",
            f"Give the user that runs Cynthus its own {home}, or set CYNTHUS_HOME to another folder.",
        )
    return PostgresUnavailable(
        f"{doing} failed.\n{_tail(output)}",
        f"The last lines above say why; the whole log is in {home}/postgres.log.",
    )


def from_os_error(doing: str, error: OSError, home: object) -> PostgresUnavailable:
    """Name the cause of a failed system call on the home folder."""
    if error.errno in _FULL:
        return disk_full(home)
    return PostgresUnavailable(
        f"{doing} failed: {error.strerror or error} ({error.filename or home}).",
        "Make the folder writable for the user that runs Cynthus, or set CYNTHUS_HOME to another folder.",
    )


def disk_full(home: object) -> PostgresUnavailable:
    """No room for the database's files."""
    return PostgresUnavailable(
        f"The disk under {home} is full.",
        "Free at least 200 MB there, or set CYNTHUS_HOME to a folder on another disk, and start again.",
    )


def _tail(output: str, lines: int = 12) -> str:
    return "\n".join(f"  | {line}" for line in output.strip().splitlines()[-lines:]) or "  | (no output)"
