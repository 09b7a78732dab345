"""Full sync of an account's followers or customers from its platform.

Each chunk is one transaction with the place to go on from; calls happen outside of transactions. Who followed when the
sync began and was not seen until its end has left.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.channels import ChannelError
from tagcast.contacts import actions, store
from tagcast.contacts.rules import Identity, PersonIn
from tagcast.kit.uow import Runtime, Work

_DAY_MS = 86_400_000
_LOOK_UP = 100
_AT_ONCE = 8
_CHUNK = 2000
_WHY = "platform sync"

SyncProgress = Callable[[int, int], None]
"""Called after each chunk with (people read, people in all, 0 if unknown)."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a full sync found: people seen now, contacts made, followers gained and lost, and people whose identities
    belong to two contacts (they are kept under this account's identity; nothing is merged)."""

    account: int
    seen: int = 0
    made: int = 0
    joined: int = 0
    left: int = 0
    conflicts: int = 0


@dataclass(slots=True)
class _Sync:
    """One run over one account."""

    runtime: Runtime
    workspace: int
    account: int
    identity: Identity
    cursor: str
    seen: BitMap
    before: BitMap
    started_ms: int
    made: int = 0
    conflicts: int = 0
    employees: set[str] = field(default_factory=set)

    def keep_chunk(self, people: Sequence[tuple[str, str]], cursor: str, employee: str = "") -> None:
        """Keep a chunk of (id, unionid) and the place to go on from, in one transaction."""
        with self.runtime.work(self.workspace, "sync") as work:
            numbers: list[int] = []
            for start in range(0, len(people), _CHUNK):
                numbers += self._keep(work, people[start : start + _CHUNK])
            members = BitMap(numbers)
            work.bitmaps.add(f"following:{self.account}", members, why=_WHY)
            if employee:
                work.bitmaps.replace(f"employee:{self.account}:{employee}", members, why=_WHY)
            self.seen |= members
            self.cursor = cursor
            self._save(work)

    def _save(self, work: Work) -> None:
        values = {
            "cursor": self.cursor,
            "seen": bitmaps.to_bytes(self.seen),
            "before": bitmaps.to_bytes(self.before),
            "started_at": self.started_ms,
        }
        store.put_sync(work, self.account, values)

    def _keep(self, work: Work, people: Sequence[tuple[str, str]]) -> list[int]:
        union = Identity("unionid")
        told = [PersonIn({self.identity: one} | ({union: unionid} if unionid else {})) for one, unionid in people]
        found = actions.find_or_make(work, told)
        numbers = [one.number for one in found if one.problem is None]
        crossed = [PersonIn({self.identity: who[0]}) for who, one in zip(people, found, strict=True) if one.problem]
        alone = [one for one in actions.find_or_make(work, crossed) if one.problem is None] if crossed else []
        self.conflicts += len(crossed)
        self.made += sum(one.made for one in (*found, *alone))
        return numbers + [one.number for one in alone]

    def finish(self) -> SyncResult:
        """Let those go who were not seen, and forget the place."""
        following, prefix = f"following:{self.account}", f"employee:{self.account}:"
        with self.runtime.work(self.workspace, "sync") as work:
            gone = self.before - self.seen
            work.bitmaps.remove(following, gone, why=_WHY)
            for key in work.bitmaps.keys(prefix):
                left = work.bitmaps.read(key) if key.removeprefix(prefix) not in self.employees else gone
                work.bitmaps.remove(key, left, why=_WHY)
            store.drop_sync(work, self.account)
        joined = len(self.seen - self.before)
        return SyncResult(self.account, len(self.seen), self.made, joined, len(gone), self.conflicts)


async def sync_account(
    runtime: Runtime, workspace: int, account_id: int, *, progress: SyncProgress | None = None
) -> SyncResult:
    """Read all followers (official, service) or customers (wecom) of an account and bring contacts up to date.

    Interrupted, it goes on where it stopped when it is called again within a day. Keeps the sets `identity:<account>`,
    `following:<account>` and, for wecom, `employee:<account>:<userid>`. Raises NotFound for the account, Invalid for a
    custom one, and what the platform's refusal means (`accounts.…`).
    """
    async with accounts.connect(runtime, workspace, account_id) as connected:
        wecom = connected.account.kind == "wecom"
        kind = "external_userid" if wecom else "openid"
        sync = await asyncio.to_thread(_begin, runtime, workspace, Identity(kind, account_id))
        read = _customers if wecom else _followers
        try:
            await read(connected, sync, progress or (lambda _done, _total: None))
        except ChannelError as error:
            raise accounts.explain(connected.account, error) from error
        return await asyncio.to_thread(sync.finish)


def _begin(runtime: Runtime, workspace: int, identity: Identity) -> _Sync:
    with runtime.work(workspace, "sync") as work:
        row = store.find_sync(work, identity.account)
        if row is not None and row.started_at > work.now_ms - _DAY_MS:
            seen, before = bitmaps.from_bytes(row.seen), bitmaps.from_bytes(row.before)
            return _Sync(runtime, workspace, identity.account, identity, row.cursor, seen, before, row.started_at)
        before = work.bitmaps.read(f"following:{identity.account}").copy()
        begun = _Sync(runtime, workspace, identity.account, identity, "", BitMap(), before, work.now_ms)
        begun._save(work)
        return begun


async def _followers(connected: accounts.Connected, sync: _Sync, progress: SyncProgress) -> None:
    client = connected.official
    while True:
        # A generator that raised is over: each page is asked for anew, so that a dead token can be renewed in between.
        page = await connected.call(lambda: anext(client.people.followers(sync.cursor), None))
        if page is None:
            return
        for start in range(0, len(page.openids), _LOOK_UP * _AT_ONCE):
            part = page.openids[start : start + _LOOK_UP * _AT_ONCE]
            looked_up = [part[at : at + _LOOK_UP] for at in range(0, len(part), _LOOK_UP)]
            answers = await asyncio.gather(*(_people(connected, openids) for openids in looked_up))
            people = [one for answer in answers for one in answer]
            await asyncio.to_thread(sync.keep_chunk, people, part[-1])
            progress(len(sync.seen), page.total)
        if not page.next_openid:
            return
        sync.cursor = page.next_openid


async def _people(connected: accounts.Connected, openids: Sequence[str]) -> list[tuple[str, str]]:
    found = await connected.call(lambda: connected.official.people.profiles(openids))
    return [(one.openid, one.unionid) for one in found if one.subscribe]


async def _customers(connected: accounts.Connected, sync: _Sync, progress: SyncProgress) -> None:
    employees = await connected.call(connected.wecom.customers.employees)
    sync.employees = set(employees)
    left = [employee for employee in sorted(employees) if employee > sync.cursor]
    for start in range(0, len(left), _AT_ONCE):
        part = left[start : start + _AT_ONCE]
        calls = (connected.call(partial(_customers_of, connected, employee)) for employee in part)
        for employee, people in zip(part, await asyncio.gather(*calls), strict=True):
            await asyncio.to_thread(sync.keep_chunk, people, employee, employee)
            progress(len(sync.seen), 0)


async def _customers_of(connected: accounts.Connected, employee: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    async for page in connected.wecom.customers.of([employee]):
        found |= {one.external_contact.external_userid: one.external_contact.unionid for one in page}
    return list(found.items())
