"""The services' settings, as the embedded home chooses them."""

import os
from dataclasses import dataclass
from typing import Any

from cynthus.builder.settings import BuilderSettings
from cynthus.datasets.settings import DatasetsSettings
from cynthus.embedded.home import Home
from cynthus.gateway.settings import GatewaySettings
from cynthus.orchestrator.settings import OrchestratorSettings
from cynthus.provisioner.settings import ProvisionerSettings
from cynthus.runtime.settings import PlatformSettings

ORCHESTRATOR = "/services/orchestrator"
PROVISIONER = "/services/provisioner"
REGISTRY = "/v2"


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """One set of settings for all five services; environment variables still win where they exist."""

    platform: PlatformSettings
    gateway: GatewaySettings
    builder: BuilderSettings
    provisioner: ProvisionerSettings
    orchestrator: OrchestratorSettings
    datasets: DatasetsSettings


def embedded_settings(home: Home, url: str, database_url: str) -> EmbeddedSettings:
    """Settings for a platform at `url` with its state in `home`."""
    platform = {
        "environment": "embedded",
        "database_url": database_url,
        "database_connections": 12,
        "bus": "postgres",
        # A database of somebody else's may have other platforms on it.
        "single_process": "CYNTHUS_DATABASE_URL" not in os.environ,
        "blobs_folder": home.blobs,
        "blobs_url": f"{url}/v1/objects",
        "secrets_folder": home.secrets,
        "secrets_key": home.key("secrets"),
        "worker_key": home.key("worker"),
        "internal_token": home.key("internal"),
        "home": home.root,
    }
    return EmbeddedSettings(
        platform=PlatformSettings.model_validate(platform),
        gateway=GatewaySettings(
            **_unless_set("GATEWAY", owner_token=home.key("token"), orchestrator_url=url + ORCHESTRATOR)
        ),
        builder=BuilderSettings(
            **_unless_set(
                "BUILDER",
                images_folder=home.images,
                machines_are_here=True,
                # What was unpacked to try its imports need not be unpacked again to run.
                layers_folder=home.machines / "cache" / "layers",
                layers_bytes=None,
            )
        ),
        provisioner=ProvisionerSettings(
            **_unless_set(
                "PROVISIONER",
                machines_home=home.machines,
                url=url + PROVISIONER,
                orders_url=url + ORCHESTRATOR,
                registry_url=url,
            )
        ),
        orchestrator=OrchestratorSettings(
            **_unless_set(
                "ORCHESTRATOR",
                public_url=url + ORCHESTRATOR,
                blobs_url=f"{url}/v1",
                registry_url=url,
                machines_are_free=True,
            )
        ),
        datasets=DatasetsSettings(),
    )


def _unless_set(service: str, **chosen: Any) -> dict[str, Any]:
    """What the environment does not say."""
    return {
        name: value for name, value in chosen.items() if f"CYNTHUS_{service}_{name.upper()}" not in os.environ
    }
