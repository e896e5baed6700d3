"""`python -m cynthus.gateway`: this service alone."""

from cynthus.gateway.settings import GatewaySettings
from cynthus.gateway.wiring import open_gateway
from cynthus.runtime.serve import run_service

if __name__ == "__main__":
    run_service(GatewaySettings, open_gateway)
