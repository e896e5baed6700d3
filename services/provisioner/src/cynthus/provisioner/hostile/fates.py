"""What becomes of a machine, drawn when its creation is accepted."""

from cynthus.provisioner.hostile.chance import Dice
from cynthus.provisioner.hostile.knobs import Knobs
from cynthus.provisioner.hostile.world import Fate

_TWICE_S = (0.0, 3.0)


def draw(knobs: Knobs, dice: Dice, zone: str, *, quota_reached: bool) -> Fate:
    """Seconds are divided by the speed."""

    def span(kind: str, low_high: tuple[float, float]) -> float:
        return dice.between(kind, low_high) / knobs.speed

    preempt = (
        span("preempt_after", knobs.preempt_after_s) if dice.happens("preempt", knobs.preempted) else None
    )
    vanish = span("vanish_after", knobs.vanish_after_s) if dice.happens("vanish", knobs.vanishes) else None
    return Fate(
        pending_s=span("pending", knobs.pending_s),
        create_s=span("create", knobs.create_s),
        refusal=_refusal(knobs, dice, zone, quota_reached=quota_reached),
        boots=_boots(knobs, dice),
        vanish_s=vanish,
        preempt_s=preempt,
        notice_s=dice.one_of("notice", knobs.notices_s) / knobs.speed if knobs.notices_s else 0,
        delete_s=span("delete", knobs.delete_s),
    )


def _refusal(knobs: Knobs, dice: Dice, zone: str, *, quota_reached: bool) -> str | None:
    odds = knobs.stock_out
    chance = odds.get(zone, 0) if isinstance(odds, dict) else odds
    exhausted = dice.happens("stock_out", chance)
    details = dice.happens("stock_out_details", knobs.stock_out_details)
    if quota_reached:
        return "QUOTA_EXCEEDED"
    if exhausted:
        return "ZONE_RESOURCE_POOL_EXHAUSTED" + ("_WITH_DETAILS" if details else "")
    return None


def _boots(knobs: Knobs, dice: Dice) -> tuple[float, ...]:
    never = dice.happens("boots_never", knobs.boots_never)
    late = dice.happens("boots_late", knobs.boots_late)
    late_s = dice.between("late", knobs.late_s) / knobs.speed
    twice = dice.happens("boots_twice", knobs.boots_twice)
    twice_s = dice.between("twice", _TWICE_S) / knobs.speed
    if never:
        return ()
    first = late_s if late else 0.0
    return (first, first + twice_s) if twice else (first,)
