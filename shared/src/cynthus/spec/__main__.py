"""Print the JSON Schema of cynthus.toml: python -m cynthus.spec."""

import sys

from cynthus.spec.json_schema import schema_text

sys.stdout.write(schema_text())
