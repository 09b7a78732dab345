"""From an event to the tag that a rule gives for it, as a segment sees it: real intake, a real worker, many rules.

Three processes share the machine: one takes events in (1,000 a second, in batches of 50, each acknowledged when it is
durable), the worker keeps 100 rules true, and this one looks at a segment of the rules' tags again and again. Latencies
run from an event's acknowledgement to the first look that has its contact: in the segment, and with each tag that any
of the rules gave or took. The bound is the same look's latency for the event itself, without any rule. No peer can be
run beside it: Dittofeed says that it computes segments every 120 s; Mautic does when cron starts it.
"""

import multiprocessing
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from bench.measure import Bar
from tagcast import access, audiences, behaviour, contacts, tag_rules, tags
from tagcast.kit import clock
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work

RATE, BATCH, SECONDS, RULES = 1000, 50, 60, 100
TYPES, GROUPS, TAGS = 10, 4, 20
PAST = 60
QUOTED_MS = 120_000.0
SEGMENT, EVENT, SETS, SUMS, CHAINS = "segment", "event", "sets", "sums", "chains"


# The worker, until nobody is left at the other end of its input: it does not outlive who measures it, however he ends.
WORKER = """
import os, runpy, signal, sys, threading

def end():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end, daemon=True).start()
runpy.run_module("tagcast", run_name="__main__")
"""


def run(size: int) -> Iterator[Bar]:
    """p50 and p99 of the latency with a million contacts, or `size`; every tag is compared with its rule afterwards."""
    # Told to stop, leave nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="tagcast-rules-") as folder:
        home = Path(folder) / "home"
        access.initialise(Settings(home=home))
        runtime = access.open_home(Settings(home=home))
        with runtime.work(1, "bench") as work:
            segment = _world(work, size)
        yield from _measured(runtime, home, size, segment)
        runtime.close()


def _world(work: Work, size: int) -> audiences.Expression:
    """Contacts with an attribute, tags and a past; rules of many kinds, in layers. What the observer counts."""
    dice = np.random.default_rng(7)
    everyone = BitMap(range(1, size + 1))
    work.bitmaps.add(contacts.EVERYONE, everyone, why="bench")
    contacts.declare_attribute(work, "region", "choice", purpose="bench")
    groups = dice.integers(0, GROUPS, size)
    numbers = np.arange(1, size + 1, dtype=np.uint32)
    chosen = {f"r{group}": BitMap(numbers[groups == group]) for group in range(GROUPS)}
    contacts.set_choices(work, "region", chosen, why="bench")
    for index in range(TAGS):
        made = tags.create(work, f"own{index}")
        tags.assign(work, made.id, BitMap(numbers[dice.random(size) < 0.3 / (index + 1)]), why="bench")
    for name in (*(f"e{kind}" for kind in range(TYPES)), "past"):
        behaviour.declare_event(work, name, "bench", ["shop"])
    for day in range(PAST):
        some = dice.choice(numbers, size // 50)
        at = clock.to_ms(work.now - timedelta(days=day, hours=1))
        past = behaviour.events(some, at, dice.integers(100, 9900, len(some)))
        behaviour.record_packed(work, "past", past, batch_key=f"day {day}", zone=work.zone)
    for index in range(RULES):
        tag = tags.create(work, f"rule{index}")
        rule = tag_rules.create(work, tag.id, audiences.parse(_text(index)))
        tag_rules.activate(work, rule.id)
    return audiences.parse(" or ".join(f'tag("rule{index}")' for index in range(TYPES)))


def _text(index: int) -> str:
    """The first ten give a tag for each kind of event; the others are what marketing asks of the same events."""
    kind, group, days = index % TYPES, index % GROUPS, (1, 3, 7, 30, 60)[index % 5]
    did = f'did("e{kind}", last {days} days)'
    return (
        f'did("e{kind}", last 1 days)',
        f'{did} and region = "r{group}"',
        f'{did} and not did("past", last {days} days)',
        f'did("past", times >= 2, last {days} days) and {did}',
        f'tag("own{index % TAGS}") and {did}',
        f'not tag("own{index % TAGS}") and region in ("r{group}", "r0") and {did}',
        f'tag("rule{kind}") and not tag("own{index % TAGS}")',
        f'did("past", sum(amount) >= 100.00, last {days} days) and {did}',
        f'did("e{kind}", days >= 2, last {days} days) or did("e{(kind + 1) % TYPES}", times >= 3, last {days} days)',
        f'tag("rule{kind}") and did("past", last {days} days) and region = "r{group}"',
    )[index // TYPES % 10]


def _measured(runtime: Runtime, home: Path, size: int, segment: audiences.Expression) -> Iterator[Bar]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, "--home", str(home), "worker"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(runtime)
        fork = multiprocessing.get_context("spawn")
        told: Queue[tuple[float, list[int], list[int]]] = fork.Queue()
        intake = fork.Process(target=_take_in, args=(str(home), size, RATE * SECONDS, told), daemon=True)
        intake.start()
        seen = _watch(runtime, segment, told)
        intake.join()
        _wait(runtime)
        in_segment = sum(key == SEGMENT for key, _ in seen.late)
        right = in_segment == len(seen.acknowledged) and _true(runtime)
    finally:
        worker.terminate()
        worker.wait()
    yield from _bars(seen, size, right)


def _bars(seen: "_Seen", size: int, right: bool) -> Iterator[Bar]:
    # Who cannot keep the pace is told by it, not by what was asked of him.
    spent = max(seen.acknowledged.values()) - min(seen.acknowledged.values()) + BATCH / RATE
    taken = len(seen.acknowledged) / spent
    late: dict[str, list[float]] = {}
    for (key, _), ms in sorted(seen.late.items(), key=lambda one: one[1]):
        late.setdefault(seen.kinds.get(key, key), []).append(ms)
    asked = (
        ("tag in a segment", SEGMENT, "p50", 0.5, 1000.0),
        ("tag in a segment", SEGMENT, "p99", 0.99, 1000.0),
        ("tag in a segment", SEGMENT, "longest", 1.0, 2000.0),
        ("tag, rules on sets", SETS, "p99", 0.99, 1000.0),
        ("tag, rules on sums of amounts", SUMS, "p99", 0.99, 1000.0),
        ("tag, rules on rules", CHAINS, "p99", 0.99, 1000.0),
    )
    for what, kind, name, share, most in asked:
        ours, floor = _part(late.get(kind, []), share), _part(late.get(EVENT, []), share)
        work = f"event → rule → {what}, {name}, {RULES} rules, {taken:,.0f} events/s"
        yield Bar(
            work, size, ours, "Dittofeed (its documents)", QUOTED_MS, "ms", QUOTED_MS / max(ours, 0.1),
            f"<= {most:g} ms", ours <= most, right, QUOTED_MS / max(floor, 0.1),
        )  # fmt: skip


def _part(ordered: list[float], share: float) -> float:
    return max(0.0, ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else float("nan")


def _take_in(home: str, size: int, events: int, told: "Queue[tuple[float, list[int], list[int]]]") -> None:
    """Batches of events of contacts who did nothing yet, at the rate; each is told when it is durable."""
    runtime = access.open_home(Settings(home=Path(home)))
    fresh = random.Random(11).sample(range(1, size + 1), min(size, events))
    started = time.monotonic()
    for count, start in enumerate(range(0, len(fresh), BATCH)):
        time.sleep(max(0.0, started + count * BATCH / RATE - time.monotonic()))
        numbers = fresh[start : start + BATCH]
        kinds = [number % TYPES for number in numbers]
        with runtime.work(1, "bench") as work:
            some = [behaviour.EventIn(f"e{kind}", n, work.now_ms) for n, kind in zip(numbers, kinds, strict=True)]
            behaviour.record(work, some, batch_key=f"b{count}", zone=work.zone)
        told.put((time.monotonic(), kinds, numbers))
    told.put((0.0, [], []))
    runtime.close()


@dataclass
class _Seen:
    """When each contact's event was acknowledged; how many ms later each change about it was seen first.

    `kinds` says of which kind of rule the tag of a key is.
    """

    kinds: dict[str, str]
    acknowledged: dict[int, float] = field(default_factory=dict)
    at: dict[tuple[str, int], float] = field(default_factory=dict)

    @cached_property
    def late(self) -> dict[tuple[str, int], float]:
        """Milliseconds by (what, contact)."""
        known = self.acknowledged
        return {(key, number): (at - known[number]) * 1000 for (key, number), at in self.at.items() if number in known}


def _watch(runtime: Runtime, segment: audiences.Expression, told: "Queue[tuple[float, list[int], list[int]]]") -> _Seen:
    """Look until the segment has every contact of whom an event was acknowledged."""
    with runtime.read(1, "bench") as work:
        seen, seq = _Seen(_kinds(work)), work.bitmaps.last_seq()
    before, over, last = BitMap(), False, time.monotonic()
    waiting: set[int] = set()
    while not over or (waiting and time.monotonic() - last < 30):
        with runtime.read(1, "bench") as work:
            found = audiences.members(work, segment)
            changes = work.bitmaps.changes_since(seq, limit=10_000)
        moment = time.monotonic()
        for number in found - before:
            seen.at[SEGMENT, number] = moment
        for change in changes:
            key = EVENT if change.key.startswith("event:") else change.key
            if key == EVENT or key in seen.kinds:
                for number in change.members:
                    seen.at.setdefault((key, number), moment)
        seq = changes[-1].seq if changes else seq
        before = found
        while not told.empty():
            at, _, numbers = told.get()
            over = over or not numbers
            last = moment
            seen.acknowledged.update(dict.fromkeys(numbers, at))
            waiting.update(numbers)
        waiting.difference_update(found)
        time.sleep(0.02)
    return seen


def _kinds(work: Work) -> dict[str, str]:
    """The kind of rule by the key of its tag."""
    chains, sums = (6, 9), (7,)
    return {
        tags.key(tags.find(work, f"rule{index}").id): CHAINS if index // TYPES % 10 in chains else SUMS
        if index // TYPES % 10 in sums else SETS
        for index in range(RULES)
    }  # fmt: skip


def _wait(runtime: Runtime) -> None:
    """Until every rule is filled and has followed all."""
    while True:
        with runtime.read(1, "bench") as work:
            behind = audiences.live.lag(work, [tags.key(rule.tag) for rule in tag_rules.every(work)])
        if all(one is not None and one.changes == 0 for one in behind.values()):
            return
        time.sleep(0.2)


def _true(runtime: Runtime) -> bool:
    """Whether every tag is held by exactly the members of its rule."""
    with runtime.read(1, "bench") as work:
        return all(
            audiences.members(work, rule.definition.expression) == tags.holders(work, rule.tag, below=False)
            for rule in tag_rules.every(work)
        )
