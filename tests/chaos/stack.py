"""The whole platform: PostgreSQL, broker, services, workers, and a link of ours between each two."""

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import quote

from cynthus.embedded.postgres import PostgresServer
from tests.chaos.bus_proxy import BusProxy
from tests.chaos.clock import Clocks
from tests.chaos.disk import MachinesDisk
from tests.chaos.emulator import Emulator
from tests.chaos.journal import Journal
from tests.chaos.links import Link
from tests.chaos.processes import free_ports
from tests.chaos.provider import Provider
from tests.chaos.services import ServiceProcess
from tests.chaos.settings import SERVICES, Settings, environments
from tests.chaos.worker_tap import WorkerTap

_WAYS = (
    *(("client", "gateway"),),
    *(("gateway", name) for name in ("orchestrator", "builder", "provisioner", "datasets")),
    *(("worker", name) for name in ("gateway", "orchestrator", "provisioner", "builder")),
    *(("peer", name) for name in SERVICES),
    *(("provisioner", "provider"),),
)
# Killed processes lose nothing of this: only a machine that loses power needs fsync.
_DATABASE = {"fsync": "off", "full_page_writes": "off", "max_connections": "120"}


class Stack:
    """Everything that runs, by name."""

    def __init__(self, folder: Path, settings: Settings, journal: Journal) -> None:
        self.folder = folder
        self.settings = settings
        self.journal = journal
        self.mark = secrets.token_hex(8)
        self.token = secrets.token_hex(32)
        self.project = f"chaos-{self.mark}"
        self.database = PostgresServer(folder / "postgres", settings=_DATABASE)
        self.clocks = Clocks(folder)
        self.disk = MachinesDisk(folder)
        self.links: dict[str, Link] = {}
        self.services: dict[str, ServiceProcess] = {}
        self._random = Random(settings.seed)
        parts = (*SERVICES, "provider")
        ports = free_ports(len(parts) + len(_WAYS) + 2)
        self._ports = dict(zip(parts, ports, strict=False))
        self._free = iter(ports[len(parts) :])
        self.provider = Provider(folder, self._ports["provider"], settings, self.mark, journal)
        emulator_port, near = next(self._free), next(self._free)
        self.emulator = Emulator(emulator_port, folder)
        self.bus = BusProxy(f"127.0.0.1:{near}", f"127.0.0.1:{emulator_port}", journal, self._random)

    @property
    def url(self) -> str:
        """The gateway as clients see it."""
        return self.links["client-gateway"].url

    def links_of(self, *, source: str = "", target: str = "") -> list[Link]:
        """The links from or to a part."""
        return [
            link
            for name, link in self.links.items()
            if name.startswith(f"{source}-" if source else "")
            and name.endswith(f"-{target}" if target else "")
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything started and ready; ended afterwards, but for PostgreSQL, which evidence is read from."""
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(self.database.start)
            stack.push_async_callback(asyncio.to_thread, self.database.stop)
            if self.settings.bus == "pubsub":
                await self.emulator.start()
                stack.callback(self.emulator.kill)
                await self.bus.open()
                stack.push_async_callback(self.bus.close)
            await self._open_links(stack)
            if self.clocks.here:
                await asyncio.to_thread(self.clocks.make)
            if self.disk.here and self.settings.machines == "hostile":
                self.disk.mount()
                stack.callback(self.disk.unmount)
            if self.settings.machines == "hostile":
                self.provider.process.start()
                stack.push_async_callback(self.provider.process.stop)
                await self.provider.process.ready()
            self._make_services()
            stack.push_async_callback(self.stop_services)
            for service in self.services.values():
                service.start()
            for service in self.services.values():
                await service.ready()
            yield

    async def stop_services(self) -> None:
        """SIGTERM to all at once, and wait."""
        await asyncio.gather(*(service.stop() for service in self.services.values()))

    async def restart_database(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """End PostgreSQL without a word and start it again: it recovers what was committed."""
        postmaster = self.database.running
        assert postmaster is not None
        postmaster.signal(number, self.database.folders.data)
        await asyncio.to_thread(self.database.start)

    async def restart_emulator(self, away_s: float = 0.0) -> None:
        """The broker forgets everything."""
        self.emulator.kill()
        await asyncio.sleep(away_s)
        await self.emulator.start()

    async def _open_links(self, stack: AsyncExitStack) -> None:
        for source, target in _WAYS:
            near, far = ("127.0.0.1", next(self._free)), ("127.0.0.1", self._ports[target])
            self._add(f"{source}-{target}", near, far)
        socket_folder = self.database.running.socket_folder if self.database.running else None
        assert socket_folder is not None
        for name in SERVICES:
            (self.folder / "db" / name).mkdir(parents=True)
            near_socket = self.folder / "db" / name / ".s.PGSQL.5432"
            self._add(f"{name}-database", near_socket, socket_folder / ".s.PGSQL.5432")
        for link in self.links.values():
            await link.open()
            stack.push_async_callback(link.close)

    def _add(self, name: str, near: tuple[str, int] | Path, far: tuple[str, int] | Path) -> None:
        tapped = name.startswith("worker-")
        tap = {"tap": lambda: WorkerTap(self.journal)} if tapped else {}
        self.links[name] = Link(name, near, far, self._random, **tap)

    def _make_services(self) -> None:
        urls = {name: link.url for name, link in self.links.items() if not name.endswith("-database")}
        keys = {
            f"CYNTHUS_{key}": secrets.token_hex(32) for key in ("SECRETS_KEY", "WORKER_KEY", "INTERNAL_TOKEN")
        } | {"CYNTHUS_GATEWAY_OWNER_TOKEN": self.token}
        own = environments(self.settings, folder=str(self.folder), ports=self._ports, urls=urls, keys=keys)
        for name in SERVICES:
            outside = {**self._outside(), **self.clocks.environment(name)}
            environment = {**outside, **own[name], "CYNTHUS_DATABASE_URL": self.database_url(name)}
            self.services[name] = ServiceProcess(name, self._ports[name], environment, self.journal)

    def twin(self, name: str) -> ServiceProcess:
        """Another process of a service, at a port of its own that nobody is told."""
        service, port = self.services[name], free_ports(1)[0]
        own = {**service.environment, f"CYNTHUS_{name.upper()}_PORT": str(port)}
        return ServiceProcess(name, port, own, self.journal)

    def database_url(self, name: str | None = None) -> str:
        """The DSN of PostgreSQL itself, or of a service's link to it."""
        if name is None:
            return self.database.url
        return f"postgresql://cynthus@/postgres?host={quote(str(self.folder / 'db' / name))}&port=5432"

    def _outside(self) -> dict[str, str]:
        foreign = ("CYNTHUS_", "PYTHONDONTWRITEBYTECODE", "PUBSUB_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        bus = {"PUBSUB_EMULATOR_HOST": self.bus.near, "CYNTHUS_PUBSUB_PROJECT": self.project}
        return {
            **kept,
            **(bus if self.settings.bus == "pubsub" else {}),
            "HOME": str(self.folder),
            "CHAOS_MARK": self.mark,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        }

    def write_settings(self, **more: object) -> None:
        """settings.json, again with what is known by now."""
        written = {**self.settings.written(), "written_at": time.time(), **more}
        (self.folder / "settings.json").write_text(json.dumps(written, indent=2))
