"""Chunks: the pieces of the frozen audience with the status of each recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.rules import Numbers, Piece, Status, Statuses
from tagcast.broadcasts.tables import broadcasts, chunks, fill_context
from tagcast.kit import clock, db
from tagcast.kit.uow import Work

TROUBLE = "trouble"  # in a chunk's progress: why it was given back, until a call succeeds


@dataclass(slots=True)
class Chunk:
    """A piece of the frozen audience with the status of each recipient; arrays are in step."""

    broadcast: int
    no: int
    sender: str
    said: dict[str, Any]
    stage: int
    due_at: int | None
    recipients: Numbers
    statuses: Statuses
    msgids: "np.ndarray[Any, np.dtype[np.uint64]]"
    watermark: int
    tried_at: int | None
    call: str
    msgid: str | None
    progress: dict[str, Any]
    done: bool
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Where a chunk stands. `counts` are in step with `Status`; `trouble`: why it was given back."""

    no: int
    stage: int
    sender: str
    counts: list[int]
    moved_at: int | None
    done_at: int | None
    trouble: str | None


def insert_chunks(work: Work, broadcast: int, pieces: Sequence[Piece], *, with_msgids: bool, first: int = 0) -> None:
    """Freeze pieces as chunks `first`, `first` + 1 …"""
    rows = [
        {
            "workspace": work.workspace,
            "broadcast": broadcast,
            "no": no,
            "sender": piece.sender,
            "said": {name: value for name, value in piece.said.items() if name != "fill"},
            "fill": _sealed(work, broadcast, no, piece),
            "stage": piece.stage,
            "counts": [piece.recipients.size, *[0] * (len(Status) - 1)],
            "low": int(piece.recipients.min()),
            "high": int(piece.recipients.max()),
            "due_at": None if piece.due is None else clock.to_ms(piece.due),
            "recipients": piece.recipients.astype("<u4").tobytes(),
            "statuses": bytes(piece.recipients.size),
            "msgids": bytes(8 * piece.recipients.size) if with_msgids else b"",
            "watermark": 0,
            "call": "",
            "progress": {},
        }
        for no, piece in enumerate(pieces, first)
    ]
    db.insert_many(work.connection, chunks, rows)


def _sealed(work: Work, broadcast: int, no: int, piece: Piece) -> bytes | None:
    if "fill" not in piece.said:
        return None
    return work.vault.seal(orjson.dumps(piece.said["fill"]), fill_context(broadcast, no))


def _said(work: Work, row: Row[Any]) -> dict[str, Any]:
    if row.fill is None:
        return dict(row.said)
    return {**row.said, "fill": orjson.loads(work.vault.open(row.fill, fill_context(row.broadcast, row.no)))}


def _here(work: Work, broadcast: int) -> sa.ColumnElement[bool]:
    return sa.and_(chunks.c.workspace == work.workspace, chunks.c.broadcast == broadcast)


def _chunk(work: Work, row: Row[Any]) -> Chunk:
    return Chunk(
        broadcast=row.broadcast,
        no=row.no,
        sender=row.sender,
        said=_said(work, row),
        stage=row.stage,
        due_at=row.due_at,
        recipients=np.frombuffer(row.recipients, dtype="<u4"),
        statuses=np.frombuffer(row.statuses, dtype=np.uint8).copy(),
        msgids=np.frombuffer(row.msgids, dtype="<u8").copy(),
        watermark=row.watermark,
        tried_at=row.tried_at,
        call=row.call,
        msgid=row.msgid,
        progress=row.progress,
        done=row.done_at is not None,
        counts=row.counts,
    )


def chunk(work: Work, broadcast: int, no: int) -> Chunk:
    """One chunk. Who writes it back holds the broadcast's lock."""
    return _chunk(
        work, work.connection.execute(sa.select(chunks).where(_here(work, broadcast), chunks.c.no == no)).one()
    )


def chunks_of(work: Work, broadcast: int) -> list[Chunk]:
    """All chunks in order. Who writes them back holds the broadcast's lock."""
    rows = work.connection.execute(sa.select(chunks).where(_here(work, broadcast)).order_by(chunks.c.no))
    return [_chunk(work, row) for row in rows]


def sayings(work: Work, broadcast: int) -> list[dict[str, Any]]:
    """What the chunks of a broadcast are told, in their order."""
    columns: list[sa.Column[Any]] = [chunks.c.broadcast, chunks.c.no, chunks.c.said, chunks.c.fill]
    rows = work.connection.execute(sa.select(*columns).where(_here(work, broadcast)).order_by(chunks.c.no))
    return [_said(work, row) for row in rows]


def save_chunk(work: Work, changed: Chunk) -> None:
    """Write back what can change of a chunk."""
    counts = np.bincount(changed.statuses, minlength=len(Status)).tolist()
    moved = {} if counts == changed.counts else {"counts": counts, "moved_at": work.now_ms}
    changed.counts = counts
    work.connection.execute(
        sa.update(chunks)
        .where(_here(work, changed.broadcast), chunks.c.no == changed.no)
        .values(
            statuses=changed.statuses.tobytes(),
            msgids=changed.msgids.astype("<u8").tobytes(),
            watermark=changed.watermark,
            tried_at=changed.tried_at,
            call=changed.call,
            msgid=changed.msgid,
            progress=changed.progress,
            done_at=work.now_ms if changed.done else None,
            **moved,
        )
    )


def open_chunks(work: Work, broadcast: int) -> int:
    """How many chunks are not done."""
    return (
        work.connection.scalar(
            sa.select(sa.func.count()).select_from(chunks).where(_here(work, broadcast), chunks.c.done_at.is_(None))
        )
        or 0
    )


def trouble(work: Work, broadcast: int) -> str | None:
    """What holds up a chunk that was given back, or None: the first one's."""
    rows = work.connection.scalars(
        sa.select(chunks.c.progress).where(_here(work, broadcast), chunks.c.done_at.is_(None)).order_by(chunks.c.no)
    )
    return next((progress[TROUBLE] for progress in rows if TROUBLE in progress), None)


def tallies(work: Work, broadcast: int, *, after: int = -1, limit: int | None = None) -> list[Tally]:
    """Where each chunk stands, in order, without reading who is in it; those after a number, so many."""
    columns = (
        chunks.c.no, chunks.c.stage, chunks.c.sender, chunks.c.counts, chunks.c.moved_at, chunks.c.done_at,
        chunks.c.progress,
    )  # fmt: skip
    here = sa.and_(_here(work, broadcast), chunks.c.no > after)
    rows = work.connection.execute(sa.select(*columns).where(here).order_by(chunks.c.no).limit(limit))
    return [
        Tally(
            no=row.no,
            stage=row.stage,
            sender=row.sender,
            counts=row.counts,
            moved_at=row.moved_at,
            done_at=row.done_at,
            trouble=row.progress.get(TROUBLE),
        )
        for row in rows
    ]


def known_msgids(work: Work, account: int) -> set[str]:
    """Every task id that some chunk of this account's broadcasts holds."""
    rows = work.connection.scalars(
        sa.select(chunks.c.msgid)
        .join(broadcasts, sa.and_(broadcasts.c.workspace == chunks.c.workspace, broadcasts.c.id == chunks.c.broadcast))
        .where(chunks.c.workspace == work.workspace, broadcasts.c.account == account, chunks.c.msgid.is_not(None))
    )
    return {msgid for msgid in rows if msgid}


def status_of(work: Work, broadcast: int, contact: int) -> Status | None:
    """The ledger's word on one recipient, or None if he is not in the frozen audience."""
    found = chunk_of(work, broadcast, contact)
    return None if found is None else found[1]


def chunk_of(work: Work, broadcast: int, contact: int) -> tuple[Chunk, Status] | None:
    """The chunk in which a recipient is now, and his status; only chunks whose range holds him are read."""
    near = (chunks.c.low <= contact, chunks.c.high >= contact)
    likely = work.connection.scalars(
        sa.select(chunks.c.no).where(_here(work, broadcast), *near).order_by(chunks.c.no)
    ).all()
    for no in likely:
        piece = chunk(work, broadcast, no)
        at = np.flatnonzero(piece.recipients == contact)
        if at.size and piece.statuses[at[0]] != Status.CARRIED:
            return piece, Status(int(piece.statuses[at[0]]))
    return None
