"""The clock: real or virtual, never back; jobs and callbacks at their own times, and weeks in seconds."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, start, wait_for
from tests.wechat_sandbox.test_callbacks import _events

_MONDAY = 1_900_000_000_000
_DAY = 86_400


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Sandbox]:
    running = start(tmp_path / "state.db", "--population", "1500", "--clock", "virtual")
    running.post("/sandbox/clock", {"to": _MONDAY})
    running.post("/sandbox/settings", {"system_failed_share": 0})
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_a_virtual_clock_stands_still_and_goes_on_when_told(still: Sandbox) -> None:
    first = still.get("/sandbox/clock")
    time.sleep(0.05)
    assert (still.get("/sandbox/clock")["now"], first["now"], first["mode"]) == (_MONDAY, _MONDAY, "virtual")
    assert still.post("/sandbox/clock", {"advance_seconds": 90})["now"] == _MONDAY + 90_000
    assert still.post("/sandbox/clock", {"to": _MONDAY + 100_000})["now"] == _MONDAY + 100_000
    for body in ({"to": _MONDAY}, {"mode": "sideways"}, {"advance_seconds": -1}, {"speed": 2}, {"act": True}):
        status, answer = still.call("POST", "/sandbox/clock", body)
        assert (body, status, bool(answer["error"])) == (body, 400, True)
    assert still.post("/sandbox/clock", {"mode": "real"})["mode"] == "real"
    wait_for(lambda: still.get("/sandbox/clock")["now"] > _MONDAY + 100_000)


def test_what_falls_due_on_the_way_is_done_in_order_at_its_own_time(still: Sandbox, receiver: Receiver) -> None:
    still.post("/sandbox/settings", {"template_finish_seconds": 7200})
    client = still.account("service", reach=1, callback_url=f"{receiver.url}/callback")
    people = client.reachable()[:3]
    template = client.get("template/get_all_private_template")["template_list"][1]["template_id"]
    data = {name: {"value": "会员"} for name in ("name1", "thing2", "thing3")}
    for person in people:
        client.post("message/template/send", {"touser": person, "template_id": template, "data": data})
        still.post("/sandbox/clock", {"advance_seconds": 600})
    assert client.summary()["pending"] == 3
    still.post("/sandbox/clock", {"advance_seconds": _DAY})
    still.quiet()
    arrived = [row["at"] for row in still.get("/sandbox/ledger", outcome="arrived")]
    assert arrived == [_MONDAY + 7_200_000 + 600_000 * number for number in range(3)]
    events = _events(client, receiver)
    assert [(event["FromUserName"], int(event["CreateTime"])) for event in events] == [
        (person, (_MONDAY + 7_200_000 + 600_000 * number) // 1000) for number, person in enumerate(people)
    ]


def test_a_week_is_lived_day_by_day_in_seconds(still: Sandbox) -> None:
    began = time.monotonic()
    moved = still.post("/sandbox/clock", {"advance_seconds": 7 * _DAY, "act": True})
    assert time.monotonic() - began < 20
    assert moved["now"] == _MONDAY + 7 * _DAY * 1000
    orders = still.get("/sandbox/orders")["orders"]
    days = [(order["at"] - _MONDAY) // (_DAY * 1000) for order in orders]
    assert (set(days), days) == (set(range(7)), sorted(days))
    assert [order["at"] for order in orders] == sorted(order["at"] for order in orders)
    # at the hour at which the buyer is active, in China
    hours = {row["unionid"]: row["active_hour"] for row in still.people()}
    near = [(order["at"] // 3_600_000 + 8) % 24 == hours[order["unionid"]] for order in orders]
    assert sum(near) > 0.9 * len(near)


def test_the_clock_survives_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    first = start(state, "--clock", "virtual")
    first.post("/sandbox/clock", {"to": _MONDAY})
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    second = start(state)
    assert second.get("/sandbox/clock")["now"] == _MONDAY
    second.stop()
    assert second.process.stdout is not None
    second.process.stdout.close()


def _story(running: Sandbox, receiver: Receiver) -> tuple[list[dict[str, object]], object, list[dict[str, object]]]:
    running.post("/sandbox/clock", {"to": _MONDAY})
    running.post("/sandbox/model", {"sharing.see": 1, "reaction.match.share": 0.5, "reaction.none.share": 0.5})
    service, corp = running.account("service"), running.account("wecom", employees=4)
    people = [row["ids"]["1"]["openid"] for row in running.people() if row["ids"]["1"]["follows"]][:400]
    running.post("/sandbox/faults", {"path": "/cgi-bin/tags/get", "kind": "busy", "probability": 0.5})
    codes = [service.get("tags/get").get("errcode", 0) for _ in range(20)]
    body = {"msgtype": "text", "text": {"content": f"数码新品，限时优惠 {receiver.url}/page"}}
    service.post("message/mass/send", {**body, "touser": people})
    corp.post("externalcontact/add_msg_template", {"sender": "employee001", "text": {"content": "零食优惠"}})
    running.post("/sandbox/clock", {"advance_seconds": 3 * _DAY, "act": True})
    progress = running.get("/sandbox/population/act")
    return running.get("/sandbox/orders")["orders"], (codes, progress), running.get("/sandbox/ledger")


def test_the_same_seed_and_the_same_calls_end_the_same(tmp_path: Path, receiver: Receiver) -> None:
    ended = []
    for name in ("one", "two"):
        running = start(tmp_path / f"{name}.db", "--population", "3000", "--clock", "virtual")
        ended.append(_story(running, receiver))
        running.stop()
        assert running.process.stdout is not None
        running.process.stdout.close()
    one, two = ended
    assert len(one[0]) > 50
    assert {order["message"] for order in one[0]} > {None}
    assert one[0] == two[0]
    assert one[1] == two[1]
    assert one[2] == two[2]


def test_accounts_differ_though_the_clock_does_not(still: Sandbox) -> None:
    one, two = still.account("service"), still.account("service")
    assert isinstance(one, Client)
    assert one.reachable() != two.reachable()
