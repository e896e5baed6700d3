"""`python -m cynthus.orchestrator`: this service alone."""

from cynthus.orchestrator.settings import OrchestratorSettings
from cynthus.orchestrator.wiring import open_orchestrator
from cynthus.runtime.serve import run_service

if __name__ == "__main__":
    run_service(OrchestratorSettings, open_orchestrator)
