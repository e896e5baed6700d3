"""Settings of the gateway."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """Environment variables `CYNTHUS_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_GATEWAY_", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = 7600
    orchestrator_url: str
    """Where run history is asked for."""
    builder_url: str | None = None
    provisioner_url: str | None = None
    datasets_url: str | None = None
    """Where the other services are asked: for images, machines, parked messages, and how they are."""
    owner_token: SecretStr | None = None
    """The local owner's token: whoever has it is the owner `local`."""
    offer_after_s: float = 600.0
    """A run that the orchestrator has not taken over by then is offered to it directly."""
    streams_per_owner: int = 64
    """Server-sent event streams one owner may hold open."""
