"""What a process is configured with, for people: without secrets, with the names of the variables."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from cynthus.runtime.redaction import redact


def service_name(settings_class: type[BaseSettings]) -> str:
    """`gateway` of a class with the prefix `CYNTHUS_GATEWAY_`."""
    return str(settings_class.model_config["env_prefix"]).removeprefix("CYNTHUS_").strip("_").lower()


def effective(*settings: BaseSettings) -> str:
    """All values as JSON under the names of their variables; secrets and URL passwords are hidden."""
    values: dict[str, Any] = {}
    for part in settings:
        prefix = part.model_config["env_prefix"]
        dumped = part.model_dump(mode="json")
        values |= {f"{prefix}{name.upper()}": redact(value, name) for name, value in dumped.items()}
    return json.dumps(values, indent=2)


def explain(error: ValidationError) -> str:
    """One line: which variables are missing or wrong, and why."""
    prefixes = {"PlatformSettings": "CYNTHUS_"}
    prefix = prefixes.get(error.title, f"CYNTHUS_{error.title.removesuffix('Settings').upper()}_")
    parts = []
    for item in error.errors(include_url=False, include_input=False):
        variable = prefix + "_".join(str(part) for part in item["loc"]).upper() if item["loc"] else ""
        message = "is not set" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        parts.append(f"{variable} {message}".strip())
    return "; ".join(parts)
