"""What one run of the harness is made of. All times are short, so that minutes say something."""

import json
from dataclasses import asdict, dataclass
from typing import Any

SERVICES = ("orchestrator", "gateway", "builder", "provisioner", "datasets")


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds; written to settings.json as they are."""

    seed: int = 1
    runs: int | None = 60
    """So many are submitted; None: no limit."""
    in_flight: int = 24
    minutes: float | None = None
    """Submitting ends after so long, however many there were."""
    bus: str = "pubsub"
    faults: tuple[int, ...] = ()
    """Only these; none: all that the nemesis knows."""
    calm: bool = False
    """No faults at all."""
    lease_s: float = 12.0
    next_beat_s: float = 0.5
    grace_s: float = 3.0
    machines: str = "hostile"
    """`processes`: of this host; `hostile`: of a provider that can be told how to misbehave."""
    slots: int = 8
    warm: int = 0
    idle_ttl_s: float = 3.0
    boot_timeout_s: float = 20.0
    machine_grace_s: float = 10.0
    infrastructure_retries: int = 50
    """High: what is looked for are lost runs, not runs that met too many faults."""
    settle_s: float = 120.0
    """The longest that all runs may take to end after the last fault is over."""

    def written(self) -> dict[str, Any]:
        """As in settings.json."""
        return {**asdict(self), "max_attempts": 1 + self.infrastructure_retries}


def environments(
    settings: Settings, *, folder: str, ports: dict[str, int], urls: dict[str, str], keys: dict[str, str]
) -> dict[str, dict[str, str]]:
    """The variables of each service; `urls` are links, named `<from>-<to>`."""
    common = {
        "CYNTHUS_ENVIRONMENT": "embedded",
        "CYNTHUS_DATABASE_CONNECTIONS": "6",
        "CYNTHUS_BLOBS_FOLDER": f"{folder}/blobs",
        "CYNTHUS_SECRETS_FOLDER": f"{folder}/secrets",
        "CYNTHUS_BUS": settings.bus,
        "CYNTHUS_PEERS": json.dumps({name: urls[f"peer-{name}"] for name in SERVICES}),
        "CYNTHUS_CATCH_UP_EVERY_S": "3",
        "CYNTHUS_CATCH_UP_SETTLE_S": "3",
        **keys,
    }
    own = {
        "gateway": {
            f"CYNTHUS_GATEWAY_{name.upper()}_URL": urls[f"gateway-{name}"]
            for name in ("orchestrator", "builder", "provisioner", "datasets")
        },
        "builder": {
            "CYNTHUS_BUILDER_IMAGES_FOLDER": f"{folder}/images",
            "CYNTHUS_BUILDER_IMPORT_CHECKS": "false",
            "CYNTHUS_BUILDER_LEASE_SECONDS": str(settings.lease_s),
        },
        "provisioner": {
            "CYNTHUS_PROVISIONER_URL": urls["worker-provisioner"],
            "CYNTHUS_PROVISIONER_ORDERS_URL": urls["worker-orchestrator"],
            "CYNTHUS_PROVISIONER_REGISTRY_URL": urls["worker-builder"],
            "CYNTHUS_PROVISIONER_MACHINES_HOME": f"{folder}/machines",
            "CYNTHUS_PROVISIONER_SLOTS": str(settings.slots),
            "CYNTHUS_PROVISIONER_MACHINES": settings.machines,
            "CYNTHUS_PROVISIONER_HOSTILE_URL": urls["provisioner-provider"],
            "CYNTHUS_PROVISIONER_MACHINE_GRACE_S": str(settings.machine_grace_s),
            "CYNTHUS_PROVISIONER_WARM": str(settings.warm),
            "CYNTHUS_PROVISIONER_IDLE_TTL_S": str(settings.idle_ttl_s),
            "CYNTHUS_PROVISIONER_BOOT_TIMEOUT_S": str(settings.boot_timeout_s),
            "CYNTHUS_WORKER_GIVE_UP_S": "120",
        },
        "orchestrator": {
            "CYNTHUS_ORCHESTRATOR_PUBLIC_URL": urls["worker-orchestrator"],
            "CYNTHUS_ORCHESTRATOR_BLOBS_URL": f"{urls['worker-gateway']}/v1",
            "CYNTHUS_ORCHESTRATOR_REGISTRY_URL": urls["worker-builder"],
            "CYNTHUS_ORCHESTRATOR_MACHINES_ARE_FREE": "true",
            "CYNTHUS_ORCHESTRATOR_LEASE_S": str(settings.lease_s),
            "CYNTHUS_ORCHESTRATOR_NEXT_BEAT_S": str(settings.next_beat_s),
            "CYNTHUS_ORCHESTRATOR_GRACE_S": str(settings.grace_s),
            "CYNTHUS_ORCHESTRATOR_INFRASTRUCTURE_RETRIES": str(settings.infrastructure_retries),
        },
        "datasets": {},
    }
    return {
        name: {**common, f"CYNTHUS_{name.upper()}_PORT": str(ports[name]), **own[name]} for name in SERVICES
    }
