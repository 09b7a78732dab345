"""The report: every tag held against the thresholds."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

from tagcast import tags
from tagcast.bitmaps import Only
from tagcast.kit import clock
from tagcast.kit.uow import Work
from tagcast.tags import Tag
from tagcast.upkeep import actions, rules
from tagcast.upkeep.graph import Graph
from tagcast.upkeep.overlap import nearly_equal
from tagcast.upkeep.rules import Finding, Operation, Thresholds

Progress = Callable[[int, int], None]
_MOST_CHANGES = 100_000


def report(
    work: Work, *, kinds: Iterable[str] = (), account: int | None = None, progress: Progress | None = None
) -> list[Finding]:
    """What is worth a look, the most pressing kinds first; of some kinds only, or of one account. Changes nothing.

    `progress` is told of tags done and all of them; the pairs of nearly equal tags are what takes time.
    """
    wanted = set(kinds) or set(rules.KINDS)
    looking = _Looking(work, account)
    found = [*looking.each(wanted)]
    if "contradictory" in wanted:
        found += looking.contradictory()
    if "limit" in wanted:
        found += looking.counts()
    if "equal" in wanted:
        found += looking.equal(progress)
    order = {kind: place for place, kind in enumerate(rules.KINDS)}
    return sorted(found, key=lambda one: (order[one.kind], one.paths))


class _Looking:
    def __init__(self, work: Work, account: int | None) -> None:
        self._work = work
        self._of: Thresholds = actions.thresholds(work)
        every = tags.every(work).values()
        self._tags = [
            one for one in every if one.archived_at is None and (account is None or one.account == account)
        ]  # fmt: skip
        self._graph = Graph(work)
        self._parents = {tag.parent for tag in self._tags}

    def each(self, wanted: set[str]) -> Iterator[Finding]:
        """What can be told of a tag by itself; at most one of unused, stale and tiny."""
        for tag in self._tags:
            size = self._work.bitmaps.count(tags.key(tag.id))
            idle = self._unused(tag, size) or self._stale(tag, size) or self._tiny(tag, size)
            for found in (idle, self._drifting(tag, size), self._full(tag, size)):
                if found is not None and found.kind in wanted:
                    yield found

    def contradictory(self) -> Iterator[Finding]:
        """Exclusive groups of which contacts hold two."""
        mine = {tag.id for tag in self._tags}
        for one in tags.violations(self._work):
            if one.tag.id in mine:
                facts = {"contacts": len(one.contacts), "first": one.contacts.min()}
                paths = (one.tag.path, *(branch.path for branch in one.branches))
                ids = (one.tag.id, *(branch.id for branch in one.branches))
                yield Finding("contradictory", ids, paths, facts, Operation("settle", one.tag.id))

    def counts(self) -> Iterator[Finding]:
        """Accounts that have nearly as many tags as they may."""
        by_account: dict[int | None, list[Tag]] = {}
        for tag in self._tags:
            by_account.setdefault(tag.account, []).append(tag)
        for account, listed in by_account.items():
            bound = tags.bound(self._work, account, "tags.count")
            if bound.most is not None and len(listed) >= self._of.near_limit * bound.most:
                facts = {"limit": "tags.count", "count": len(listed), **_limit(bound), "account": account}
                yield Finding("limit", (), (), facts)

    def equal(self, progress: Progress | None) -> Iterator[Finding]:
        """Pairs within one account; the one that is used less would go into the other."""
        names = {tag.id: tag for tag in self._tags}
        for account in {tag.account for tag in self._tags}:
            sets = {
                tag.id: self._work.bitmaps.read(tags.key(tag.id)) for tag in self._tags if tag.account == account
            }  # fmt: skip
            for pair in nearly_equal(sets, self._of.nearly_equal, least=self._of.equal_least, progress=progress):
                stays, goes = self._of_two(names[pair.a], names[pair.b])
                facts = {
                    "a": len(sets[stays.id]), "b": len(sets[goes.id]), "both": pair.both, "jaccard": pair.jaccard
                }  # fmt: skip
                merge = Operation("merge", goes.id, stays.id)
                yield Finding("equal", (stays.id, goes.id), (stays.path, goes.path), facts, merge)

    def _of_two(self, a: Tag, b: Tag) -> tuple[Tag, Tag]:
        """(the one that stays, the one that goes): more uses, tags below, larger, older; never one into its own."""
        if b.path.startswith(f"{a.path}/"):
            return a, b
        if a.path.startswith(f"{b.path}/"):
            return b, a
        weight = {one.id: (len(self._graph.live(one.id)), one.id in self._parents) for one in (a, b)}
        return (b, a) if weight[b.id] > weight[a.id] else (a, b)

    def _unused(self, tag: Tag, size: int) -> Finding | None:
        if size or self._graph.live(tag.id) or tag.id in self._parents:
            return None
        idle = self._idle_days(tag)
        if idle < self._of.unused_days:
            return None
        return _of(tag, "unused", {"days": idle}, Operation("archive", tag.id))

    def _stale(self, tag: Tag, size: int) -> Finding | None:
        if not size or self._graph.live(tag.id):
            return None
        idle = self._idle_days(tag)
        if idle < self._of.stale_days:
            return None
        suggested = None if tag.id in self._parents else Operation("archive", tag.id)
        return _of(tag, "stale", {"days": idle, "holders": size}, suggested)

    def _tiny(self, tag: Tag, size: int) -> Finding | None:
        if not 0 < size < self._of.tiny:
            return None
        suggested = None
        if tag.id not in self._parents and tag.keeper is None:
            suggested = Operation("archive", tag.id) if tag.parent is None else Operation("merge", tag.id, tag.parent)
            if suggested.do == "archive" and self._graph.naming(tag.id):
                suggested = None
        return _of(tag, "tiny", {"holders": size}, suggested)

    def _full(self, tag: Tag, size: int) -> Finding | None:
        bound = tags.bound(self._work, tag.account, "tags.members")
        if bound.most is None or size < self._of.near_limit * bound.most:
            return None
        return _of(tag, "limit", {"limit": "tags.members", "count": size, **_limit(bound)})

    def _drifting(self, tag: Tag, size: int) -> Finding | None:
        """Turnover of the last period against the tag's own past, from the change log: sizes only, no members read."""
        days, periods = self._of.drift_days, self._of.drift_periods + 1
        start = clock.to_ms(self._work.now - timedelta(days=days * periods))
        if tag.created_at > start:
            # Shorter past: only whole periods of its life, the first of which filled it.
            age = (self._work.now_ms - tag.created_at) // (days * 86_400_000)
            periods = min(periods, int(age) - 1)
            start = clock.to_ms(self._work.now - timedelta(days=days * max(periods, 0)))
        if periods < 4:
            return None
        changes = tags.history(self._work, tag.id, limit=_MOST_CHANGES, only=Only(since_ms=start + 1))
        moved, net = [0] * periods, [0] * periods
        for change in changes:
            place = min(periods - 1, (change.at_ms - start) // (days * 86_400_000))
            moved[place] += change.size
            net[place] += change.size if change.op == "add" else -change.size
        turnover, held = [0.0] * periods, size
        for place in reversed(range(periods)):
            held -= net[place]
            turnover[place] = moved[place] / max(held, self._of.tiny)
        found = rules.unusual(turnover, self._of)
        if found is None:
            return None
        facts = {
            "days": days, "turnover": turnover[-1], "usual": found[0], "times": found[1], "net": net[-1],
            "holders": size,
        }  # fmt: skip
        return _of(tag, "drifting", facts)

    def _idle_days(self, tag: Tag) -> int:
        """Whole days since anything happened to it or to who holds it."""
        last = max((change.at_ms for change in tags.history(self._work, tag.id, limit=1)), default=tag.created_at)
        return int((self._work.now_ms - last) // 86_400_000)


def _of(tag: Tag, kind: rules.Kind, facts: dict[str, Any], suggested: Operation | None = None) -> Finding:
    return Finding(kind, (tag.id,), (tag.path,), facts, suggested)


def _limit(bound: tags.Bound) -> dict[str, Any]:
    return {"most": bound.most, "source": bound.source, "date": bound.date, "profile": bound.profile}
