"""A world in which cells of the matrix are lived through, and the verdict on each.

Whoever drives a broadcast does what an operator would do (read the reason of a pause, wait, go on), and lets time pass
where the platform asks for it.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, broadcasts
from tagcast.accounts.tables import media
from tagcast.broadcasts.ledger import OUTCOME_SETS
from tagcast.broadcasts.tables import failures
from tagcast.kit import clock, loop
from tagcast.kit.leases import leases
from tests.flows.harness import World
from tests.flows.matrix import WAYS, Cell

DAY = 86_400.0
# How long the platform knows a repetition by its key, in seconds; tasks have none, and are looked up.
KEYS = {"template": 570.0, "list": 23.5 * 3600, "tag": 23.5 * 3600, "webhook": 23.5 * 3600, "tasks": float("inf")}
Workers = Callable[[], AbstractContextManager[Callable[[], None]]]
"""Workers for a while; what it gives is called again and again meanwhile."""
# A broadcast whose work is due later than this stands still: time is let pass instead of waiting.
PATIENCE = 1.0
LONGEST = 100.0
# So often an operator goes on although the fault goes on; then somebody removes its cause.
ROUNDS = 8
LEFT = "temporary tags left"
RECEIPTS = ("receipt:", "mass:", "not_a_friend", "reception_limit")


@dataclass
class Told:
    """What an operator met: reasons with their sentences (zh) of pauses, and of waits with their seconds."""

    pauses: list[tuple[str, str]] = field(default_factory=list)
    waits: list[tuple[float, str]] = field(default_factory=list)
    hits: int = 0
    hits_of: Counter[str] = field(default_factory=Counter)
    # Seconds that were let pass altogether.
    longest: float = 0.0
    problems: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)


class Arena:
    """A world with an account for every way of sending, and groups of people that are sent to in turn."""

    def __init__(self, world: World, *, people: int = 2000, group: int = 200) -> None:
        self.world = world
        box = world.sandbox
        box.post("/sandbox/settings", confirm_share=1.0, confirm_seconds=0.1, mass_finish_seconds=0.1)
        box.post("/sandbox/limits", mass_per_minute=10**6, official_mass_daily=10**6, service_user_monthly=10**6)
        box.post("/sandbox/limits", force_refresh_daily=10**6, force_refresh_gap_seconds=0)
        for kind, limits in {
            "service": {"batch": 60},
            "official": {},
            "wecom": {"batch": 40},
            "custom": {"batch": 40},
        }.items():
            world.add_account(kind, **({"employees": 5} if kind == "wecom" else {}))
            world.profile(kind, unlimited=True, **limits)
        world.people(people)
        self._template = world.template_id()
        self._groups = {kind: itertools.cycle(world.split(kind, group)) for kind in world.accounts}
        self._number = itertools.count(1)

    def send(self, name: str) -> int:
        """A broadcast to the next group, in words that no other one has."""
        way, number = WAYS[name], next(self._number)
        self.world.forget_sends()
        content = {key: _fill(value, number) for key, value in way.content.items()}
        if content["kind"] == "template":
            content["template_id"] = self._template
        return self.world.send(way.kind, content, audience=next(self._groups[way.kind]))

    def run(self, cell: Cell) -> Told:
        """Send a broadcast through one fault, and judge it and what was said."""
        if cell.call == "token":
            self.world.sandbox.post("/sandbox/tokens/drop")
        if cell.call == "cover":
            with self.world.runtime.work(1, "test") as work:
                work.connection.execute(sa.delete(media))
        told = self.through(cell.way, cell.faults)
        told.hits = told.hits_of.get(cell.path, 0)
        told.problems += seen(cell, told)
        return told

    def through(self, name: str, faults: Sequence[Mapping[str, Any]], *, workers: Workers | None = None) -> Told:
        """Send a broadcast by a way through some faults, and judge it."""
        box, since, told = self.world.sandbox, self.mark(name), Told()
        broadcast = self.send(name)
        for fault in faults:
            box.post("/sandbox/faults", **fault)
        try:
            self._drive(broadcast, told, workers or self._one_worker)
        finally:
            told.hits_of = Counter()
            for fault in box.get("/sandbox/faults")["faults"]:
                told.hits_of[fault["path"] or fault["event"]] += fault["hit"]
            box.call("DELETE", "/sandbox/faults")
        told.states = self.world.states(broadcast)
        told.problems += self.verdict(name, broadcast, since, forgotten=told.longest > KEYS[name])
        if (WAYS[name].calls.get("delete"), "quota") in [(fault.get("path"), fault["kind"]) for fault in faults]:
            told.problems = [one for one in told.problems if not one.startswith(LEFT)]  # closed until midnight
        return told

    @contextmanager
    def _one_worker(self) -> Iterator[Callable[[], None]]:
        with self.world.working(rate_per_second=3000.0):
            yield lambda: None

    def mark(self, name: str) -> int:
        """Where the sandbox's ledger stands."""
        account = self.world.remote[WAYS[name].kind]["id"]
        return int(self.world.sandbox.get(f"/sandbox/ledger/summary?account={account}")["last_seq"])

    def _drive(self, broadcast: int, told: Told, workers: Workers) -> None:
        """Until it is over: go on after a pause, let time pass where it stands still."""
        end = time.monotonic() + LONGEST
        for round_ in itertools.count(1):
            with workers() as turn:
                wait = self._watch(broadcast, end, turn)
            if wait is None and self.world.state(broadcast) in ("finished", "cancelled"):
                return
            if time.monotonic() > end:
                told.problems.append(f"no end: {self.world.get(broadcast)} {self.world.states(broadcast)}")
                return
            if round_ == ROUNDS:
                self.world.sandbox.call("DELETE", "/sandbox/faults")
            self._operate(broadcast, told, wait)

    def _operate(self, broadcast: int, told: Told, wait: float | None) -> None:
        """What somebody reads, and does."""
        world = self.world
        with world.runtime.read(1, "test") as work:
            now = broadcasts.progress(work, broadcast)
        if wait is not None:
            told.waits.append((wait, now.reason or ""))
            told.longest += wait
            world.later(wait + 0.05)
            return
        told.pauses.append((now.reason or "", now.reason_zh))
        if (now.reason or "").endswith((":45009", ":45028", "quota_used")):
            told.longest += DAY
            world.later(DAY)
        elif now.reason in ("accounts.wrong_secret", "accounts.ip_not_allowed"):
            world.later(60.0)
        with world.runtime.work(1, "test") as work:
            broadcasts.resume(work, broadcast)

    def _watch(self, broadcast: int, end: float, turn: Callable[[], None]) -> float | None:
        """Until the broadcast is paused or over, or stands still: then for how many seconds it would."""
        while time.monotonic() < end:
            state = self.world.state(broadcast)
            if state in ("paused", "finished", "cancelled"):
                return None
            wait = self._stands(broadcast)
            if wait > PATIENCE:
                return wait
            turn()
            time.sleep(0.03)
        return None

    def _stands(self, broadcast: int) -> float:
        """Seconds until any work on the broadcast is due; 0 while somebody works on it."""
        c = leases.c
        mine = sa.and_(c.done_at.is_(None), c.key.like(f"{broadcast}:%"), c.kind == broadcasts.DELIVER)
        with self.world.runtime.engine.connect() as connection:
            rows = connection.execute(sa.select(c.owner, c.due_at).where(mine)).all()
        if not rows or any(row.owner is not None for row in rows):
            return 0.0
        return float(min(row.due_at for row in rows) - clock.to_ms(clock.now())) / 1000

    def verdict(self, name: str, broadcast: int, since: int, *, forgotten: bool = False) -> list[str]:
        """What is wrong between our ledger and the platform's.

        `forgotten`: more time was let pass than the platform remembers keys, so people may be in doubt.
        """
        world, kind = self.world, WAYS[name].kind
        assigned, states = world.assigned(broadcast), world.states(broadcast)
        ids = world.ids(kind, assigned)
        sets = {outcome: world.set(f"broadcast:{broadcast}:{outcome}") for outcome in OUTCOME_SETS.values()}
        sets["accepted"] -= sets["delivered"] | sets["failed"]
        lines = world.sandbox.lines(f"/sandbox/ledger?account={world.remote[kind]['id']}&after={since}&limit=1000000")
        asked = Counter(line["person"] for line in lines if line["outcome"] == "asked")
        reasons = self.reasons(broadcast)
        reached = sets["accepted"] | sets["delivered"]
        reached |= BitMap(n for n in sets["failed"] if reasons.get(n, "").startswith(RECEIPTS))
        maybe = reached | sets["in_doubt"]
        judged = world.sandbox.post(
            "/sandbox/ledger/judge",
            account=world.remote[kind]["id"], expected=[ids[n] for n in maybe], since_seq=since,
        )  # fmt: skip
        counted = {outcome: len(sets[outcome]) for outcome in sets if outcome in states}
        claims = {
            "in nobody's ledger": states["planned"] + states["retry"],
            "in no state, or in two": sum(states.values()) - len(assigned),
            "counts and sets differ": sum(abs(states[outcome] - count) for outcome, count in counted.items()),
            "said to be reached, never asked": sum(asked[ids[n]] == 0 for n in reached),
            "said to be not reached, but asked": sum(asked[ids[n]] > 0 for n in assigned - maybe),
            "failed without a reason": sum(n not in reasons for n in sets["failed"] | sets["held"]),
            "lost": max(0, judged["lost"] - len(sets["in_doubt"])),
            **{word: judged[word] for word in ("duplicated", "forbidden", "unexpected")},
            "in doubt": 0 if forgotten else states["in_doubt"],
            LEFT: len(self._tags(broadcast)) if name == "tag" else 0,
        }
        return [f"{what}: {count}" for what, count in claims.items() if count]

    def reasons(self, broadcast: int) -> dict[int, str]:
        """Contact → why he failed or was held."""
        with self.world.runtime.engine.connect() as connection:
            query = sa.select(failures.c.contact, failures.c.reason).where(failures.c.broadcast == broadcast)
            return {row[0]: row[1] for row in connection.execute(query)}

    def _tags(self, broadcast: int) -> list[str]:
        """The temporary tags of a broadcast that the platform still has."""

        async def ask() -> list[str]:
            async with accounts.connect(self.world.runtime, 1, self.world.accounts["official"]) as connected:
                tags = await connected.call(connected.official.tags.all)
                return [tag.name for tag in tags if tag.name.startswith(f"tagcast-{broadcast}-")]

        found: list[str] = loop.run(ask())
        return found


def seen(cell: Cell, told: Told) -> list[str]:
    """What an operator was not told, or told wrongly."""
    problems = [f"paused without a sentence: {reason}" for reason, zh in told.pauses if zh in ("", reason)]
    row = cell.meaning
    if not told.hits:
        problems += [] if cell.times == "20 %" else ["the fault never struck"]
    elif cell.must_pause and row is not None:
        by_code = WAYS[cell.way].platform != "webhook"
        said = f"{WAYS[cell.way].platform}:{cell.code}" if by_code else row.reason
        found = [zh for reason, zh in told.pauses if reason.startswith(said)]
        if not found:
            problems.append(f"never paused with {said}: {told.pauses}")
        elif by_code and any(not zh.startswith(row.zh) for zh in found):
            problems.append(f"not the sentence of {said}: {found[0]}")
    return problems + [f"stood still {wait:.0f} s without a reason" for wait, why in told.waits if not why]


def _fill(value: Any, number: int) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, number) for key, inner in value.items()}
    return value.format(n=number) if isinstance(value, str) else value
