"""`python -m cynthus.datasets`: this service alone."""

from cynthus.datasets.settings import DatasetsSettings
from cynthus.datasets.wiring import open_datasets
from cynthus.runtime.serve import run_service

if __name__ == "__main__":
    run_service(DatasetsSettings, open_datasets)
