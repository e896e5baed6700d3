"""Secrets in encrypted files, one per scope."""

import asyncio
import json
import os
from base64 import urlsafe_b64encode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cynthus.blobs.durability import make_folder, sync_folder
from cynthus.events import new_id


class SecretsUnreadable(Exception):
    """The file was written under another key, or changed since."""


class EncryptedSecrets:
    """A folder of files that only its owner may read, each encrypted under one key."""

    def __init__(self, folder: Path, key: str) -> None:
        make_folder(folder)
        folder.chmod(0o700)
        self._folder = folder
        derived = HKDF(SHA256(), 32, salt=None, info=b"cynthus secrets v1").derive(key.encode())
        self._cipher = Fernet(urlsafe_b64encode(derived))

    async def put(self, scope: str, values: dict[str, str]) -> None:
        """Replace the values of a scope, durably."""
        await asyncio.to_thread(self._write, scope, values)

    async def get(self, scope: str) -> dict[str, str]:
        """All values of a scope. Raises SecretsUnreadable under a wrong key."""
        return await asyncio.to_thread(self._read, scope)

    async def delete(self, scope: str) -> None:
        """Forget a scope."""
        await asyncio.to_thread(self._remove, scope)

    def _path(self, scope: str) -> Path:
        return self._folder / sha256(scope.encode()).hexdigest()

    def _write(self, scope: str, values: dict[str, str]) -> None:
        content = json.dumps({"scope": scope, "values": values}).encode()
        temporary = self._folder / new_id("w")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self._cipher.encrypt(content))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._path(scope))
            sync_folder(self._folder)
        finally:
            temporary.unlink(missing_ok=True)

    def _read(self, scope: str) -> dict[str, str]:
        try:
            content = json.loads(self._cipher.decrypt(self._path(scope).read_bytes()))
        except FileNotFoundError:
            return {}
        except InvalidToken as error:
            raise SecretsUnreadable("the secrets key is not the one these were stored with") from error
        # A file renamed to another scope's name must not hand its values over.
        if content["scope"] != scope:
            raise SecretsUnreadable("the file belongs to another scope")
        values: dict[str, str] = content["values"]
        return values

    def _remove(self, scope: str) -> None:
        with suppress(FileNotFoundError):
            self._path(scope).unlink()
            sync_folder(self._folder)
