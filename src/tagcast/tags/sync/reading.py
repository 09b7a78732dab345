"""What a platform has now: its tags, who bears them, and whom it knows; read by the fewest calls.

公众号 and 服务号: the bearers of each tag (10,000 a call) or all followers with their tags (100 a call), whichever is
cheaper. 企业微信: all customers of all employees with their tags (100 a call); a contact bears a tag if any employee
has put it there.

Without `full` only what may have changed is read. 公众号: a tag whose name, number of bearers and own set are those of
the last sync is taken for unchanged, unless a sample of its people says otherwise; a swap of a few people by others is
seen by that sample or by the next full reading. 企业微信: only customers of whom a callback told a change; what a lost
callback would have told, and what another app did (no callback tells of that), the next full reading sees.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast import accounts, bitmaps, contacts
from tagcast.channels import ChannelError, each_page
from tagcast.kit.uow import Runtime
from tagcast.tags.sync.merge import Theirs
from tagcast.tags.sync.rules import Place, Shape
from tagcast.tags.sync.store import Known

_SAMPLE = 100
_AT_ONCE = 4


@dataclass(slots=True)
class Reading:
    """The platform's side. `strangers`: people there who are no contacts; `touched`: those whose change was read."""

    theirs: dict[str, Theirs] = field(default_factory=dict)
    reach: BitMap = field(default_factory=BitMap)
    strangers: int = 0
    skipped: int = 0
    calls: int = 0
    touched: BitMap = field(default_factory=BitMap)


@dataclass(frozen=True, slots=True)
class Before:
    """What is known here before reading: links by the platform's id, tags changed here since, who follows."""

    links: dict[str, Known]
    changed: frozenset[int]
    following: BitMap
    held: dict[int, BitMap]
    touched: BitMap


@dataclass(slots=True)
class _Reader:
    runtime: Runtime
    workspace: int
    connected: accounts.Connected
    shape: Shape
    before: Before
    full: bool
    found: Reading = field(default_factory=Reading)
    numbers: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """Under what the platform knows people."""
        return "external_userid" if self.shape.platform == "wecom" else "openid"

    async def known(self, names: Collection[str]) -> BitMap:
        """The contacts of these openids or external_userids; the others are strangers."""
        asked = [name for name in names if name not in self.numbers and name not in self.unknown]
        if asked:
            found = await asyncio.to_thread(self._numbers, asked)
            for name, number in zip(asked, found, strict=True):
                if number is None:
                    self.unknown.add(name)
                else:
                    self.numbers[name] = number
        return bitmaps.pack(self.numbers[name] for name in names if name in self.numbers)

    def _numbers(self, names: Sequence[str]) -> list[int | None]:
        with self.runtime.read(self.workspace, "sync") as work:
            return contacts.numbers_of(work, self.kind, names, self.connected.account.id)

    async def names(self, members: BitMap) -> dict[int, str]:
        """Under what the platform knows these contacts."""

        def ask() -> dict[int, str]:
            with self.runtime.read(self.workspace, "sync") as work:
                return contacts.identities_of(work, members, self.kind, self.connected.account.id)

        return await asyncio.to_thread(ask)


async def read(
    runtime: Runtime, workspace: int, connected: accounts.Connected, before: Before, *, shape: Shape, full: bool
) -> Reading:
    """Read the platform's side. Raises ChannelError, and what a connection raises."""
    reader = _Reader(runtime, workspace, connected, shape, before, full)
    await (_wecom(reader) if shape.platform == "wecom" else _official(reader))
    reader.found.strangers = len(reader.unknown)
    return reader.found


# 公众号, 服务号


async def _official(reader: _Reader) -> None:
    found, tags = reader.found, reader.connected.official.tags
    listed = await reader.connected.call(tags.all)
    found.calls += 1
    shown = {str(tag.id): Theirs(str(tag.id), Place("", tag.name), count=tag.count) for tag in listed
             if tag.id not in reader.shape.system_ids}  # fmt: skip
    found.reach = reader.before.following.copy()
    skipped = set() if reader.full else await _unchanged(reader, shown)
    found.skipped = len(skipped)
    found.theirs = {tag_id: theirs for tag_id, theirs in shown.items() if tag_id in skipped}
    open_ = [theirs for tag_id, theirs in shown.items() if tag_id not in skipped]
    page, people = reader.shape.page, len(reader.before.following)
    by_tag = sum(-(-theirs.count // page) + 1 for theirs in open_)
    by_person = -(-people // page) + 1 + -(-people // reader.shape.look_up)
    if reader.full and by_person < by_tag:
        await _by_person(reader, open_)
        return
    for theirs in open_:
        await _bearers(reader, theirs)
    await _who_left(reader)


async def _bearers(reader: _Reader, theirs: Theirs) -> None:
    tags, members = reader.connected.official.tags, BitMap()
    try:
        async for page in each_page(reader.connected.call, lambda start: tags.wearers(int(theirs.id), start)):
            reader.found.calls += 1
            members |= await reader.known(page.openids)
    except ChannelError as error:
        if error.reason != "no_such_tag":
            raise
        return
    reader.found.theirs[theirs.id] = Theirs(theirs.id, theirs.place, members=members, count=theirs.count)
    reader.found.reach |= members


async def _by_person(reader: _Reader, tags: Sequence[Theirs]) -> None:
    """All followers with their tags. What followers told is complete, so who was not told of does not follow."""
    members = {theirs.id: BitMap() for theirs in tags}
    people, reach = reader.connected.official.people, BitMap()
    async for page in each_page(reader.connected.call, people.followers):
        reader.found.calls += 1
        parts = [
            page.openids[at : at + reader.shape.look_up] for at in range(0, len(page.openids), reader.shape.look_up)
        ]
        for at in range(0, len(parts), reader.shape.concurrency):
            for told in await asyncio.gather(
                *(_profiles(reader, part) for part in parts[at : at + reader.shape.concurrency])
            ):
                reach |= await reader.known([openid for openid, _, follows in told if follows])
                for openid, ids, _ in told:
                    number = reader.numbers.get(openid)
                    for tag_id in ids:
                        if number is not None and tag_id in members:
                            members[tag_id].add(number)
    reader.found.reach = reach
    for theirs in tags:
        reader.found.theirs[theirs.id] = Theirs(theirs.id, theirs.place, members=members[theirs.id], count=theirs.count)


async def _profiles(reader: _Reader, openids: Sequence[str]) -> list[tuple[str, tuple[str, ...], bool]]:
    """(openid, tag ids, whether they follow) of at most 100 people."""
    found = await reader.connected.call(lambda: reader.connected.official.people.profiles(openids))
    reader.found.calls += 1
    return [(one.openid, tuple(map(str, one.tagid_list)), bool(one.subscribe)) for one in found]


async def _who_left(reader: _Reader) -> None:
    """Who lost a tag there because they no longer follow has had nothing taken away by anybody; and whoever bears it
    by their own profile has it, whatever the list of the tag's people says."""
    missing = BitMap()
    for tag_id, known in reader.before.links.items():
        theirs = reader.found.theirs.get(tag_id)
        if theirs is not None and theirs.members is not None:
            missing |= (
                known.link.base & reader.before.held.get(known.link.tag, BitMap()) & reader.found.reach
            ) - theirs.members
    names = list((await reader.names(missing)).values())
    for at in range(0, len(names), reader.shape.look_up):
        for openid, ids, follows in await _profiles(reader, names[at : at + reader.shape.look_up]):
            alone = await reader.known([openid])
            if not follows:
                reader.found.reach -= alone
            for tag_id in ids:
                theirs = reader.found.theirs.get(tag_id)
                if theirs is not None and theirs.members is not None:
                    theirs.members.update(alone)


async def _unchanged(reader: _Reader, shown: dict[str, Theirs]) -> set[str]:
    """The tags that need not be read: as they were, here and there, and true in a sample of those who bear them."""
    same = {}
    for tag_id, theirs in shown.items():
        known = reader.before.links.get(tag_id)
        if known is None or not known.link.met or known.link.tag in reader.before.changed:
            continue
        if known.bearers == theirs.count and known.link.place == theirs.place:
            same[tag_id] = known.link.base
    crowd = BitMap.union(*same.values()) if same else BitMap()
    sample = BitMap(list(crowd)[:: max(1, len(crowd) // _SAMPLE)][:_SAMPLE])
    names = await reader.names(sample)
    if names:
        by_openid = {openid: number for number, openid in names.items()}
        for openid, ids, follows in await _profiles(reader, list(by_openid)):
            number = by_openid.get(openid)
            for tag_id, base in list(same.items()):
                if number is not None and (not follows or (number in base) != (tag_id in ids)):
                    del same[tag_id]
    return set(same)


# 企业微信


async def _wecom(reader: _Reader) -> None:
    found, connected = reader.found, reader.connected
    groups = await connected.call(connected.wecom.tags.groups)
    found.calls += 1
    shown = {
        tag.id: Theirs(tag.id, Place(group.group_name, tag.name), group.group_id)
        for group in groups
        for tag in group.tag
    }
    links = reader.before.links
    joined = all(tag_id in links and links[tag_id].link.met for tag_id in shown)
    few = (
        not reader.full
        and joined
        and len(reader.before.touched) <= max(1, len(reader.before.following) // reader.shape.page)
    )
    members = await (_of_touched(reader, shown) if few else _of_all(reader, shown))
    for tag_id, theirs in shown.items():
        bear = members.get(tag_id, BitMap())
        found.theirs[tag_id] = Theirs(tag_id, theirs.place, theirs.group_id, bear, len(bear))


async def _of_all(reader: _Reader, shown: dict[str, Theirs]) -> dict[str, BitMap]:
    employees = await reader.connected.call(reader.connected.wecom.customers.employees)
    reader.found.calls += 1
    bear: dict[str, set[str]] = {tag_id: set() for tag_id in shown}
    everybody: set[str] = set()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(employee: str) -> dict[str, tuple[str, ...]]:
        async with gate:
            told = await reader.connected.call(lambda: _customers(reader.connected, employee))
        reader.found.calls += max(1, -(-len(told) // reader.shape.page))
        return told

    for told in await asyncio.gather(*map(one, employees)):
        everybody.update(told)
        for name, ids in told.items():
            for tag_id in ids:
                if tag_id in bear:
                    bear[tag_id].add(name)
    reader.found.reach = await reader.known(everybody)
    reader.found.touched = reader.before.touched
    return {tag_id: await reader.known(names) for tag_id, names in bear.items()}


async def _customers(connected: accounts.Connected, employee: str) -> dict[str, tuple[str, ...]]:
    """Customer → tag ids, of one employee."""
    found: dict[str, tuple[str, ...]] = {}
    async for page in connected.wecom.customers.of([employee]):
        found |= {one.external_contact.external_userid: one.follow_info.tag_id for one in page}
    return found


async def _of_touched(reader: _Reader, shown: dict[str, Theirs]) -> dict[str, BitMap]:
    """Customers of whom a callback told a change; all others are as they were at the last sync."""
    found, touched = reader.found, reader.before.touched
    found.reach, found.touched = reader.before.following | touched, touched
    bases = {tag_id: known.link.base for tag_id, known in reader.before.links.items()}
    members = {tag_id: bases.get(tag_id, BitMap()) - touched for tag_id in shown}
    names = await reader.names(touched)
    found.reach -= touched - BitMap(names)
    for number, name in names.items():
        try:
            told = await reader.connected.call(lambda: reader.connected.wecom.customers.get(name))  # noqa: B023 - awaited at once
        except ChannelError as error:
            if error.reason not in ("not_a_friend", "invalid_external_userid"):
                raise
            found.reach.discard(number)
            continue
        finally:
            found.calls += 1
        for tag_id in {tag.tag_id for relation in told.follow_user for tag in relation.tags}:
            if tag_id in members:
                members[tag_id].add(number)
    return members
