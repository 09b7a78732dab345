"""Use cases of upkeep: thresholds; cleaning up, all or nothing, with a preview and an undo of the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tagcast.kit import clock
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.uow import Work
from tagcast.upkeep import doing, rules, store
from tagcast.upkeep.rules import Effect, Operation, Sized, Thresholds

_WHY_CHARS = 300


@dataclass(frozen=True, slots=True)
class Act:
    """A clean-up that was carried out."""

    id: int
    why: str
    effects: list[Effect]
    at: datetime
    who: str
    undone_at: datetime | None
    undone_by: str | None


def thresholds(work: Work) -> Thresholds:
    """From when on a tag is worth a look in this workspace."""
    return rules.thresholds(store.own_thresholds(work))


def set_thresholds(work: Work, given: Mapping[str, Any]) -> Thresholds:
    """Set some of them; None brings back the one that ships. Raises Invalid."""
    own = store.own_thresholds(work)
    gone = {name for name, value in given.items() if value is None}
    own |= rules.check_thresholds({name: value for name, value in given.items() if value is not None})
    store.put_thresholds(work, {name: value for name, value in own.items() if name not in gone})
    return thresholds(work)


def preview(work: Work, operations: Sequence[Operation]) -> list[Effect]:
    """What `apply` would do, exactly: it is done and taken back. Needs a transaction that may write. Raises as it."""
    store.lock(work)
    nested = work.connection.begin_nested()
    try:
        return [doing.do(work, one, "preview")[0] for one in rules.check_operations(operations)]
    finally:
        nested.rollback()


def apply(work: Work, operations: Sequence[Operation], *, why: str = "") -> Act:
    """Carry out operations in their order, all or none.

    Raises NotFound, Invalid; Conflict for a tag that is in use or kept by a rule; Refused over a limit.
    """
    checked = rules.check_operations(operations)
    reason = why.strip()[:_WHY_CHARS] or "upkeep"
    store.lock(work)
    with work.connection.begin_nested():
        done = [doing.do(work, one, reason) for one in checked]
        act = store.insert(work, reason, [effect.to_json() for effect, _ in done], [notes for _, notes in done])
    return get(work, act)


def undo(work: Work, act_id: int) -> Act:
    """Take a clean-up back as a whole: holders, tree and uses.

    What was changed since stays so where it can (holders); where it cannot (a use, a place) nothing is taken back.
    Raises NotFound, Conflict if it was undone or something stands in the way, Refused over a limit.
    """
    store.lock(work)
    row = store.get(work, act_id, lock=True)
    if row is None:
        raise NotFound("upkeep.no_act", act=act_id)
    if row.undone_at is not None:
        raise Conflict("upkeep.undone", act=act_id)
    with work.connection.begin_nested():
        for effect, notes in zip(reversed(row.effects), reversed(row.notes), strict=True):
            doing.take_back(work, rules.operation(effect["operation"]), notes, f"undo of clean-up {act_id}")
        store.mark_undone(work, act_id)
    return get(work, act_id)


def get(work: Work, act_id: int) -> Act:
    """One clean-up. Raises NotFound."""
    row = store.get(work, act_id)
    if row is None:
        raise NotFound("upkeep.no_act", act=act_id)
    return _act(row)


def acts(work: Work, *, limit: int = 20) -> list[Act]:
    """The newest clean-ups, newest first."""
    return [_act(row) for row in store.newest(work, limit)]


def _act(row: sa.Row[Any]) -> Act:
    undone = None if row.undone_at is None else clock.from_ms(row.undone_at)
    effects = [_effect(one) for one in row.effects]
    return Act(row.id, row.why, effects, clock.from_ms(row.at), row.who, undone, row.undone_by)


def _effect(kept: Mapping[str, Any]) -> Effect:
    sizes = [Sized(**one) for one in kept["sizes"]]
    uses = [(kind, name) for kind, name in kept["uses"]]
    return Effect(rules.operation(kept["operation"]), sizes, list(kept["archived"]), list(kept["moved"]), uses)
