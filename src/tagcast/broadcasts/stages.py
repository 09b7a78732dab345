"""A roll-out in stages: who belongs to which, and when the next one begins.

Settings: `{"percent": [2, 20, 100], "wait_minutes": 30, "breaker": {…}}`. Everybody has a place in one random order
that is the broadcast's own; a stage is a stretch of it. A stage has ended when all its chunks have; after the wait, in
which receipts and complaints come in, the breaker is asked, and the chunks of the next stage become due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from tagcast import accounts
from tagcast.broadcasts import rules, store
from tagcast.broadcasts.rules import Piece, Route
from tagcast.broadcasts.store import Broadcast
from tagcast.kit import clock, leases
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

DELIVER = "broadcasts.deliver"
STAGE = "broadcasts.stage"

SHARES = ("failed", "blocked", "complaints")


@cache
def figures() -> dict[str, Any]:
    """Ours, from the data file."""
    return read_toml("broadcasts", "running.toml")


def check(work: Work, account: accounts.Account, value: Any) -> dict[str, Any]:
    """The section `stages` in its normal form. Raises Invalid, and Refused where each stage is another mass send."""
    known = ("percent", "wait_minutes", "breaker")
    if not isinstance(value, Mapping) or set(value) - set(known):
        raise Invalid("broadcasts.bad_stages", known=", ".join(known))
    percent = value.get("percent", [100])
    numbers = isinstance(percent, list) and all(_number(one) and 0 < one <= 100 for one in percent)
    rising = numbers and all(here < there for here, there in pairwise(percent))
    if not rising or not percent or percent[-1] != 100 or len(percent) > figures()["stages_most"]:
        raise Invalid("broadcasts.bad_percent", most=figures()["stages_most"])
    per_day = accounts.limits(work, account.id).count("broadcast.per_day")
    if account.kind == "official" and per_day is not None and per_day < len(percent):
        raise Refused("broadcasts.stages_cost_sends", account=account.name, stages=len(percent), per_day=per_day)
    wait = value.get("wait_minutes", figures()["stages"]["wait_minutes"])
    if not _number(wait) or not 0 <= wait <= figures()["wait_minutes_most"]:
        raise Invalid("broadcasts.bad_wait", most=figures()["wait_minutes_most"])
    return {"percent": percent, "wait_minutes": wait, "breaker": _breaker(value.get("breaker", {}))}


def _breaker(value: Any) -> dict[str, Any]:
    usual = {name: figures()["stages_breaker"][name] for name in (*SHARES, "least")}
    if not isinstance(value, Mapping) or set(value) - set(usual):
        raise Invalid("broadcasts.bad_breaker", known=", ".join(usual))
    breaker = {**usual, **value}
    shares = all(_number(breaker[name]) and 0 < breaker[name] <= 1 for name in SHARES)
    if not shares or not isinstance(breaker["least"], int) or breaker["least"] < 1:
        raise Invalid("broadcasts.bad_breaker", known=", ".join(usual))
    return breaker


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_stage(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """A piece a stage. The shares are of all who are sent to, so this cutter comes first."""
    percent = broadcast.settings.get("stages", {}).get("percent", [100])
    if len(percent) == 1:
        return [piece]
    size = piece.recipients.size
    least = accounts.limits(work, broadcast.account).count("send.min_batch") or 1
    stops = ends(size, percent, least if broadcast.route is Route.LIST else 1)
    order = piece.recipients[np.argsort(rules.mixed(piece.recipients, _seed(work, broadcast)), kind="stable")]
    found, begin = [], 0
    for stage, end in enumerate(stops):
        if end > begin:
            found.append(replace(piece, recipients=np.sort(order[begin:end]), stage=stage))
        begin = max(begin, end)
    return found


def ends(size: int, percent: Sequence[float], least: int) -> list[int]:
    """How many of the order are sent to by the end of each stage; no stage has fewer than `least`, but for none."""
    stops, begin = [], 0
    for share in percent:
        end = round(size * share / 100)
        if end - begin < least or size - end < least:
            end = size if size - end < least else begin
        stops.append(end)
        begin = end
    return [*stops[:-1], size]


def _seed(work: Work, broadcast: Broadcast) -> int:
    return int.from_bytes(work.vault.sign("stages", str(broadcast.id).encode())[:8], "big")


def due(broadcast: Broadcast) -> int:
    """The stage up to which chunks may be sent."""
    return int(broadcast.running.get("stage", 0))


def wait_of(broadcast: Broadcast) -> timedelta:
    """How long is waited between two stages."""
    return timedelta(minutes=broadcast.settings.get("stages", {}).get("wait_minutes", 0))


def begin(work: Work, broadcast: Broadcast) -> None:
    """The first stage that has chunks is due."""
    tallies = store.tallies(work, broadcast.id)
    first = min((one.stage for one in tallies), default=0)
    note(work, broadcast, stage=first)
    count_from_now(work, broadcast)
    enqueue(work, broadcast.id, [one.no for one in tallies if one.stage == first])


def note(work: Work, broadcast: Broadcast, **facts: Any) -> None:
    """Keep facts of the run with the broadcast; None takes one away."""
    running = {**store.get(work, broadcast.id).running, **facts}
    store.update(work, broadcast.id, running={name: value for name, value in running.items() if value is not None})


def handled(states: Mapping[str, int]) -> int:
    """How many have an outcome."""
    return sum(states.values()) - states["planned"] - states["retry"]


def count_from_now(work: Work, broadcast: Broadcast) -> None:
    """The speed is measured from here on."""
    states = rules.count(one.counts for one in store.tallies(work, broadcast.id))
    note(work, broadcast, since=work.now_ms, handled=handled(states))


def ask_on(work: Work, broadcast: Broadcast) -> None:
    """Make due what may be sent now: open chunks up to the stage, or the look at what comes after it."""
    count_from_now(work, broadcast)
    open_ = [one for one in store.tallies(work, broadcast.id) if one.done_at is None]
    now = [one.no for one in open_ if one.stage <= due(broadcast)]
    if now:
        enqueue(work, broadcast.id, now)
    elif open_:
        ended = broadcast.running.get("ended", work.now_ms)
        look(work, broadcast, clock.from_ms(ended) + wait_of(broadcast))


def ended(work: Work, broadcast: Broadcast) -> None:
    """A chunk was closed, and later stages have some open: if none of this stage is, look on after the wait."""
    if any(one.done_at is None and one.stage <= due(broadcast) for one in store.tallies(work, broadcast.id)):
        return
    note(work, broadcast, ended=work.now_ms)
    look(work, broadcast, work.now + wait_of(broadcast))


def look(work: Work, broadcast: Broadcast, at: Any) -> None:
    """Ask for a look at whether the next stage may begin, at a time."""
    leases.enqueue(work, STAGE, str(broadcast.id), {"broadcast": broadcast.id}, due=at)


def next_stage(work: Work, broadcast: Broadcast) -> None:
    """The next stage that has open chunks begins now."""
    tallies = store.tallies(work, broadcast.id)
    waiting = [one for one in tallies if one.done_at is None and one.stage > due(broadcast)]
    if not waiting:
        return
    stage = min(one.stage for one in waiting)
    note(work, broadcast, stage=stage, ended=None)
    count_from_now(work, broadcast)
    enqueue(work, broadcast.id, [one.no for one in waiting if one.stage == stage])


def enqueue(work: Work, broadcast_id: int, chunk_numbers: list[int]) -> None:
    """Make chunks due."""
    wanted = {f"{broadcast_id}:{no}": {"broadcast": broadcast_id, "chunk": no} for no in chunk_numbers}
    leases.enqueue_all(work, DELIVER, wanted)
