"""Settings of the builder."""

import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class BaseImage(BaseModel):
    """A base image for one Python version, pinned by digest; the rest is guessed from it when absent."""

    reference: str
    python: str | None = None
    """Its interpreter, such as /usr/bin/python3.11."""
    glibc: tuple[int, int] | None = None


class BuilderSettings(BaseSettings):
    """Environment variables `CYNTHUS_BUILDER_*`."""

    model_config = SettingsConfigDict(env_prefix="CYNTHUS_BUILDER_", frozen=True)

    host: str = "127.0.0.1"
    port: int = 7602
    default_python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """For projects that do not say."""
    default_runtime: Literal["process", "container"] = "process"
    """For projects that need neither."""
    machines_are_here: bool = False
    """The only machine there is is this one, with or without a container engine."""
    concurrency: int = 2
    """Builds at once."""
    threads: int = 2
    """Layers packed at once."""
    uv: str | None = None
    """The uv program; found by itself when absent."""
    images_folder: Path = Path("images")
    """Images, when there is no registry; and always wheels and layers on their way."""
    layers_folder: Path | None = None
    """Where unpacked layers are kept for import checks; may be a worker's on this machine."""
    layers_bytes: int | None = 4 * 1024**3
    """How much of them is kept; None where a worker tidies."""
    registry_url: str | None = None
    """An OCI registry, http(s)://host[:port][/prefix]; None keeps images in the folder."""
    registry_username: str | None = None
    registry_password: SecretStr | None = None
    bases: dict[str, BaseImage] = {}
    """By Python version, as JSON."""
    fallback_base: str = "docker.io/library/python:{python}-slim"
    """For runs that need a container, where `bases` has nothing."""
    find_links: tuple[str, ...] = ()
    """Folders or pages of more wheels."""
    torch_backend: Literal["auto", "off"] = "auto"
    """`off` takes PyTorch from the ordinary index."""
    walls_needed: bool = False
    """Build no source where there is no sandbox: for platforms of many owners."""
    import_checks: bool = True
    """Try a program's imports in its image before a machine is asked for."""
    keep_days: float = 30.0
    """Images that no run used for so long are removed."""
    build_seconds: float = 1800.0
    """The longest that one build may take."""
    lease_seconds: float = 30.0
    """A builder that is not heard of for so long has lost its builds to another."""
