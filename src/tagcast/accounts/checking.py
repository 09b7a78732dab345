"""Running the checklist: for an account that is kept, and for one that is to be added."""

import asyncio
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass

from tagcast.accounts import actions, rules
from tagcast.accounts.backoff import QUICK
from tagcast.accounts.checks import Checklist, Item, Probe, probe
from tagcast.accounts.connect import Timed, check_url, connect, fetcher, load, transport_of
from tagcast.accounts.rules import Account, NewAccount, Secrets
from tagcast.accounts.tokens import explain
from tagcast.channels import ChannelError, OfficialClient, WecomClient
from tagcast.channels.webhook import WebhookClient
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Runtime, Work

LastCallback = Callable[[Work, int], int | None]
"""When the newest genuine callback of an account came, in epoch milliseconds; None: none did."""

_last_callback: list[LastCallback] = []


def hear(last_callback: LastCallback) -> None:
    """Register who knows of callbacks: they arrive on a floor above."""
    _last_callback[:] = [last_callback]


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found: `tags` on the platform, `employees` of a wecom account that may talk to customers."""

    account: Account
    tags: int = 0
    employees: int | None = None
    problem: TagcastError | None = None
    items: tuple[Item, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing that is needed is missing."""
        return self.problem is None and all(item.state != "fail" for item in self.items)


async def check(runtime: Runtime, workspace: int, account_id: int) -> Health:
    """Go through an account's checklist on its platform. What is wrong is in `items`. Raises NotFound, Invalid."""
    account, secrets = await asyncio.to_thread(load, runtime, workspace, account_id)
    checklist = Checklist(account.kind, _url(runtime, account))
    async with connect(runtime, workspace, account_id, backoff=QUICK) as connected:
        if account.kind == "custom":
            await checklist.receiver(lambda: connected.call(lambda: connected.webhook.ping(_ping_key())))
            return _health(account, checklist)
        if await checklist.token(connected.tokens.current):
            await probe(checklist, connected.wecom if account.kind == "wecom" else connected.official, connected.call)
    last = await asyncio.to_thread(_last, runtime, workspace, account_id)
    checklist.callback(configured=bool(secrets.callback_token), last=last)
    return _health(account, checklist)


async def check_new(runtime: Runtime, new: NewAccount, *, ask: bool = True) -> Health:
    """Go through the checklist of an account that is not kept yet. Raises Invalid when it cannot be right at all.

    Without `ask` nobody is called, and the list is empty: a receiver cannot know a secret that was just made for it.
    """
    kind, appid, base_url = rules.check(new)
    account = Account(0, kind, new.name, appid, new.agentid, base_url, new.profile, new.zone, "", 0)
    check_url(runtime, account)
    if not ask:
        return Health(account)
    secrets = Secrets(new.secret, new.callback_token, new.encoding_aes_key)
    checklist = Checklist(kind, f"{runtime.settings.public_url.rstrip('/')}/callback/…")
    async with transport_of(runtime) as inner:
        transport = Timed(inner, runtime.settings.http_timeout_seconds)
        if kind == "custom":
            await checklist.receiver(lambda: WebhookClient(transport, base_url, new.secret).ping(_ping_key()))
            return _health(account, checklist)
        fetch = fetcher(transport, account, secrets)
        value = ""

        async def token() -> str:
            nonlocal value
            value = value or (await fetch(False)).value
            return value

        async def call(one: Probe) -> int:
            return await one()

        client = (WecomClient if kind == "wecom" else OfficialClient)(transport, base_url, token)
        if await checklist.token(token):
            await probe(checklist, client, call)
    checklist.callback(configured=bool(new.callback_token), last=None)
    return _health(account, checklist)


def _ping_key() -> str:
    """An id that no other ping has."""
    return f"ping-{random.token_hex(8)}"


def _health(account: Account, checklist: Checklist) -> Health:
    items = tuple(checklist.end())
    problem = checklist.problem
    if isinstance(problem, ChannelError):
        problem = explain(account, problem)
    return Health(account, checklist.count("tags") or 0, checklist.count("contact"), problem, items)


def _url(runtime: Runtime, account: Account) -> str:
    return f"{runtime.settings.public_url.rstrip('/')}/callback/{account.callback_path}"


def _last(runtime: Runtime, workspace: int, account_id: int) -> int | None:
    with runtime.read(workspace, "check") as work:
        actions.get(work, account_id)
        return next((heard(work, account_id) for heard in _last_callback), None)
