"""All SQL of audiences."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.audiences import rules
from tagcast.audiences.rules import Expression
from tagcast.audiences.tables import frozen, segments, sizes
from tagcast.kit import db
from tagcast.kit.uow import Work, workspaces

_s = segments.c
_z = sizes.c
TagRef = tuple[int | None, str, int]
Refresh = Literal["asked", "scheduled", "live"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A named expression. `tags` are the tags that its paths meant when it was written; times in epoch milliseconds.

    One that is not worked out whenever it is asked is kept as the set `key`, true at `fresh_at` (None: not yet).
    """

    id: int
    name: str
    expression: Expression
    tags: tuple[TagRef, ...]
    description: str
    version: int
    created_at: int
    created_by: str
    changed_at: int
    refresh: Refresh = "asked"
    every_hours: int = 0
    fresh_at: int | None = None

    @property
    def key(self) -> str:
        """The set of its members, if it is kept as one."""
        return f"segment:{self.id}"


@dataclass(frozen=True, slots=True)
class Frozen:
    """An audience as it was: `digest` is the hex SHA-256 of its numbers as little-endian uint32 in ascending order."""

    id: int
    segment: str | None
    size: int
    digest: str
    key: str
    why: str
    created_at: int


def lock(work: Work) -> None:
    """Be the only one who changes segments here until the transaction ends: two changes could make a ring.

    The right to change sets comes first, as whoever keeps sets true takes it before any row.
    """
    work.bitmaps.add("segment:0", BitMap(), why="")
    work.connection.execute(sa.select(workspaces.c.id).where(workspaces.c.id == work.workspace).with_for_update())


def every(work: Work) -> list[Segment]:
    """All segments by name."""
    rows = work.connection.execute(sa.select(segments).where(_here(work)).order_by(_s.name))
    return [_segment(row) for row in rows]


def by_names(work: Work, names: Iterable[str]) -> dict[str, Segment]:
    """Those of the named segments that are there."""
    rows = work.connection.execute(sa.select(segments).where(_here(work), _s.name.in_(sorted(names))))
    return {row.name: _segment(row) for row in rows}


def get(work: Work, segment_id: int) -> Segment | None:
    """One segment."""
    row = work.connection.execute(sa.select(segments).where(_here(work), _s.id == segment_id)).first()
    return None if row is None else _segment(row)


def names(work: Work) -> list[str]:
    """The names of all segments."""
    return list(work.connection.scalars(sa.select(_s.name).where(_here(work))))


def insert(work: Work, name: str, expression: Expression, tags: Iterable[TagRef], description: str) -> int:
    """A new segment's id."""
    made = work.connection.execute(
        sa.insert(segments).values(
            workspace=work.workspace,
            name=name,
            expression=rules.to_json(expression),
            tags=[list(ref) for ref in tags],
            description=description,
            version=1,
            created_at=work.now_ms,
            created_by=work.actor[:100],
            changed_at=work.now_ms,
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def update(work: Work, segment_id: int, expression: Expression, tags: Iterable[TagRef], **values: Any) -> None:
    """Change a segment; its version grows by one."""
    work.connection.execute(
        sa.update(segments)
        .where(_here(work), _s.id == segment_id)
        .values(
            expression=rules.to_json(expression),
            tags=[list(ref) for ref in tags],
            version=_s.version + 1,
            changed_at=work.now_ms,
            **values,
        )
    )


def delete(work: Work, segment_id: int) -> None:
    """Put a segment away; `restore` takes it back."""
    # Several of one name can go in one millisecond.
    named = sa.select(_s.name).where(_s.workspace == work.workspace, _s.id == segment_id).scalar_subquery()
    last = sa.select(sa.func.max(_s.deleted_at)).where(_s.workspace == work.workspace, _s.name == named)
    at = max(work.now_ms, (work.connection.scalar(last) or 0) + 1)
    work.connection.execute(
        sa.update(segments).where(_here(work), _s.id == segment_id).values(deleted_at=at, fresh_at=None)
    )


def deleted(work: Work) -> list[tuple[Segment, int]]:
    """The segments that were put away, with when, the newest first."""
    rows = work.connection.execute(
        sa.select(segments)
        .where(_s.workspace == work.workspace, _s.deleted_at > 0)
        .order_by(_s.deleted_at.desc(), _s.id.desc())
    )
    return [(_segment(row), row.deleted_at) for row in rows]


def restore(work: Work, segment_id: int) -> None:
    """Take a segment back that was put away."""
    work.connection.execute(
        sa.update(segments).where(_s.workspace == work.workspace, _s.id == segment_id).values(deleted_at=0)
    )


def rename(work: Work, segment_id: int, name: str) -> None:
    """Give a segment another name; its version stays."""
    work.connection.execute(sa.update(segments).where(_here(work), _s.id == segment_id).values(name=name))


def rewrite(work: Work, segment_id: int, expression: Expression) -> None:
    """Write an expression anew that means what it meant; its version stays."""
    work.connection.execute(
        sa.update(segments).where(_here(work), _s.id == segment_id).values(expression=rules.to_json(expression))
    )


def put_refresh(work: Work, segment_id: int, refresh: Refresh, every_hours: int) -> None:
    """How a segment is kept; it has no set before `put_fresh`."""
    work.connection.execute(
        sa.update(segments)
        .where(_here(work), _s.id == segment_id)
        .values(refresh=refresh, every_hours=every_hours, fresh_at=None)
    )


def put_fresh(work: Work, segment_ids: Collection[int], at_ms: int) -> None:
    """Say that the sets of these segments are true at a moment."""
    work.connection.execute(
        sa.update(segments).where(_here(work), _s.id.in_(sorted(segment_ids))).values(fresh_at=at_ms)
    )


def insert_frozen(
    work: Work, expression: Expression, *, segment: str | None, size: int, digest: str, why: str
) -> Frozen:
    """Record a frozen audience."""
    made = work.connection.execute(
        sa.insert(frozen).values(
            workspace=work.workspace,
            segment=segment,
            expression=rules.to_json(expression),
            size=size,
            digest=digest,
            why=why,
            created_at=work.now_ms,
            created_by=work.actor[:100],
        )
    ).inserted_primary_key
    assert made is not None
    return Frozen(made[0], segment, size, digest, f"frozen:{made[0]}", why, work.now_ms)


def frozen_of(work: Work, name: str) -> list[int]:
    """The audiences that were frozen from a segment, the newest first."""
    found = sa.select(frozen.c.id).where(frozen.c.workspace == work.workspace, frozen.c.segment == name)
    return list(work.connection.scalars(found.order_by(frozen.c.id.desc())))


def rename_frozen(work: Work, before: str, after: str) -> None:
    """Let what was frozen from a segment say its new name."""
    work.connection.execute(
        sa.update(frozen).where(frozen.c.workspace == work.workspace, frozen.c.segment == before).values(segment=after)
    )


def put_size(work: Work, segment_id: int, *, day: int, version: int, size: int) -> None:
    """Record how large a segment is now."""
    row = {
        "workspace": work.workspace,
        "segment": segment_id,
        "at": work.now_ms,
        "day": day,
        "version": version,
        "size": size,
    }
    db.upsert(work.connection, sizes, [row], ["workspace", "segment", "at"])


def sizes_since(work: Work, segment_id: int, day: int) -> list[tuple[int, int, int, int]]:
    """(epoch milliseconds, day, version, size) since a day, oldest first."""
    rows = work.connection.execute(
        sa.select(_z.at, _z.day, _z.version, _z.size)
        .where(_z.workspace == work.workspace, _z.segment == segment_id, _z.day >= day)
        .order_by(_z.at)
    )
    return [(row.at, row.day, row.version, row.size) for row in rows]


def unmeasured(work: Work, day: int) -> list[int]:
    """The segments without a size of a day."""
    measured = sa.select(_z.segment).where(_z.workspace == work.workspace, _z.day == day)
    found = sa.select(_s.id).where(_here(work), _s.id.not_in(measured)).order_by(_s.id)
    return list(work.connection.scalars(found))


def get_frozen(work: Work, frozen_id: int) -> Frozen | None:
    """One frozen audience."""
    row = work.connection.execute(
        sa.select(frozen).where(frozen.c.workspace == work.workspace, frozen.c.id == frozen_id)
    ).first()
    if row is None:
        return None
    return Frozen(row.id, row.segment, row.size, row.digest, f"frozen:{row.id}", row.why, row.created_at)


def _here(work: Work) -> sa.ColumnElement[bool]:
    return sa.and_(_s.workspace == work.workspace, _s.deleted_at == 0)


def _segment(row: sa.Row[Any]) -> Segment:
    refs = tuple((account, path, tag) for account, path, tag in row.tags)
    expression = rules.from_json(row.expression)
    return Segment(
        row.id, row.name, expression, refs, row.description, row.version,
        row.created_at, row.created_by, row.changed_at, row.refresh, row.every_hours, row.fresh_at,
    )  # fmt: skip
