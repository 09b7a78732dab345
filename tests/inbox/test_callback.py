"""Callbacks over real HTTP with real crypto: what is stored, what is refused, what survives."""

import asyncio
import base64
import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any, get_args

import aiohttp
import orjson
import pytest
import sqlalchemy as sa
from tests.inbox.conftest import Platform, Server, event, process, text

from tagcast import accounts, chores, inbox
from tagcast.channels import encrypt, signature
from tagcast.channels.inbound import Kind
from tagcast.inbox import actions, store
from tagcast.inbox.events import ALL, event_of
from tagcast.inbox.tables import messages
from tagcast.kit import events
from tagcast.kit.uow import Runtime


def stored(runtime: Runtime) -> int:
    with runtime.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(messages)) or 0)


def open_events(runtime: Runtime) -> list[tuple[str, dict[str, int]]]:
    table = events.events
    with runtime.engine.connect() as connection:
        return [
            tuple(row) for row in connection.execute(sa.select(table.c.name, table.c.payload).order_by(table.c.seq))
        ]


def test_a_callback_is_stored_once_sealed_and_published(runtime: Runtime, server: Server, service: Platform) -> None:
    for _ in range(2):
        answer = server.request("POST", *service.pushed(event("subscribe", EventKey="qrscene_7")))
        assert (answer.status, answer.body) == (200, b"success")
    [(name, payload)] = open_events(runtime)
    assert (name, payload["account"]) == ("inbox.followed", service.account)
    with runtime.read(1, "test") as work:
        [fact] = inbox.stored(work, [payload["message"]])
        batch = events.open_batch(work.connection, 10)
        assert inbox.facts(work, batch) == {service.account: [fact.inbound]}
        assert fact.inbound.person == "o-1"
        assert fact.inbound.kind == "followed"
        assert fact.inbound.data == {"scene": "7"}
        sealed = work.connection.scalar(sa.select(messages.c.body))
        assert sealed is not None
        assert b"o-1" not in sealed
        assert inbox.last_received(work, service.account) == fact.received_at


def test_each_kind_has_its_event(runtime: Runtime, server: Server, service: Platform, wecom: Platform) -> None:
    counts = {"TotalCount": 2, "FilterCount": 2, "SentCount": 1, "ErrorCount": 1}
    contact = {"UserID": "zhang", "ExternalUserID": "wm-1"}
    pushes = [
        (service, event("unsubscribe")),
        (service, event("TEMPLATESENDJOBFINISH", MsgID=5, Status="success")),
        (service, event("MASSSENDJOBFINISH", MsgID=6, Status="send success", **counts)),
        (service, text("o-1", 77, "退订")),
        (service, event("CLICK", EventKey="menu")),
        (service, event("something_new")),
        (wecom, event("change_external_contact", "sys", ChangeType="add_external_contact", **contact)),
        (wecom, event("change_external_contact", "sys", ChangeType="del_follow_user", **contact)),
    ]  # fmt: skip
    for platform, xml in pushes:
        assert server.request("POST", *platform.pushed(xml)).status == 200
    assert [name for name, _ in open_events(runtime)] == [
        "inbox.unfollowed",
        "inbox.template_finished",
        "inbox.mass_finished",
        "inbox.message_received",
        "inbox.menu_used",
        "inbox.other",
        "inbox.customer_added",
        "inbox.customer_removed",
    ]


def test_every_kind_of_fact_has_an_event_of_its_own() -> None:
    names = [f"inbox.{kind}" for kind in get_args(Kind)]
    assert sorted(one.name for one in ALL) == sorted(names)
    assert {name: event_of(name.removeprefix("inbox."), 1, 2).name for name in names} == {name: name for name in names}


def test_where_somebody_is_is_not_kept(runtime: Runtime, server: Server, service: Platform) -> None:
    where = {"Latitude": "23.137466", "Longitude": "113.352425", "Precision": "119.385040"}
    for _ in range(2):
        assert server.request("POST", *service.pushed(event("LOCATION", **where))).status == 200
    [(name, payload)] = open_events(runtime)
    assert name == "inbox.located"
    with runtime.read(1, "test") as work:
        [row] = store.read(work, [payload["message"]])
        [fact] = inbox.stored(work, [payload["message"]])
    assert set(orjson.loads(row.body)) == {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"}
    assert (fact.inbound.kind, fact.inbound.person, dict(fact.inbound.data)) == ("located", "o-1", {})


def test_url_checks_answer_the_echo(server: Server, service: Platform, wecom: Platform) -> None:
    at, nonce = str(int(time.time())), "n1"
    signed = signature(service.keys.token, at, nonce)
    path = f"{service.path}?signature={signed}&timestamp={at}&nonce={nonce}&echostr=8271364"
    assert server.request("GET", path).body == b"8271364"
    assert server.request("GET", path.replace("8271364", "<b>")).status == 400
    assert server.request("GET", path.replace(f"nonce={nonce}", "nonce=n2")).status == 400
    encrypted = encrypt(wecom.keys, b"1616140317555161061")
    signed = signature(wecom.keys.token, at, nonce, encrypted)
    escaped = encrypted.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    path = f"{wecom.path}?msg_signature={signed}&timestamp={at}&nonce={nonce}&echostr={escaped}"
    answer = server.request("GET", path)
    assert (answer.status, answer.body) == (200, b"1616140317555161061")
    assert answer.headers["x-content-type-options"] == "nosniff"


def attacks(service: Platform, wecom: Platform) -> dict[str, tuple[str, bytes]]:
    now, nonce = int(time.time()), "abc123"
    xml = event("subscribe")
    encrypted = encrypt(service.keys, xml.encode())
    signed = signature(service.keys.token, str(now), nonce, encrypted)
    plain = signature(service.keys.token, str(now), nonce)
    good_path, good_body = service.addressed(encrypted, signed, str(now), nonce)
    address, _ = wecom.pushed(xml)
    foreign = encrypt(wecom.keys, xml.encode())
    changed = bytearray(base64.b64decode(encrypted))
    changed[40] ^= 1
    tampered = base64.b64encode(changed).decode()
    return {
        "A1 plain mode": (f"{service.path}?signature={plain}&timestamp={now}&nonce={nonce}&openid=o-1", xml.encode()),
        "A1 compatible mode": (f"{service.path}?signature={plain}&timestamp={now}&nonce={nonce}", good_body),
        "A1 raw type": (good_path.replace("encrypt_type=aes", "encrypt_type=raw"), good_body),
        "A2 border moved into nonce": service.addressed(encrypted[4:], signed, str(now), nonce + encrypted[:4]),
        "A2 border moved into timestamp": service.addressed(encrypted, signed, str(now)[:-1], str(now)[-1] + nonce),
        "A3 another account's delivery": (good_path.replace(service.path, wecom.path), good_body),
        "A3 another account's address": (address.replace(wecom.path, service.path), good_body),
        "A3 signed here, encrypted there": service.addressed(
            foreign, signature(service.keys.token, str(now), nonce, foreign), str(now), nonce
        ),
        "A4 capital signature": service.addressed(encrypted, signed.upper(), str(now), nonce),
        "A4 repeated parameter": (f"{good_path}&nonce={nonce}", good_body),
        "A4 spaces in base64": (good_path, good_body.replace(encrypted[:8].encode(), encrypted[:8].encode() + b" ")),
        "A5 too old": service.pushed(xml, at=now - 3600),
        "A5 too new": service.pushed(xml, at=now + 3600),
        "A6 changed byte": service.addressed(tampered, signed, str(now), nonce),
        "A6 changed byte, signed": service.addressed(
            tampered[:-8], signature(service.keys.token, str(now), nonce, tampered[:-8]), str(now), nonce
        ),
        "A7 doctype": (good_path, b'<!DOCTYPE x [<!ENTITY a "b">]>' + good_body),
        "empty": (good_path, b""),
        "not xml": (good_path, b"{}"),
        "no query": (service.path, good_body),
        "too large": (good_path, b" " * (64 * 1024) + good_body),
        "half a fact": service.pushed("<xml><FromUserName>o-1</FromUserName></xml>"),
    }  # fmt: skip


def test_every_attack_gets_one_and_the_same_answer(
    runtime: Runtime, server: Server, service: Platform, wecom: Platform
) -> None:
    answers = {name: server.request("POST", *pushed) for name, pushed in attacks(service, wecom).items()}
    different = {name: answer for name, answer in answers.items() if answer != answers["empty"]}
    assert different == {}
    assert answers["empty"].status == 400
    assert (stored(runtime), open_events(runtime)) == (0, [])
    assert server.request("POST", *service.pushed(event("subscribe"))).body == b"success"


def test_border_shifts_of_many_messages_are_all_refused(runtime: Runtime, server: Server, service: Platform) -> None:
    statuses = set()
    for index in range(300):
        now, nonce = str(int(time.time())), f"n{index}"
        encrypted = encrypt(service.keys, event("subscribe", f"o-{index}").encode())
        signed = signature(service.keys.token, now, nonce, encrypted)
        cut = 1 + index % 31
        path, body = service.addressed(encrypted[cut:], signed, now, nonce + encrypted[:cut])
        statuses.add(server.request("POST", path, body).status)
    assert statuses == {400}
    assert stored(runtime) == 0


def test_a_replay_has_no_second_effect_even_after_a_restart(runtime: Runtime, service: Platform) -> None:
    pushed = service.pushed(event("subscribe"))
    again = service.pushed(event("subscribe"))
    assert pushed != again
    for pushes in ((pushed, pushed), (pushed, again)):
        with process(runtime) as (server, _):
            assert [server.request("POST", *push).body for push in pushes] == [b"success", b"success"]
    assert stored(runtime) == 1
    assert len(open_events(runtime)) == 1


def test_the_database_is_asked_once_for_all_that_come_at_a_time(runtime: Runtime, service: Platform) -> None:
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "callback_path =" in statement:
            asked.append(statement)

    async def story() -> list[int]:
        statuses: list[int] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": "POST", "path": service.path, "query_string": b""}
        await asyncio.gather(*(app(scope, receive, send) for _ in range(50)))
        return statuses

    app = inbox.CallbackApp(runtime)
    sa.event.listen(runtime.engine, "before_cursor_execute", note)
    try:
        assert asyncio.run(story()) == [400] * 50
    finally:
        sa.event.remove(runtime.engine, "before_cursor_execute", note)
        app.close()
    assert len(asked) == 1


@pytest.mark.parametrize("path", ["/callback/" + "0" * 32, "/callback/", "/callback/../accounts", "/", "/callback/XYZ"])
def test_unknown_paths_are_not_found(server: Server, path: str) -> None:
    assert server.request("POST", path, b"x").status == 404
    assert server.request("GET", path).status == 404


def test_an_account_without_callback_keys_has_no_door(runtime: Runtime, server: Server) -> None:
    with runtime.work(1, "test") as work:
        added = accounts.add(work, accounts.NewAccount("official", "订阅号", "s", appid="wx0123456789abcdef"))
    assert server.request("POST", f"/callback/{added.callback_path}", b"x").status == 404


def test_purge_deletes_what_is_older_than_a_week(runtime: Runtime, server: Server, service: Platform) -> None:
    server.request("POST", *service.pushed(event("subscribe")))
    server.request("POST", *service.pushed(event("unsubscribe")))
    with runtime.read(1, "test") as work:
        now = work.now
    with runtime.work(1, "test", now=now + inbox.KEEP - timedelta(minutes=1)) as work:
        assert inbox.purge(work) == 0
    with runtime.work(1, "test", now=now + inbox.KEEP + timedelta(minutes=1)) as work:
        assert inbox.purge(work) == 2
        assert inbox.stored(work, [1, 2]) == []


def test_what_is_old_is_purged_in_every_account_of_the_workspace_only(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        now = work.now
    old, new = now - inbox.KEEP - timedelta(minutes=1), now - inbox.KEEP + timedelta(minutes=1)
    for account in (3, 7, 8):
        for at, number in ((old, 1), (new, 2)):
            with runtime.work(1, "test", now=at) as work:
                actions.accept(work, [store.Delivery(account, number.to_bytes(32), "followed", b"{}")])
    with runtime.work(1, "test", now=now) as work:
        assert inbox.purge(work) == 3
        kept = work.connection.execute(sa.select(messages.c.account, messages.c.dedupe).order_by(messages.c.account))
        assert [tuple(row) for row in kept] == [(account, (2).to_bytes(32)) for account in (3, 7, 8)]


def test_the_number_of_a_purged_callback_does_not_come_back(runtime: Runtime, service: Platform) -> None:
    def accepted(number: int) -> int:
        with runtime.work(1, "test") as work:
            one = store.Delivery(service.account, number.to_bytes(32), "followed", b"{}")
            return store.insert_new(work, [one])[one.account, one.dedupe]

    before = [accepted(1), accepted(2)]
    with runtime.work(1, "test") as work:
        work.connection.execute(sa.delete(messages))
    assert accepted(3) > max(before)


def test_the_worker_purges_by_itself(runtime: Runtime, server: Server, service: Platform) -> None:
    server.request("POST", *service.pushed(event("subscribe")))
    server.request("POST", *service.pushed(event("unsubscribe")))
    week = int(inbox.KEEP.total_seconds() * 1000)
    with runtime.work(1, "test") as work:
        aged = sa.update(messages).values(received_at=work.now_ms - week - 1).where(messages.c.kind == "followed")
        work.connection.execute(aged)
    chores.Clockwork().turn(runtime)
    with runtime.engine.connect() as connection:
        assert connection.scalars(sa.select(messages.c.kind)).all() == ["unfollowed"]


def test_all_acknowledged_of_2000_are_there_after_a_kill(runtime: Runtime, service: Platform) -> None:
    pushes = [service.pushed(event("TEMPLATESENDJOBFINISH", f"o-{n}", MsgID=n, Status="success")) for n in range(2000)]
    with process(runtime) as (server, started):
        acknowledged = asyncio.run(push_until(1800, server.port, pushes, started.kill))
    assert 1800 <= len(acknowledged) <= 2000
    with runtime.read(1, "test") as work:
        ids = list(work.connection.scalars(sa.select(messages.c.id)))
        kept = {int(fact.inbound.data["msgid"]) for fact in inbox.stored(work, ids)}
    assert acknowledged <= kept
    assert len(kept) == len(ids) == len(open_events(runtime))


async def push_until(enough: int, port: int, pushes: list[tuple[str, bytes]], then: Callable[[], None]) -> set[int]:
    """Deliver 64 at a time; call `then` once `enough` are acknowledged; which were."""
    acknowledged: set[int] = set()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=64)) as session:

        async def push(number: int) -> None:
            path, body = pushes[number]
            try:
                async with session.post(path, data=body) as answer:
                    success = answer.status == 200 and await answer.read() == b"success"
            except aiohttp.ClientError:
                return
            if success:
                acknowledged.add(number)
                if len(acknowledged) == enough:
                    then()

        await asyncio.gather(*(push(number) for number in range(len(pushes))))
    return acknowledged


def test_repetitions_between_new_ones_do_not_shift_the_events_numbers(runtime: Runtime, service: Platform) -> None:
    """A skipped row may use up a number; each event still names the callback that it is about."""
    deliveries = [
        store.Delivery(service.account, number.to_bytes(32), "followed", orjson.dumps({"n": number}))
        for number in range(9)
    ]
    for group in (deliveries[:3], [deliveries[1], deliveries[3], deliveries[0]], deliveries[4:7], deliveries[2:]):
        with runtime.work(1, "inbox") as work:
            actions.accept(work, group)
    with runtime.read(1, "inbox") as work:
        named = [event.payload["message"] for event in events.open_batch(work.connection, 100)]
        found = {one.id: orjson.loads(one.body)["n"] for one in store.read(work, named)}
    assert [found[number] for number in named] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
