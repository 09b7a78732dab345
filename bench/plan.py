"""Planning a broadcast to millions and freezing it, beside the same in PostgreSQL with a row a fact.

The audience is a tag; left out are people whom the account does not know, who follow it no more, have not consented,
are suppressed, or have had as many messages this month as the account's limits or the workspace's caps allow; a tenth
of the rest is held out, the others are split in two. Every set is random, which suits no form of set. Ours plans a new
draft each turn, so all sets of the plan are written, durably; PostgreSQL joins once over all facts, with enough memory
for every hash table, and writes an unlogged table; an exact draw takes it longer still. The sets of each step are
compared, and who is left for the draws, of which ours is exact. Freezing is one commit: slots of the caps, chunks,
leases, sets here; there a row a recipient with its chunk and status. Wall seconds, the median of turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from bench.audience_peers import postgres
from bench.measure import Bar
from tagcast import access, accounts, bitmaps, broadcasts, compliance, contacts, tags
from tagcast.broadcasts import actions, planning
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work

TURNS = 3
SENDINGS, CAP, CEILING = 6, 4, 8
HOLDOUT = 10
BATCH = 2_000
TEXT = {"kind": "text", "text": "会员日活动今天开始"}
OTHER = {"kind": "text", "text": "会员日，今天双倍积分"}
SPLIT = {
    "variants": {
        "base": "甲",
        "weight": 1,
        "choose": "weights",
        "items": [{"name": "乙", "content": OTHER, "weight": 1}],
    }
}
# In the order of the waterfall; what PostgreSQL calls them.
STEPS = ("no_identity", "not_following", "no_consent", "suppressed", "over_ceiling", "over_cap")
HELD, SENT = len(STEPS), len(STEPS) + 1

PLAN = f"""
CREATE UNLOGGED TABLE plan AS
SELECT id, (CASE WHEN step < {HELD} THEN step WHEN abs(hashint8extended(id, 7) % 100) < {HOLDOUT} THEN {HELD}
  ELSE {SENT} + (hashint8extended(id, 11) & 1) END)::int2 AS step
FROM (
  SELECT a.id, (CASE WHEN k.id IS NULL THEN 0 WHEN f.id IS NULL THEN 1 WHEN c.id IS NULL THEN 2
    WHEN s.id IS NOT NULL THEN 3 WHEN n.n >= {CEILING} THEN 4 WHEN n.n >= {CAP} THEN 5 ELSE {HELD} END)::int2 AS step
  FROM tagged a
  LEFT JOIN known k ON k.id = a.id LEFT JOIN following f ON f.id = a.id LEFT JOIN consent c ON c.id = a.id
  LEFT JOIN suppressed s ON s.id = a.id
  LEFT JOIN (SELECT id, count(*) AS n FROM sent WHERE at >= date_trunc('month', now()) GROUP BY id) n ON n.id = a.id
) fallen
"""
FREEZE = f"""
INSERT INTO recipient
SELECT 1, id, (row_number() OVER (ORDER BY id) - 1) / {BATCH}, 0, step - {SENT} FROM plan WHERE step >= {SENT}
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is what."""

    everyone: BitMap
    facts: dict[str, BitMap]
    sent: list[BitMap]


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Rows for about `size` recipients."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(home=folder / "home")
        access.initialise(settings)
        runtime = access.open_home(settings)
        stack.callback(runtime.close)
        crowd = _crowd(size, np.random.default_rng(seed))
        with runtime.work(1, "bench") as work:
            account = _ours(work, crowd)
        url = postgres(stack)
        if url is None:
            return
        yield from _compared(runtime, account, _theirs(stack, url, crowd), size)


def _crowd(size: int, random: np.random.Generator) -> Crowd:
    most = size * 8 // 5

    def share(part: float) -> BitMap:
        return bitmaps.pack(np.flatnonzero(random.random(most) < part) + 1)

    shares = {"tagged": 0.9, "known": 0.99, "following": 0.95, "consent": 0.92, "suppressed": 0.01}
    facts = {name: share(part) for name, part in shares.items()}
    return Crowd(BitMap(range(1, most + 1)), facts, [share(0.3) for _ in range(SENDINGS)])


def _ours(work: Work, crowd: Crowd) -> int:
    account = accounts.add(work, accounts.NewAccount("service", "bench", "0" * 32, appid="wx0123456789abcdef")).id
    said = {"source": "bench", "date": "2026-11-24"}
    own = {"send": {"batch": {"value": BATCH, **said}}}
    accounts.add_profile(work, "bench", "platform", {"service": own})
    accounts.set_profile(work, account, "bench")
    facts = crowd.facts
    tag = tags.create(work, "members").id
    for key, members in {
        contacts.EVERYONE: crowd.everyone,
        f"tag:{tag}": facts["tagged"],
        f"identity:{account}": facts["known"],
        f"following:{account}": facts["following"],
    }.items():
        work.bitmaps.add(key, members, why="bench")
    compliance.record(work, "marketing", facts["consent"], BitMap(), source="bench")
    compliance.suppress(work, facts["suppressed"], "bench")
    for number, members in enumerate(crowd.sent):
        compliance.record_sent(work, account, f"earlier{number}", members, work.now)
    return account


def _theirs(stack: ExitStack, url: str, crowd: Crowd):
    import psycopg

    base = stack.enter_context(psycopg.connect(url, autocommit=True))
    for setting in ("work_mem = '512MB'", "maintenance_work_mem = '512MB'"):
        base.execute(f"SET {setting}")
    for name, members in crowd.facts.items():
        base.execute(f"CREATE TABLE {name} (id int4)")
        with base.cursor().copy(f"COPY {name} FROM STDIN") as copy:
            copy.write("\n".join(map(str, members)) + "\n")
        base.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
    base.execute("CREATE TABLE sent (id int4, ref int2, at timestamptz DEFAULT now())")
    for ref, members in enumerate(crowd.sent):
        with base.cursor().copy("COPY sent (ref, id) FROM STDIN") as copy:
            copy.write("\n".join(f"{ref}\t{number}" for number in members) + "\n")
    base.execute("ALTER TABLE sent ADD PRIMARY KEY (id, ref)")
    base.execute("CREATE TABLE recipient (broadcast int4, id int4, chunk int4, status int2, variant int2)")
    base.execute("ALTER TABLE recipient ADD PRIMARY KEY (broadcast, id)")
    base.execute("VACUUM ANALYZE")
    return base


def _compared(runtime: Runtime, account: int, base, size: int) -> Iterator[Bar]:
    seconds: dict[str, list[float]] = {name: [] for name in ("plan", "joins", "freeze", "rows")}
    equal = True
    for turn in range(TURNS + 1):
        with runtime.work(1, "bench") as work:
            draft = broadcasts.draft(
                work, name=str(turn), account=account, audience='tag("members")', content=TEXT,
                holdout_percent=HOLDOUT, settings=SPLIT,
            ).id  # fmt: skip
        spent = {"plan": _timed(lambda: _plan(runtime, draft))}  # noqa: B023 - called at once
        base.execute("DROP TABLE IF EXISTS plan")
        spent["joins"] = _timed(lambda: base.execute(PLAN))
        equal = equal and _agree(runtime, draft, base)
        base.execute("TRUNCATE recipient")
        spent["freeze"] = _frozen(runtime, draft)
        spent["rows"] = _timed(lambda: base.execute(FREEZE))
        if turn:
            for name, one in spent.items():
                seconds[name].append(one)
    median = {name: statistics.median(one) for name, one in seconds.items()}
    for title, ours, peer, wanted in (
        ("planned", median["plan"], ("postgresql joins", median["joins"]), 20.0),
        ("planned", median["plan"], ("10 s for 2 million", 10.0 * size / 2_000_000), 1.0),
        ("frozen into chunks", median["freeze"], ("postgresql, a row a recipient", median["rows"]), 1.0),
        ("frozen into chunks", median["freeze"], ("5 s for 2 million", 5.0 * size / 2_000_000), 1.0),
    ):
        yield Bar.of(
            f"recipients {title}", size, ours=ours, peer=peer, unit="s", bar=(">=", wanted), equal=equal
        )  # fmt: skip


def _timed(what) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def _plan(runtime: Runtime, draft: int) -> None:
    with runtime.work(1, "bench") as work:
        broadcasts.plan(work, draft)


def _frozen(runtime: Runtime, draft: int) -> float:
    """Seconds of the freezing alone, with its commit; its slots are given back afterwards."""
    with runtime.work(1, "bench") as work:
        broadcast = broadcasts.get(work, draft)
        made = planning.make(work, broadcast)
        begun = time.perf_counter()
        actions.start(work, broadcast, made)
    spent = time.perf_counter() - begun
    with runtime.work(1, "bench") as work:
        compliance.release(work, broadcast.account, broadcast.key, work.bitmaps.read(f"{broadcast.key}:assigned"))
    return spent


def _agree(runtime: Runtime, draft: int, base) -> bool:
    """Whether each step holds the same people, and the draws as many."""
    with runtime.read(1, "bench") as work:
        ours = {step.name: work.bitmaps.read(step.key).copy() for step in broadcasts.waterfall(work, draft)}
    theirs = []
    for step in range(SENT + 2):
        with base.cursor().copy(f"COPY (SELECT id FROM plan WHERE step = {step}) TO STDOUT") as copy:
            text = b"".join(bytes(part) for part in copy)
        theirs.append(bitmaps.pack(np.fromstring(text.decode(), dtype=np.uint32, sep="\n")) if text else BitMap())
    steps = all(ours[name] == theirs[at] for at, name in enumerate(STEPS))
    left = ours["holdout"] | ours["assigned"]
    sizes = len(ours["holdout"]) == round(len(left) * HOLDOUT / 100)
    return steps and sizes and left == theirs[HELD] | theirs[SENT] | theirs[SENT + 1]
