"""What a fault can lay hands on."""

from dataclasses import dataclass
from random import Random

from tests.chaos.journal import Journal
from tests.chaos.processes import Running, workers
from tests.chaos.settings import Settings
from tests.chaos.side import SideChannel
from tests.chaos.stack import Stack
from tests.chaos.workload import Workload


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and who runs it."""

    stack: Stack
    workload: Workload
    side: SideChannel
    journal: Journal

    @property
    def settings(self) -> Settings:
        """How long things are."""
        return self.stack.settings

    def agents(self) -> list[Running]:
        """Worker agents, in the order of their machines' names."""
        found = [one for one in workers(self.stack.folder) if one.is_agent]
        return sorted(found, key=lambda one: (one.machine or "", one.pid))

    def an_agent(self, random: Random) -> Running | None:
        """One of them."""
        agents = self.agents()
        return random.choice(agents) if agents else None

    def runs_on(self, machine: str | None) -> list[str]:
        """The runs whose programs are on a machine, as far as their user knows."""
        there = (flight for flight in self.workload.in_flight if flight.machine == machine)
        return [flight.id for flight in there if flight.id is not None]
