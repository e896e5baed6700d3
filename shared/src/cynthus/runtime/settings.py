"""Settings of a process: where the platform's parts are and the keys they share."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cynthus.runtime import crash_points

MIN_KEY_CHARACTERS = 32
_EMULATORS = ("PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST")
_DEFAULTS = ("default", "change-me", "changeme", "insecure", "example", "secret")


class PlatformSettings(BaseSettings):
    """Environment variables `CYNTHUS_*`; read once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = "production"
    database_url: str
    database_connections: int = 10
    single_process: bool = False
    """Nothing but this process waits for what is written, so nobody else is told of it."""
    bus: Literal["postgres", "pubsub", "memory"] = "postgres"
    pubsub_project: str | None = None
    blobs_folder: Path
    blobs_url: str | None = None
    """Where signed URLs lead: the gateway's `/v1/objects`."""
    secrets_folder: Path
    secrets_key: SecretStr
    worker_key: SecretStr
    internal_token: SecretStr
    peers: dict[str, str] = {}
    """Addresses of services by their names: what the bus lost is read from their histories."""
    catch_up_every_s: float = 10.0
    catch_up_settle_s: float = 5.0
    """How long a fact may stay away before it counts as lost."""
    home: Path | None = None
    """State folder of the embedded platform."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.bus == "pubsub" and not self.pubsub_project:
            raise ValueError("CYNTHUS_BUS=pubsub needs CYNTHUS_PUBSUB_PROJECT")
        for name in ("secrets_key", "worker_key", "internal_token"):
            if problem := self._weakness(getattr(self, name).get_secret_value()):
                raise ValueError(f"CYNTHUS_{name.upper()} {problem}; make one with: openssl rand -hex 32")
        return self

    @model_validator(mode="after")
    def _no_emulator_in_production(self) -> Self:
        for name in _EMULATORS:
            if self.environment == "production" and os.environ.get(name):
                raise ValueError(f"{name} is set: unset it, or set CYNTHUS_ENVIRONMENT=embedded for a test")
        if self.environment == "production" and self.bus == "memory":
            raise ValueError("CYNTHUS_BUS=memory loses facts when the process ends; use postgres or pubsub")
        return self

    @model_validator(mode="after")
    def _no_crash_point_in_production(self) -> Self:
        if crash_points.armed(os.environ) is not None and self.environment == "production":
            raise ValueError(f"{crash_points.SETTING} is set: it kills the process; unset it")
        return self

    def _weakness(self, key: str) -> str | None:
        if len(key) < MIN_KEY_CHARACTERS:
            return f"is shorter than {MIN_KEY_CHARACTERS} characters"
        known = len(set(key)) == 1 or any(word in key.lower() for word in _DEFAULTS)
        return "looks like a default" if known and self.environment == "production" else None
