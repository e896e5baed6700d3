"""cynthus.toml: read, checked with file and line, and turned into what a plan needs.

Importing this costs no pydantic; `load_spec` imports it when there is a spec to read.
"""

from cynthus.spec.declared import declared, unsupported
from cynthus.spec.json_schema import schema, schema_text
from cynthus.spec.problem import Problem, SpecInvalid, Wrong
from cynthus.spec.quantities import GPU, Range, count_range, duration, gpu, name, size, size_range, variable
from cynthus.spec.reading import load_spec, reader

__all__ = [
    "GPU",
    "Problem",
    "Range",
    "SpecInvalid",
    "Wrong",
    "count_range",
    "declared",
    "duration",
    "gpu",
    "load_spec",
    "name",
    "reader",
    "schema",
    "schema_text",
    "size",
    "size_range",
    "unsupported",
    "variable",
]
