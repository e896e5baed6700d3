"""The state folder of the platform on this machine, and what is kept in it."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEY_BYTES = 32
_SECRET_FILE = 0o600
_PRIVATE_FOLDER = 0o700


class HomeUnusable(Exception):
    """The state folder cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the state folder."""

    root: Path

    @classmethod
    def find(cls) -> "Home":
        """CYNTHUS_HOME, else the XDG state folder."""
        given = os.environ.get("CYNTHUS_HOME")
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return cls(Path(given) if given else Path(state) / "cynthus")

    @property
    def postgres(self) -> Path:
        """The embedded server's home."""
        return self.root / "postgres"

    @property
    def machines(self) -> Path:
        """Where workers keep caches and runs."""
        return self.root / "machines"

    @property
    def blobs(self) -> Path:
        """The object store."""
        return self.root / "blobs"

    @property
    def images(self) -> Path:
        """What the builder made, as OCI image layouts."""
        return self.root / "images"

    @property
    def secrets(self) -> Path:
        """Encrypted secrets."""
        return self.root / "secrets"

    @property
    def description(self) -> Path:
        """Where the running platform says who and where it is."""
        return self.root / "platform.json"

    @property
    def lock(self) -> Path:
        """Held by the running platform."""
        return self.root / "platform.lock"

    @property
    def token(self) -> Path:
        """The owner's token."""
        return self.root / "token"

    def prepare(self) -> None:
        """Make the folder private and usable. Raises HomeUnusable."""
        try:
            for folder in (self.root, self.machines, self.blobs, self.images, self.secrets):
                folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(
                f"the state folder {self.root} cannot be used ({error.strerror}); "
                "make it writable, or set CYNTHUS_HOME to a folder that is"
            ) from error

    def key(self, name: str) -> str:
        """A key that is made on first use and then stays; 64 hex characters in a file of mode 0600."""
        path = self.token if name == "token" else self.root / "keys" / name
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            return self._make_key(path)
        except OSError as error:
            raise HomeUnusable(f"{path} cannot be read: {error.strerror}") from error

    def describe(self, **facts: Any) -> None:
        """Write platform.json, whole or not at all."""
        _write(self.description, json.dumps(facts, indent=1) + "\n")

    def described(self) -> dict[str, Any]:
        """What platform.json says; empty when there is none."""
        try:
            facts: dict[str, Any] = json.loads(self.description.read_text())
        except (OSError, ValueError):
            return {}
        return facts

    @staticmethod
    def _make_key(path: Path) -> str:
        path.parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        key = secrets.token_hex(_KEY_BYTES)
        try:
            _write(path, key + "\n")
        except OSError as error:
            raise HomeUnusable(f"{path} cannot be written: {error.strerror}") from error
        return key


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _SECRET_FILE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
