"""Where each kept set stands: up to which change, batch of events and moment it is true, for which node. All SQL."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from tagcast.audiences.tables import kept, segments
from tagcast.kit import db
from tagcast.kit.uow import Work

_k = kept.c


@dataclass(frozen=True, slots=True)
class Mark:
    """How far something was followed: the seq of the change log, that of batches of events, epoch milliseconds."""

    seq: int
    batch: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A kept set is what `node` was worth at `mark`; `source` stands for the expression, `whole_ms` for the last time
    that everybody was asked."""

    mark: Mark
    node: bytes
    source: str
    whole_ms: int


def every(work: Work) -> dict[str, Standing]:
    """All standings of the workspace by target."""
    rows = work.connection.execute(sa.select(kept).where(_k.workspace == work.workspace))
    return {row.target: Standing(Mark(row.seq, row.batch, row.at), row.node, row.source, row.whole_at) for row in rows}


def marks(work: Work) -> dict[str, Mark]:
    """How far each target was followed."""
    columns = sa.select(_k.target, _k.seq, _k.batch, _k.at).where(_k.workspace == work.workspace)
    return {row.target: Mark(row.seq, row.batch, row.at) for row in work.connection.execute(columns)}


def put(work: Work, target: str, standing: Standing) -> None:
    """Write one standing anew."""
    row = {
        "workspace": work.workspace,
        "target": target,
        "seq": standing.mark.seq,
        "batch": standing.mark.batch,
        "at": standing.mark.at_ms,
        "node": standing.node,
        "source": standing.source,
        "whole_at": standing.whole_ms,
    }
    db.upsert(work.connection, kept, [row], ["workspace", "target"])


def advance(work: Work, targets: Iterable[str], mark: Mark) -> None:
    """Say that these stand at `mark`, their nodes being the same."""
    for some in _parts(sorted(targets)):
        work.connection.execute(
            sa.update(kept)
            .where(_k.workspace == work.workspace, _k.target.in_(some))
            .values(seq=mark.seq, batch=mark.batch, at=mark.at_ms)
        )


def drop(work: Work, targets: Iterable[str]) -> None:
    """Forget where these stand: who keeps them again asks for everybody."""
    for some in _parts(sorted(targets)):
        work.connection.execute(sa.delete(kept).where(_k.workspace == work.workspace, _k.target.in_(some)))


def segment_versions(work: Work) -> list[tuple[str, int]]:
    """(name, version) of every segment that is there."""
    columns = sa.select(segments.c.name, segments.c.version)
    here = (segments.c.workspace == work.workspace, segments.c.deleted_at == 0)
    return [(row.name, row.version) for row in work.connection.execute(columns.where(*here).order_by(segments.c.name))]


def _parts(targets: list[str]) -> Iterable[Collection[str]]:
    return (targets[start : start + 500] for start in range(0, len(targets), 500))
