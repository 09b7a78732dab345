"""Where a broadcast stands while it is sent: counts, speed, what it waits for, and why it stands still if it does."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tagcast.broadcasts import ledger, rules, stages, store, views
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.rules import State, Status
from tagcast.broadcasts.store import Broadcast, Tally
from tagcast.kit import clock, leases
from tagcast.kit.crypto import digest
from tagcast.kit.uow import Work

OVER = (State.FINISHED, State.CANCELLED, State.EXPIRED)
WAITING = "stage_waiting"
LOOK_SECONDS = 0.5
LONGEST_SECONDS = 25.0

Read = Callable[[], AbstractContextManager[Work]]


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why nothing moves: a word with its sentences, since when; `until`: when it goes on by itself, if it does."""

    word: str
    zh: str
    en: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a broadcast stands; `states` sums to `assigned`. `reason`: why it is paused, held up or being cancelled.

    `stage` of `stages`, from 1; `waits_until`: when the next stage begins. `breaker`: the figures on which it stopped.
    `rate`: people a second since it began, went on or entered the stage; `seconds_left`: at that rate, without waits.
    `version` changes with anything here but the time left. On 企业微信 it waits for employees who have not confirmed,
    with the customers of their tasks.
    """

    state: str
    reason: str | None
    reason_zh: str
    reason_en: str
    assigned: int
    holdout: int
    states: Mapping[str, int]
    stage: int
    stages: int
    waits_until: datetime | None
    breaker: Mapping[str, Any] | None
    rate: float | None
    seconds_left: float | None
    moved_at: datetime | None
    stuck: Stuck | None
    waiting_employees: int
    waiting_recipients: int
    version: str


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk as one sees it. `trouble`: why it was given back, in both languages."""

    no: int
    stage: int
    sender: str
    done: bool
    moved_at: datetime | None
    states: Mapping[str, int]
    trouble: str | None
    trouble_zh: str
    trouble_en: str


def progress(work: Work, broadcast_id: int) -> Progress:
    """Where a broadcast stands. Reads a small row a chunk, never who is in it."""
    broadcast = store.get(work, broadcast_id)
    tallies = store.tallies(work, broadcast_id)
    states = rules.count(one.counts for one in tallies)
    waits = _waits_until(work, broadcast, tallies)
    reason = broadcast.reason
    if reason is None and broadcast.state is State.SENDING:
        reason = WAITING if waits is not None else _trouble(tallies)
    moved = _moved(broadcast, tallies)
    rate = _rate(broadcast, states, moved)
    left = states["planned"] + states["retry"]
    ways = broadcast.settings.get("stages", {}).get("percent", [])
    stuck = stuck_by(work, broadcast, tallies, waits)
    tripped = (broadcast.reason or "").startswith("breaker")
    seen = broadcast.running.get("breaker") if tripped else None
    waited = _waited_for(broadcast, tallies)
    facts = [str(broadcast.state), reason, states, broadcast.running.get("stage"), stuck and stuck.word]
    return Progress(
        state=str(broadcast.state),
        reason=reason,
        reason_zh=_sentence(reason, seen)[0],
        reason_en=_sentence(reason, seen)[1],
        assigned=work.bitmaps.count(f"{broadcast.key}:assigned"),
        holdout=work.bitmaps.count(f"{broadcast.key}:holdout"),
        states=states,
        stage=stages.due(broadcast) + 1 if len(ways) > 1 else 0,
        stages=len(ways) if len(ways) > 1 else 0,
        waits_until=waits,
        breaker=seen,
        rate=rate,
        seconds_left=round(left / rate, 1) if rate and left and broadcast.state is State.SENDING else None,
        moved_at=None if moved is None else clock.from_ms(moved),
        stuck=stuck,
        waiting_employees=len(waited),
        waiting_recipients=sum(waited.values()),
        version=digest(json.dumps(facts, sort_keys=True))[:16],
    )


def _waited_for(broadcast: Broadcast, tallies: Sequence[Tally]) -> dict[str, int]:
    """Employee → the recipients of his tasks of whom nothing is known."""
    if broadcast.route not in CONFIRMED_ROUTES or broadcast.state in OVER:
        return {}
    found: dict[str, int] = {}
    for one in tallies:
        if open_ := one.counts[Status.ACCEPTED]:
            found[one.sender] = found.get(one.sender, 0) + open_
    return found


def parts(work: Work, broadcast_id: int, *, after: int = -1, limit: int = 1000) -> list[Part]:
    """The chunks with the states of their people, in order."""
    store.get(work, broadcast_id)
    found = []
    for one in store.tallies(work, broadcast_id, after=after, limit=limit):
        zh, en = views.sentences(one.trouble or "")
        moved = None if one.moved_at is None else clock.from_ms(one.moved_at)
        states = {word: count for word, count in rules.count([one.counts]).items() if count}
        found.append(Part(one.no, one.stage, one.sender, one.done_at is not None, moved, states, one.trouble, zh, en))
    return found


def wait_for_change(read: Read, broadcast_id: int, after: str, seconds: float = LONGEST_SECONDS) -> Progress:
    """The progress as soon as its version is not `after`, or after so many seconds, or at once when all is over."""
    end = time.monotonic() + min(seconds, LONGEST_SECONDS)
    while True:
        with read() as work:
            now = progress(work, broadcast_id)
        if now.version != after or now.state in OVER or time.monotonic() >= end:
            return now
        time.sleep(LOOK_SECONDS)


def stuck_ones(work: Work) -> list[tuple[Broadcast, Stuck]]:
    """Every broadcast that is being sent and moved nothing for a while, with the cause."""
    found = []
    for broadcast in store.all_(work, limit=1000, states=(State.SENDING,)):
        tallies = store.tallies(work, broadcast.id)
        stuck = stuck_by(work, broadcast, tallies, _waits_until(work, broadcast, tallies))
        if stuck is not None:
            found.append((broadcast, stuck))
    return found


def stuck_by(work: Work, broadcast: Broadcast, tallies: Sequence[Tally], waits: datetime | None) -> Stuck | None:
    """Why nothing moves, or None while something does, or while it is not to."""
    moved = _moved(broadcast, tallies)
    quiet_ms = stages.figures()["stuck_minutes"] * 60_000
    if broadcast.state is not State.SENDING or moved is None or work.now_ms - moved < quiet_ms or waits is not None:
        return None
    standing = leases.standing(work, stages.DELIVER, f"{broadcast.id}:")
    until: int | None = None
    trouble = _trouble(tallies)
    if trouble is not None and not standing.due:
        word, until = trouble, standing.next_due
    elif standing.held:
        word = "stuck_held"
    elif standing.due:
        word = "stuck_no_worker"
    elif standing.later:
        word, until = "stuck_later", standing.next_due
    else:
        word = "stuck_no_work"
    zh, en = views.sentences(word)
    return Stuck(word, zh, en, clock.from_ms(moved), None if until is None else clock.from_ms(until))


def _waits_until(work: Work, broadcast: Broadcast, tallies: Sequence[Tally]) -> datetime | None:
    """When the next stage begins, if the last one has ended."""
    if (
        broadcast.state is not State.SENDING
        or broadcast.reason == ledger.CANCELLED
        or "stages" not in broadcast.settings
    ):
        return None
    open_ = [one.stage for one in tallies if one.done_at is None]
    if not open_ or min(open_) <= stages.due(broadcast):
        return None
    ended = broadcast.running.get("ended", work.now_ms)
    return clock.from_ms(ended) + stages.wait_of(broadcast)


def _trouble(tallies: Sequence[Tally]) -> str | None:
    return next((one.trouble for one in tallies if one.trouble is not None and one.done_at is None), None)


def _moved(broadcast: Broadcast, tallies: Sequence[Tally]) -> int | None:
    """When something moved last, in ms: an outcome, or that it began or went on."""
    since = broadcast.running.get("since")
    return (
        max((one.moved_at for one in tallies if one.moved_at is not None), default=None)
        if since is None
        else max([since, *(one.moved_at for one in tallies if one.moved_at is not None)])
    )


def _rate(broadcast: Broadcast, states: Mapping[str, int], moved: int | None) -> float | None:
    since = broadcast.running.get("since")
    if since is None or moved is None or moved <= since:
        return None
    handled = stages.handled(states) - broadcast.running.get("handled", 0)
    return round(handled * 1000 / (moved - since), 3) if handled > 0 else None


def _sentence(reason: str | None, seen: Mapping[str, Any] | None) -> tuple[str, str]:
    """(zh, en) of what holds a broadcast up, with the breaker's figures in it."""
    zh, en = views.sentences(reason or "")
    if seen is None:
        return zh, en
    figures = {
        "seen": f"{seen['seen']:,}", "of": f"{seen['of']:,}", "bound": f"{seen['bound']:.2%}",
        "limit": f"{seen['limit']:.2%}",
    }  # fmt: skip
    return zh.format(**figures), en.format(**figures)


def as_json(now: Progress) -> dict[str, Any]:
    """All of it, for a machine."""
    return asdict(now)
