"""The people of a tag, here and there. Here: one recorded change. There: 50 a call, or on 企业微信 one pair a call.

公众号 and 服务号: tags one after another, so that no two calls of this run concern the same person and tag at once; a
batch that fails in part (45171) is repeated for those who failed, one by one, to learn why (45059, 50005 …).
企业微信: all tags of a person in one call per employee who has them; what another app deleted meanwhile is left out.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast import accounts, bitmaps, contacts
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work
from tagcast.tags import tagging
from tagcast.tags.sync import store
from tagcast.tags.sync.job import Job
from tagcast.tags.sync.rules import shape
from tagcast.tags.sync.steps import Sets, Step

_CHUNK_CALLS = 16
_MARKED_AT_ONCE = 200


async def carry_out(job: Job, step: Step) -> None:
    """One tag: first here, in the transaction that notes it, then there, chunk by chunk. Marks follow together."""
    sets = step.sets
    assert sets is not None
    link = await job.ask(lambda work: store.link_of(work, job.account.id, tag=step.tag, there=step.there))
    if link is None:
        await job.transact(lambda work: _not_joined(job, work))
        return
    tag, there = link
    if job.run.position == 0:
        await job.transact(lambda work: _here(job, work, step, tag))
    if shape(job.account.kind).batch > 1:
        await _there(job, step, tag, int(there))
    await job.transact(job.next)


def _not_joined(job: Job, work: Work) -> None:
    """Its tag was not made, which stands among the problems already."""
    job.note(work, told=Counter(not_joined=1), step=job.run.step + 1, position=0)


def _here(job: Job, work: Work, step: Step, tag: int) -> None:
    """The recorded changes of this side, and what both sides agree on from now on."""
    sets, done = step.sets, 0
    assert sets is not None
    try:
        with work.connection.begin_nested():
            change = tagging.assign(work, tag, sets.add_here & contacts.everyone(work), why=job.why)
            lost = tagging.remove(work, tag, sets.drop_here, why=job.why)
            _agree(work, job.account.id, tag, add=sets.add_here | sets.base_add, drop=sets.drop_here | sets.base_drop)
        done = len(sets.add_here) + len(sets.drop_here)
        values = {"version": 0} if change or lost else {}
        store.change_link(work, job.account.id, tag, met=True, **values)
    except TagcastError as error:
        job.trouble(work, step.path, error.code)
    # Position 1: what is here is done; people of the other side are counted from there.
    job.note(work, done=done, position=1)


async def _there(job: Job, step: Step, tag: int, there: int) -> None:
    sets = step.sets
    assert sets is not None
    people = [*sets.add_there, *sets.drop_there]
    size = _CHUNK_CALLS * shape(job.account.kind).batch
    at = max(0, job.run.position - 1)
    while at < len(people):
        # A chunk holds only those who get the tag, or only those who lose it.
        end = min(at + size, len(sets.add_there)) if at < len(sets.add_there) else min(at + size, len(people))
        chunk, add = people[at:end], at < len(sets.add_there)
        batch = _Batch(job, there, add)
        if not await batch.all(chunk):
            await job.transact(lambda work: job.trouble(work, step.path, "no_such_tag"))
            return
        await job.transact(lambda work: _noted(job, work, tag, batch, end=end))  # noqa: B023 - awaited at once
        at = end


def _noted(job: Job, work: Work, tag: int, batch: "_Batch", *, end: int) -> None:
    """What a chunk did there is the common base from now on."""
    none, good = BitMap(), batch.good
    _agree(work, job.account.id, tag, add=good if batch.add else none, drop=none if batch.add else good)
    known = next((one for one in store.links(work, job.account.id) if one.link.tag == tag), None)
    if known is not None:
        bearers = known.bearers + (len(good) if batch.add else -len(good)) if known.bearers >= 0 else -1
        store.change_link(work, job.account.id, tag, bearers=bearers)
    job.note(work, done=len(good), told=Counter(batch.refused.values()), position=end + 1)


@dataclass(slots=True)
class _Batch:
    """Calls that put one tag on people, or take it off. `refused`: contact → the platform's reason."""

    job: Job
    there: int
    add: bool
    refused: dict[int, str] = field(default_factory=dict)
    good: BitMap = field(default_factory=BitMap)

    async def all(self, numbers: Sequence[int]) -> bool:
        """False: the tag is gone there. `good` are those who are as they should be."""
        names = await self.job.ask(lambda work: contacts.identities_of(work, numbers, "openid", self.job.account.id))
        self.refused |= {number: "not_reachable" for number in numbers if number not in names}
        pairs, form = list(names.items()), shape(self.job.account.kind)
        parts = [pairs[at : at + form.batch] for at in range(0, len(pairs), form.batch)]
        gate = asyncio.Semaphore(form.concurrency)

        async def one(part: Sequence[tuple[int, str]]) -> bool:
            async with gate:
                return await self.some(part)

        there = all(await asyncio.gather(*map(one, parts)))
        self.good = bitmaps.pack(number for number in numbers if number not in self.refused)
        return there

    async def some(self, pairs: Sequence[tuple[int, str]]) -> bool:
        """At most 50 people; what is refused because of one of them is asked again in halves."""
        tags = self.job.connected.official.tags
        call = tags.put_on if self.add else tags.take_off
        try:
            failed = await self.job.connected.call(lambda: call(self.there, [name for _, name in pairs]))
        except ChannelError as error:
            if error.reason == "no_such_tag":
                return False
            if error.reaction is not Reaction.PERMANENT or error.scope is not Scope.RECIPIENT:
                raise
            if len(pairs) == 1:
                self.refused[pairs[0][0]] = error.reason
                return True
            half = len(pairs) // 2
            return await self.some(pairs[:half]) and await self.some(pairs[half:])
        for number, name in pairs:
            if name in failed and len(pairs) == 1:
                self.refused[number] = "partly_failed"
            elif name in failed and not await self.some([(number, name)]):
                return False
        return True


@dataclass(slots=True)
class _Marks:
    """What one person gets and loses on 企业微信: the platform's tag ids, and whether any employee's pair took it."""

    add: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    taken: bool = False
    reason: str = "not_reachable"


async def mark_all(job: Job, steps: Sequence[Step]) -> None:
    """Everybody whom any of the steps concerns, in the order of their numbers."""
    wanted: list[tuple[int, str, Sets]] = []
    for step in steps:
        link = await job.ask(lambda work: store.link_of(work, job.account.id, tag=step.tag, there=step.there))  # noqa: B023 - awaited at once
        if link is not None and step.sets is not None:
            wanted.append((*link, step.sets))
    crowd = BitMap.union(*[sets.add_there | sets.drop_there for *_, sets in wanted] or [BitMap()])
    gone: set[str] = set()
    while True:
        numbers, _ = bitmaps.page(crowd, job.run.position, _MARKED_AT_ONCE)
        if not numbers:
            break
        marks = {number: _Marks() for number in numbers}
        for _, there, sets in wanted:
            for number in sets.add_there & BitMap(numbers):
                marks[number].add.append(there)
            for number in sets.drop_there & BitMap(numbers):
                marks[number].drop.append(there)
        await _mark(job, marks, gone)
        await job.transact(lambda work: _noted_marks(job, work, wanted, marks, gone))  # noqa: B023 - awaited at once
    await job.transact(job.next)


def _noted_marks(
    job: Job, work: Work, wanted: Sequence[tuple[int, str, Sets]], marks: dict[int, _Marks], gone: set[str]
) -> None:
    taken = bitmaps.pack(number for number, one in marks.items() if one.taken)
    done = 0
    for tag, there, sets in wanted:
        if there not in gone:
            add, drop = sets.add_there & taken, sets.drop_there & taken
            _agree(work, job.account.id, tag, add=add, drop=drop)
            done += len(add) + len(drop)
    told = Counter(one.reason for one in marks.values() if not one.taken)
    job.note(work, done=done, told=told, position=max(marks))


async def _mark(job: Job, marks: dict[int, _Marks], gone: set[str]) -> None:
    names = await job.ask(lambda work: contacts.identities_of(work, marks, "external_userid", job.account.id))
    pairs = await job.ask(lambda work: _pairs(work, job.account.id, BitMap(marks)))
    gate = asyncio.Semaphore(shape(job.account.kind).concurrency)

    async def one(employee: str, number: int) -> None:
        async with gate, accounts.alone(job.account.id, f"{employee} {names[number]}"):
            await _mark_one(job, employee, names[number], marks[number], gone)

    await asyncio.gather(*(one(employee, number) for employee, number in pairs if number in names))


def _pairs(work: Work, account: int, numbers: BitMap) -> list[tuple[str, int]]:
    """(employee, contact) of everybody who has one of these customers, or of the first employee of each alone."""
    one = store.find(work, account).settings.employees == "one"
    prefix, found, seen = f"employee:{account}:", [], BitMap()
    for key in work.bitmaps.keys(prefix):
        theirs = work.bitmaps.read(key) & numbers
        found += [(key.removeprefix(prefix), number) for number in (theirs - seen if one else theirs)]
        seen |= theirs
    return found


async def _mark_one(job: Job, employee: str, customer: str, marks: _Marks, gone: set[str]) -> None:
    client, tags = job.connected, job.connected.wecom.tags
    for again in (True, False):
        add = [there for there in marks.add if there not in gone]
        drop = [there for there in marks.drop if there not in gone]
        if not add and not drop:
            marks.taken = True
            return
        try:
            await client.call(lambda: tags.mark(employee, customer, add=add, remove=drop))  # noqa: B023 - awaited at once
        except ChannelError as error:
            if error.reason == "no_such_tag" and again:
                there = {tag.id for group in await client.call(tags.groups) for tag in group.tag}
                gone |= {one for one in (*marks.add, *marks.drop) if one not in there}
                continue
            if error.reaction is not Reaction.PERMANENT or error.scope not in (Scope.RECIPIENT, Scope.SENDER):
                raise
            marks.reason = error.reason
            return
        marks.taken = True
        return


def _agree(work: Work, account: int, tag: int, *, add: BitMap, drop: BitMap) -> None:
    base = store.base_key(account, tag)
    work.bitmaps.add(base, add, why="on both sides")
    work.bitmaps.remove(base, drop, why="on both sides")
