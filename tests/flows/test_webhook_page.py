"""The receiver that docs/how-to/webhook.md shows, run exactly as it stands there, behind a real account."""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts
from tagcast.accounts import NewAccount
from tagcast.channels import ChannelError, Text
from tagcast.channels.webhook import Delivered, Recipient, WebhookClient
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.http import AddressPolicy, AiohttpTransport
from tests.conftest import make_runtime
from tests.flows.harness import Sandbox, World
from tests.flows.test_story import free_ports, wait_for_port

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhook.md"


@dataclass
class Receiver:
    """The page's program."""

    folder: Path
    url: str
    secret: str

    def rows(self, query: str) -> list[tuple[str, ...]]:
        with sqlite3.connect(self.folder / "receiver.db") as db:
            return db.execute(query).fetchall()

    def members(self, **here: bool) -> None:
        with sqlite3.connect(self.folder / "receiver.db") as db:
            db.executemany("INSERT OR REPLACE INTO member VALUES (?, ?)", here.items())

    def deliver(self, key: str, *people: str, secret: str = "") -> Delivered:
        async def run() -> Delivered:
            async with AiohttpTransport(policy=AddressPolicy(allow_private=True)) as transport:
                client = WebhookClient(transport, self.url, secret or self.secret)
                return await client.deliver(key, Text("您好"), [Recipient(one) for one in people])

        return asyncio.run(run())


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    port, secret = free_ports()[0], accounts.new_webhook_secret()
    folder = tmp_path / "receiver"
    folder.mkdir()
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    wait_for_port(port)
    yield Receiver(folder, f"http://127.0.0.1:{port}/tagcast?shop=3", secret)
    process.kill()
    process.wait()


def test_a_delivery_is_taken_once_and_refusals_are_repeated(receiver: Receiver) -> None:
    receiver.members(m1=True, m2=False)
    for _ in range(2):
        assert dict(receiver.deliver("d1", "m1", "m2", "m3").refused) == {"m2": "left", "m3": "unknown"}
    assert receiver.rows("SELECT member FROM message") == [("m1",)]
    receiver.deliver("d2", "m1")
    assert len(receiver.rows("SELECT * FROM message")) == 2


def test_what_is_not_signed_is_refused(receiver: Receiver) -> None:
    receiver.members(m1=True)
    with pytest.raises(ChannelError) as caught:
        receiver.deliver("d1", "m1", secret=accounts.new_webhook_secret())
    assert caught.value.reason == "webhook_signature"
    assert receiver.rows("SELECT * FROM message") == receiver.rows("SELECT * FROM delivery") == []


def test_a_broadcast_arrives(receiver: Receiver, tmp_path: Path) -> None:
    here = {f"m{number}": number % 10 != 0 for number in range(2500)}
    receiver.members(**here)
    world = World(make_runtime(tmp_path, settle_seconds=1.0), Sandbox(tmp_path))
    new = NewAccount("custom", "会员系统", receiver.secret, base_url=receiver.url)
    assert asyncio.run(accounts.check_new(world.runtime, new)).ok
    with world.runtime.work(1, "test") as work:
        account = world.accounts["custom"] = accounts.add(work, new).id
        identity = Identity("member_id", account)
        contacts.ensure(work, [PersonIn({identity: one}) for one in here])
        compliance.record(work, "marketing", contacts.everyone(work), BitMap(), source="test")
        compliance.set_quiet_hours(work, on=False, why="tests run at any hour")
    said = {"kind": "article", "title": "会员日", "body": "今天开始", "url": "https://shop.example.com/"}
    broadcast = world.send("custom", said)
    world.work_until(broadcast)
    states = {name: count for name, count in world.states(broadcast).items() if count}
    assert states == {"accepted": 2250, "failed": 250}
    rows = receiver.rows("SELECT member, url FROM message")
    assert {member for member, _ in rows} == {one for one, is_here in here.items() if is_here}
    assert len(rows) == len({url for _, url in rows}) == 2250
    assert len(receiver.rows("SELECT id FROM delivery")) == 3
    with world.runtime.read(1, "test") as work:
        (failure,) = broadcasts.failures(work, broadcast)
        assert (failure.reason, failure.count) == ("refused:left", 250)
        assert len(work.bitmaps.read(f"following:{account}")) == 2250
    world.runtime.close()
