"""Settings of the provisioner."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ProvisionerSettings(BaseSettings):
    """Environment variables `CYNTHUS_PROVISIONER_*`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_PROVISIONER_", frozen=True)

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
