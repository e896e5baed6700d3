"""Settings of the datasets service."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class DatasetsSettings(BaseSettings):
    """Environment variables `CYNTHUS_DATASETS_*`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_DATASETS_", frozen=True)

    host: str = "127.0.0.1"
    port: int = 7605
