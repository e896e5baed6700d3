"""Which CUDA a project gets: first from the GPU it asks for, then from what was locked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from cynthus.planning.accelerators.table import GPU, Backend, CudaTable, version

_LIBRARY = re.compile(r"(?:nvidia-.+-cu|jax-cuda|cupy-cuda)(\d{2})(?:x|-plugin|-pjrt)?\Z")
_VERSIONED = frozenset({"nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "cuda-toolkit"})
_PATCHES = 10


class GpuUnsupported(Exception):
    """No build of what is required runs on the GPU that is asked for."""

    code = "gpu_unsupported"

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A decision and its reasons, for people. `min_driver` is NVIDIA's; None where no driver is needed."""

    backend: str
    index: str | None = None
    min_driver: str | None = None
    why: tuple[str, ...] = ()


def decide(table: CudaTable, requirements: Iterable[str], gpu: str | None) -> Accelerator:
    """Before resolving: which build of PyTorch. Raises GpuUnsupported for a GPU that none is for."""
    wanted = _torch(requirements)
    if gpu is None:
        cpu = table.backends["cpu"]
        why = ("torch for processors: no GPU is asked for, and its build is 14 times smaller",)
        return Accelerator("cpu", cpu.index, None, why if wanted is not None else ())
    found = table.gpu(gpu)
    allowed = _releases(table, wanted or SpecifierSet())
    for release in reversed(allowed):
        for name in table.torch[release]:
            if table.backends[name].knows(found.capability if found else None):
                chosen = table.backends[name]
                row = table.row(chosen.cuda)
                words = _words(table, chosen, found, gpu, allowed[-1])
                driver = row.min_driver if row else None
                return Accelerator(name, chosen.index, driver, (words,) if wanted is not None else ())
    assert found is not None
    raise _too_old_or_new(table, wanted or SpecifierSet(), found)


def settle(
    table: CudaTable, decided: Accelerator, packages: Mapping[str, str], gpu: str | None
) -> Accelerator:
    """After resolving: the driver that the locked packages (name -> version) need. Raises GpuUnsupported."""
    libraries = dict(_libraries(packages))
    why = list(decided.why)
    if gpu is None:
        if libraries:
            why.append(f"{_listed(libraries)} brings CUDA libraries, though no GPU is asked for")
        return replace(decided, min_driver=None, why=tuple(why))
    found = table.gpu(gpu)
    why += _without_cuda(table, packages, found)
    if not libraries:
        return replace(decided, min_driver=None, why=tuple(why))
    for name, cuda in libraries.items():
        _check(table, found, f"{name} {packages[name]}", cuda)
    _check_torch(table, found, packages, libraries)
    rows = [row for cuda in libraries.values() if (row := table.row(cuda)) is not None]
    driver = max((row.min_driver for row in rows), key=version, default=None)
    if driver is not None:
        newest = max(libraries.values())
        why.append(f"CUDA {_dotted(newest)} is locked: the machine's driver must be {driver} or newer")
    return replace(decided, min_driver=driver, why=tuple(why))


def driver_is_enough(driver: str, min_driver: str | None) -> bool:
    """Whether a machine's driver runs an image."""
    return min_driver is None or version(driver) >= version(min_driver)


def _torch(requirements: Iterable[str]) -> SpecifierSet | None:
    for text in requirements:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(one.name) == "torch":
            return one.specifier
    return None


def _releases(table: CudaTable, wanted: SpecifierSet) -> list[str]:
    """The releases that the requirement allows, old to new; the newest where the table knows none."""
    exact = next((one.version for one in wanted if one.operator in {"==", "==="}), "")
    base = exact.partition("+")[0].removesuffix(".*")
    allowed = [
        release
        for release in table.torch
        if any(wanted.contains(f"{release}.{patch}", prereleases=True) for patch in range(_PATCHES))
        or base == release
        or base.startswith(f"{release}.")
    ]
    return allowed or list(table.torch)[-1:]


def _words(table: CudaTable, chosen: Backend, found: GPU | None, gpu: str, newest: str) -> str:
    kind = f"torch for CUDA {_dotted(chosen.cuda)} ({chosen.name})"
    if found is None:
        return f"{kind}: it runs on every GPU from Turing on; {gpu} names no model that is known"
    if chosen.name != table.torch[newest][0]:
        return f"{kind}: the newest that still runs on {found.name} ({found.architecture})"
    return f"{kind}: {found.name} is {found.architecture}"


def _too_old_or_new(table: CudaTable, wanted: SpecifierSet, found: GPU) -> GpuUnsupported:
    able = [
        release
        for release, names in table.torch.items()
        if any(table.backends[name].knows(found.capability) for name in names)
    ]
    asked = f"torch{wanted}"
    message = f"{asked} has no build for {_model(found)}."
    if not able:
        return GpuUnsupported(message, "Ask for a newer GPU.")
    releases = list(table.torch)
    newest_wanted = _releases(table, wanted)[-1]
    if releases.index(newest_wanted) > releases.index(able[-1]):
        after = releases[releases.index(able[-1]) + 1]
        return GpuUnsupported(message, f"Require torch<{after}, or ask for a newer GPU.")
    return GpuUnsupported(message, f"Require torch>={able[0]}, or ask for an older GPU.")


def _libraries(packages: Mapping[str, str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Packages that carry CUDA, with its version as far as it is known."""
    for name, text in sorted(packages.items()):
        local = re.search(r"\+cu(\d{2})(\d)", text)
        if local is not None:
            yield name, (int(local[1]), int(local[2]))
        elif (found := _LIBRARY.match(name)) is not None:
            exact = name.startswith(("nvidia-cuda-runtime", "nvidia-cuda-nvrtc"))
            yield name, version(text)[:2] if exact else (int(found[1]),)
        elif name in _VERSIONED:
            yield name, version(text)[:2]


def _check(table: CudaTable, found: GPU | None, what: str, cuda: tuple[int, ...]) -> None:
    row = table.row(cuda)
    if row is None or found is None:
        return
    if found.capability < row.oldest:
        raise _no_longer(table, found, f"{what} (CUDA {_dotted(cuda)})", cuda[0])
    if len(cuda) > 1 and found.capability > row.newest:
        raise _not_yet(found, f"{what} (CUDA {_dotted(cuda)})")


def _check_torch(
    table: CudaTable, found: GPU | None, packages: Mapping[str, str], libraries: Mapping[str, tuple[int, ...]]
) -> None:
    """PyTorch's builds know fewer GPUs than CUDA itself does."""
    exact = max((cuda for cuda in libraries.values() if len(cuda) > 1), default=())
    build = table.backends.get("cu" + "".join(map(str, exact)))
    if "torch" not in packages or build is None or found is None or build.knows(found.capability):
        return
    what = f"torch {packages['torch']} (CUDA {_dotted(exact)})"
    if found.capability > build.newest:
        raise _not_yet(found, what)
    release = ".".join(packages["torch"].split(".")[:2])
    able = [name for name in table.torch.get(release, ()) if table.backends[name].knows(found.capability)]
    if not able:
        raise _no_longer(table, found, what, exact[0])
    raise GpuUnsupported(
        f"{what} no longer runs on {_model(found)}.",
        f"Take torch's build {able[0]} from {table.backends[able[0]].index}, or ask for a newer GPU.",
    )


def _no_longer(table: CudaTable, found: GPU, what: str, major: int) -> GpuUnsupported:
    return GpuUnsupported(
        f"{what} no longer runs on {_model(found)}.",
        f"Require versions for CUDA {major - 1} ({_instead(table, major - 1)}), or ask for a newer GPU.",
    )


def _not_yet(found: GPU, what: str) -> GpuUnsupported:
    return GpuUnsupported(
        f"{what} does not know {_model(found)} yet.",
        "Require newer versions that come with CUDA 12.8 or later, or ask for an older GPU.",
    )


def _model(found: GPU) -> str:
    return f"{found.name} ({found.architecture}, compute {_dotted(found.capability)})"


def _instead(table: CudaTable, major: int) -> str:
    last = [
        release
        for release, names in table.torch.items()
        if any(table.backends[name].cuda[0] == major for name in names)
    ]
    releases = list(table.torch)
    after = releases.index(last[-1]) + 1 if last else len(releases)
    torch = [f"torch<{releases[after]}"] if after < len(releases) else []
    asks = [one.ask[str(major)] for one in table.frameworks if str(major) in one.ask]
    return ", ".join(dict.fromkeys([*torch, *asks]))


def _without_cuda(table: CudaTable, packages: Mapping[str, str], found: GPU | None) -> Iterator[str]:
    """Frameworks that would not find the GPU."""
    for row in table.frameworks:
        text = packages.get(row.name)
        if text is None or any(name in packages for name in row.brings) or not _within(text, row.versions):
            continue
        able = [
            major
            for major in row.cuda
            if found is None or ((one := table.row((int(major), 99))) and one.oldest <= found.capability)
        ]
        if able:
            yield f"{row.name} is locked without CUDA and will not use the GPU: require {row.ask[able[0]]}"


def _within(text: str, versions: str) -> bool:
    try:
        return SpecifierSet(versions).contains(Version(text), prereleases=True)
    except InvalidVersion:
        return False


def _listed(libraries: Mapping[str, object]) -> str:
    names = sorted(libraries)
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
