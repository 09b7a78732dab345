"""Taking back a tagging or a removal, and what followed from it."""

from contextlib import suppress

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.bitmaps import Change
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.uow import Work
from tagcast.tags import exclusive, lasting, rules, store
from tagcast.tags.actions import get, key
from tagcast.tags.rules import Tag
from tagcast.tags.tagging import check_room, expire_at, forgotten, tag_id_of, tell


def undo(work: Work, seq: int, *, why: str = "undo", twice: bool = False) -> Change | None:
    """Take back what still stands of one tagging or removal, once; the undo is itself a change that can be undone.

    None if nothing of it stands any more. What a removal took comes back until when it was held, and not if that is
    past; who has got another tag of an exclusive group since keeps that one, unless `twice`. Who was erased since gets
    nothing.
    Raises NotFound, Conflict if it was undone or a rule keeps the tag, Refused if it no longer fits.
    """
    tag, reason = _tag_of(work, seq), rules.check_why(why)
    rules.check_keeper(tag, work.actor)
    return _Undoing(work, seq, reason).run(tag, twice=twice)


def _tag_of(work: Work, seq: int) -> Tag:
    try:
        change = work.bitmaps.change(seq)
    except bitmaps.UnknownChange:
        raise NotFound("tags.no_change", seq=seq) from None
    if not change.key.startswith("tag:"):
        raise NotFound("tags.no_change", seq=seq)
    return get(work, tag_id_of(change))


class _Undoing:
    """One undo, with what followed from the change: tags taken for it, and until when it was held."""

    def __init__(self, work: Work, seq: int, why: str) -> None:
        self._work = work
        self._seq = seq
        self._why = why
        self._erased = BitMap()
        self._followed = [work.bitmaps.change(one) for one in store.made_together(work, seq)]
        self._back: dict[int, BitMap] = {}
        self._shorter: dict[int, BitMap] = {}

    def run(self, tag: Tag, *, twice: bool) -> Change | None:
        """The change of the tag itself, None if nothing of it stood."""
        work, before = self._work, self._work.bitmaps.change(self._seq)
        self._erased = work.bitmaps.members(self._seq) - contacts.everyone(work)
        but = self._over(tag.id) if before.op == "remove" else BitMap()
        if before.op == "remove" and not twice:
            but |= exclusive.shut_out(work, tag)
        try:
            with work.connection.begin_nested():
                change = work.bitmaps.undo(self._seq, why=self._why, but=but | self._erased)
                if change is None:
                    return None
                self._back[tag.id] = work.bitmaps.members(change.seq)
                made = [change, *self._undo_tags(change)]
                ends = self._undo_ends(made)
                for one in made:
                    if one.op == "add":
                        check_room(work, get(work, tag_id_of(one)), one)
                store.put_together(work, change.seq, [one.seq for one in (*made[1:], *ends)])
        except bitmaps.AlreadyUndone:
            raise Conflict("tags.undone", seq=self._seq) from None
        tell(work, made)
        return change

    def _over(self, tag_id: int) -> BitMap:
        """Whose tag, taken by this change, would have ended by now."""
        work = self._work
        past = [
            one
            for one in self._followed
            if one.op == "remove" and one.key.startswith(lasting.prefix(tag_id))
            and lasting.ends_at(one.key)[1] <= work.now_ms
        ]  # fmt: skip
        return BitMap.union(BitMap(), *[work.bitmaps.members(one.seq) for one in past])

    def _undo_tags(self, change: Change) -> list[Change]:
        """Give back, or take again, the other tags of an exclusive group; only to those whom the undo concerns."""
        made, concerned = [], self._work.bitmaps.members(change.seq)
        for one in self._followed:
            if not one.key.startswith("tag:"):
                continue
            other = tag_id_of(one)
            beside = self._work.bitmaps.members(one.seq) - concerned
            done = self._undone(one, beside | (self._over(other) if one.op == "remove" else BitMap()))
            if done is not None:
                self._back[other] = self._work.bitmaps.members(done.seq)
                made.append(done)
        return made

    def _undo_ends(self, made: list[Change]) -> list[Change]:
        """Until when tags were held before: of tags given back, and of those that the change had prolonged."""
        work, ends = self._work, [one for one in self._followed if one.key.startswith("tag-until:")]
        found: list[Change | None] = []
        for one in (one for one in ends if one.op == "add"):
            done = self._undone(one, BitMap())
            found.append(done)
            if done is not None:
                tag_id = lasting.ends_at(one.key)[0]
                self._shorter[tag_id] = self._shorter.get(tag_id, BitMap()) | work.bitmaps.members(done.seq)
        longer = {lasting.ends_at(one.key)[0] for one in ends if one.op == "add"}
        for one in (one for one in ends if one.op == "remove"):
            tag_id, until_ms = lasting.ends_at(one.key)
            entitled = self._back.get(tag_id, BitMap()) | self._shorter.get(tag_id, BitMap())
            if tag_id not in longer:
                # Prolonged for ever: nothing but the tag's own log tells whether that stands.
                entitled |= work.bitmaps.members(one.seq) - self._touched(tag_id)
            entitled &= work.bitmaps.read(key(tag_id))
            done = self._undone(one, work.bitmaps.members(one.seq) - entitled)
            found.append(done)
            if done is not None:
                expire_at(work, until_ms)
        for one in made:
            if one.op == "remove":
                found += forgotten(work, one)
        return [one for one in found if one is not None]

    def _touched(self, tag_id: int) -> BitMap:
        """Who got or lost the tag by a change since."""
        found, before = BitMap(), None
        while page := self._work.bitmaps.history(key(tag_id), before=before):
            for one in page:
                if one.seq <= self._seq:
                    return found
                found |= self._work.bitmaps.members(one.seq)
            before = page[-1].seq
        return found

    def _undone(self, one: Change, but: BitMap) -> Change | None:
        with suppress(bitmaps.AlreadyUndone):
            return self._work.bitmaps.undo(one.seq, why=self._why, but=but | self._erased)
        return None
