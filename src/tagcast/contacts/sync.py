"""Sync of an account's followers or customers from its platform: a full pull first, then what is new and who is gone.

Callbacks keep contacts up to date in between; a sync makes up for those that were lost. The platform's lists are read
again and compared as sets of ids; more is asked only about people who are new here. Each chunk is one transaction with
the place to go on from; calls happen outside of transactions. Who followed when the sync began and was not seen until
its end has left.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.channels import ChannelError, each_page
from tagcast.contacts import actions, store
from tagcast.contacts.rules import KIND_OF, Identity, PersonIn, check_every
from tagcast.kit import leases
from tagcast.kit.errors import Invalid, Refused, TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

KIND = "contacts.sync"
EVERY_HOURS = 24
"""How often an account that was synchronised once is compared again, unless it is set."""
_DAY_MS = 86_400_000
_LOOK_UP = 100
_AT_ONCE = 8
_CHUNK = 2000
_WHY = "platform sync"
_AGAIN_SECONDS = 300.0

SyncProgress = Callable[[int, int], None]
"""Called after each chunk with (people read, people in all, 0 if unknown)."""

Person = tuple[str, str]
"""(openid or external_userid, unionid or empty)."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync found: people seen now, contacts made, followers gained and lost, and people whose identities
    belong to two contacts (they are kept under this account's identity; nothing is merged).

    `asked`: people of whom more than their id was read. A dry run changes nothing: `made` are people not known under
    this account's identity, some of whom may turn out to be contacts by their unionid.
    """

    account: int
    seen: int = 0
    made: int = 0
    joined: int = 0
    left: int = 0
    conflicts: int = 0
    asked: int = 0
    dry_run: bool = False


@dataclass(slots=True)
class _Sync:
    """One run over one account. `full`: ask about everybody, not about new people only."""

    runtime: Runtime
    workspace: int
    account: int
    identity: Identity
    cursor: str
    seen: BitMap
    before: BitMap
    started_ms: int
    full: bool = False
    dry_run: bool = False
    made: int = 0
    conflicts: int = 0
    asked: int = 0
    strangers: set[str] = field(default_factory=set)
    employees: set[str] = field(default_factory=set)

    def known(self, ids: Sequence[str]) -> dict[str, int]:
        """Those of the ids whose contacts are known under this account."""
        with self.runtime.read(self.workspace, "sync") as work:
            found = actions.numbers_of(work, self.identity.kind, ids, self.account)
        return {one: number for one, number in zip(ids, found, strict=True) if number is not None}

    def keep_chunk(self, known: BitMap, people: Sequence[Person], cursor: str, employee: str = "") -> None:
        """Keep known contacts and new people, and the place to go on from, in one transaction."""
        if self.dry_run:
            self.strangers.update(one for one, _ in people)
            self.seen |= known
            self.cursor = cursor
            return
        with self.runtime.work(self.workspace, "sync") as work:
            numbers: list[int] = []
            for start in range(0, len(people), _CHUNK):
                numbers += self._keep(work, people[start : start + _CHUNK])
            members = BitMap(numbers) | known
            work.bitmaps.add(f"following:{self.account}", members, why=_WHY)
            if employee:
                work.bitmaps.replace(f"employee:{self.account}:{employee}", members, why=_WHY)
            self.seen |= members
            self.cursor = cursor
            self.save(work)

    def save(self, work: Work) -> None:
        """Note how far it came."""
        values = {
            "cursor": self.cursor,
            "seen": bitmaps.to_bytes(self.seen),
            "before": bitmaps.to_bytes(self.before),
            "started_at": self.started_ms,
        }
        store.put_sync(work, self.account, values)

    def _keep(self, work: Work, people: Sequence[Person]) -> list[int]:
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
        gone, joined = self.before - self.seen, len(self.seen - self.before)
        if self.dry_run:
            new = len(self.strangers)
            return SyncResult(
                self.account, len(self.seen) + new, new, joined + new, len(gone), asked=self.asked, dry_run=True
            )
        following, prefix = f"following:{self.account}", f"employee:{self.account}:"
        with self.runtime.work(self.workspace, "sync") as work:
            work.bitmaps.remove(following, gone, why=_WHY)
            for key in work.bitmaps.keys(prefix):
                left = work.bitmaps.read(key) if key.removeprefix(prefix) not in self.employees else gone
                work.bitmaps.remove(key, left, why=_WHY)
            store.end_sync(work, self.account)
        return SyncResult(self.account, len(self.seen), self.made, joined, len(gone), self.conflicts, self.asked)


async def sync_account(
    runtime: Runtime,
    workspace: int,
    account_id: int,
    *,
    full: bool = False,
    dry_run: bool = False,
    progress: SyncProgress | None = None,
) -> SyncResult:
    """Read all followers (official, service) or customers (wecom) of an account and bring contacts up to date.

    `full` asks about everybody again (a unionid may have come since), else only about people who are new here.
    `dry_run` counts and changes nothing. Interrupted, it goes on where it stopped when it is called again within a day.
    Keeps the sets `identity:<account>`, `following:<account>` and, for wecom, `employee:<account>:<userid>`. Raises
    NotFound for the account, Invalid for a custom one, Refused when 企业微信 names no employee any more (that nobody is
    told of is no reason to let everybody go), and what the platform's refusal means (`accounts.…`).
    """
    async with accounts.connect(runtime, workspace, account_id) as connected:
        wecom = connected.account.kind == "wecom"
        if connected.account.kind == "custom":
            raise Invalid("accounts.custom_has_no_token", account=connected.account.name)
        identity = Identity(KIND_OF[connected.account.kind], account_id)
        sync = await asyncio.to_thread(_begin, runtime, workspace, identity, dry_run)
        sync.full = full
        read = _customers if wecom else _followers
        try:
            await read(connected, sync, progress or (lambda _done, _total: None))
        except ChannelError as error:
            raise accounts.explain(connected.account, error) from error
        return await asyncio.to_thread(sync.finish)


def schedule(work: Work, account_id: int, every_hours: int) -> None:
    """Compare an account with its platform every so many hours (0: never). Raises NotFound, Invalid."""
    accounts.get(work, account_id)
    store.put_sync(work, account_id, {"every_hours": check_every(every_hours)})


def start_due(work: Work) -> list[int]:
    """Ask for a sync of each account whose time has come, once synchronised; returns their ids."""
    due = store.due_syncs(work, EVERY_HOURS)
    for account in due:
        leases.enqueue(work, KIND, str(account), {"account": account})
    return due


async def work_off(runtime: Runtime, lease: Lease) -> None:
    """What a worker does with a sync that is due. What stops it is tried again later, from where it stopped."""
    try:
        await sync_account(runtime, lease.workspace, int(lease.payload["account"]))
    except TagcastError as error:
        await asyncio.to_thread(_again, runtime, lease, error.code)
    else:
        await asyncio.to_thread(_done, runtime, lease)


def _done(runtime: Runtime, lease: Lease) -> None:
    with runtime.system() as connection:
        leases.complete(connection, lease)


def _again(runtime: Runtime, lease: Lease, problem: str) -> None:
    with runtime.system() as connection:
        if problem == "accounts.no_account":
            leases.complete(connection, lease)
        else:
            leases.defer(connection, lease, _AGAIN_SECONDS * min(12, lease.attempt), problem=problem)


def _begin(runtime: Runtime, workspace: int, identity: Identity, dry_run: bool) -> _Sync:
    with runtime.work(workspace, "sync") as work:
        before = work.bitmaps.read(f"following:{identity.account}").copy()
        begun = _Sync(runtime, workspace, identity.account, identity, "", BitMap(), before, work.now_ms)
        begun.dry_run = dry_run
        row = store.find_sync(work, identity.account)
        if row is not None and row.started_at > work.now_ms - _DAY_MS and not dry_run:
            begun.seen, begun.before = bitmaps.from_bytes(row.seen), bitmaps.from_bytes(row.before)
            begun.cursor, begun.started_ms = row.cursor, row.started_at
        elif not dry_run:
            begun.save(work)
        return begun


async def _followers(connected: accounts.Connected, sync: _Sync, progress: SyncProgress) -> None:
    async for page in each_page(connected.call, connected.official.people.followers, sync.cursor):
        for start in range(0, len(page.openids), _CHUNK):
            part = page.openids[start : start + _CHUNK]
            known = {} if sync.full else await asyncio.to_thread(sync.known, part)
            new = [openid for openid in part if openid not in known]
            told = [(openid, "") for openid in new] if sync.dry_run else await _profiles(connected, new)
            sync.asked += 0 if sync.dry_run else len(new)
            await asyncio.to_thread(sync.keep_chunk, bitmaps.pack(known.values()), told, part[-1])
            progress(len(sync.seen) + len(sync.strangers), page.total)


async def _profiles(connected: accounts.Connected, openids: Sequence[str]) -> list[Person]:
    """Those of the openids that follow, with their unionid; at most eight calls at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def some(part: Sequence[str]) -> list[Person]:
        async with gate:
            found = await connected.call(lambda: connected.official.people.profiles(part))
        return [(one.openid, one.unionid) for one in found if one.subscribe]

    parts = [openids[at : at + _LOOK_UP] for at in range(0, len(openids), _LOOK_UP)]
    return [one for answer in await asyncio.gather(*map(some, parts)) for one in answer]


async def _customers(connected: accounts.Connected, sync: _Sync, progress: SyncProgress) -> None:
    employees = await connected.call(connected.wecom.customers.employees)
    if not employees and sync.before:
        raise Refused("contacts.sync_no_employees", account=connected.account.name)
    sync.employees = set(employees)
    left = [employee for employee in sorted(employees) if employee > sync.cursor]
    for start in range(0, len(left), _AT_ONCE):
        part = left[start : start + _AT_ONCE]
        calls = (_customers_of(connected, sync, employee) for employee in part)
        for employee, (known, people) in zip(part, await asyncio.gather(*calls), strict=True):
            await asyncio.to_thread(sync.keep_chunk, known, people, employee, employee)
            progress(len(sync.seen) + len(sync.strangers), 0)


async def _customers_of(connected: accounts.Connected, sync: _Sync, employee: str) -> tuple[BitMap, list[Person]]:
    """One employee's customers: known contacts, and people who are new with their unionid, by the fewest calls."""
    customers = connected.wecom.customers
    if sync.full or (not sync.before and not sync.dry_run):
        people = await connected.call(partial(_all_of, connected, employee))
        sync.asked += len(people)
        return BitMap(), people
    ids = await connected.call(lambda: customers.ids(employee))
    known = await asyncio.to_thread(sync.known, ids)
    new = [one for one in ids if one not in known]
    if sync.dry_run:
        return bitmaps.pack(known.values()), [(one, "") for one in new]
    sync.asked += len(new)
    if len(new) > -(-len(ids) // _LOOK_UP):
        people = await connected.call(partial(_all_of, connected, employee))
        return bitmaps.pack(known.values()), [one for one in people if one[0] not in known]
    people = []
    for one in new:
        found = (await connected.call(partial(customers.get, one))).external_contact
        people.append((found.external_userid, found.unionid))
    return bitmaps.pack(known.values()), people


async def _all_of(connected: accounts.Connected, employee: str) -> list[Person]:
    found: dict[str, str] = {}
    async for page in connected.wecom.customers.of([employee]):
        found |= {one.external_contact.external_userid: one.external_contact.unionid for one in page}
    return list(found.items())
