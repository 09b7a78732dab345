"""All SQL of behaviour."""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from tagcast.behaviour import packed
from tagcast.behaviour.packed import AGGREGATE, BLOCK, Events
from tagcast.behaviour.rules import EventType
from tagcast.behaviour.tables import aggregates, batches, event_types
from tagcast.kit import db
from tagcast.kit.uow import Work


def all_types(work: Work) -> dict[str, EventType]:
    """The declared types by name, sorted."""
    table = event_types.c
    query = sa.select(table.name, table.purpose, table.properties, table.zone).where(table.workspace == work.workspace)
    return {
        row.name: EventType(row.name, row.purpose, dict(row.properties), row.zone)
        for row in work.connection.execute(query.order_by(table.name))
    }


def put_type(work: Work, declared: EventType) -> None:
    """Insert a type or overwrite its description."""
    row = {
        "workspace": work.workspace,
        "name": declared.name,
        "purpose": declared.purpose,
        "properties": dict(declared.properties),
        "zone": declared.zone,
        "created_at": work.now_ms,
    }
    db.upsert(work.connection, event_types, [row], ["workspace", "name"])


def has_batch(work: Work, name: str, batch_key: str) -> bool:
    """Whether this batch was recorded."""
    table = batches.c
    query = sa.select(table.seq).where(
        table.workspace == work.workspace, table.type == name, table.batch_key == batch_key
    )
    return work.connection.scalar(query) is not None


def insert_batch(work: Work, name: str, batch_key: str, batch: Events) -> int:
    """A new batch's seq."""
    made = work.connection.execute(
        sa.insert(batches).values(
            workspace=work.workspace,
            type=name,
            batch_key=batch_key,
            rows=len(batch),
            first_ms=int(batch.at_ms.min()),
            last_ms=int(batch.at_ms.max()),
            payload=packed.encode(batch),
            created_at=work.now_ms,
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def read_batch(work: Work, seq: int) -> tuple[str, Events] | None:
    """(type, events) of one batch."""
    table = batches.c
    row = work.connection.execute(
        sa.select(table.type, table.payload).where(table.workspace == work.workspace, table.seq == seq)
    ).one_or_none()
    return None if row is None else (row.type, packed.decode(row.payload))


def read_batches(work: Work, name: str, since_ms: int | None, until_ms: int | None) -> Iterator[tuple[int, Events]]:
    """(seq, events) of the batches that may hold events in [since, until), oldest first."""
    table = batches.c
    query = sa.select(table.seq, table.payload).where(table.workspace == work.workspace, table.type == name)
    if since_ms is not None:
        query = query.where(table.last_ms >= since_ms)
    if until_ms is not None:
        query = query.where(table.first_ms < until_ms)
    for row in work.connection.execute(query.order_by(table.seq)):
        yield row.seq, packed.decode(row.payload)


def batches_since(work: Work, seq: int, limit: int) -> Iterator[tuple[int, str, Events]]:
    """(seq, type, events) of at most `limit` batches after `seq`, oldest first."""
    table = batches.c
    query = sa.select(table.seq, table.type, table.payload).where(table.workspace == work.workspace, table.seq > seq)
    for row in work.connection.execute(query.order_by(table.seq).limit(limit)):
        yield row.seq, row.type, packed.decode(row.payload)


def last_seq(work: Work) -> int:
    """The seq of the newest batch, 0 before the first."""
    newest = sa.select(sa.func.max(batches.c.seq)).where(batches.c.workspace == work.workspace)
    return int(work.connection.scalar(newest) or 0)


def rewrite_batch(work: Work, seq: int, batch: Events) -> None:
    """Give a batch other contents."""
    work.connection.execute(
        sa.update(batches)
        .where(batches.c.workspace == work.workspace, batches.c.seq == seq)
        .values(payload=packed.encode(batch), rows=len(batch))
    )


def read_blocks(work: Work, name: str, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, NDArray[np.void]]]:
    """(block, aggregates of its contacts), ascending; all blocks, or those wanted that are there."""
    table = aggregates.c
    query = sa.select(table.block, table.payload).where(table.workspace == work.workspace, table.type == name)
    if wanted is not None:
        query = query.where(table.block.in_(list(wanted)))
    for row in work.connection.execute(query.order_by(table.block)):
        yield row.block, np.frombuffer(zlib.decompress(row.payload), dtype=AGGREGATE)


def write_blocks(work: Work, name: str, blocks: dict[int, NDArray[np.void]]) -> None:
    """Write blocks of aggregates."""
    rows = [
        {
            "workspace": work.workspace,
            "type": name,
            "block": block,
            "payload": zlib.compress(np.ascontiguousarray(found, dtype=AGGREGATE).tobytes(), 1),
        }
        for block, found in blocks.items()
    ]
    db.upsert(work.connection, aggregates, rows, ["workspace", "type", "block"])


def drop_blocks(work: Work, name: str) -> None:
    """Forget the aggregates of a type."""
    work.connection.execute(
        sa.delete(aggregates).where(aggregates.c.workspace == work.workspace, aggregates.c.type == name)
    )


def empty_block() -> NDArray[np.void]:
    """A block of contacts without events."""
    return np.zeros(BLOCK, dtype=AGGREGATE)
