"""Callbacks: checked, decrypted, parsed, durably stored and answered, here and in an ordinary framework route.

Server and platform have a core each where there are two. "CPU" is user and system time of the server's process a
callback, all its threads counted; the platform's side (`bench.push`) is not.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import sqlalchemy as sa

from bench import receive
from bench.measure import REPEATS, Bar
from bench.push import Pushed, prepare, push
from tagcast import access, accounts
from tagcast.accounts import NewAccount
from tagcast.channels import CallbackKeys
from tagcast.kit import loop
from tagcast.kit.db import open_engine
from tagcast.kit.settings import Settings

STEADY = 2000
STEADY_SECONDS = 10
KEYS = CallbackKeys(receive.TOKEN, receive.AES_KEY, receive.APPID)


@dataclass
class Server:
    """A running contestant. `stored` counts what its database holds."""

    pid: int
    port: int
    path: str
    stored: Callable[[], int]
    first: int = 0
    pushed: int = 0
    turns: list[tuple[float, Pushed]] = field(default_factory=list)

    def turn(self, runner: asyncio.Runner, size: int, *, rate: float = 0.0) -> tuple[float, Pushed]:
        """(microseconds of the server's CPU a callback, what was pushed)."""
        requests = prepare(KEYS, self.path, self.first, size)
        self.first += size
        before = _cpu(self.pid)
        result = runner.run(push(self.port, requests, rate=rate))
        self.pushed += result.succeeded
        return (_cpu(self.pid) - before) / size * 1e6, result


def run(size: int) -> Iterator[Bar]:
    """Rows for turns of `size` callbacks. Needs wechatpy (`python3 dev.py bench`)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runner = stack.enter_context(loop.runner())
        servers = {
            which: stack.enter_context(_serving(which, folder / which)) for which in ("tagcast", "route", "plain")
        }
        if (url := _postgres(stack)) is not None:
            servers["postgresql"] = stack.enter_context(_serving("tagcast", folder / "postgresql", url))
        for turn in range(REPEATS + 1):
            for which, server in servers.items():
                result = server.turn(runner, size // 10 if which == "plain" else size)
                if turn:
                    server.turns.append(result)
        costs = {which: statistics.median(cpu for cpu, _ in server.turns) for which, server in servers.items()}
        steady = servers["tagcast"].turn(runner, STEADY * min(STEADY_SECONDS, max(1, size // STEADY)), rate=STEADY)[1]
        equal = all(server.stored() == server.first == server.pushed for server in servers.values())
        yield from _rows(size, costs, steady, equal=equal)


def _rows(size: int, costs: dict[str, float], steady: Pushed, *, equal: bool) -> Iterator[Bar]:
    ours, bound = costs["tagcast"], ("10,000/s a core", 100.0)
    yield Bar.of("callback stored", size, ours=ours, peer=bound, unit="us CPU", bar=("<=", 1.0), equal=equal)
    for which, name in (("route", "FastAPI, wechatpy, group commit"), ("plain", "FastAPI, wechatpy, a commit each")):
        peer = (name, costs[which])
        yield Bar.of("callback stored", size, ours=ours, peer=peer, unit="us CPU", bar=(">=", 2.5), equal=equal)
    if "postgresql" in costs:
        yield Bar.of(
            "callback stored, PostgreSQL", size, ours=costs["postgresql"], peer=bound, unit="us CPU", bar=("<=", 1.0),
            equal=equal,
        )  # fmt: skip
    for share in (0.5, 0.99):
        wait = steady.percentile(share) * 1000
        work = f"callback answered at a steady {STEADY}/s, p{share * 100:.0f}"
        yield Bar.of(work, size, ours=wait, peer=("limit", 50.0), unit="ms", bar=("<=", 1.0), equal=equal)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _serving(which: str, home: Path, url: str = "") -> Iterator[Server]:
    settings = Settings(home=home, database_url=url)
    access.initialise(settings)
    runtime = access.open_home(settings)
    new = NewAccount(
        "service", "bench", "s", appid=receive.APPID, callback_token=receive.TOKEN, encoding_aes_key=receive.AES_KEY
    )
    with runtime.work(1, "bench") as work:
        path = f"/callback/{accounts.add(work, new).callback_path}"
    runtime.close()
    where = settings.url if which == "tagcast" else f"sqlite:///{home / 'peer.db'}"
    table = "inbox_message" if which == "tagcast" else "message"

    def stored() -> int:
        engine = open_engine(where)
        with engine.connect() as connection:
            count = connection.scalar(sa.text(f"SELECT count(*) FROM {table}"))
        engine.dispose()
        return int(count or 0)

    cores = sorted(os.sched_getaffinity(0))
    core = [str(cores[-1])] if len(cores) > 1 else []
    command = [sys.executable, "-m", "bench.receive", which, str(home), url, *core]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            port = urlsplit(orjson.loads(started.stdout.readline())["url"]).port
            assert port is not None
            yield Server(started.pid, port, path, stored)
        finally:
            started.kill()


def _postgres(stack: ExitStack) -> str | None:
    try:
        from tests.postgres import start_postgres

        return stack.enter_context(start_postgres())
    except (ImportError, RuntimeError):
        return None
