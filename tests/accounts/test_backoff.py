"""One layer of back-off: what is repeated, how often, after how long; against the sandbox over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.accounts.platform import Platform
from tests.accounts.test_tokens import add, read_tags

from tagcast import accounts
from tagcast.accounts import Backoff
from tagcast.channels import ChannelError, Effect, Text
from tagcast.channels.errors import lost, refusal, special
from tagcast.kit.errors import Refused, Unavailable
from tagcast.kit.uow import Runtime


class Clock:
    """Time that passes at once, and chance that is half."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def backoff(self, **changes: Any) -> Backoff:
        return Backoff(sleep=self.sleep, draw=lambda: 0.5, **changes)


def fault(sandbox: Platform, kind: str, path: str, **more: Any) -> None:
    sandbox.call("DELETE", "/sandbox/faults")
    sandbox.call("POST", "/sandbox/faults", {"path": path, "kind": kind, **more})


def run(runtime: Runtime, account: int, backoff: Backoff, use: Callable[[accounts.Connected], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with accounts.connect(runtime, 1, account, backoff=backoff) as connected:
            return await use(connected)

    return asyncio.run(go())


@pytest.mark.parametrize(("times", "waits"), [(1, [1.5]), (2, [1.5, 2.5]), (3, [1.5, 2.5, 5.5])])
def test_a_busy_platform_is_asked_again(
    runtime_sqlite: Runtime, sandbox: Platform, times: int, waits: list[float]
) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    clock = Clock()
    fault(sandbox, "busy", "/cgi-bin/tags/get", times=times)
    assert run(runtime_sqlite, account, clock.backoff(), read_tags) >= 0
    assert clock.waits == waits


def test_after_three_repetitions_the_error_is_raised(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    clock = Clock()
    fault(sandbox, "busy", "/cgi-bin/tags/get", times=9)
    with pytest.raises(ChannelError) as raised:
        run(runtime_sqlite, account, clock.backoff(), read_tags)
    assert raised.value.errcode == -1
    assert clock.waits == [1.5, 2.5, 5.5]


def test_a_durable_caller_gets_the_error_at_once(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    fault(sandbox, "busy", "/cgi-bin/tags/get", times=1)

    async def use(connected: accounts.Connected) -> int:
        with pytest.raises(ChannelError):
            await read_tags(connected)
        return await read_tags(connected)

    assert run(runtime_sqlite, account, accounts.DURABLE, use) >= 0


def test_a_send_whose_answer_was_lost_is_never_repeated(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "wecom")
    clock = Clock()
    fault(sandbox, "timeout_after", "/cgi-bin/externalcontact/add_msg_template", times=9)
    calls = 0

    async def use(connected: accounts.Connected) -> None:
        employee = (await connected.call(connected.wecom.customers.employees))[0]

        async def send() -> object:
            nonlocal calls
            calls += 1
            return await connected.wecom.mass.create([Text("你好")], sender=employee)

        with pytest.raises(ChannelError) as raised:
            await connected.call(send)
        assert raised.value.reaction.value == "in_doubt"

    changed = runtime_sqlite.settings.model_copy(update={"http_timeout_seconds": 1.0})
    runtime_sqlite.settings = changed
    run(runtime_sqlite, account, clock.backoff(), use)
    assert (calls, clock.waits) == (1, [])


def test_what_never_left_is_sent_again(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    clock = Clock()
    tries = 0

    async def send() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise special("official", "message/template/send", "not_sent")
        return "sent"

    assert run(runtime_sqlite, account, clock.backoff(), lambda connected: connected.call(send)) == "sent"
    assert clock.waits == [0.5]


HALF = Backoff(draw=lambda: 0.5)
SEND, READ, KEYED = Effect.SEND, Effect.READ, Effect.KEYED


@pytest.mark.parametrize(
    ("error", "repeated", "expected"),
    [
        pytest.param(refusal("official", "tags/get", -1, effect=READ), 0, 1.5, id="busy"),
        pytest.param(refusal("official", "tags/get", -1, effect=READ), 3, None, id="enough"),
        pytest.param(refusal("wecom", "externalcontact/mark_tag", 45035, effect=READ), 1, 3.5, id="at least two s"),
        pytest.param(refusal("official", "message/mass/send", 45066, effect=KEYED), 0, 60.5, id="a minute is waited"),
        pytest.param(refusal("official", "message/mass/send", 45009, effect=KEYED), 0, None, id="a day is not"),
        pytest.param(refusal("official", "cgi-bin", 89507, effect=READ), 0, None, id="an hour is not"),
        pytest.param(refusal("official", "tags/get", 48001, effect=READ), 0, None, id="permanent"),
        pytest.param(lost("official", "message/mass/send", effect=KEYED), 0, None, id="lost, keyed: the caller's"),
        pytest.param(lost("wecom", "externalcontact/add_msg_template", effect=SEND), 0, None, id="lost send"),
        pytest.param(lost("official", "tags/get", effect=READ), 2, 4.5, id="lost read"),
        pytest.param(Unavailable("accounts.unreachable"), 0, 0.5, id="no token now"),
        pytest.param(Unavailable("accounts.api_closed", seconds=40), 0, 40.5, id="closed for a while"),
        pytest.param(Unavailable("accounts.api_closed", seconds=61), 0, None, id="closed for long"),
        pytest.param(Refused("accounts.wrong_secret"), 0, None, id="wrong secret"),
    ],
)
def test_waits(error: ChannelError, repeated: int, expected: float | None) -> None:
    assert HALF.wait(error, repeated) == expected


def test_jitter_is_full() -> None:
    waits = {Backoff().wait(lost("official", "tags/get", effect=READ), 2) for _ in range(200)}
    assert all(wait is not None and 0 <= wait < 9 for wait in waits)
    spread = [wait for wait in waits if wait is not None]
    assert min(spread) < 2 < 7 < max(spread)
