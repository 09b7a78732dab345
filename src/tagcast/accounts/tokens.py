"""Access tokens: one per account, shared by all processes, renewed by one of them at a time.

A row in the database holds the sealed token. Who finds it old claims the row for a while, asks the platform outside any
transaction, and stores the answer under the next epoch; the others wait for that epoch. A process that dies while it
holds the claim lets it run out. A refusal is remembered for a while, because platforms block callers that go
on asking with a wrong secret (企业微信: about 2,000 wrong calls in an hour).
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import get_args
from urllib.parse import urlsplit

from tagcast.accounts import store
from tagcast.accounts.checks import address_of
from tagcast.accounts.rules import Account
from tagcast.channels import ChannelError, Reaction, Token
from tagcast.kit.errors import Lang, Refused, TagcastError, Unavailable
from tagcast.kit.uow import Runtime

EARLY_SECONDS = 300
"""A token is renewed this long before its end; the platform renews its own stable token at the same time."""
REFUSED_SECONDS = 30
"""How long the platform is not asked again after it refused."""
_POLL_SECONDS = 0.05

Fetch = Callable[[bool], Awaitable[Token]]
"""Asks the platform for a token; True: for another one than it has given before."""

_KINDS: dict[str, type[TagcastError]] = {
    "accounts.wrong_secret": Refused,
    "accounts.ip_not_allowed": Refused,
    "accounts.unreachable": Unavailable,
    "accounts.platform_refused": Unavailable,
    "accounts.receiver_refused": Refused,
}
_CODES = {
    "bad_secret": "accounts.wrong_secret",
    "bad_credentials": "accounts.wrong_secret",
    "ip_not_allowed": "accounts.ip_not_allowed",
    "not_sent": "accounts.unreachable",
    "answer_lost": "accounts.unreachable",
    "http_refused": "accounts.unreachable",
    "webhook_signature": "accounts.receiver_refused",
    "webhook_missing": "accounts.receiver_refused",
    "webhook_gone": "accounts.receiver_refused",
    "webhook_refused": "accounts.receiver_refused",
}


def explain(account: Account, error: ChannelError) -> TagcastError:
    """A platform's refusal as an error that names the account and the remedy."""
    code = _CODES.get(error.reason, "accounts.platform_refused")
    host = urlsplit(account.base_url).netloc
    params: dict[str, object] = {"account": account.name, "errcode": error.errcode or 0, "reason": error.reason}
    params |= {"url_host": host, "said_en": error.sentence("en"), "said_zh": error.sentence("zh")}
    return _problem(code, **params, **({"address": address_of(error)} if code == "accounts.ip_not_allowed" else {}))


def _problem(code: str, **params: object) -> TagcastError:
    return _KINDS[code](code, **params)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The shared token as one look at the database found it; times in milliseconds of its clock."""

    value: str | None
    fresh_ms: int
    epoch: int
    held: bool
    failed_at: int
    problem: TagcastError | None
    refused: bool
    now: int


class Tokens:
    """The token of one account in one process, backed by the shared one."""

    def __init__(self, runtime: Runtime, workspace: int, account: Account, fetch: Fetch) -> None:
        self._runtime = runtime
        self._workspace = workspace
        self._account = account
        self._fetch = fetch
        self._owner = secrets.token_hex(8)
        self._claim_seconds = runtime.settings.http_timeout_seconds + 5
        self._value = ""
        self._good_until = 0.0
        self._one = asyncio.Lock()

    async def current(self) -> str:
        """A token that is good for minutes. Raises Refused or Unavailable when there is none to be had."""
        if time.monotonic() < self._good_until:
            return self._value
        async with self._one:
            if time.monotonic() < self._good_until:
                return self._value
            return await self._obtain("")

    async def renew(self, stale: str) -> str:
        """Another token than `stale`, which the platform has refused. Asks the platform only if nobody has yet."""
        async with self._one:
            if self._value != stale and time.monotonic() < self._good_until:
                return self._value
            self._good_until = 0.0
            return await self._obtain(stale)

    async def _obtain(self, stale: str) -> str:
        since: int | None = None
        while True:
            seen = await asyncio.to_thread(self._look)
            since = seen.now if since is None else since
            if seen.value is not None and seen.value != stale and seen.fresh_ms > 0:
                return self._keep(seen.value, seen.fresh_ms)
            if seen.problem is not None and self._still(seen, since):
                raise seen.problem
            if not seen.held and await asyncio.to_thread(self._claim, seen.epoch):
                return await self._ask(stale)
            await asyncio.sleep(_POLL_SECONDS)

    @staticmethod
    def _still(seen: _Seen, since: int) -> bool:
        """Whether a recorded failure answers this wait too: it came during it, or the platform has just refused."""
        recent = seen.now - seen.failed_at < REFUSED_SECONDS * 1000
        return seen.failed_at > since or (recent and seen.refused)

    async def _ask(self, stale: str) -> str:
        try:
            token = await self._fetch(False)
            if token.value == stale:
                token = await self._fetch(True)
        except ChannelError as error:
            await asyncio.to_thread(self._store_failure, error)
            raise explain(self._account, error) from None
        except asyncio.CancelledError:
            await asyncio.to_thread(self._let_go)
            raise
        life_ms = int((token.expires_in - min(EARLY_SECONDS, token.expires_in / 2)) * 1000)
        await asyncio.to_thread(self._store, token.value, life_ms)
        return self._keep(token.value, life_ms)

    def _keep(self, value: str, life_ms: int) -> str:
        self._value = value
        self._good_until = time.monotonic() + life_ms / 1000
        return value

    def _look(self) -> _Seen:
        with self._runtime.read(self._workspace, "token") as work:
            row, now = store.token(work, self._account.id)
            value = store.open_token(work, self._account.id, row.value) if row.value else None
        problem = _problem(row.problem["code"], **row.problem["params"]) if row.problem else None
        refused = bool(row.problem and row.problem["refused"])
        fresh_ms, held = row.fresh_until - now, row.lease_until > now
        return _Seen(value, fresh_ms, row.epoch, held, row.failed_at, problem, refused, now)

    def _claim(self, epoch: int) -> bool:
        with self._runtime.work(self._workspace, "token") as work:
            return store.claim_token(work, self._account.id, epoch, self._owner, self._claim_seconds)

    def _store(self, value: str, life_ms: int) -> None:
        with self._runtime.work(self._workspace, "token") as work:
            store.put_token(work, self._account.id, self._owner, value, life_ms)

    def _store_failure(self, error: ChannelError) -> None:
        """What the platform wrote itself is not kept: nobody knows what it may hold."""
        problem, refused = explain(self._account, error), error.reaction not in (Reaction.RETRY, Reaction.IN_DOUBT)
        if error.reason == "unknown_code":
            said = {f"said_{lang}": f"{error.meaning.sentence(lang)} {error.errcode}" for lang in get_args(Lang)}
            problem.params |= said
        kept = {"code": problem.code, "params": problem.params, "refused": refused}
        with self._runtime.work(self._workspace, "token") as work:
            store.token_failed(work, self._account.id, self._owner, kept)

    def _let_go(self) -> None:
        with self._runtime.work(self._workspace, "token") as work:
            store.end_claim(work, self._account.id, self._owner)
