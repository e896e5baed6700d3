"""Requirements that only the imports tell, each with its reason; what is not sure is refused."""

from dataclasses import dataclass, field

from cynthus.planning.catalogue import Answer, Contested, Elsewhere, Known, Unknown, look_up
from cynthus.planning.document import Requirement
from cynthus.planning.local import LocalModules
from cynthus.planning.names import normalised
from cynthus.planning.problem import CannotPlan
from cynthus.planning.scan import Scan, Seen


@dataclass(slots=True)
class Imported:
    """What the imports add to the stated requirements."""

    requirements: list[Requirement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def from_imports(
    scan: Scan, modules: LocalModules, covered: frozenset[str], *, stated: bool, lenient: bool, entry: str
) -> Imported:
    """Map every outside import; with nothing stated, an unsure name is CannotPlan."""
    result = Imported()
    unsure: list[tuple[Seen, Answer]] = []
    optional: list[tuple[Seen, Answer]] = []
    added: set[str] = set()
    for seen in _by_place(scan):
        answer = look_up(seen.module)
        if _is_covered(seen, answer, covered | added):
            continue
        if seen.optional:
            optional.append((seen, answer))
        elif isinstance(answer, Known):
            added.add(answer.distribution)
            result.requirements.append(_guess(seen, answer))
            if stated:
                result.notes.append(f"also seen: import {seen.module} -> {answer.distribution} (added)")
        elif (hidden := modules.elsewhere(seen.top)) and scan.edits_path:
            result.notes.append(
                f"{seen.where}: {seen.top} is taken to be {hidden}, as the code edits sys.path"
            )
        else:
            unsure.append((seen, answer))
    result.notes.extend(_optional_notes(optional, covered | added))
    result.requirements.sort(key=lambda requirement: requirement.name)
    unsure = _first_of_each(unsure)
    if unsure and not (stated or lenient):
        raise _refusal(unsure, modules, entry)
    result.warnings.extend(_warning(seen, answer) for seen, answer in unsure)
    return result


def _by_place(scan: Scan) -> list[Seen]:
    order = {path: place for place, path in enumerate(scan.files)}

    def place(seen: Seen) -> tuple[int, int, str]:
        path, _, line = seen.where.partition(":")
        digits = line.rpartition(":")[2]
        return order.get(path, len(order)), int(digits) if digits.isdigit() else 0, seen.module

    return sorted(scan.seen, key=lambda seen: (seen.optional, place(seen)))


def _is_covered(seen: Seen, answer: Answer, names: frozenset[str] | set[str]) -> bool:
    top = normalised(seen.top)
    same = {top, normalised(seen.module), f"python-{top}", f"py{top}", f"{top}-python", f"py-{top}"}
    match answer:
        case Known(distribution=distribution, also=also):
            brings = {distribution, *also}
        case Contested(candidates=candidates):
            brings = {*candidates, *same}
        case _:
            brings = same
    return not brings.isdisjoint(names)


def _guess(seen: Seen, answer: Known) -> Requirement:
    why = f"import {seen.module} at {seen.where}; {answer.reason}"
    return Requirement(
        text=answer.distribution, name=answer.distribution, why=why, source=seen.where, guessed=True
    )


def _optional_notes(found: list[tuple[Seen, Answer]], names: frozenset[str] | set[str]) -> list[str]:
    notes = []
    for seen, answer in _first_of_each(found):
        if _is_covered(seen, answer, names):
            continue
        brings = f" ({answer.distribution})" if isinstance(answer, Known) else ""
        notes.append(f"optional, not installed: import {seen.module}{brings} at {seen.where}")
    return notes


def _first_of_each(found: list[tuple[Seen, Answer]]) -> list[tuple[Seen, Answer]]:
    first: dict[str, tuple[Seen, Answer]] = {}
    for seen, answer in found:
        key = answer.distribution if isinstance(answer, Known) else seen.top
        if key == seen.top and isinstance(answer, Unknown) and "." in seen.module and not answer.own:
            key = ".".join(seen.module.split(".")[:2])
        first.setdefault(key, (seen, answer))
    return list(first.values())


def _reason(seen: Seen, answer: Answer, hidden: str | None = None) -> str:
    match answer:
        case Contested(candidates=candidates, reason=reason):
            choice = f" (could be {', '.join(candidates)})" if candidates else ""
            return f"import {seen.top} at {seen.where}: {reason}{choice}"
        case Elsewhere(reason=reason):
            return f"import {seen.module} at {seen.where}: {seen.module} {reason}"
        case Unknown(own=True):
            return (
                f"import {seen.top} at {seen.where}: looks like your own module, but it is not in the upload"
            )
        case _ if hidden:
            return f"import {seen.top} at {seen.where}: {hidden} is not on the import path"
        case _:
            return f"import {seen.module} at {seen.where}: no well-known package brings this module"


def _warning(seen: Seen, answer: Answer) -> str:
    return f"{_reason(seen, answer)}; nothing was added for it"


def _refusal(unsure: list[tuple[Seen, Answer]], modules: LocalModules, entry: str) -> CannotPlan:
    contested = all(isinstance(answer, Contested) for _, answer in unsure)
    names = list(dict.fromkeys(seen.top for seen, _ in unsure))
    candidates = tuple(
        candidate for _, answer in unsure if isinstance(answer, Contested) for candidate in answer.candidates
    )
    seen, answer = unsure[0]
    hidden = modules.elsewhere(seen.top)
    return CannotPlan(
        "ambiguous_import" if contested else "unknown_import",
        what=f"cannot tell which package brings {', '.join(names)}",
        why="; ".join(_reason(one, its, modules.elsewhere(one.top)) for one, its in unsure),
        fix=_fix(seen, answer, hidden, entry),
        where=seen.where,
        candidates=candidates,
    )


def _fix(seen: Seen, answer: Answer, hidden: str | None, entry: str) -> str:
    if isinstance(answer, Elsewhere):
        return answer.fix
    if hidden:
        folder = hidden.rpartition("/")[0].removesuffix(f"/{seen.top}")
        return f'start in the folder that holds it, or write in cynthus.toml: [env] PYTHONPATH = "{folder}"'
    if isinstance(answer, Unknown) and answer.own:
        return f"add {seen.top}.py to the folder, or look whether .gitignore or .cynthusignore hides it"
    name = answer.candidates[0] if isinstance(answer, Contested) and answer.candidates else "PACKAGE-NAME"
    header = f'; or put into {entry}, at the top: # /// script, # dependencies = ["{name}"], # ///'
    return f"write the package into requirements.txt: {name}{header if entry.endswith('.py') else ''}"
