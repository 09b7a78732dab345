"""A home with people to send to, for `bench.send`: broadcasts in the product's own way, and workers that send them."""

import multiprocessing
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from pyroaring import BitMap

from bench.echo import Report
from bench.senders import TEMPLATE, URL, Person
from tagcast import access, accounts, broadcasts, compliance, contacts, worker
from tagcast.accounts import NewAccount
from tagcast.broadcasts.tables import broadcasts as table
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

PURPOSE = "service"
_SAID = {"source": "this benchmark", "date": "2026-11-24"}
_PART = 20_000
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Stage:
    """A home whose service account lives at `base_url`; `people` follow it and consent."""

    runtime: Runtime
    base_url: str
    account: int
    people: int

    def draft_and_send(self, person: Person, audience: str = "all") -> int:
        """Freeze a template broadcast to everybody; its id. Nothing is sent before a worker works."""
        content = {
            "kind": "template",
            "template_id": TEMPLATE,
            "data": dict(zip(person.keywords, person.values, strict=True)),
            "url": URL,
        }
        with self.runtime.work(1, "bench") as work:
            made = broadcasts.draft(
                work, name="bench", account=self.account, audience=audience, content=content, purpose=PURPOSE
            )
            plan = broadcasts.plan(work, made.id)
        with self.runtime.work(1, "bench") as work:
            broadcasts.send(work, plan.hash)
        return made.id

    def seconds(self, broadcast: int) -> float | None:
        """Seconds from 1970 when the last call was recorded, or None while it is being sent."""
        with self.runtime.engine.connect() as connection:
            row = connection.execute(sa.select(table.c.sent_at, table.c.state).where(table.c.id == broadcast)).one()
        if row.state not in ("sending", "settling", "finished"):
            raise RuntimeError(f"the broadcast is {row.state}")
        return None if row.sent_at is None else row.sent_at / 1000

    def accepted(self, broadcast: int) -> bool:
        """Whether the ledger says that the platform took everybody's message."""
        with self.runtime.read(1, "bench") as work:
            states = broadcasts.states(work, broadcast)
        return states["accepted"] + states["delivered"] == sum(states.values()) == self.people

    def work_here(self, broadcast: int, **settings: Any) -> float:
        """Let a worker of this process send it; the wall seconds from its start to the last outcome's commit."""
        runtime = access.open_home(self.runtime.settings.model_copy(update=settings))
        stop = threading.Event()

        def watch() -> None:
            while self.seconds(broadcast) is None and not stop.is_set():
                time.sleep(0.05)
            stop.set()

        watching = threading.Thread(target=watch)
        watching.start()
        started = time.time()
        try:
            worker.run(runtime, stop)
        finally:
            stop.set()
            watching.join()
            runtime.close()
        ended = self.seconds(broadcast)
        assert ended is not None
        return ended - started

    @contextmanager
    def workers(self, count: int, **settings: Any) -> Iterator[list[BaseProcess]]:
        """So many worker processes that wait for work; ended with the block."""
        given = self.runtime.settings.model_copy(update=settings).model_dump(mode="json")
        with ExitStack() as stack:
            ready = _SPAWN.Semaphore(0)
            running: list[BaseProcess] = []
            for _ in range(count):
                process = _SPAWN.Process(target=_work, args=(given, ready, os.getpid()), daemon=True)
                process.start()
                stack.callback(_end, process)
                running.append(process)
            for _ in running:
                ready.acquire(timeout=60)
            time.sleep(0.5)
            yield running

    def wait(self, broadcast: int, seconds: float = 300.0) -> float:
        """Until it is sent; seconds from its start."""
        end = time.monotonic() + seconds
        while (ended := self.seconds(broadcast)) is None:
            if time.monotonic() > end:
                raise RuntimeError("the broadcast does not end")
            time.sleep(0.02)
        with self.runtime.read(1, "bench") as work:
            started = broadcasts.get(work, broadcast).started_at
        assert started is not None
        return ended - started.timestamp()

    def cancel(self, broadcast: int) -> None:
        """Stop it for good."""
        with self.runtime.work(1, "bench") as work:
            broadcasts.cancel(work, broadcast)

    def report(self) -> Report:
        """What `bench.echo` has seen since the last report."""
        return report(self.base_url)


def report(base_url: str) -> Report:
    """What came to `bench.echo` since the last report."""
    with urllib.request.urlopen(f"{base_url}/", orjson.dumps({"report": True})) as answer:
        return Report(**orjson.loads(answer.read()))


def make(home: Path, base_url: str, people: int, **settings: Any) -> Stage:
    """A new home with so many people; `settings` as in `tagcast.toml`."""
    given = Settings(home=home, allow_private=True, settle_seconds=0.1, **settings)
    access.initialise(given)
    runtime = access.open_home(given)
    with runtime.work(1, "bench") as work:
        account = accounts.add(
            work, NewAccount("service", "bench", "s", appid="wx5823bf96d3bd56c7", base_url=base_url)
        ).id
        _widen(work, account)
    which = Identity("openid", account)
    for start in range(0, people, _PART):
        some = [PersonIn({which: f"oQ7mT5{number:022d}"}) for number in range(start, min(start + _PART, people))]
        with runtime.work(1, "bench") as work:
            numbers = BitMap(contacts.ensure(work, some))
            work.bitmaps.add(f"following:{account}", numbers, why="bench")
            compliance.record(work, PURPOSE, numbers, BitMap(), source="bench")
    return Stage(runtime, base_url, account, people)


def _widen(work: Any, account: int) -> None:
    """As many messages to everybody as the benchmark takes."""
    spans = {name: {"value": "unlimited", **_SAID} for name in ("per_day", "per_week", "per_month")}
    accounts.add_profile(
        work, "bench", "platform", {"service": {"broadcast": spans, "send": {"per_day": spans["per_day"]}}}
    )
    accounts.set_profile(work, account, "bench")
    compliance.set_quiet_hours(work, on=False, why="a benchmark runs at any hour")


def cpu_seconds(processes: list[BaseProcess]) -> float:
    """User and system time of running processes."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(process: BaseProcess) -> float:
    """The most memory that a running process has had."""
    lines: Mapping[str, str] = dict(
        line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in line
    )
    return int(lines["VmHWM"].split()[0]) / 1024


def _work(settings: dict[str, Any], ready: Any, parent: int) -> None:
    """What a worker process does: nothing but the product's own worker, until nobody is there to end it."""
    runtime, stop = access.open_home(Settings(**settings)), threading.Event()

    def end() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end, daemon=True).start()
    ready.release()
    worker.run(runtime, stop)


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
    process.join(10)
    process.close()
