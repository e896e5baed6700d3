"""`python -m cynthus.provisioner`: this service alone."""

from cynthus.provisioner.settings import ProvisionerSettings
from cynthus.provisioner.wiring import open_provisioner
from cynthus.runtime.serve import run_service

if __name__ == "__main__":
    run_service(ProvisionerSettings, open_provisioner)
