"""Full sync against the sandbox over HTTP."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap
from tests.channels.canned import Canned

from tagcast import accounts, contacts
from tagcast.accounts.tables import accounts as account_table
from tagcast.contacts import Identity, PersonIn
from tagcast.kit import clock, leases
from tagcast.kit.errors import Invalid, Refused, TagcastError
from tagcast.kit.uow import Runtime


class Sandbox:
    """A sandbox of its own process with 300 people."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read().decode()
        return (
            [json.loads(line) for line in text.splitlines()]
            if path.startswith("/sandbox/people?")
            else json.loads(text)
        )

    def people(self, account: int) -> dict[str, dict[str, Any]]:
        """unionid → ids of everybody who has some in an account."""
        found = self.call("GET", "/sandbox/people?after=-1&limit=1000000")
        return {one["unionid"]: one["ids"][str(account)] for one in found if str(account) in one["ids"]}


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox") / "state.db"
    arguments = ["--port", "0", "--state", str(state), "--population", "300", "--seed", "7"]
    with subprocess.Popen(
        [sys.executable, "-m", "wechat_sandbox", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Sandbox(json.loads(process.stdout.readline())["url"])
        process.terminate()


def add(runtime: Runtime, sandbox: Sandbox, kind: str) -> tuple[int, int, list[str]]:
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": kind, "name": kind, "employees": 3})
    with runtime.work(1, "t") as work:
        new = accounts.NewAccount(
            kind,
            kind,
            secret=made["secret"],
            appid=made["appid"] or "",
            corpid=made["corpid"] or "",
            agentid=made["agentid"],
            base_url=sandbox.url,
        )
        return accounts.add(work, new).id, made["id"], made["employees"]


def sync(runtime: Runtime, account: int) -> contacts.SyncResult:
    return asyncio.run(contacts.sync_account(runtime, 1, account))


def names(runtime: Runtime, members: BitMap, kind: str, account: int) -> set[str]:
    with runtime.read(1, "t") as work:
        return set(contacts.identities_of(work, members, kind, account).values())


def read(runtime: Runtime, key: str) -> BitMap:
    with runtime.read(1, "t") as work:
        return work.bitmaps.read(key)


def test_followers_of_a_service_account(runtime: Runtime, sandbox: Sandbox) -> None:
    account, theirs, _ = add(runtime, sandbox, "service")
    following = {ids["openid"] for ids in sandbox.people(theirs).values() if ids["follows"]}
    assert len(following) > 100
    first = sync(runtime, account)
    assert (first.seen, first.made, first.joined, first.left) == (len(following), len(following), len(following), 0)
    assert names(runtime, read(runtime, f"following:{account}"), "openid", account) == following
    again = sync(runtime, account)
    assert (again.seen, again.made, again.joined, again.left) == (len(following), 0, 0, 0)
    leaving, coming = sorted(following)[:5], None
    sandbox.call("POST", "/sandbox/people/change", {"account": theirs, "people": leaving, "follows": False})
    coming = [ids["openid"] for ids in sandbox.people(theirs).values() if not ids["follows"]]
    coming = [openid for openid in coming if openid not in leaving][:3]
    sandbox.call("POST", "/sandbox/people/change", {"account": theirs, "people": coming, "follows": True})
    last = sync(runtime, account)
    assert (last.joined, last.left) == (len(coming), 5)
    assert names(runtime, read(runtime, f"following:{account}"), "openid", account) == (following | set(coming)) - set(
        leaving
    )
    assert len(read(runtime, f"identity:{account}")) == len(following | set(coming))


def test_customers_of_a_wecom_account_are_the_same_people(runtime: Runtime, sandbox: Sandbox) -> None:
    service, _, _ = add(runtime, sandbox, "service")
    wecom, theirs, employees = add(runtime, sandbox, "wecom")
    sync(runtime, service)
    before = read(runtime, "contact").copy()
    people = sandbox.people(theirs)
    held = {ids["external_userid"]: ids["employees"] for ids in people.values() if ids["follows"]}
    result = sync(runtime, wecom)
    assert result.seen == len(held)
    assert result.conflicts == 0
    with runtime.read(1, "t") as work:
        both = {
            number
            for number, unionid in contacts.identities_of(work, read(runtime, f"following:{wecom}"), "unionid").items()
            if number in before
        }
    assert result.made == len(held) - len(both)
    assert len(both) > 20
    for employee in employees:
        wanted = {userid for userid, who in held.items() if employee in who}
        key = f"employee:{wecom}:{employee}"
        assert names(runtime, read(runtime, key), "external_userid", wecom) == wanted
    again = sync(runtime, wecom)
    assert (again.seen, again.made, again.joined, again.left) == (len(held), 0, 0, 0)


def test_an_interrupted_sync_goes_on(runtime_sqlite: Runtime, sandbox: Sandbox) -> None:
    wecom, theirs, _ = add(runtime_sqlite, sandbox, "wecom")
    held = sum(ids["follows"] for ids in sandbox.people(theirs).values())

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(contacts.sync_account(runtime_sqlite, 1, wecom, progress=stop))
    asked = sandbox.call("GET", "/sandbox/health")["requests"]
    kept = len(read(runtime_sqlite, f"following:{wecom}"))
    assert 0 < kept < held
    result = sync(runtime_sqlite, wecom)
    resumed = sandbox.call("GET", "/sandbox/health")["requests"] - asked
    assert (result.seen, result.made, result.left) == (held, held - kept, 0)
    asyncio.run(contacts.sync_account(runtime_sqlite, 1, wecom, full=True))
    assert resumed < sandbox.call("GET", "/sandbox/health")["requests"] - asked - resumed


def test_identities_of_two_contacts_are_counted_and_not_merged(runtime_sqlite: Runtime, sandbox: Sandbox) -> None:
    account, theirs, _ = add(runtime_sqlite, sandbox, "service")
    unionid, ids = next((union, ids) for union, ids in sandbox.people(theirs).items() if ids["follows"])
    with runtime_sqlite.work(1, "t") as work:
        one, two = contacts.ensure(
            work, [PersonIn({Identity("openid", account): ids["openid"]}), PersonIn({Identity("unionid"): unionid})]
        )
    assert sync(runtime_sqlite, account).conflicts == 0
    assert asyncio.run(contacts.sync_account(runtime_sqlite, 1, account, full=True)).conflicts == 1
    with runtime_sqlite.read(1, "t") as work:
        assert one in work.bitmaps.read(f"following:{account}")
        assert two not in work.bitmaps.read(f"following:{account}")


def test_a_refusal_of_the_platform_has_a_sentence(runtime_sqlite: Runtime, sandbox: Sandbox) -> None:
    account, _, _ = add(runtime_sqlite, sandbox, "service")
    sandbox.call("POST", "/sandbox/faults", {"path": "/cgi-bin/user/get", "kind": "quota", "times": 1})
    with pytest.raises(TagcastError) as caught:
        sync(runtime_sqlite, account)
    assert caught.value.code.startswith("accounts.")
    assert sync(runtime_sqlite, account).seen > 0


def requests(sandbox: Sandbox) -> int:
    return int(sandbox.call("GET", "/sandbox/health")["requests"])


def follows(sandbox: Sandbox, account: int, people: list[str], yes: bool) -> None:
    sandbox.call("POST", "/sandbox/people/change", {"account": account, "people": people, "follows": yes})


@pytest.mark.parametrize("kind", ["official", "wecom"])
def test_after_the_first_only_new_people_are_asked_about(runtime_sqlite: Runtime, sandbox: Sandbox, kind: str) -> None:
    account, theirs, employees = add(runtime_sqlite, sandbox, kind)
    people = sandbox.people(theirs)
    name = "external_userid" if kind == "wecom" else "openid"
    held = sorted(ids[name] for ids in people.values() if ids["follows"])
    follows(sandbox, theirs, held[:2], False)
    first = sync(runtime_sqlite, account)
    assert (first.seen, first.made) == (len(held) - 2, len(held) - 2)
    follows(sandbox, theirs, held[2:6], False)
    follows(sandbox, theirs, held[:2], True)
    before = read(runtime_sqlite, f"following:{account}")
    dry = asyncio.run(contacts.sync_account(runtime_sqlite, 1, account, dry_run=True))
    assert (dry.seen, dry.made, dry.joined, dry.left, dry.dry_run) == (len(held) - 4, 2, 2, 4, True)
    assert read(runtime_sqlite, f"following:{account}") == before
    asked = requests(sandbox)
    again = sync(runtime_sqlite, account)
    assert (again.seen, again.made, again.joined, again.left) == (len(held) - 4, 2, 2, 4)
    assert 2 <= again.asked <= 6
    most = 2 + 3 * len(employees) + 1 + 2 * 3 if kind == "wecom" else 4
    assert requests(sandbox) - asked <= most
    assert names(runtime_sqlite, read(runtime_sqlite, f"following:{account}"), name, account) == set(held) - set(
        held[2:6]
    )
    everybody = asyncio.run(contacts.sync_account(runtime_sqlite, 1, account, full=True))
    assert (everybody.seen, everybody.made, everybody.joined, everybody.left) == (len(held) - 4, 0, 0, 0)


def test_an_account_synchronised_once_is_compared_again_on_its_schedule(runtime: Runtime, sandbox: Sandbox) -> None:
    account, theirs, _ = add(runtime, sandbox, "official")

    def due(hours: int) -> list[int]:
        with runtime.work(1, "test", now=clock.now() + timedelta(hours=hours)) as work:
            return contacts.start_due(work)

    assert due(100) == []
    sync(runtime, account)
    assert (due(23), due(25)) == ([], [account])
    with runtime.work(1, "test") as work:
        contacts.schedule(work, account, 0)
    assert due(100) == []
    with runtime.work(1, "test") as work:
        contacts.schedule(work, account, 2)
    assert due(1) == []
    follows(sandbox, theirs, [next(i["openid"] for i in sandbox.people(theirs).values() if i["follows"])], False)
    held = len(read(runtime, f"following:{account}"))
    assert due(3) == [account]
    with runtime.system() as connection:
        connection.execute(sa.update(leases.leases).values(due_at=0))  # it was asked for in the days to come
        lease = leases.claim(connection, "test", [contacts.SYNC], 10)
    assert lease is not None
    asyncio.run(contacts.work_off(runtime, lease))
    assert len(read(runtime, f"following:{account}")) == held - 1
    assert due(1) == []
    with pytest.raises(Invalid), runtime.work(1, "test") as work:
        contacts.schedule(work, account, 1000)


def test_nobody_goes_because_the_platform_names_no_employee(runtime_sqlite: Runtime, sandbox: Sandbox) -> None:
    account, _, _ = add(runtime_sqlite, sandbox, "wecom")
    sync(runtime_sqlite, account)
    held = read(runtime_sqlite, f"following:{account}")
    assert held

    def again(_transport: object, url: str) -> Awaitable[contacts.SyncResult]:
        with runtime_sqlite.system() as connection:
            connection.execute(sa.update(account_table).values(base_url=url))
        return contacts.sync_account(runtime_sqlite, 1, account)

    with pytest.raises(Refused) as error:
        Canned().talk(again, {"errcode": 0, "errmsg": "ok", "follow_user": []})
    assert error.value.code == "contacts.sync_no_employees"
    assert read(runtime_sqlite, f"following:{account}") == held
