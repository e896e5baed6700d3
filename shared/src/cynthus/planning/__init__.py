"""What does this folder need to run? Used by the command line and, with authority, by the builder."""

from cynthus.planning.document import Entry, Plan, Requirement
from cynthus.planning.planner import plan
from cynthus.planning.problem import CannotPlan
from cynthus.planning.report import describe
from cynthus.planning.request import Declared, Outputs, PlanRequest, Retry, Task
from cynthus.planning.tree import FolderTree, MemoryTree, SourceTree

__all__ = [
    "CannotPlan",
    "Declared",
    "Entry",
    "FolderTree",
    "MemoryTree",
    "Outputs",
    "Plan",
    "PlanRequest",
    "Requirement",
    "Retry",
    "SourceTree",
    "Task",
    "describe",
    "plan",
]
