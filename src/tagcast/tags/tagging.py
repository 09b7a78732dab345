"""Use cases of tagging: who holds a tag, since when, until when, why; and taking any of it back.

Each real change is one row of the bitmaps' log; giving a tag to those who hold it changes nothing and records nothing.
A tag given until a time is noted in `tag-until:<id>:<ms>` too. Of two times for one contact the longer stands.
"""

from collections.abc import Iterable
from datetime import datetime

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.bitmaps import Change
from tagcast.kit import clock, events, leases
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work
from tagcast.tags import rules, store
from tagcast.tags.actions import bound, every, get, key, usable
from tagcast.tags.events import TagAssigned, TagRemoved
from tagcast.tags.rules import Tag

EXPIRE = "tags.expire"


def assign(work: Work, tag_id: int, members: BitMap, *, why: str, until: datetime | None = None) -> Change | None:
    """Give the tag to `members`, all or none of them; None if all hold it already.

    Raises NotFound for contacts that do not exist, Refused when more than fit would hold the tag or a contact would
    hold more tags than the account's profile allows.
    """
    tag, reason = usable(work, tag_id), rules.check_why(why)
    if until is not None and until <= work.now:
        raise Invalid("tags.until_past", until=until.isoformat())
    if unknown := members - contacts.everyone(work):
        raise NotFound("tags.unknown_contacts", count=len(unknown), first=unknown.min())
    until_ms = None if until is None else clock.to_ms(until)
    with work.connection.begin_nested():
        change = work.bitmaps.add(key(tag.id), members, why=reason, until_ms=until_ms)
        _prolong(work, tag, members, change, until_ms)
        if change is not None:
            _check_room(work, tag, change)
    if until is not None:
        leases.enqueue(work, EXPIRE, str(until_ms), due=until)
    if change is not None:
        events.publish(work, TagAssigned(tag.id, change.seq))
    return change


def remove(work: Work, tag_id: int, members: BitMap, *, why: str) -> Change | None:
    """Take the tag from `members`; None if none of them holds it. Raises NotFound."""
    tag, reason = get(work, tag_id), rules.check_why(why)
    change = work.bitmaps.remove(key(tag.id), members, why=reason)
    if change is not None:
        _forget_until(work, tag.id, members)
        events.publish(work, TagRemoved(tag.id, change.seq))
    return change


def undo(work: Work, seq: int, *, why: str = "undo") -> Change | None:
    """Take back what still stands of one tagging or removal, once; the undo is itself a change that can be undone.

    None if nothing of it stands any more. Raises NotFound, Conflict if it was undone, Refused if it no longer fits.
    """
    tag = _tag_of(work, seq)
    reason = rules.check_why(why)
    try:
        with work.connection.begin_nested():
            change = work.bitmaps.undo(seq, why=reason)
            if change is not None and change.op == "add":
                _check_room(work, tag, change)
    except bitmaps.AlreadyUndone:
        raise Conflict("tags.undone", seq=seq) from None
    if change is None:
        return None
    if change.op == "remove":
        _forget_until(work, tag.id, work.bitmaps.members(change.seq))
        events.publish(work, TagRemoved(tag.id, change.seq))
    else:
        events.publish(work, TagAssigned(tag.id, change.seq))
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


def as_of(work: Work, tag_id: int, moment: datetime, *, below: bool = False) -> BitMap:
    """Who held the tag (with `below`: or one of those that are below it today) at a moment. Raises NotFound."""
    get(work, tag_id)
    ids = store.below(work, tag_id) if below else [tag_id]
    return BitMap.union(*[work.bitmaps.as_of(key(one), clock.to_ms(moment)) for one in ids])


def tags_of(work: Work, number: int) -> list[Tag]:
    """The tags that a contact holds itself, by id; archived tags are left out."""
    return [tag for tag in _held(work, every(work).values()) if number in work.bitmaps.read(key(tag.id))]


def history(work: Work, tag_id: int, *, limit: int = 100, before: int | None = None) -> list[Change]:
    """The changes of a tag, newest first; `before` (a seq) continues an earlier page. Raises NotFound."""
    get(work, tag_id)
    return work.bitmaps.history(key(tag_id), limit=limit, before=before)


def contact_history(work: Work, number: int) -> list[Change]:
    """Every change that gave a contact a tag or took one away, newest first."""
    return work.bitmaps.changes_of("tag:", number)


def tag_id_of(change: Change) -> int:
    """The tag that a change concerns."""
    return int(change.key.partition(":")[2])


def _held(work: Work, tags: Iterable[Tag]) -> list[Tag]:
    keys = set(work.bitmaps.keys("tag:"))
    return [tag for tag in tags if tag.archived_at is None and key(tag.id) in keys]


def _tag_of(work: Work, seq: int) -> Tag:
    try:
        change = work.bitmaps.change(seq)
    except bitmaps.UnknownChange:
        raise NotFound("tags.no_change", seq=seq) from None
    if not change.key.startswith("tag:"):
        raise NotFound("tags.no_change", seq=seq)
    return get(work, tag_id_of(change))


def _check_room(work: Work, tag: Tag, change: Change) -> None:
    """Judge the tag as it stands after the change: only then does nobody else add to it."""
    after = work.bitmaps.count(key(tag.id))
    rules.check_holders(tag.path, after - change.size, after, bound(work, tag.account, "tags.members"))
    most = bound(work, tag.account, "tags.per_contact")
    if most.most is None:
        return
    held = _held(work, store.every(work, tag.account))
    if len(held) <= most.most:
        return
    added = work.bitmaps.members(change.seq)
    beyond = bitmaps.counting.at_least([added & work.bitmaps.read(key(one.id)) for one in held], most.most + 1)
    if beyond:
        raise most.refuse("tags.holds_too_many", contacts=len(beyond), first=beyond.min())


def _prolong(work: Work, tag: Tag, members: BitMap, change: Change | None, until_ms: int | None) -> None:
    """Note how long the tag is held: who got it now until then, who would lose it earlier until then instead."""
    later = work.bitmaps.members(change.seq) if change is not None else BitMap()
    for until_key in work.bitmaps.keys(f"tag-until:{tag.id}:"):
        if until_ms is None or int(until_key.rpartition(":")[2]) < until_ms:
            sooner = work.bitmaps.read(until_key) & members
            later = later | sooner
            work.bitmaps.remove(until_key, sooner, why="prolonged")
    if until_ms is not None:
        work.bitmaps.add(f"tag-until:{tag.id}:{until_ms}", later, why="until")


def _forget_until(work: Work, tag_id: int, members: BitMap) -> None:
    for until_key in work.bitmaps.keys(f"tag-until:{tag_id}:"):
        work.bitmaps.remove(until_key, members, why="removed")
