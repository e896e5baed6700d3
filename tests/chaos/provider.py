"""The provider of machines that misbehaves when it is told to, and keeps the truth in a ledger of its own."""

import asyncio
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile.knobs import PRESETS, configured
from tests.chaos.journal import Journal
from tests.chaos.services import ServiceProcess
from tests.chaos.settings import Settings

_BASE: dict[str, Any] = {
    "preset": "calm",
    "home": "shared",
    "zones": ["zone-a", "zone-b", "zone-c"],
    "pending_s": [0, 0.2],
    "create_s": [0.05, 0.5],
    "delete_s": [0.05, 0.3],
    "kill_after_s": 4,
}
"""Caches are shared, or each machine would fetch what the others have."""
_WORKERS = {"CYNTHUS_WORKER_GIVE_UP_S": "120", "CYNTHUS_WORKER_MEMORY_BYTES": str(256 * 1024 * 1024)}


class Provider:
    """`python -m cynthus.provisioner.hostile`, and its knobs."""

    def __init__(self, folder: Path, port: int, settings: Settings, mark: str, journal: Journal) -> None:
        self._folder = folder
        self._url = f"http://127.0.0.1:{port}"
        config = folder / "provider-config.json"
        config.write_text(json.dumps(_BASE))
        command = [
            *(sys.executable, "-m", "cynthus.provisioner.hostile", "--folder", f"{folder}/provider"),
            *("--port", str(port), "--seed", str(settings.seed), "--config", str(config)),
        ]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CYNTHUS_")}
        environment = {**kept, "CHAOS_MARK": mark, "HOME": str(folder), **_WORKERS}
        self.process = ServiceProcess(
            "provider", port, environment, journal, command=command, health="/health"
        )

    @asynccontextmanager
    async def with_knobs(self, **knobs: Any) -> AsyncIterator[None]:
        """Misbehave like this for a while."""
        await self._call("PUT", "/config", knobs)
        try:
            yield
        finally:
            await self._call("PUT", "/config", _harmless(knobs))

    async def machines(self) -> list[str]:
        """What exists, and has not been told to go."""
        truth = await self._call("GET", "/ledger")
        return sorted(
            one["machine"] for one in truth["machines"] if not one["deleting"] and one["running"] is not None
        )

    async def command(self, machine: str, what: str, **told: Any) -> bool:
        """`vanish` or `preempt`; False when it is not there."""
        try:
            await self._call("POST", f"/machines/{machine}:{what}", told)
        except OSError:
            return False
        return True

    def keep_ledger(self) -> None:
        """Put its ledger where evidence is looked for."""
        shutil.copy(self._folder / "provider" / "provider.jsonl", self._folder / "provider.jsonl")

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        for _ in range(50):
            try:
                return await asyncio.to_thread(self._once, method, path, body)
            except urllib.error.HTTPError:
                raise
            except OSError:
                await asyncio.sleep(0.1)
        raise OSError("the provider does not answer")

    def _once(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)


def _harmless(knobs: dict[str, Any]) -> dict[str, Any]:
    """What these knobs are when nothing is wrong."""
    calm = configured(_BASE, PRESETS["calm"]).model_dump(mode="json")
    return {name: calm[name] for name in knobs}
