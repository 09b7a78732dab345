"""Taggings and removals of many callers in one transaction: each is a change of its own, or refused by itself."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.bitmaps import Change, Op
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work
from tagcast.tags import lasting, rules, store, tagging
from tagcast.tags.actions import get, key, usable
from tagcast.tags.rules import Tag


@dataclass(frozen=True, slots=True)
class Asked:
    """One tagging as `tagging.assign` takes it, or one removal, by `actor`."""

    tag: int
    op: Op
    members: BitMap
    why: str
    actor: str
    until: datetime | None = None
    forever: bool = False


Answer = Change | TagcastError | None


def change_many(work: Work, asked: Sequence[Asked]) -> list[Answer]:
    """As `assign` and `remove` one after the other: what became of each. A refused one leaves the others alone."""
    return _Many(work, asked).run()


class _Many:
    """Plain ones wait to be written together; one from which more may follow is done by itself, after those."""

    def __init__(self, work: Work, asked: Sequence[Asked]) -> None:
        self._work = work
        self._asked = asked
        self._found: list[Answer] = [None] * len(asked)
        self._waiting: list[tuple[int, bitmaps.Wanted]] = []
        self._plain: dict[tuple[int, Op], Tag | None] = {}

    def run(self) -> list[Answer]:
        """What became of each."""
        store.claim(self._work)
        for place, one in enumerate(self._asked):
            try:
                tag = self._plain_tag(one) if one.until is None else None
                if tag is None:
                    self._flush()
                    self._found[place] = self._alone(one)
                else:
                    self._waiting.append((place, self._wanted(tag, one)))
            except TagcastError as error:
                self._found[place] = error
        self._flush()
        return self._found

    def _plain_tag(self, one: Asked) -> Tag | None:
        """The tag, if nothing can follow from its change and no limit can refuse it."""
        known = (one.tag, one.op)
        if known not in self._plain:
            work = self._work
            tag = usable(work, one.tag) if one.op == "add" else get(work, one.tag)
            more = bool(work.bitmaps.keys(lasting.prefix(tag.id)))
            if one.op == "add":
                more = more or tag.lifetime_days is not None or tagging.refusable(work, tag)
            self._plain[known] = None if more else tag
        return self._plain[known]

    def _wanted(self, tag: Tag, one: Asked) -> bitmaps.Wanted:
        why = rules.check_why(one.why)
        if one.members:
            rules.check_keeper(tag, one.actor)
        if one.op == "add":
            tagging.check_known(self._work, one.members)
        return bitmaps.Wanted(key(tag.id), one.op, one.members, one.actor, why)

    def _alone(self, one: Asked) -> Change | None:
        # A tag whose ends were changed may be plain no more.
        self._plain.clear()
        view = self._work.bitmaps.acting(one.actor)
        work = replace(self._work, actor=one.actor, bitmaps=view)
        with work.connection.begin_nested() if len(self._asked) > 1 else nullcontext():
            if one.op == "remove":
                return tagging.remove(work, one.tag, one.members, why=one.why)
            return tagging.assign(work, one.tag, one.members, why=one.why, until=one.until, forever=one.forever)

    def _flush(self) -> None:
        changes = self._work.bitmaps.change_all([wanted for _, wanted in self._waiting])
        for (place, _), change in zip(self._waiting, changes, strict=True):
            self._found[place] = change
        tagging.tell(self._work, [change for change in changes if change is not None])
        self._waiting.clear()
