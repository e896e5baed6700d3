"""From a publisher to a subscriber of the same process, without asking the database in between.

The row is inserted as already claimed, in the commit that publishes it, so a crash between the two costs a
lease and nothing else; the handler gets the envelope that the publisher had.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cynthus.bus.postgres.queue import Claim
from cynthus.bus.postgres.subscription import Subscription
from cynthus.events import Envelope

# Kept places stand empty until the commit; for more messages than these, claiming is faster.
_MOST = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A free place of a subscription, kept for the fact at `number` (from 1) of a batch."""

    subscriber: str
    subscription: Subscription
    number: int
    envelope: Envelope


def reserve(open_here: Mapping[str, Sequence[Subscription]], envelopes: Sequence[Envelope]) -> list[Place]:
    """A place for each fact and subscriber where one is free now, in the order of the facts."""
    places: list[Place] = []
    if len(envelopes) > _MOST:
        return places
    for number, envelope in enumerate(envelopes, 1):
        for subscriber, replicas in open_here.items():
            replica = next((one for one in replicas if one.reserve(envelope.type)), None)
            if replica is not None:
                places.append(Place(subscriber, replica, number, envelope))
    return places


def hand_over(places: Sequence[Place], inserted: Iterable[tuple[str, int]]) -> None:
    """Start what was inserted as claimed: (subscriber, row id), whose order is that of the facts."""
    ids: dict[str, list[int]] = defaultdict(list)
    for subscriber, row_id in sorted(inserted):
        ids[subscriber].append(row_id)
    by_subscriber: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_subscriber[place.subscriber].append(place)
    for subscriber, kept in by_subscriber.items():
        # A subscription that somebody removed has no rows; then the leases run out and nobody is wrong.
        complete = len(ids[subscriber]) == len(kept)
        claims = [Claim(row_id, 1) for row_id in ids[subscriber]] if complete else [None] * len(kept)
        for place, claim in zip(kept, claims, strict=True):
            place.subscription.take(claim, place.envelope)
