"""The list of planted bugs. Each is one line of ours made wrong, and names the suite that must find it."""

from tests.planted.in_machines import BUGS as IN_MACHINES
from tests.planted.in_messages import BUGS as IN_MESSAGES
from tests.planted.in_runs import BUGS as IN_RUNS
from tests.planted.planting import Bug

BUGS: tuple[Bug, ...] = (*IN_RUNS, *IN_MESSAGES, *IN_MACHINES)
