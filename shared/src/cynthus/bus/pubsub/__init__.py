"""An event bus on Google Pub/Sub. Import it only where it is chosen: the client library is heavy."""

from cynthus.bus.pubsub.adapter import PubSubBus, open_pubsub

__all__ = ["PubSubBus", "open_pubsub"]
