"""Settings of the provisioner."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cynthus.provisioner.domain.prepull import Prepull


def _listed(given: object) -> object:
    """A JSON list of references as it stands in an environment variable."""
    references = json.loads(given) if isinstance(given, str) else given
    return (
        tuple(Prepull.parse(str(item)) for item in references) if isinstance(references, list) else references
    )


class ProvisionerSettings(BaseSettings):
    """Environment variables `CYNTHUS_PROVISIONER_*`."""

    model_config = SettingsConfigDict(
        env_prefix="CYNTHUS_PROVISIONER_", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = 7603
    machines_home: Path
    """Folder where workers keep caches and runs."""
    url: str
    """Where workers reach this service."""
    orders_url: str
    """Where workers fetch their work: the orchestrator."""
    slots: int = 8
    """Machines that may be held at once."""
    warm: int = 1
    """Idle machines kept ready."""
    idle_ttl_s: float = 10.0
    boot_timeout_s: float = 60.0
    token_ttl_s: float = 30 * 24 * 3600
    """How long a machine's token lives."""
    prepull: Annotated[tuple[Prepull, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Images that machines fetch before anybody asks: `["http://host:port/name@sha256:..."]`."""
    prepull_username: str = "machine"
    prepull_password: SecretStr | None = None
    """None: machines show their own token at `registry_url`, and nothing anywhere else."""
    registry_url: str | None = None
    """The platform's own registry."""
