"""The bus on Google Pub/Sub."""

import os

# gRPC's fork handlers would run inside every program that this process starts, and can kill it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from cynthus.bus.pubsub.adapter import PubSubBus, open_pubsub

__all__ = ["PubSubBus", "open_pubsub"]
