"""Which modules an import check can try: those the program imports before it does anything else."""

from collections.abc import Mapping

from cynthus.planning.catalogue import known_part
from cynthus.planning.local import LocalModules
from cynthus.planning.scan import Scan, Seen


def checkable(scan: Scan, modules: LocalModules, env: Mapping[str, str]) -> tuple[str, ...]:
    """Sorted dotted names; what may be a file of the project's own, off the usual path, is left out."""
    moved = scan.edits_path or "PYTHONPATH" in env
    names = {
        _name(seen)
        for seen in scan.seen
        if not (seen.optional or seen.lazy) and not (moved and modules.elsewhere(seen.top))
    }
    return tuple(sorted(names))


def _name(seen: Seen) -> str:
    """The module for certain; of `from google.cloud import storage` the part that one package brings."""
    source, known = seen.source or seen.module, known_part(seen.module)
    return known if known is not None and len(known) > len(source) else source
