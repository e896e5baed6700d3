from cynthus.gateway.tables import metadata
from cynthus.store.upgrades import run_env

run_env(metadata)
