"""Merging one tag into another: who holds it, what stands below it, and the tag itself; and taking that back."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.bitmaps import Change
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Work
from tagcast.tags import lasting, rules, store, tagging
from tagcast.tags.actions import archive, bound, check_places, every, get, key, move, usable
from tagcast.tags.rules import Tag
from tagcast.tags.undoing import undo

Members = Literal["unite", "target", "common"]
MEMBERS: tuple[Members, ...] = ("unite", "target", "common")
"""Who holds the tag that remains: who held either, who held it before, who held both."""


@dataclass(slots=True)
class Merged:
    """What a merge did. `pairs`: (tag that went, tag in its place), the first is the one asked for, then those below.

    `changes` are seqs of taggings and removals, `ends` of changes of until when; `moved` (tag, former parent).
    """

    pairs: list[tuple[int, int]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """To be kept for the undo."""
        return asdict(self)

    @staticmethod
    def from_json(kept: dict[str, Any]) -> "Merged":
        """What `to_json` gave."""
        pairs, moved = [(a, b) for a, b in kept["pairs"]], [(a, b) for a, b in kept["moved"]]
        return Merged(pairs, list(kept["changes"]), list(kept["ends"]), moved)


def merge(work: Work, source_id: int, target_id: int, *, members: str = "unite", why: str) -> Merged:
    """Let the target take the place of the source, all or nothing: holders, until when they hold it, tags below.

    Of two tags of one name below them one is merged into the other too. The source is archived. Uses elsewhere are
    rewritten by `upkeep`. Raises NotFound, Conflict, Invalid, Refused when the target would be over a limit.
    """
    store.lock(work)
    source, target = usable(work, source_id), usable(work, target_id)
    if members not in MEMBERS:
        raise Invalid("tags.merge_members", given=members, known=", ".join(MEMBERS))
    if source.id == target.id:
        raise Invalid("tags.merge_itself", path=source.path)
    if source.account != target.account:
        raise Invalid("tags.other_account", path=source.path, parent=target.path)
    rules.check_keeper(target, work.actor)
    if target.id in store.below(work, source.id):
        raise Conflict("tags.ring", path=source.path, parent=target.path)
    done = Merged()
    with work.connection.begin_nested():
        _Merging(work, members, rules.check_why(why), done).run(source, target)
    return done


def pairs(work: Work, source_id: int, target_id: int) -> list[tuple[int, int]]:
    """Which tags a merge would let go, each with the one in its place. Raises NotFound, Conflict."""
    listed = [one for one in every(work).values() if one.archived_at is None]
    found, waiting = [], [(usable(work, source_id).id, usable(work, target_id).id)]
    while waiting:
        source, target = waiting.pop(0)
        found.append((source, target))
        twins = {rules.normal(one.name): one.id for one in listed if one.parent == target}
        below = [one for one in listed if one.parent == source and one.id != target]
        waiting += [(one.id, twins[rules.normal(one.name)]) for one in below if rules.normal(one.name) in twins]
    return found


def unmerge(work: Work, done: Merged, *, why: str) -> None:
    """Take a merge back: the tags and their places, and of the holders what still stands.

    Raises Conflict when a tag that went is back already, what is above one was archived, or a tag was moved again;
    Refused when it no longer fits.
    """
    store.lock(work)
    target = done.pairs[0][1]
    for gone, _ in done.pairs:
        if (tag := get(work, gone)).archived_at is None:
            raise Conflict("tags.not_archived", path=tag.path)
    with work.connection.begin_nested():
        store.update(work, [gone for gone, _ in done.pairs], archived_at=None)
        account = get(work, target).account
        rules.check_count(store.count(work, account), bound(work, account, "tags.count"))
        for tag_id, parent in reversed(done.moved):
            move(work, tag_id, parent)
        for gone, _ in done.pairs:
            if (above := get(work, gone).parent) is not None:
                usable(work, above)
        check_places(work, account, [gone for gone, _ in done.pairs])
        erased = _unknown(work, done)
        for seq in reversed(done.changes):
            with suppress(Conflict):
                undo(work, seq, why=why, twice=True)
        for seq in reversed(done.ends):
            with suppress(bitmaps.AlreadyUndone):
                back = work.bitmaps.undo(seq, why=why, but=erased)
                if back is not None and back.op == "add":
                    tagging.expire_at(work, lasting.ends_at(back.key)[1])


def _unknown(work: Work, done: Merged) -> BitMap:
    return BitMap.union(BitMap(), *[work.bitmaps.members(seq) for seq in done.ends]) - contacts.everyone(work)


class _Merging:
    def __init__(self, work: Work, members: str, why: str, done: Merged) -> None:
        self._work = work
        self._members = members
        self._why = why
        self._done = done

    def run(self, source: Tag, target: Tag) -> None:
        """Merge two tags and what is below them."""
        self._done.pairs.append((source.id, target.id))
        self._move_holders(source, target)
        tags = every(self._work).values()
        twins = {one.name: one for one in tags if one.parent == target.id and one.archived_at is None}
        twins = {rules.normal(name): one for name, one in twins.items()}
        for child in [one for one in tags if one.parent == source.id and one.archived_at is None]:
            if child.id == target.id:
                continue
            twin = twins.get(rules.normal(child.name))
            if twin is not None:
                self.run(child, twin)
            else:
                move(self._work, child.id, target.id)
                self._done.moved.append((child.id, source.id))
        archive(self._work, source.id)

    def _move_holders(self, source: Tag, target: Tag) -> None:
        work, held = self._work, self._work.bitmaps.read(key(source.id))
        ends = {
            lasting.ends_at(one)[1]: work.bitmaps.read(one) & held
            for one in work.bitmaps.keys(lasting.prefix(source.id))
        }
        self._note(tagging.remove(work, source.id, held, why=self._why))
        if self._members == "common":
            self._note(tagging.remove(work, target.id, work.bitmaps.read(key(target.id)) - held, why=self._why))
        if self._members == "unite":
            self._give(target, held - BitMap.union(BitMap(), *ends.values()), None)
            for until_ms, some in ends.items():
                self._give(target, some, until_ms)

    def _give(self, target: Tag, members: BitMap, until_ms: int | None) -> None:
        if members:
            change, ends = tagging.give_ending(self._work, target, members, why=self._why, until_ms=until_ms)
            self._note(change)
            self._done.ends += [one.seq for one in ends if change is None]

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self._done.changes.append(change.seq)
