"""A broadcast as the ledger keeps it, put into a workspace with its visits and purchases."""

from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import behaviour
from tagcast.broadcasts import Status
from tagcast.broadcasts.tables import broadcasts, chunks, failures, plans
from tagcast.kit import clock
from tagcast.kit.uow import Runtime, Work
from tagcast.tracking import make_link, make_page
from tagcast.tracking.rules import Hit
from tagcast.tracking.store import insert_hits

START = datetime(2026, 11, 10, 2, 0, tzinfo=UTC)

# Contacts 1 … 100 are addressed, 91 … 95 gave no consent, 81 … 90 are the holdout, 1 … 80 are sent to.
DELIVERED, ACCEPTED, FAILED, IN_DOUBT = range(1, 61), range(61, 71), range(71, 79), range(79, 81)
HOLDOUT = range(81, 91)


def put(runtime: Runtime, *, started: datetime | None = START, name: str = "=双11 <b>预热</b>") -> int:
    """Broadcast 1: sent, opened by 1–20 and 79, clicked by 1–5, bought by 1–12 and 81."""
    with runtime.work(1, "test", now=START) as work:
        work.bitmaps.add("contact", BitMap(range(1, 101)), why="test")
        made = _ledger(work, started, name)
        if started is not None:
            _sets(work, made)
            _visits(work, made)
            _purchases(work)
    return made


def _ledger(work: Work, started: datetime | None, name: str) -> int:
    common = {"workspace": 1, "broadcast": 1}
    work.connection.execute(
        sa.insert(broadcasts).values(
            id=1, workspace=1, account=3, name=name, purpose="marketing", content={}, audience={},
            holdout_percent=100 / 9, route="template", state="finished", plan_hash="a" * 16, settings={}, totals={},
            running={}, created_at=0, created_by="test", started_at=None if started is None else clock.to_ms(started),
        )
    )  # fmt: skip
    counts = {"addressed": 100, "no_consent": 10, "holdout": 10, "assigned": 80}
    steps = [{"name": step, "count": count, "digest": ""} for step, count in counts.items()]
    work.connection.execute(
        sa.insert(plans).values(**common, hash="a" * 16, steps=steps, facts={}, warnings=[], notes={}, made_at=0)
    )
    statuses = np.array(
        [Status.DELIVERED] * 60 + [Status.ACCEPTED] * 10 + [Status.FAILED] * 8 + [Status.IN_DOUBT] * 2, np.uint8
    )
    work.connection.execute(
        sa.insert(chunks).values(
            **common, no=0, sender="", said={}, stage=0, recipients=np.arange(1, 81, dtype="<u4").tobytes(),
            statuses=statuses.tobytes(), counts=np.bincount(statuses, minlength=len(Status)).tolist(), low=1, high=80,
            msgids=b"", watermark=80, call="", progress={},
        )
    )  # fmt: skip
    work.connection.execute(
        sa.insert(failures),
        [
            {**common, "contact": who, "reason": "receipt:user_block" if who < 76 else "not_a_friend", "at": 0}
            for who in FAILED
        ],
    )
    return 1


def _sets(work: Work, broadcast: int) -> None:
    for name, members in {
        "assigned": range(1, 81), "holdout": HOLDOUT, "failed": FAILED, "in_doubt": IN_DOUBT, "delivered": DELIVERED,
        # Those that failed by a receipt had been accepted before.
        "accepted": range(1, 79),
    }.items():  # fmt: skip
        work.bitmaps.add(f"broadcast:{broadcast}:{name}", BitMap(members), why="test")


def _visits(work: Work, broadcast: int) -> None:
    link = make_link(work, f"broadcast:{broadcast}", "https://shop.example/")
    page = make_page(work, f"broadcast:{broadcast}", title="t", body="b", button_label="go", link=link)
    opens = [Hit(1, page.link.id, who, 0) for who in (*range(1, 21), 79, 1, 0)]
    clicks = [Hit(2, link.id, who, 0) for who in range(1, 6)]
    machines = [Hit(3, link.id, 60, 1), Hit(3, page.link.id, 0, 2), Hit(3, page.link.id, 0, 2)]
    insert_hits(work.connection, {1: [*opens, *clicks, *machines]})


def _purchases(work: Work) -> None:
    behaviour.declare_event(work, "purchase", "test")
    inside = clock.to_ms(START + timedelta(days=2))
    outside = [clock.to_ms(START) - 1, clock.to_ms(START + timedelta(days=7))]
    bought = [(who, inside) for who in (*range(1, 13), 81, 1, 96)] + [(50, moment) for moment in outside]
    behaviour.record(
        work,
        [behaviour.EventIn("purchase", who, moment, amount_cents=100) for who, moment in bought],
        batch_key="test",
        zone="Asia/Shanghai",
    )
