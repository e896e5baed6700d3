"""Settings of the orchestrator."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class OrchestratorSettings(BaseSettings):
    """Environment variables `CYNTHUS_ORCHESTRATOR_*`; times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="CYNTHUS_ORCHESTRATOR_", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = 7604
    public_url: str
    """Where workers reach this service."""
    blobs_url: str
    """Where workers read and write content: the gateway's `/v1`."""
    next_beat_s: float = 1.0
    lease_s: float = 60.0
    beats_per_second: float = 4000.0
    """A larger fleet beats more slowly, and its leases are longer."""
    tick_s: float = 1.0
    """How often leases, retries and deadlines are looked at."""
    grace_s: float = 10.0
    """Between SIGTERM and SIGKILL."""
    checkpoint_every_s: float = 60.0
    """How often workers save a program's checkpoints; 0: only when it ends."""
    infrastructure_retries: int = 5
    machine_idle_s: float = 600.0
    """A machine that asks for work in vain for so long is told to leave."""
    token_ttl_s: float = 30 * 86400.0
    """How long an attempt's token lives."""
    heartbeats_every_s: float = 10.0
    """How often one run's heartbeat is published at most."""
    registry_url: str | None = None
    """Where workers pull images; None: images cannot be pulled, and only the project itself is needed."""
    registry_username: str = "attempt"
    registry_password: SecretStr | None = None
    """None: workers show the token of their attempt, as the builder's own registry wants it."""
    machines_are_free: bool = False
    """A machine is asked for while the image is still being built."""
