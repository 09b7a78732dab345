"""A ready client of an account's platform: its transport, its shared token, and one repetition after a token died."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from tagcast.accounts import actions
from tagcast.accounts.rules import Account, Secrets
from tagcast.accounts.tokens import Fetch, Tokens, explain
from tagcast.channels import (
    ChannelError,
    OfficialClient,
    Reaction,
    Template,
    Token,
    WecomClient,
    get_token,
    stable_token,
)
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.http import AddressPolicy, Response, Transport, open_transport
from tagcast.kit.uow import Runtime

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Limited:
    """A transport whose calls take at most the configured time, in seconds."""

    inner: Transport
    seconds: float

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        timeout: float = 0.0,  # noqa: ASYNC109 - the protocol's
    ) -> Response:
        return await self.inner.request(method, url, body=body, headers=headers, timeout=timeout or self.seconds)


@dataclass(frozen=True, slots=True)
class Connected:
    """An account with its platform's client. The client never repeats a call; `call` does so once for a dead token."""

    account: Account
    client: OfficialClient | WecomClient
    tokens: Tokens

    @property
    def official(self) -> OfficialClient:
        """The client of an `official` or `service` account. Raises TypeError for another kind."""
        if not isinstance(self.client, OfficialClient):
            raise TypeError(f"account {self.account.id} is {self.account.kind}")
        return self.client

    @property
    def wecom(self) -> WecomClient:
        """The client of a `wecom` account. Raises TypeError for another kind."""
        if not isinstance(self.client, WecomClient):
            raise TypeError(f"account {self.account.id} is {self.account.kind}")
        return self.client

    async def call(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run one call; when the platform refuses its token, renew the token and run it once more.

        A refused token means that nothing was done, so repeating is safe for sends too. Raises what `fn` raises, and
        Refused or Unavailable when no token is to be had.
        """
        used = await self.tokens.current()
        try:
            return await fn()
        except ChannelError as error:
            if error.reaction is not Reaction.RENEW_TOKEN:
                raise
        await self.tokens.renew(used)
        return await fn()

    async def renew_token(self, stale: str) -> str:
        """Another token than the one that the platform refused; asked for once over all processes."""
        return await self.tokens.renew(stale)


@asynccontextmanager
async def connect(runtime: Runtime, workspace: int, account_id: int) -> AsyncIterator[Connected]:
    """Connect to an account's platform. Nothing is sent before the first call. Raises NotFound, Invalid."""
    account, secrets = await asyncio.to_thread(_load, runtime, workspace, account_id)
    if account.kind == "custom":
        raise Invalid("accounts.custom_has_no_token", account=account.name)
    url = urlsplit(account.base_url)
    if url.scheme != "https" and not runtime.settings.allow_private:
        raise Invalid("accounts.insecure_url", account=account.name, url_host=url.netloc)
    policy = AddressPolicy(allow_private=runtime.settings.allow_private)
    settings = runtime.settings
    async with open_transport(policy, connections=settings.send_concurrency, choice=settings.transport) as inner:
        transport = _Limited(inner, runtime.settings.http_timeout_seconds)
        tokens = Tokens(runtime, workspace, account, _fetch(transport, account, secrets))
        client = (WecomClient if account.kind == "wecom" else OfficialClient)(
            transport, account.base_url, tokens.current
        )
        yield Connected(account, client, tokens)


def _load(runtime: Runtime, workspace: int, account_id: int) -> tuple[Account, Secrets]:
    with runtime.read(workspace, "connect") as work:
        return actions.get(work, account_id), actions.secrets(work, account_id)


def _fetch(transport: Transport, account: Account, secrets: Secrets) -> Fetch:
    async def wecom(_another: bool) -> Token:
        return await get_token(transport, account.base_url, account.appid, secrets.secret)

    async def official(another: bool) -> Token:
        return await stable_token(transport, account.base_url, account.appid, secrets.secret, force_refresh=another)

    return wecom if account.kind == "wecom" else official


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found: `tags` on the platform, `employees` of a wecom account that may talk to customers."""

    account: Account
    tags: int = 0
    employees: int | None = None
    problem: TagcastError | None = None

    @property
    def ok(self) -> bool:
        """Whether the platform answered all questions."""
        return self.problem is None


async def check(runtime: Runtime, workspace: int, account_id: int) -> Health:
    """Ask the platform for a token and read tags (and employees). What is wrong is in `problem`. Raises NotFound."""
    async with connect(runtime, workspace, account_id) as connected:
        account = connected.account
        try:
            if account.kind == "wecom":
                groups = await connected.call(connected.wecom.tags.groups)
                employees = await connected.call(connected.wecom.customers.employees)
                return Health(account, sum(len(group.tag) for group in groups), len(employees))
            return Health(account, len(await connected.call(connected.official.tags.all)))
        except ChannelError as error:
            return Health(account, problem=explain(account, error))
        except TagcastError as error:
            return Health(account, problem=error)


async def templates(runtime: Runtime, workspace: int, account_id: int) -> tuple[Template, ...]:
    """The message templates of a service account, as the platform lists them.

    Raises NotFound; Invalid for another kind of account; Refused or Unavailable when the platform does not give them.
    """
    async with connect(runtime, workspace, account_id) as connected:
        if connected.account.kind != "service":
            raise Invalid("accounts.no_templates", account=connected.account.name, kind=connected.account.kind)
        try:
            return await connected.call(connected.official.templates.all)
        except ChannelError as error:
            raise explain(connected.account, error) from None
