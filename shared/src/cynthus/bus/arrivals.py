"""From what a transport carries to what a handler is given."""

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events.codec import EnvelopeInvalid, UnknownEvent, from_message


def read(message_id: str, attributes: dict[str, str], data: bytes, attempt: int) -> Delivery | Undecodable:
    """Decode an arrival; what cannot be decoded is kept as it came."""
    try:
        return Delivery(from_message(attributes, data), attempt)
    except UnknownEvent as unknown:
        return Undecodable(message_id, attributes, data, f"unknown event {unknown}", attempt)
    except EnvelopeInvalid as invalid:
        return Undecodable(message_id, attributes, data, str(invalid), attempt)
