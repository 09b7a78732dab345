"""Chunks: the pieces of the frozen audience with the status of each recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.rules import Numbers, Piece, Status, Statuses
from tagcast.broadcasts.tables import broadcasts, chunks
from tagcast.kit import db
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
    recipients: Numbers
    statuses: Statuses
    msgids: "np.ndarray[Any, np.dtype[np.uint64]]"
    watermark: int
    tried_at: int | None
    call: str
    msgid: str | None
    progress: dict[str, Any]
    done: bool


def insert_chunks(work: Work, broadcast: int, pieces: Sequence[Piece], *, with_msgids: bool) -> None:
    """Freeze pieces as chunks 0, 1, 2 …"""
    rows = [
        {
            "workspace": work.workspace,
            "broadcast": broadcast,
            "no": no,
            "sender": piece.sender,
            "said": piece.said,
            "stage": piece.stage,
            "recipients": piece.recipients.astype("<u4").tobytes(),
            "statuses": bytes(piece.recipients.size),
            "msgids": bytes(8 * piece.recipients.size) if with_msgids else b"",
            "watermark": 0,
            "call": "",
            "progress": {},
        }
        for no, piece in enumerate(pieces)
    ]
    db.insert_many(work.connection, chunks, rows)


def _here(work: Work, broadcast: int) -> sa.ColumnElement[bool]:
    return sa.and_(chunks.c.workspace == work.workspace, chunks.c.broadcast == broadcast)


def _chunk(row: Row[Any]) -> Chunk:
    return Chunk(
        broadcast=row.broadcast,
        no=row.no,
        sender=row.sender,
        said=row.said,
        stage=row.stage,
        recipients=np.frombuffer(row.recipients, dtype="<u4"),
        statuses=np.frombuffer(row.statuses, dtype=np.uint8).copy(),
        msgids=np.frombuffer(row.msgids, dtype="<u8").copy(),
        watermark=row.watermark,
        tried_at=row.tried_at,
        call=row.call,
        msgid=row.msgid,
        progress=row.progress,
        done=row.done_at is not None,
    )


def chunk(work: Work, broadcast: int, no: int) -> Chunk:
    """One chunk. Who writes it back holds the broadcast's lock."""
    return _chunk(work.connection.execute(sa.select(chunks).where(_here(work, broadcast), chunks.c.no == no)).one())


def chunks_of(work: Work, broadcast: int) -> list[Chunk]:
    """All chunks in order. Who writes them back holds the broadcast's lock."""
    rows = work.connection.execute(sa.select(chunks).where(_here(work, broadcast)).order_by(chunks.c.no))
    return [_chunk(row) for row in rows]


def save_chunk(work: Work, changed: Chunk) -> None:
    """Write back what can change of a chunk."""
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


def status_blobs(work: Work, broadcast: int) -> list[bytes]:
    """The packed statuses of all chunks."""
    return list(work.connection.scalars(sa.select(chunks.c.statuses).where(_here(work, broadcast))))


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
    for piece in chunks_of(work, broadcast):
        at = np.flatnonzero(piece.recipients == contact)
        if at.size:
            return Status(int(piece.statuses[at[0]]))
    return None
