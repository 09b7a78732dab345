"""Live segments: the set `segment:<id>` is kept true, and who enters or leaves is an event."""

from collections.abc import Mapping

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.audiences import catalogue, store
from tagcast.audiences.events import Entered, Left
from tagcast.audiences.live.memory import Kept
from tagcast.audiences.rules import Expression
from tagcast.audiences.tables import segments
from tagcast.kit import logs
from tagcast.kit.errors import NotFound, TagcastError
from tagcast.kit.events import publish
from tagcast.kit.uow import Work

_PREFIX = "segment:"
_s = segments.c

log = logs.get("segments")


class Segments:
    """The live segments of a workspace. One that cannot be worked out has no set: asked for, it says why."""

    def kept(self, work: Work) -> Mapping[str, Kept]:
        """The live segments."""
        rows = work.connection.execute(
            sa.select(_s.id, _s.version).where(_s.workspace == work.workspace, _s.deleted_at == 0, _s.refresh == "live")
        )
        return {f"{_PREFIX}{row.id}": Kept(f"{_PREFIX}{row.id}", row.version) for row in rows}

    def expression(self, work: Work, kept: Kept) -> Expression:
        """What the segment says. Raises TagcastError."""
        found = store.get(work, _id(kept.target))
        if found is None:
            raise NotFound("audiences.no_segment", segment=_id(kept.target))
        return catalogue.current(work, [found])[0].expression

    def check(self, _work: Work, _stands_on: Mapping[str, frozenset[str]]) -> Mapping[str, TagcastError]:
        """Nothing stands on a segment's set, so there is no ring."""
        return {}

    def apply(self, work: Work, kept: Kept, added: BitMap, removed: BitMap, *, first: bool) -> None:
        """Change the set and tell who entered and who left."""
        segment = _id(kept.target)
        left = work.bitmaps.remove(kept.target, removed, why="live") if removed else None
        entered = work.bitmaps.add(kept.target, added, why="live") if added else None
        if left is not None:
            publish(work, Left(segment, left.seq, first))
        if entered is not None:
            publish(work, Entered(segment, entered.seq, first))

    def filled(self, work: Work, kept: Kept) -> None:
        """The set is true from now on."""
        store.put_fresh(work, [_id(kept.target)], work.now_ms)

    def stop(self, work: Work, kept: Kept, problem: TagcastError) -> None:
        """It has no set until it can be worked out again."""
        found = store.get(work, _id(kept.target))
        if found is None or found.fresh_at is None:
            return
        log.warning("live segment cannot be worked out", segment=found.id, code=problem.code)
        work.bitmaps.replace(kept.target, BitMap(), why=problem.code)
        work.connection.execute(
            sa.update(segments).where(_s.workspace == work.workspace, _s.id == found.id).values(fresh_at=None)
        )


def _id(target: str) -> int:
    return int(target.removeprefix(_PREFIX))
