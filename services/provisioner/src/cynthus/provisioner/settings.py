"""Settings of the provisioner."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, SecretStr, model_validator
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
    machines: Literal["processes", "hostile"] = "processes"
    """Who makes machines: this host, or the provider of tests at `hostile_url`."""
    hostile_url: str | None = None
    machine_grace_s: float = 10.0
    """How long after its need a machine may still be there; beyond, it is a leak."""
    idle_ttl_s: float = 4.0
    """How much of that time a machine stays for another run to need it."""
    boot_timeout_s: float = 60.0
    capacity_wait_s: float = 300.0
    """How long a request waits for a provider that has no room, before its attempt fails."""
    refusal_memory_s: float = 30.0
    """How long a zone that had no room is not asked again."""
    provider_calls_per_s: float = 20.0
    """Most calls of each kind; twice as many at once."""
    provider_timeout_s: float = 15.0
    token_ttl_s: float = 30 * 24 * 3600
    """How long a machine's token lives."""
    prepull: Annotated[tuple[Prepull, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Images that machines fetch before anybody asks: `["http://host:port/name@sha256:..."]`."""
    prepull_username: str = "machine"
    prepull_password: SecretStr | None = None
    """None: machines show their own token at `registry_url`, and nothing anywhere else."""
    registry_url: str | None = None
    """The platform's own registry."""

    @model_validator(mode="after")
    def _hostile_has_an_address(self) -> Self:
        if self.machines == "hostile" and self.hostile_url is None:
            raise ValueError("machines = hostile needs hostile_url")
        return self
