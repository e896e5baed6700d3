"""What a scan of a folder found."""

from collections import Counter
from dataclasses import dataclass, field

from cynthus.cli import units

_KEPT_EXAMPLES = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was when it was looked at."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not sent, and why."""

    path: str
    why: str


@dataclass(slots=True)
class Left:
    """What stays at home: all of it counted, the first of it named."""

    named: list[LeftOut] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, why: str) -> None:
        """One more; a folder counts once."""
        self.reasons[why] += 1
        if len(self.named) < _KEPT_EXAMPLES:
            self.named.append(LeftOut(path, why))


@dataclass(slots=True)
class Scan:
    """The files of a tree, in no order; links by path; folders without files."""

    files: list[Found] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    ignored: Left = field(default_factory=Left)
    skipped: Left = field(default_factory=Left)
    """What no rule named but cannot be sent: links out of the tree, sockets, pipes, devices."""
    warnings: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)

    @property
    def count(self) -> str:
        """Such as `1 file` or `214 files`."""
        return units.files(len(self.files))

    def paths(self) -> list[str]:
        """Every file, sorted."""
        return sorted(file.path for file in self.files)
