"""Callbacks arrive signed and encrypted, are tried three times, and can be doubled, late, lost or out of order."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, start, wait_for

from wechat_sandbox import crypto


def _open(client: Client, query: dict[str, str], body: str) -> ElementTree.Element:
    """Check one delivery as a receiver must, and return the event."""
    account = client.account
    encrypted = ElementTree.fromstring(body).findtext("Encrypt") or ""
    signed = crypto.signature(account["token"], query["timestamp"], query["nonce"], encrypted)
    assert query["msg_signature"] == signed
    if account["kind"] != "wecom":
        assert query["signature"] == crypto.signature(account["token"], query["timestamp"], query["nonce"])
        assert query["encrypt_type"] == "aes"
    message, receiver = crypto.decrypt(account["encoding_aes_key"], encrypted)
    assert receiver == (account["corpid"] or account["appid"])
    return ElementTree.fromstring(message)


def _events(client: Client, receiver: Receiver) -> list[dict[str, str]]:
    opened = [_open(client, query, body) for _, query, body, _ in receiver.requests]
    return [{part.tag: part.text or "" for part in event} for event in opened]


def _service(sandbox: Sandbox, receiver: Receiver, **more: object) -> Client:
    return sandbox.account("service", reach=1, callback_url=f"{receiver.url}/callback", **more)


def test_the_end_of_a_mass_message_is_told_with_its_counts(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    people = client.reachable()
    sandbox.post("/sandbox/people/change", {"account": client.id, "people": people[:1], "blocks": True})
    body = {"touser": people[:4], "msgtype": "text", "text": {"content": "你好"}}
    sent = client.post("message/mass/send", body)
    sandbox.quiet()
    (event,) = _events(client, receiver)
    counts = [event[name] for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")]
    assert (event["Event"], event["MsgID"], event["Status"], counts) == (
        "MASSSENDJOBFINISH",
        str(sent["msg_id"]),
        "send success",
        ["4", "3", "3", "0"],
    )


@pytest.mark.parametrize(
    ("blocks", "broken", "status"),
    [(False, 0, "success"), (True, 0, "failed:user block"), (False, 1, "failed: system failed")],
)
def test_each_template_message_ends_with_a_status(
    sandbox: Sandbox, receiver: Receiver, blocks: bool, broken: int, status: str
) -> None:
    client = _service(sandbox, receiver)
    person = client.reachable()[0]
    if blocks:
        sandbox.post("/sandbox/people/change", {"account": client.id, "people": [person], "blocks": True})
    template = client.get("template/get_all_private_template")["template_list"][1]["template_id"]
    data = {name: {"value": "会员"} for name in ("name1", "thing2", "thing3")}
    sandbox.post("/sandbox/settings", {"system_failed_share": broken})
    sent = client.post("message/template/send", {"touser": person, "template_id": template, "data": data})
    sandbox.quiet()
    sandbox.post("/sandbox/settings", {"system_failed_share": 0})
    (event,) = _events(client, receiver)
    assert (event["Event"], event["FromUserName"], event["MsgID"], event["Status"]) == (
        "TEMPLATESENDJOBFINISH",
        person,
        str(sent["msgid"]),
        status,
    )


def test_following_and_leaving_are_events(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    person = client.reachable()[0]
    for follows in (False, True):
        change = {"account": client.id, "people": [person], "follows": follows}
        assert sandbox.post("/sandbox/people/change", change) == {"changed": 1}
        assert sandbox.post("/sandbox/people/change", change) == {"changed": 0}
        sandbox.quiet()
    assert [(event["Event"], event["FromUserName"]) for event in _events(client, receiver)] == [
        ("unsubscribe", person),
        ("subscribe", person),
    ]


def test_wecom_tells_of_customers_per_member(sandbox: Sandbox, receiver: Receiver) -> None:
    client = sandbox.account("wecom", reach=1, employees=3, callback_url=f"{receiver.url}/callback")
    row = next(row for row in sandbox.people() if len(row["ids"][str(client.id)]["employees"]) == 1)
    entry = row["ids"][str(client.id)]
    for change in ({"blocks": True}, {"follows": False, "blocks": False}, {"follows": True}):
        sandbox.post("/sandbox/people/change", {"account": client.id, "people": [row["unionid"]], **change})
        sandbox.quiet()
    events = _events(client, receiver)
    assert [event["ChangeType"] for event in events] == [
        "del_follow_user",
        "del_external_contact",
        "add_external_contact",
    ]
    assert {(event["UserID"], event["ExternalUserID"]) for event in events} == {
        (entry["employees"][0], entry["external_userid"])
    }
    assert events[2]["WelcomeCode"]


def test_a_callback_is_tried_three_times_and_then_given_up(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    receiver.answers = lambda path, query, n: (500, {}, "")
    before = sandbox.get("/sandbox/health")["callbacks"]["given_up"]
    sandbox.post("/sandbox/people/change", {"account": client.id, "people": client.reachable()[:1], "follows": False})
    wait_for(lambda: sandbox.get("/sandbox/health")["callbacks"]["given_up"] == before + 1)
    assert len({query["nonce"] for _, query, _, _ in receiver.requests}) == len(receiver.requests) == 3
    assert len({event["CreateTime"] for event in _events(client, receiver)}) == 1


def test_callbacks_can_be_doubled_and_lost(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    people = client.reachable()
    for setting, expected in (("callback_duplicate_share", 2), ("callback_lost_share", 0)):
        receiver.requests.clear()
        sandbox.post("/sandbox/settings", {setting: 1})
        change = {"account": client.id, "people": people[expected : expected + 1], "follows": False}
        sandbox.post("/sandbox/people/change", change)
        sandbox.quiet()
        sandbox.post("/sandbox/settings", {setting: 0})
        assert len(receiver.requests) == expected


def test_the_address_is_checked_as_the_platforms_console_does(sandbox: Sandbox, receiver: Receiver) -> None:
    for kind in ("service", "wecom"):
        client = sandbox.account(kind, callback_url=f"{receiver.url}/callback")
        key = client.account["encoding_aes_key"]

        def echo(
            path: str, query: dict[str, str], n: int, kind: str = kind, key: str = key
        ) -> tuple[int, dict[str, str], str]:
            text = query["echostr"]
            return 200, {}, crypto.decrypt(key, text)[0].decode() if kind == "wecom" else text

        receiver.answers = echo
        assert sandbox.post(f"/sandbox/accounts/{client.id}/verify")["ok"] is True
        receiver.answers = lambda path, query, n: (200, {}, "nonsense")
        assert sandbox.post(f"/sandbox/accounts/{client.id}/verify")["ok"] is False


def test_only_this_machine_is_called(sandbox: Sandbox) -> None:
    body = {"kind": "service", "name": "x", "callback_url": "http://192.0.2.1/callback"}
    status, answer = sandbox.call("POST", "/sandbox/accounts", body)
    assert (status, "loopback" in answer["error"]) == (400, True)


def _leave(client: Client, people: list[str]) -> None:
    client.sandbox.post("/sandbox/people/change", {"account": client.id, "people": people, "follows": False})


@pytest.mark.parametrize(("kind", "copies"), [("duplicate", 2), ("lost", 0)])
def test_a_fault_doubles_or_loses_the_callbacks_of_one_event_and_account(
    sandbox: Sandbox, receiver: Receiver, kind: str, copies: int
) -> None:
    client, other = _service(sandbox, receiver), _service(sandbox, receiver)
    fault = {"event": "unsubscribe", "kind": kind, "account": client.id, "times": 1}
    (added,) = sandbox.post("/sandbox/faults", fault)["faults"]
    first, second = client.reachable()[:2]
    _leave(client, [first])
    _leave(other, other.reachable()[:1])
    sandbox.quiet()
    assert len(receiver.requests) == copies + 1
    _leave(client, [second])
    sandbox.quiet()
    assert len(receiver.requests) == copies + 2
    assert sandbox.get("/sandbox/faults")["faults"] == [{**added, "hit": 1}]
    assert sandbox.call("DELETE", f"/sandbox/faults/{added['id']}")[1] == {"faults": []}


def test_late_callbacks_wait_for_the_sandboxs_clock(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    people = client.reachable()[:2]
    sandbox.post("/sandbox/faults", {"event": "*", "kind": "late", "seconds": 3600, "times": 1})
    for person in people:
        _leave(client, [person])
    wait_for(lambda: len(receiver.requests) == 1)
    assert sandbox.get("/sandbox/health")["pending"]["callbacks"] == 1
    sandbox.post("/sandbox/clock", {"advance_seconds": 3601})
    sandbox.quiet()
    assert [event["FromUserName"] for event in _events(client, receiver)] == [people[1], people[0]]
    sandbox.call("DELETE", "/sandbox/faults")


def test_disordered_callbacks_overtake_one_another(sandbox: Sandbox, receiver: Receiver) -> None:
    client = _service(sandbox, receiver)
    people = client.reachable()[:30]
    sandbox.post("/sandbox/faults", {"event": "unsubscribe", "kind": "disordered", "probability": 1, "seconds": 0.5})
    _leave(client, people)
    sandbox.quiet()
    sandbox.call("DELETE", "/sandbox/faults")
    came = [event["FromUserName"] for event in _events(client, receiver)]
    assert came != people
    assert sorted(came) == sorted(people)


def test_callbacks_that_wait_survive_a_kill_and_so_do_faults(tmp_path: Path, receiver: Receiver) -> None:
    state = tmp_path / "state.db"
    first = start(state, "--population", "300")
    client = _service(first, receiver)
    people = client.reachable()[:20]
    first.post("/sandbox/faults", {"event": "*", "kind": "late", "seconds": 600, "probability": 1})
    _leave(client, people)
    assert first.get("/sandbox/health")["pending"]["callbacks"] == 20
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    assert receiver.requests == []

    second = start(state)
    try:
        assert second.get("/sandbox/faults")["faults"][0]["hit"] == 20
        assert second.get("/sandbox/health")["pending"]["callbacks"] == 20
        second.post("/sandbox/clock", {"advance_seconds": 601})
        second.quiet()
        assert sorted(event["FromUserName"] for event in _events(client, receiver)) == sorted(people)
    finally:
        second.stop()
        assert second.process.stdout is not None
        second.process.stdout.close()
    third = start(state)
    assert third.get("/sandbox/health")["pending"]["callbacks"] == 0
    third.stop()
    assert third.process.stdout is not None
    third.process.stdout.close()
