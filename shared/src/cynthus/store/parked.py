"""Messages that were put aside: what they were, why, and how to have them again."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import Envelope, codec
from cynthus.store.storable import storable_text, storable_value


class NotParked(Exception):
    """There is no such message among the parked ones."""


@dataclass(frozen=True, slots=True)
class Parked:
    """`document` is the structured CloudEvent, or attributes and base64 data of what is none."""

    consumer: str
    message_id: str
    document: dict[str, Any]
    reason: str
    attempts: int
    parked_at: datetime | None = None

    def envelope(self) -> Envelope:
        """The fact in it. Raises EnvelopeInvalid or UnknownEvent while it cannot be understood."""
        if "attributes" in self.document:
            data = base64.b64decode(self.document["data_base64"])
            return codec.from_message(self.document["attributes"], data)
        return codec.from_json(orjson.dumps(self.document))


def park(consumer: str, message: Delivery | Undecodable, *, reason: str, attempts: int) -> Parked:
    """A message as it is put aside."""
    if isinstance(message, Undecodable):
        data = base64.b64encode(message.data).decode()
        document: dict[str, Any] = {"attributes": message.attributes, "data_base64": data}
        message_id = message.message_id
    else:
        document = orjson.loads(codec.to_json(message.envelope))
        message_id = message.envelope.id
    return Parked(
        consumer, storable_text(message_id), storable_value(document), storable_text(reason), attempts
    )
