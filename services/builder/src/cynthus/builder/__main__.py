"""`python -m cynthus.builder`: this service alone."""

from cynthus.builder.settings import BuilderSettings
from cynthus.builder.wiring import open_builder
from cynthus.runtime.serve import run_service

if __name__ == "__main__":
    run_service(BuilderSettings, open_builder)
