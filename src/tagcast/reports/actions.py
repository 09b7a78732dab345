"""Use cases of reports: counting sets, then the rules."""

from datetime import datetime, timedelta

from pyroaring import BitMap

from tagcast import behaviour, bitmaps, broadcasts, tracking
from tagcast.kit import clock
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Runtime, Work
from tagcast.reports import rules
from tagcast.reports.rules import BroadcastReport, Conversions, Count, Counts, Line

WINDOW_DAYS = 7
MOST_DAYS = 90


def catch_up(runtime: Runtime, workspace: int, actor: str) -> None:
    """Fold the visits that wait, so that a report counts them. Writes only when some wait."""
    with runtime.read(workspace, actor) as work:
        waiting = tracking.unfolded(work)
    if waiting:
        with runtime.work(workspace, actor) as work:
            tracking.fold(work)


def broadcast_report(
    work: Work, broadcast_id: int, *, event: str = "purchase", window_days: int = WINDOW_DAYS
) -> BroadcastReport:
    """What a broadcast did. Reads only; `catch_up` first. Raises NotFound, Conflict (not sent), Invalid (window)."""
    if not 1 <= window_days <= MOST_DAYS:
        raise Invalid("reports.bad_window", days=window_days, most=MOST_DAYS)
    broadcast = broadcasts.get(work, broadcast_id)
    if broadcast.started_at is None:
        raise Conflict("reports.not_started", broadcast=broadcast_id)
    assigned = work.bitmaps.read(f"{broadcast.key}:assigned")
    holdout = work.bitmaps.read(f"{broadcast.key}:holdout")
    ends = broadcast.started_at + timedelta(days=window_days)
    converted = _converted(work, event, broadcast.started_at, ends)
    counts = _counts(work, broadcast, assigned, holdout)
    if converted is None:
        conversions = Conversions(0, 0, known=False)
    else:
        conversions = Conversions(len(converted & assigned), len(converted & holdout))
    return BroadcastReport(
        id=broadcast.id,
        name=broadcast.name,
        account=broadcast.account,
        state=str(broadcast.state),
        started_at=broadcast.started_at,
        made_at=work.now,
        event=event,
        window_days=window_days,
        window_ends_at=ends,
        assigned=counts.assigned,
        holdout=counts.holdout,
        waterfall=tuple(
            Line(step.name, step.count, step.label_zh, step.label_en)
            for step in broadcasts.waterfall(work, broadcast_id)
        ),
        states=counts.states,
        figures=rules.figures(counts),
        visits=_visits(tracking.totals(work, broadcast.key)),
        failures=tuple(
            Line(one.reason, one.count, one.sentence_zh, one.sentence_en)
            for one in broadcasts.failures(work, broadcast_id)
        ),
        effect=rules.effect(counts, conversions, broadcast.holdout_percent),
    )


def _converted(work: Work, event: str, since: datetime, until: datetime) -> BitMap | None:
    """Who did the event at least once in the window; None when no such events are recorded."""
    if event not in behaviour.event_types(work):
        return None
    return bitmaps.pack(behaviour.events_of(work, event, clock.to_ms(since), clock.to_ms(until)).contact)


def _counts(work: Work, broadcast: broadcasts.Broadcast, assigned: BitMap, holdout: BitMap) -> Counts:
    accepted, delivered, failed, opened, clicked = (
        work.bitmaps.read(f"{broadcast.key}:{outcome}") & assigned
        for outcome in ("accepted", "delivered", "failed", "opened", "clicked")
    )
    arrived = ((accepted | delivered) - failed) | opened | clicked
    totals = broadcast.totals
    return Counts(
        len(assigned),
        len(holdout),
        broadcasts.states(work, broadcast.id),
        len(arrived),
        len(opened),
        len(clicked),
        personal=broadcast.route.personal,
        told=(int(totals["sent"]), int(totals["total"])) if totals else None,
    )


def _visits(totals: tracking.Totals) -> tuple[Count, ...]:
    return (
        Count("visits_opened", totals.opens),
        Count("visits_clicked", totals.clicks),
        Count("machines_opened", totals.machine_opens),
        Count("machines_clicked", totals.machine_clicks),
    )
