"""A ready client of an account's platform: its limits, its shared token, and the one place that repeats calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from tagcast.accounts import actions, pacing
from tagcast.accounts.backoff import INTERACTIVE, QUICK, Backoff
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
from tagcast.channels.webhook import WebhookClient
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, Unavailable
from tagcast.kit.http import AddressPolicy, Response, Transport, open_transport
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T")

DELIVER = "deliver"
"""The one API of a `custom` account."""


@dataclass(frozen=True, slots=True)
class Timed:
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
    """An account with its platform's client, which repeats nothing itself. `call` is the only place that does.

    A `custom` account has no tokens: each delivery is signed.

    Every request keeps the account's rates, slots and quotas by itself.
    """

    account: Account
    client: OfficialClient | WecomClient | WebhookClient
    tokens_or_none: Tokens | None
    runtime: Runtime
    workspace: int
    backoff: Backoff

    @property
    def tokens(self) -> Tokens:
        """The access tokens of a platform. Raises Invalid for a `custom` account, which has none."""
        if self.tokens_or_none is None:
            raise self._other_kind()
        return self.tokens_or_none

    @property
    def official(self) -> OfficialClient:
        """The client of an `official` or `service` account. Raises Invalid for a custom one, TypeError for wecom."""
        if not isinstance(self.client, OfficialClient):
            raise self._other_kind()
        return self.client

    @property
    def wecom(self) -> WecomClient:
        """The client of a `wecom` account. Raises Invalid for a custom one, TypeError for the others."""
        if not isinstance(self.client, WecomClient):
            raise self._other_kind()
        return self.client

    @property
    def webhook(self) -> WebhookClient:
        """The client of a `custom` account. Raises TypeError for another kind."""
        if not isinstance(self.client, WebhookClient):
            raise self._other_kind()
        return self.client

    def _other_kind(self) -> Exception:
        if self.account.kind == "custom":
            return Invalid("accounts.custom_has_no_token", account=self.account.name)
        return TypeError(f"account {self.account.id} is {self.account.kind}")

    async def call(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run one call, and again where that is safe and can help.

        A dead token is renewed once: the platform did nothing. What is busy, refused for now or was never sent is tried
        again after a wait (`Backoff`), as far as this connection's back-off goes. A call that may have been carried out
        is never repeated. Raises what `fn` raises in the end, Refused or Unavailable when there is no token or the
        API is closed.
        """
        repeated, renewed, used = 0, False, ""
        while True:
            try:
                if self.tokens_or_none is not None:
                    used = await self.tokens.current()
                return await fn()
            except (ChannelError, Unavailable) as error:
                if isinstance(error, ChannelError):
                    await self._learn(error)
                    if error.reaction is Reaction.RENEW_TOKEN and self.tokens_or_none is not None and not renewed:
                        renewed = True
                        await self.tokens.renew(used)
                        continue
                wait = self.backoff.wait(error, repeated)
                if wait is None:
                    raise
            repeated += 1
            await self.backoff.sleep(wait)

    async def _learn(self, error: ChannelError) -> None:
        read = self.client.quota.of if isinstance(self.client, OfficialClient) else None
        api = pacing.api_of(error.operation)
        await pacing.learn(self.runtime, self.workspace, self.account.id, api, error, read=read)


@asynccontextmanager
async def connect(
    runtime: Runtime, workspace: int, account_id: int, *, backoff: Backoff = INTERACTIVE
) -> AsyncIterator[Connected]:
    """Connect to an account's platform, or to the receiver of a `custom` one. Nothing is sent before the first call.

    Raises NotFound, Invalid.
    """
    account, secrets = await asyncio.to_thread(load, runtime, workspace, account_id)
    check_url(runtime, account)
    seconds, base_url = runtime.settings.http_timeout_seconds, account.base_url
    custom = account.kind == "custom"
    async with transport_of(runtime) as inner:
        door = pacing.Door(
            runtime, workspace, account_id,
            base_url=base_url, inner=inner, seconds=seconds, api=DELIVER if custom else "",
        )  # fmt: skip
        tokens: Tokens | None = None
        client: OfficialClient | WecomClient | WebhookClient
        if custom:
            client = WebhookClient(door, base_url, secrets.secret)
        else:
            tokens = Tokens(runtime, workspace, account, fetcher(Timed(inner, seconds), account, secrets))
            client = (WecomClient if account.kind == "wecom" else OfficialClient)(door, base_url, tokens.current)
        try:
            yield Connected(account, client, tokens, runtime, workspace, backoff)
        finally:
            await door.close()


def check_url(runtime: Runtime, account: Account) -> None:
    """Raises Invalid for an address to which the secret would travel in clear text."""
    url = urlsplit(account.base_url)
    if url.scheme != "https" and not runtime.settings.allow_private:
        raise Invalid("accounts.insecure_url", account=account.name, url_host=url.netloc)


def transport_of(runtime: Runtime) -> AbstractAsyncContextManager[Transport]:
    """The transport that the operator chose."""
    settings = runtime.settings
    policy = AddressPolicy(allow_private=settings.allow_private)
    return open_transport(policy, connections=settings.send_concurrency, choice=settings.transport)


def load(runtime: Runtime, workspace: int, account_id: int) -> tuple[Account, Secrets]:
    """An account and its secrets. Raises NotFound."""
    with runtime.read(workspace, "connect") as work:
        return actions.get(work, account_id), actions.secrets(work, account_id)


def fetcher(transport: Transport, account: Account, secrets: Secrets) -> Fetch:
    """How the account's platform is asked for a token."""

    async def wecom(_another: bool) -> Token:
        return await get_token(transport, account.base_url, account.appid, secrets.secret)

    async def official(another: bool) -> Token:
        return await stable_token(transport, account.base_url, account.appid, secrets.secret, force_refresh=another)

    return wecom if account.kind == "wecom" else official


async def templates(runtime: Runtime, workspace: int, account_id: int) -> tuple[Template, ...]:
    """The message templates of a service account, as the platform lists them.

    Raises NotFound; Invalid for another kind of account; Refused or Unavailable when the platform does not give them.
    """
    async with connect(runtime, workspace, account_id, backoff=QUICK) as connected:
        if connected.account.kind != "service":
            raise Invalid("accounts.no_templates", account=connected.account.name, kind=connected.account.kind)
        try:
            return await connected.call(connected.official.templates.all)
        except ChannelError as error:
            raise explain(connected.account, error) from None


def quotas(work: Work, account_id: int) -> list[pacing.Quota]:
    """What is known of an account's quotas, without asking anybody. Raises NotFound."""
    return pacing.quotas(work, account_id, actions.get(work, account_id).kind)


async def read_quota(runtime: Runtime, workspace: int, account_id: int) -> list[pacing.Quota]:
    """The quotas of an account, read from the platform now where it tells them. An API with calls left is opened again.

    Raises NotFound; Refused or Unavailable when the platform does not answer.
    """
    account, _ = await asyncio.to_thread(load, runtime, workspace, account_id)
    if account.kind in ("official", "service"):
        async with connect(runtime, workspace, account_id, backoff=QUICK) as connected:
            try:
                await connected.call(
                    lambda: pacing.read_quotas(
                        runtime, workspace, account_id, account.kind, connected.official.quota.of
                    )
                )
            except ChannelError as error:
                raise explain(account, error) from None
    return await asyncio.to_thread(_quotas, runtime, workspace, account_id)


async def fresh_quota(runtime: Runtime, workspace: int, account_id: int) -> list[pacing.Quota]:
    """The quotas of an account, read from the platform only when what is known is old. Raises as `read_quota` does."""
    found = await asyncio.to_thread(_quotas, runtime, workspace, account_id)
    if pacing.is_stale(found, clock.now()):
        return await read_quota(runtime, workspace, account_id)
    return found


def _quotas(runtime: Runtime, workspace: int, account_id: int) -> list[pacing.Quota]:
    with runtime.read(workspace, "quota") as work:
        return quotas(work, account_id)
