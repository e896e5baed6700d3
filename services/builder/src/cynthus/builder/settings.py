"""Settings of the builder."""

import sys

from pydantic_settings import BaseSettings, SettingsConfigDict


class BuilderSettings(BaseSettings):
    """Environment variables `CYNTHUS_BUILDER_*`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_BUILDER_", frozen=True)

    host: str = "127.0.0.1"
    port: int = 7602
    default_python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """For projects that do not say."""
    concurrency: int = 2
    """Builds at once."""
    uv: str | None = None
    """The uv program; found by itself when absent."""
