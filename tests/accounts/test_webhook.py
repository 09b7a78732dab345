"""Accounts of the kind `custom`: what they need, what a check says of their receiver, what they cannot do."""

import asyncio
import socket
from typing import Any

import pytest
from tests.accounts.platform import Platform

from tagcast import accounts, contacts
from tagcast.accounts import Health, NewAccount
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime

OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the public example


def new(sandbox: Platform, **changes: Any) -> NewAccount:
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": "custom", "name": "会员系统"})
    given = {"secret": made["secret"], "base_url": f"{sandbox.url}/webhook/in?account={made['id']}", **changes}
    return NewAccount("custom", f"会员系统 {made['id']}", **given)


def add(runtime: Runtime, account: NewAccount) -> int:
    with runtime.work(1, "test") as work:
        return accounts.add(work, account).id


def states(health: Health) -> dict[str, str]:
    return {item.check: item.state for item in health.items}


def test_a_receiver_that_answers_is_well(runtime: Runtime, sandbox: Platform) -> None:
    given = new(sandbox)
    asked = asyncio.run(accounts.check_new(runtime, given))
    account = add(runtime, given)
    kept = asyncio.run(accounts.check(runtime, 1, account))
    for health in (asked, kept):
        assert (health.ok, states(health)) == (True, {"receiver": "ok", "signature": "ok"})
    with runtime.read(1, "test") as work:
        (quota,) = accounts.quotas(work, account)
        assert (quota.api, quota.zh, quota.used) == ("deliver", "投递", 1)
        assert accounts.get(work, account).base_url == given.base_url


@pytest.mark.parametrize(
    ("fault", "wrong", "code", "words"),
    [
        (None, "signature", "accounts.receiver_refused", ("密钥", "clocks")),
        (404, "receiver", "accounts.receiver_refused", ("404", "path")),
        (410, "receiver", "accounts.receiver_refused", ("410", "gone")),
        (500, "receiver", "accounts.unreachable", ("回答", "answer")),
    ],
)
def test_what_is_wrong_with_a_receiver_is_said(
    runtime_sqlite: Runtime, sandbox: Platform, fault: int | None, wrong: str, code: str, words: tuple[str, str]
) -> None:
    given = new(sandbox, **({} if fault else {"secret": OTHER}))
    if fault:
        sandbox.call("POST", "/sandbox/faults", {"path": "/webhook/in", "kind": "error", "code": fault, "times": 9})
    try:
        health = asyncio.run(accounts.check_new(runtime_sqlite, given))
    finally:
        sandbox.call("DELETE", "/sandbox/faults")
    expected = (
        {"receiver": "ok", "signature": "fail"} if wrong == "signature" else {"receiver": "fail", "signature": "open"}
    )
    assert states(health) == expected
    item = next(item for item in health.items if item.state == "fail")
    assert words[0] in item.zh_text
    assert words[1] in item.en_text
    assert item.zh_remedy
    assert item.en_remedy
    assert health.problem is not None
    assert health.problem.code == code
    assert not health.ok


def test_nobody_there_is_said(runtime_sqlite: Runtime) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/in"
        health = asyncio.run(accounts.check_new(runtime_sqlite, NewAccount("custom", "无", OTHER, base_url=url)))
    assert states(health) == {"receiver": "fail", "signature": "open"}
    assert health.problem is not None
    assert health.problem.code == "accounts.unreachable"


def test_an_inner_address_is_not_connected_to_unless_it_is_allowed(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    given = new(sandbox)
    runtime_sqlite.settings = runtime_sqlite.settings.model_copy(update={"allow_private": False})
    with pytest.raises(Invalid) as refused:
        asyncio.run(accounts.check_new(runtime_sqlite, given, ask=False))
    assert refused.value.code == "accounts.insecure_url"
    inner = NewAccount("custom", "内网", OTHER, base_url=sandbox.url.replace("http:", "https:") + "/webhook/in")
    before = sandbox.requests
    health = asyncio.run(accounts.check_new(runtime_sqlite, inner))
    assert states(health) == {"receiver": "fail", "signature": "open"}
    assert sandbox.requests == before


def test_a_secret_is_replaced_by_one_of_its_shape(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    given = new(sandbox)
    account = add(runtime_sqlite, given)
    with pytest.raises(Invalid) as refused, runtime_sqlite.work(1, "test") as work:
        accounts.set_secret(work, account, "plain")
    assert refused.value.code == "accounts.bad_webhook_secret"
    with runtime_sqlite.work(1, "test") as work:
        accounts.set_secret(work, account, accounts.new_webhook_secret())
    assert states(asyncio.run(accounts.check(runtime_sqlite, 1, account)))["signature"] == "fail"
    with runtime_sqlite.work(1, "test") as work:
        accounts.set_secret(work, account, given.secret)
    assert asyncio.run(accounts.check(runtime_sqlite, 1, account)).ok


def test_there_is_no_platform_to_read_people_from(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account = add(runtime_sqlite, new(sandbox))
    with pytest.raises(Invalid) as refused:
        asyncio.run(contacts.sync_account(runtime_sqlite, 1, account))
    assert refused.value.code == "accounts.custom_has_no_token"

    async def others() -> list[str]:
        found = []
        async with accounts.connect(runtime_sqlite, 1, account) as connected:
            for name in ("official", "wecom", "tokens"):
                with pytest.raises(Invalid) as caught:
                    getattr(connected, name)
                found.append(caught.value.code)
        return found

    assert asyncio.run(others()) == ["accounts.custom_has_no_token"] * 3


@pytest.mark.parametrize("batch", [0, 1001, "unlimited"])
def test_no_profile_makes_a_delivery_larger_than_a_receiver_takes(runtime_sqlite: Runtime, batch: object) -> None:
    value = {"value": batch, "source": "test", "date": "2026-11-23"}
    with pytest.raises(Invalid) as refused, runtime_sqlite.work(1, "test") as work:
        accounts.add_profile(work, "wide", "article", {"custom": {"send": {"batch": value}}})
    assert refused.value.code == "accounts.bad_limit"
    assert "1000" in refused.value.text("zh")
