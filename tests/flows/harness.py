"""A small world for whole stories: a real sandbox over HTTP, a real database, worker processes that can be killed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts, worker
from tagcast.accounts import NewAccount
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, open_runtime

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tagcast.worker"])


@dataclass
class Sandbox:
    """A running sandbox."""

    url: str
    process: "subprocess.Popen[str]"

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

    def post(self, path: str, **body: object) -> Any:
        return self.call("POST", path, body)

    def get(self, path: str) -> Any:
        return self.call("GET", path)


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Start a sandbox with its state in `folder`; stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wechat_sandbox", "--port", "0", "--state", str(folder / "sandbox.db"), "--seed", "7"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Sandbox(ready["url"], process)
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class World:
    """A workspace whose accounts live in a sandbox."""

    runtime: Runtime
    sandbox: Sandbox
    accounts: dict[str, int] = field(default_factory=dict)
    remote: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_account(self, kind: str) -> int:
        """An account of a kind, in the sandbox and in the workspace."""
        remote = self.sandbox.post("/sandbox/accounts", kind=kind, name=kind)
        identifier = {"corpid": remote["corpid"]} if kind == "wecom" else {"appid": remote["appid"]}
        with self.runtime.work(1, "test") as work:
            account = accounts.add(
                work,
                NewAccount(
                    kind=kind,
                    name=kind,
                    secret=remote["secret"],
                    agentid=remote["agentid"],
                    base_url=self.sandbox.url,
                    callback_token=remote["token"],
                    encoding_aes_key=remote["encoding_aes_key"],
                    **identifier,
                ),
            )
        self.accounts[kind] = account.id
        self.remote[kind] = remote
        return account.id

    def people(self, size: int) -> None:
        """Make the population, know all who follow an account, let everybody consent."""
        self.sandbox.post("/sandbox/population", size=size, seed=7)
        with self.runtime.work(1, "test") as work:
            for kind, account in self.accounts.items():
                which = Identity("external_userid" if kind == "wecom" else "openid", account)
                known = [found["ids"].get(str(self.remote[kind]["id"])) for found in self.sandbox.lines("/sandbox/people")]
                there = [ids for ids in known if ids and ids["follows"]]
                numbers = contacts.ensure(work, [PersonIn({which: ids[which.kind]}) for ids in there])
                work.bitmaps.add(f"following:{account}", BitMap(numbers), why="test")
                holders: dict[str, list[int]] = {}
                for number, ids in zip(numbers, there, strict=True):
                    for employee in ids.get("employees", []):
                        holders.setdefault(employee, []).append(number)
                for employee, customers in holders.items():
                    work.bitmaps.add(f"employee:{account}:{employee}", BitMap(customers), why="test")
            compliance.record(work, "marketing", contacts.everyone(work), BitMap(), source="test")

    def send(self, kind: str, content: dict[str, Any], *, audience: str = "all", holdout: float = 0.0) -> int:
        """Draft, plan, send; the broadcast's id."""
        with self.runtime.work(1, "test") as work:
            broadcast = broadcasts.draft(
                work,
                name=f"to {kind}",
                account=self.accounts[kind],
                audience=audience,
                content=content,
                holdout_percent=holdout,
            ).id
            plan = broadcasts.plan(work, broadcast)
        with self.runtime.work(1, "test") as work:
            broadcasts.send(work, plan.hash)
        return broadcast

    def state(self, broadcast: int) -> broadcasts.State:
        with self.runtime.read(1, "test") as work:
            return broadcasts.get(work, broadcast).state

    def states(self, broadcast: int) -> dict[str, int]:
        with self.runtime.read(1, "test") as work:
            return broadcasts.states(work, broadcast)

    def assigned(self, broadcast: int) -> BitMap:
        with self.runtime.read(1, "test") as work:
            return work.bitmaps.read(f"broadcast:{broadcast}:assigned").copy()

    def judge(self, kind: str, broadcast: int) -> dict[str, Any]:
        """The sandbox's verdict: every assigned person asked once, nobody else."""
        which = "external_userid" if kind == "wecom" else "openid"
        with self.runtime.read(1, "test") as work:
            numbers = list(work.bitmaps.read(f"broadcast:{broadcast}:assigned"))
            ids = contacts.identities_of(work, numbers, which, self.accounts[kind])
        assert len(ids) == len(numbers)
        verdict: dict[str, Any] = self.sandbox.post(
            "/sandbox/ledger/judge", account=self.remote[kind]["id"], expected=list(ids.values())
        )
        return verdict

    def work_until(self, broadcast: int, *, seconds: float = 120.0, **settings: Any) -> None:
        """Run a worker in this process until the broadcast is finished."""
        runtime = open_runtime(self.runtime.settings.model_copy(update=settings))
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(runtime, stop))
        thread.start()
        try:
            end = time.monotonic() + seconds
            while self.state(broadcast) not in ("finished", "cancelled"):
                assert time.monotonic() < end, self.states(broadcast)
                time.sleep(0.1)
        finally:
            stop.set()
            thread.join(30)
            runtime.close()

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


def run_worker(settings: dict[str, Any]) -> None:
    """What a worker process does: nothing but the product's own worker."""
    worker.run(open_runtime(Settings(**settings)), threading.Event())
