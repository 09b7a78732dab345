"""A company's own system: signed deliveries, each id once, refusals by name."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Sandbox


def signed(secret: str, ident: str, body: bytes, at: float | None = None) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{ident}.{stamp}.".encode() + body, "sha256")
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(stamp),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def deliver(sandbox: Sandbox, account: dict[str, Any], ident: str, said: object, **headers: str) -> tuple[int, Any]:
    body = json.dumps(said).encode()
    path = f"/webhook/in?account={account['id']}"
    return sandbox.call("POST", path, body, signed(account["secret"], ident, body) | headers)


def members(sandbox: Sandbox, account: dict[str, Any]) -> list[tuple[str, bool]]:
    ids = [person["ids"][str(account["id"])] for person in sandbox.people()]
    return [(one["member_id"], one["follows"]) for one in ids]


def to(*people: str) -> dict[str, Any]:
    return {
        "type": "broadcast",
        "message": {"kind": "text", "content": "奶粉优惠"},
        "recipients": [{"id": person, "url": "http://127.0.0.1:1/m"} for person in people],
    }


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, Any]:
    made: dict[str, Any] = sandbox.post("/sandbox/accounts", {"kind": "custom", "name": "会员系统", "blocks": 0})
    assert made["secret"].startswith("whsec_")
    return made


def test_a_delivery_arrives_once_however_often_it_is_repeated(sandbox: Sandbox, account: dict[str, Any]) -> None:
    known = members(sandbox, account)
    inside = [person for person, follows in known if follows][:2]
    outside = next(person for person, follows in known if not follows)
    answers = [deliver(sandbox, account, "b1-0", to(*inside, outside, "nobody")) for _ in range(3)]
    refused = [{"id": outside, "reason": "left"}, {"id": "nobody", "reason": "unknown"}]
    assert answers == [(202, {"refused": refused})] * 3
    verdict = sandbox.post("/sandbox/ledger/judge", {"account": account["id"], "expected": inside})
    assert (verdict["arrived"], verdict["duplicated"], verdict["lost"], verdict["forbidden"]) == (2, 0, 0, 0)


def test_an_id_belongs_to_one_delivery(sandbox: Sandbox, account: dict[str, Any]) -> None:
    first, second = [person for person, follows in members(sandbox, account) if follows][:2]
    assert deliver(sandbox, account, "b1-0", to(first, "nobody"))[0] == 202
    status, said = deliver(sandbox, account, "b1-0", to(second))
    assert (status, said["refused"]) == (409, [{"id": "nobody", "reason": "unknown"}])
    verdict = sandbox.post("/sandbox/ledger/judge", {"account": account["id"], "expected": [first]})
    assert (verdict["arrived"], verdict["duplicated"], verdict["unexpected"]) == (1, 0, 0)


def test_what_is_not_signed_is_refused(sandbox: Sandbox, account: dict[str, Any]) -> None:
    assert deliver(sandbox, account, "p", {"type": "ping"}) == (200, {})
    assert deliver(sandbox, account, "p", {"type": "ping"}, **{"webhook-signature": "v1,AAAA"})[0] == 401
    old = signed(account["secret"], "p", b'{"type": "ping"}', time.time() - 301)
    assert sandbox.call("POST", f"/webhook/in?account={account['id']}", b'{"type": "ping"}', old)[0] == 401
    assert deliver(sandbox, {**account, "id": 99_999}, "p", {"type": "ping"})[0] == 404
    assert deliver(sandbox, account, "q", {"type": "broadcast"})[0] == 400


@pytest.mark.parametrize(("kind", "code", "status"), [("busy", -1, 503), ("quota", -1, 429), ("error", 410, 410)])
def test_a_fault_is_a_status(sandbox: Sandbox, account: dict[str, Any], kind: str, code: int, status: int) -> None:
    sandbox.post("/sandbox/faults", {"path": "/webhook/in", "kind": kind, "code": code, "times": 1})
    assert deliver(sandbox, account, "p", {"type": "ping"})[0] == status
    assert deliver(sandbox, account, "p", {"type": "ping"})[0] == 200
