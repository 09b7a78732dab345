"""Use cases of tagging: who holds a tag, since when, until when, why; and taking any of it back.

Each real change is one row of the bitmaps' log; giving a tag to those who hold it changes nothing and records nothing.
What follows from a change (how long, which tags of an exclusive group) is undone with it.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.bitmaps import Change
from tagcast.kit import clock, events, leases
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Work
from tagcast.tags import exclusive, lasting, rules, store
from tagcast.tags.actions import bound, every, get, key, usable
from tagcast.tags.events import TagAssigned, TagRemoved
from tagcast.tags.rules import Bound, Tag

EXPIRE = "tags.expire"


def assign(
    work: Work, tag_id: int, members: BitMap, *, why: str, until: datetime | None = None, forever: bool = False
) -> Change | None:
    """Give the tag to `members`, all or none of them; None if all hold it already.

    Without `until` it ends after the tag's own lifetime, if it has one; with `forever` it does not. In an
    exclusive group what they hold there is taken from them, or they are refused, as was declared. Raises
    NotFound for contacts that do not exist, Refused when more than fit would hold the tag or a contact would hold more
    tags than the account's profile allows, or two of a group; Conflict for a tag that a rule keeps.
    """
    store.claim(work)
    tag, reason = usable(work, tag_id), rules.check_why(why)
    if members:
        rules.check_keeper(tag, work.actor)
    if until is not None and until <= work.now:
        raise Invalid("tags.until_past", until=until.isoformat())
    check_known(work, members)
    if until is None and not forever:
        until = rules.ends(tag, work.now)
    until_ms = None if until is None else clock.to_ms(until)
    return give_ending(work, tag, members, why=reason, until_ms=until_ms)[0]


def check_known(work: Work, members: BitMap) -> None:
    """Raise NotFound for contacts that do not exist."""
    known = work.bitmaps.present(contacts.EVERYONE, members)
    if len(known) < len(members):
        unknown = members - known
        raise NotFound("tags.unknown_contacts", count=len(unknown), first=unknown.min())


def refusable(work: Work, tag: Tag) -> bool:
    """Whether giving the tag may still be refused, or take another, once it is known for whom."""
    return tag.rivals or any(limit.most is not None for limit in _limits(work, tag))


def give_ending(
    work: Work, tag: Tag, members: BitMap, *, why: str, until_ms: int | None
) -> tuple[Change | None, list[Change]]:
    """As `assign`, for what was checked already; also what followed from it: it is undone with the change, if any."""
    # Only where something may still be refused is a way back needed.
    bounded = refusable(work, tag)
    with work.connection.begin_nested() if bounded else nullcontext():
        taken = exclusive.make_room(work, tag, members - work.bitmaps.read(key(tag.id)), why=why) if tag.rivals else []
        change = work.bitmaps.add(key(tag.id), members, why=why, until_ms=until_ms)
        new = work.bitmaps.members(change.seq) if change is not None else BitMap()
        follows = [*taken, *(one for rival in taken for one in forgotten(work, rival))]
        follows += lasting.prolong(work, tag.id, members, new, until_ms)
        if change is not None:
            if bounded:
                check_room(work, tag, change)
            store.put_together(work, change.seq, [one.seq for one in follows])
    if until_ms is not None:
        expire_at(work, until_ms)
    tell(work, [*taken, *([change] if change is not None else [])])
    return change, follows


def expire_at(work: Work, until_ms: int) -> None:
    """Ask for tags to be taken away when they end."""
    leases.enqueue(work, EXPIRE, str(until_ms), due=clock.from_ms(until_ms))


def remove(work: Work, tag_id: int, members: BitMap, *, why: str) -> Change | None:
    """Take the tag from `members`; None if none of them holds it. Raises NotFound, Conflict if a rule keeps it."""
    store.claim(work)
    tag, reason = get(work, tag_id), rules.check_why(why)
    if members:
        rules.check_keeper(tag, work.actor)
    change = work.bitmaps.remove(key(tag.id), members, why=reason)
    if change is not None:
        store.put_together(work, change.seq, [one.seq for one in forgotten(work, change)])
        tell(work, [change])
    return change


def expire(work: Work) -> int:
    """Take away every tag whose time is over; returns how many times a contact lost one."""
    lost = 0
    for until_key in work.bitmaps.keys("tag-until:"):
        _, tag_id, until_ms = until_key.split(":")
        if int(until_ms) > work.now_ms:
            continue
        ended = work.bitmaps.read(until_key)
        change = work.bitmaps.remove(key(int(tag_id)), ended, why="expired")
        work.bitmaps.remove(until_key, ended, why="expired")
        if change is not None:
            lost += change.size
            events.publish(work, TagRemoved(int(tag_id), change.seq))
    return lost


def holders(work: Work, tag_id: int, *, below: bool = True) -> BitMap:
    """Who holds the tag, or one below it unless `below` is false. Raises NotFound. Not to be mutated."""
    get(work, tag_id)
    if not below:
        return work.bitmaps.read(key(tag_id))
    return BitMap.union(*[work.bitmaps.read(key(one)) for one in store.below(work, tag_id)])


def tags_of(work: Work, number: int) -> list[Tag]:
    """The tags that a contact holds itself, by id; archived tags are left out."""
    return [tag for tag in _held(work, every(work).values()) if number in work.bitmaps.read(key(tag.id))]


def tag_id_of(change: Change) -> int:
    """The tag that a change concerns."""
    return int(change.key.partition(":")[2])


def _held(work: Work, tags: Iterable[Tag]) -> list[Tag]:
    keys = set(work.bitmaps.keys("tag:"))
    return [tag for tag in tags if tag.archived_at is None and key(tag.id) in keys]


def check_room(work: Work, tag: Tag, change: Change) -> None:
    """Judge the tag as it stands after the change: only then does nobody else add to it."""
    after = work.bitmaps.count(key(tag.id))
    holders_most, most = _limits(work, tag)
    rules.check_holders(tag.path, after - change.size, after, holders_most)
    if most.most is None:
        return
    held = _held(work, store.every(work, tag.account))
    if len(held) <= most.most:
        return
    added = work.bitmaps.members(change.seq)
    beyond = bitmaps.counting.at_least([added & work.bitmaps.read(key(one.id)) for one in held], most.most + 1)
    if beyond:
        raise most.refuse("tags.holds_too_many", contacts=len(beyond), first=beyond.min())


def check_fits(work: Work, tag_id: int, members: BitMap, fewer: int = 0) -> None:
    """Whether `members`, who do not hold the tag, could get it, `fewer` others losing it first. Raises Refused."""
    tag, after = get(work, tag_id), work.bitmaps.count(key(tag_id)) - fewer + len(members)
    holders_most, most = _limits(work, tag)
    rules.check_holders(tag.path, after - len(members), after, holders_most)
    others = [one for one in _held(work, store.every(work, tag.account)) if one.id != tag_id]
    if most.most is None or len(others) < most.most:
        return
    beyond = bitmaps.counting.at_least([members & work.bitmaps.read(key(one.id)) for one in others], most.most)
    if beyond:
        raise most.refuse("tags.holds_too_many", contacts=len(beyond), first=beyond.min())


def _limits(work: Work, tag: Tag) -> tuple[Bound, Bound]:
    """How many may hold the tag, and how many tags of its account a contact may hold."""
    return bound(work, tag.account, "tags.members"), bound(work, tag.account, "tags.per_contact")


def forgotten(work: Work, change: Change) -> list[Change]:
    """Who lost a tag by a removal has no end of it any more."""
    return lasting.forget(work, tag_id_of(change), work.bitmaps.members(change.seq))


def tell(work: Work, changes: Iterable[Change]) -> None:
    """Publish that contacts got tags or lost them."""
    facts = [(TagAssigned if one.op == "add" else TagRemoved)(tag_id_of(one), one.seq) for one in changes]
    events.publish(work, *facts)
