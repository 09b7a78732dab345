"""A small world for whole stories: a real sandbox over HTTP, a real database, worker processes that can be killed."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts, tags, worker
from tagcast.accounts import NewAccount
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, open_runtime

SERVER = """
import sys
from pathlib import Path
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
from tagcast.server.run import run

run(open_runtime(Settings(home=Path(sys.argv[1]), port=0, database_url=sys.argv[2])))
"""

# Kind of account → by what it knows people.
ID_OF = {"service": "openid", "official": "openid", "wecom": "external_userid", "custom": "member_id"}

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tagcast.worker"])


@dataclass
class Sandbox:
    """A running sandbox with its state in `folder`; stopped and started again, it goes on where it was."""

    folder: Path
    url: str = ""
    _process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Start it, on the port that it had before."""
        port = self.url.rpartition(":")[2] or "0"
        state = str(self.folder / "sandbox.db")
        command = [sys.executable, "-m", "wechat_sandbox", "--port", port, "--state", state, "--seed", "7"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def stop(self) -> None:
        """End it; nothing answers at its address any more."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=20)
            self._process = None

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self._process = None

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def lines(self, path: str) -> list[Any]:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def post(self, path: str, /, **body: object) -> Any:
        return self.call("POST", path, body)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def calls(self, path: str) -> int:
        """How often a path was called."""
        return int(self.get("/sandbox/health")["calls"].get(path, 0))


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Start a sandbox with its state in `folder`; stopped at the end."""
    made = Sandbox(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@dataclass
class World:
    """A workspace whose accounts live in a sandbox."""

    runtime: Runtime
    sandbox: Sandbox
    accounts: dict[str, int] = field(default_factory=dict)
    remote: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.runtime.work(1, "test") as work:
            compliance.set_quiet_hours(work, on=False, why="tests run at any hour")

    def add_account(self, kind: str, **options: Any) -> int:
        """An account of a kind, in the sandbox and in the workspace; `options` as the sandbox takes them."""
        remote = self.sandbox.post("/sandbox/accounts", kind=kind, name=kind, **options)
        identifier = {"corpid": remote["corpid"]} if kind == "wecom" else {"appid": remote["appid"]}
        hook, keyed = f"{self.sandbox.url}/webhook/in?account={remote['id']}", kind != "custom"
        with self.runtime.work(1, "test") as work:
            account = accounts.add(
                work,
                NewAccount(
                    kind=kind,
                    name=kind,
                    secret=remote["secret"],
                    agentid=remote["agentid"],
                    base_url=self.sandbox.url if keyed else hook,
                    callback_token=remote["token"] if keyed else "",
                    encoding_aes_key=remote["encoding_aes_key"] if keyed else "",
                    **identifier,
                ),
            )
        self.accounts[kind] = account.id
        self.remote[kind] = remote
        return account.id

    @property
    def sandbox_id(self) -> dict[str, int]:
        """kind → the account's id in the sandbox."""
        return {kind: remote["id"] for kind, remote in self.remote.items()}

    def profile(self, kind: str, *, unlimited: bool = False, **limits: Any) -> None:
        """Give the account the platform's own limits, but for these of `send`, each a figure.

        `unlimited`: as many broadcasts as one likes.
        """
        said = {"source": "this test", "date": "2026-11-23"}
        own = {name: {"value": value, **said} for name, value in limits.items()}
        spans = ("per_day", "per_week", "per_month") if unlimited else ()
        often = {name: {"value": "unlimited", **said} for name in spans}
        with self.runtime.work(1, "test") as work:
            accounts.add_profile(work, f"wide-{kind}", "platform", {kind: {"send": own, "broadcast": often}})
            accounts.set_profile(work, self.accounts[kind], f"wide-{kind}")

    def template_id(self) -> str:
        """A template of the service account, as an operator would look it up."""

        async def ask() -> str:
            async with accounts.connect(self.runtime, 1, self.accounts["service"]) as connected:
                found = await connected.call(connected.official.templates.all)
                return next(template.template_id for template in found if template.title == "会员权益提醒")

        return asyncio.run(ask())

    def people(self, size: int) -> None:
        """Make the population, know all who follow an account, let everybody consent."""
        self.sandbox.post("/sandbox/population", size=size, seed=7)
        with self.runtime.work(1, "test") as work:
            for kind, account in self.accounts.items():
                which = Identity(ID_OF[kind], account)
                known = [
                    found["ids"].get(str(self.remote[kind]["id"])) for found in self.sandbox.lines("/sandbox/people")
                ]
                there = [ids for ids in known if ids and ids["follows"]]
                numbers = contacts.ensure(work, [PersonIn({which: ids[which.kind]}) for ids in there])
                work.bitmaps.add(f"following:{account}", BitMap(numbers), why="test")
                holders: dict[str, list[int]] = {}
                for number, ids in zip(numbers, there, strict=True):
                    for employee in ids.get("employees", []):
                        holders.setdefault(employee, []).append(number)
                for employee, customers in holders.items():
                    work.bitmaps.add(f"employee:{account}:{employee}", BitMap(customers), why="test")
            for purpose in ("marketing", "service"):
                compliance.record(work, purpose, contacts.everyone(work), BitMap(), source="test")

    def split(self, kind: str, size: int) -> list[str]:
        """Tag those who follow an account in groups of `size`; the groups as audiences."""
        found = []
        with self.runtime.work(1, "test") as work:
            there = list(work.bitmaps.read(f"following:{self.accounts[kind]}"))
            for at in range(0, len(there) - size + 1, size):
                tag = tags.ensure(work, f"{kind}/{at}")
                work.bitmaps.add(f"tag:{tag.id}", BitMap(there[at : at + size]), why="test")
                found.append(f'tag("{kind}/{at}")')
        return found

    def forget_sends(self) -> None:
        """Nobody has been sent anything, as far as limits are concerned."""
        with self.runtime.work(1, "test") as work:
            for key in work.bitmaps.keys("sent:"):
                work.bitmaps.replace(key, BitMap(), why="test")

    def later(self, seconds: float) -> None:
        """Let time pass for us: what is due, closed, kept or tried moves back. The platform's clock stays right.

        No worker may run meanwhile: what a process knows of the time is its own.
        """
        ms = int(seconds * 1000)
        with self.runtime.engine.begin() as connection:
            for table, columns in (
                ("lease", ("due_at", "until")),
                ("account_quota", ("closed_until",)),
                ("account_token", ("fresh_until", "failed_at")),
                ("broadcast_chunk", ("tried_at",)),
                ("broadcast", ("sent_at",)),
            ):
                moved = {column: sa.column(column) - ms for column in columns}
                connection.execute(sa.update(sa.table(table, *map(sa.column, columns))).values(moved))

    def send(
        self, kind: str, content: dict[str, Any], *, audience: str = "all", holdout: float = 0.0, **draft: Any
    ) -> int:
        """Draft, plan, send; the broadcast's id. Where the platform forbids marketing it is a service notice."""
        notice = kind == "service" and content["kind"] in ("template", "subscription")
        with self.runtime.work(1, "test") as work:
            broadcast = broadcasts.draft(
                work,
                name=f"to {kind}",
                account=self.accounts[kind],
                audience=audience,
                content=content,
                holdout_percent=holdout,
                purpose="service" if notice else "marketing",
                **draft,
            ).id
            plan = broadcasts.plan(work, broadcast)
        with self.runtime.work(1, "test") as work:
            broadcasts.send(work, plan.hash)
        return broadcast

    def get(self, broadcast: int) -> broadcasts.Broadcast:
        with self.runtime.read(1, "test") as work:
            return broadcasts.get(work, broadcast)

    def set(self, key: str) -> BitMap:
        with self.runtime.read(1, "test") as work:
            return work.bitmaps.read(key).copy()

    def ids(self, kind: str, numbers: Iterable[int]) -> dict[int, str]:
        """Contact number → the id by which the sandbox knows him."""
        with self.runtime.read(1, "test") as work:
            return contacts.identities_of(work, list(numbers), ID_OF[kind], self.accounts[kind])

    def statuses(self, broadcast: int, numbers: Iterable[int]) -> dict[int, str]:
        """Contact number → the word of his status in the ledger."""
        with self.runtime.read(1, "test") as work:
            found = {number: broadcasts.status_of(work, broadcast, number) for number in numbers}
        return {number: status.name.lower() for number, status in found.items() if status is not None}

    def outcomes(self, kind: str) -> dict[str, str]:
        """The sandbox's word on each person: the last outcome of what he was asked to receive."""
        lines = self.sandbox.lines(f"/sandbox/ledger?account={self.remote[kind]['id']}")
        return {line["person"]: line["outcome"] for line in lines}

    def state(self, broadcast: int) -> broadcasts.State:
        with self.runtime.read(1, "test") as work:
            return broadcasts.get(work, broadcast).state

    def states(self, broadcast: int) -> dict[str, int]:
        with self.runtime.read(1, "test") as work:
            return broadcasts.states(work, broadcast)

    def assigned(self, broadcast: int) -> BitMap:
        with self.runtime.read(1, "test") as work:
            return work.bitmaps.read(f"broadcast:{broadcast}:assigned").copy()

    def judge(self, kind: str, broadcast: int, *, but: Iterable[int] = ()) -> dict[str, Any]:
        """The sandbox's verdict: every assigned person, `but` these, asked once, nobody else."""
        numbers = self.assigned(broadcast) - BitMap(but)
        ids = self.ids(kind, numbers)
        assert len(ids) == len(numbers)
        verdict: dict[str, Any] = self.sandbox.post(
            "/sandbox/ledger/judge", account=self.remote[kind]["id"], expected=list(ids.values())
        )
        return verdict

    @contextmanager
    def working(self, **settings: Any) -> Iterator[None]:
        """A worker in a thread of this process; told to stop at the end."""
        runtime = open_runtime(self.runtime.settings.model_copy(update=settings))
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(runtime, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()
            runtime.close()

    def wait(self, broadcast: int, *states: str, seconds: float = 60.0) -> None:
        """Until the broadcast is in one of these states; it must not be paused before."""
        stops = {*states, "paused"}
        until(lambda: self.state(broadcast) in stops, seconds, lambda: (self.get(broadcast), self.states(broadcast)))
        assert self.state(broadcast) in states, self.get(broadcast)

    def work_until(self, broadcast: int, *, seconds: float = 120.0, **settings: Any) -> None:
        """Run a worker in this process until the broadcast is over."""
        with self.working(**settings):
            self.wait(broadcast, "finished", "cancelled", seconds=seconds)

    @contextmanager
    def worker_process(self, **settings: Any) -> Iterator["multiprocessing.process.BaseProcess"]:
        """A worker in a process of its own; killed at the end if it still lives."""
        given = self.runtime.settings.model_copy(update=settings)
        process = FORK.Process(target=run_worker, args=(given.model_dump(mode="json"),), daemon=True)
        process.start()
        try:
            yield process
        finally:
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
            process.join(10)
            process.close()


@contextmanager
def callbacks(world: World) -> Iterator[None]:
    """The real server, to which the sandbox sends the callbacks of all accounts."""
    settings = world.runtime.settings
    command = [sys.executable, "-c", SERVER, str(settings.home), settings.database_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        for kind, remote in world.remote.items():
            if kind == "custom":  # a receiver of one's own calls nobody
                continue
            with world.runtime.read(1, "test") as work:
                path = accounts.get(work, world.accounts[kind]).callback_path
            account = f"/sandbox/accounts/{remote['id']}"
            world.sandbox.call("PATCH", account, {"callback_url": f"{url}/callback/{path}"})
            assert world.sandbox.post(f"{account}/verify")["ok"]
        yield
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)


def until(true: Callable[[], bool], seconds: float = 60.0, said: Callable[[], object] = str) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, said()
        time.sleep(0.02)


def run_worker(settings: dict[str, Any]) -> None:
    """What a worker process does: nothing but the product's own worker."""
    worker.run(open_runtime(Settings(**settings)), threading.Event())
