"""A plan in words: the rows `cynthus run` prints before anything is uploaded."""

from cynthus.planning.document import Plan

SOURCES = {"pep723": "the script's header", "uv.lock": "uv.lock", "pyproject": "pyproject.toml"}


def describe(plan: Plan) -> list[tuple[str, str]]:
    """Rows of (label, text); an empty label continues the row above."""
    rows = _image(plan) if plan.dockerfile else _python(plan)
    rows.extend(_accelerator(plan))
    rows.append(("runtime", _runtime(plan)))
    if plan.pythonpath and plan.pythonpath != ("",):
        rows.append(("path", ", ".join(root or "." for root in plan.pythonpath)))
    rows.extend(("note", note) for note in plan.notes if not note.startswith("also seen:"))
    rows.extend(("warning", warning) for warning in plan.warnings)
    return rows


def _image(plan: Plan) -> list[tuple[str, str]]:
    said = "the project's own; python, packages and apt settings are not used"
    return [("entry", _entry(plan)), ("image", f"{plan.dockerfile} ({said})")]


def _python(plan: Plan) -> list[tuple[str, str]]:
    rows = [("entry", f"{_entry(plan)} · Python {plan.python} ({plan.python_source})"), *_packages(plan)]
    for index in plan.indexes:
        secret = f" (secret {index.secret})" if index.secret else ""
        rows.append(("index", f"{index.name} {index.url}{secret}"))
    if plan.apt:
        rows.append(("system", " ".join(plan.apt)))
    if plan.base:
        rows.append(("base", plan.base))
    return rows


def _accelerator(plan: Plan) -> list[tuple[str, str]]:
    """The GPU, and which build of PyTorch it means; nothing where neither plays a part."""
    frameworks = {"torch", "jax", "tensorflow"}
    if plan.gpu is None and not frameworks & {requirement.name for requirement in plan.requirements}:
        return []
    from cynthus.planning.accelerators.decision import decide
    from cynthus.planning.accelerators.file import cuda_table

    decided = decide(cuda_table(), [requirement.text for requirement in plan.requirements], plan.gpu)
    driver = (
        [f"its machine needs NVIDIA's driver {decided.min_driver} or newer"] if decided.min_driver else []
    )
    reasons = [*decided.why, *(driver if plan.gpu and decided.why else [])]
    if plan.gpu is None and not reasons:
        return []
    return [("gpu", plan.gpu or "none asked for"), *(("", reason) for reason in reasons)]


def _runtime(plan: Plan) -> str:
    why = plan.runtime_why.replace("a container", "one") if plan.runtime == "container" else plan.runtime_why
    return f"{plan.runtime}: {why}"


def _entry(plan: Plan) -> str:
    target = f"-m {plan.entry.target}" if plan.entry.kind == "module" else plan.entry.target
    return target if plan.entry.found in {"argument", target} else f"{target} ({plan.entry.found})"


def _packages(plan: Plan) -> list[tuple[str, str]]:
    if not plan.requirements:
        return [("packages", "none needed" if plan.requirements_source == "none" else f"{_source(plan)} (0)")]
    guessed = [requirement for requirement in plan.requirements if requirement.guessed]
    told = len(plan.requirements) - len(guessed)
    if plan.requirements_source == "imports":
        head = f"guessed from imports ({len(guessed)})" + (f" and {told} stated" if told else "")
        rows = [("packages", head)]
        rows.extend(("", f"{one.text}  {one.why}") for one in plan.requirements)
        return rows
    rows = [("packages", f"{_source(plan)} ({told})")]
    rows.extend(("", note) for note in plan.notes if note.startswith("also seen:"))
    return rows


def _source(plan: Plan) -> str:
    if plan.requirements_source == "requirements.txt":
        return ", ".join(plan.requirements_files)
    return SOURCES.get(plan.requirements_source, plan.requirements_source)
