"""What of a spec a plan depends on, and what this version leaves undone."""

from typing import TYPE_CHECKING

from cynthus.planning.document import Index
from cynthus.planning.request import Declared, Outputs, Retry, Task
from cynthus.spec.quantities import duration

if TYPE_CHECKING:
    from cynthus.spec import models

LATER = {
    "resources": ("disk", "spot", "regions", "max_price"),
    "task": ("budget", "after", "schedule"),
    "outputs": ("include", "keep"),
}


def declared(spec: "models.Spec", file: str = "cynthus.toml") -> Declared:
    """The plain values that planning reads."""
    return Declared(
        file=file,
        name=spec.name,
        python=spec.image.python,
        requirements=spec.image.requirements,
        apt=spec.image.apt,
        dockerfile=spec.image.dockerfile or None,
        find_dockerfile=spec.image.dockerfile is not False,
        base=spec.image.base,
        indexes=tuple(Index(name=one.name, url=one.url, secret=one.secret) for one in spec.image.index),
        runtime=spec.image.runtime,
        import_check=spec.image.import_check,
        gpu=spec.resources.gpu,
        env=dict(spec.env),
        tasks=tuple(_task(name, task, file) for name, task in spec.task.items()),
    )


def unsupported(spec: "models.Spec") -> list[str]:
    """Keys that are valid but that this version does not act on yet, so nothing is ignored in silence."""
    found = _set("[resources]", spec.resources, "resources")
    for data in spec.data:
        if "://" in data.source:
            found.append(f"[[data]] source {data.source.partition('://')[0]}:// is not acted on yet")
        elif data.revision is not None:
            found.append("[[data]] revision is not acted on yet for folders")
    for name, task in spec.task.items():
        found.extend(_set(f"[task.{name}]", task, "task"))
        if task.resources is not None:
            found.extend(_set(f"[task.{name}.resources]", task.resources, "resources"))
        if task.outputs is not None:
            found.extend(_set(f"[task.{name}] outputs", task.outputs, "outputs"))
    return found


def _set(label: str, table: "models.Table", kind: str) -> list[str]:
    return [f"{label} {key} is not acted on yet" for key in LATER[kind] if key in table.model_fields_set]


def _task(name: str, task: "models.Task", file: str) -> Task:
    return Task(
        name=name,
        command=task.command,
        where=file,
        env=dict(task.env),
        secrets=task.secrets,
        timeout=None if task.timeout is None else duration(task.timeout),
        checkpoint=task.checkpoint,
        retry=None if task.retry is None else _retry(task.retry),
        outputs=None if task.outputs is None else _outputs(task.outputs),
        gpu=None if task.resources is None else task.resources.gpu,
    )


def _retry(retry: "models.Retry") -> Retry:
    wait = None if retry.backoff is None else duration(retry.backoff)
    return Retry(attempts=retry.attempts, on=retry.on, backoff=wait)


def _outputs(outputs: "models.Outputs") -> Outputs:
    keep = None if outputs.keep is None else duration(outputs.keep)
    return Outputs(path=outputs.path, include=outputs.include, keep=keep)
