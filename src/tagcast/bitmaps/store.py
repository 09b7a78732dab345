"""All SQL of the change log and of the register of checkpoints, always by workspace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, cast

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps.codec import from_bytes, to_bytes
from tagcast.bitmaps.records import Change, Only, Op, Wanted
from tagcast.bitmaps.tables import change, checkpoint

_AnyRow = sa.Row[*tuple[Any, ...]]
_LOCK_CLASS = 0x42495453
_LONG_TAIL = 1000
_PAGE = 8
_c = change.c
_facts = (_c.seq, _c.key, _c.op, _c.size, _c.who, _c.why, _c.at_ms, _c.until_ms, _c.undoes)
_of_workspace = _c.workspace == sa.bindparam("workspace")
_of_key = sa.and_(_of_workspace, _c.key == sa.bindparam("key"))

_last_seq = sa.select(sa.func.coalesce(sa.func.max(_c.seq), 0)).where(_of_workspace)
_tail = (
    sa.select(_c.seq, _c.key, _c.op, _c.members)
    .where(_of_workspace, _c.seq > sa.bindparam("after"), _c.seq <= sa.bindparam("to"))
    .order_by(_c.seq)
)
_key_tail = (
    sa.select(_c.seq, _c.op, _c.members)
    .where(_of_key, _c.seq > sa.bindparam("after"), _c.seq <= sa.bindparam("to"))
    .order_by(_c.seq)
)
_SQLITE_LAST = "SELECT max(seq) FROM bitmap_change WHERE workspace = ?"
_SQLITE_TAIL = (
    "SELECT seq, key, op, members FROM bitmap_change WHERE workspace = ? AND seq > ? AND seq <= ? ORDER BY seq"
)
_lock = sa.text("SELECT pg_advisory_xact_lock(:class, :workspace)")
_insert = sa.insert(change).returning(_c.seq)


_PACKED, _STEP = 128, 16
_COLUMNS = (
    "workspace", "key", "op", "members", "size", "low", "high", "who", "why", "at_ms", "until_ms", "undoes",
)  # fmt: skip
_NAMES = ", ".join(_COLUMNS[:-1])
_SQLITE_ONE = f"INSERT INTO bitmap_change ({', '.join(_COLUMNS)}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - names
# The order of the rows is that of their numbers: defaults are computed after the sort.
_POSTGRESQL_MANY = (
    f"INSERT INTO bitmap_change ({_NAMES})"  # noqa: S608 - names of our own table
    " SELECT %s::int, key, op, members, size, low, high, who, why, at_ms, until_ms FROM unnest(%s::text[], %s::text[],"
    " %s::bytea[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])"
    " WITH ORDINALITY AS one (key, op, members, size, low, high, who, why, at_ms, until_ms, place)"
    " ORDER BY place RETURNING seq"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One change as replay needs it."""

    seq: int
    key: str
    op: Op
    members: BitMap


def last_seq(connection: sa.Connection, workspace: int) -> int:
    """The seq of the newest change visible to this transaction, 0 if there is none."""
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql(_SQLITE_LAST, (workspace,)).scalar_one() or 0)
    return int(connection.execute(_last_seq, {"workspace": workspace}).scalar_one())


def lock(connection: sa.Connection, workspace: int) -> bool:
    """Make this transaction the only one that appends to the workspace's log until it ends.

    Returns whether others may have appended since this transaction first looked.

    PostgreSQL gives sequence numbers before commits: without the lock a reader could see 8 before 7 and skip 7 for
    ever. A SQLite write transaction is alone by itself.
    """
    if connection.dialect.name != "postgresql":
        return False
    connection.execute(_lock, {"class": _LOCK_CLASS, "workspace": workspace})
    return True


def append(connection: sa.Connection, workspace: int, fact: Change, members: BitMap) -> int:
    """Write one change (`fact.seq` is ignored); return its seq. `members` must not be empty; it is run-optimised."""
    members.run_optimize()
    row = (
        workspace, fact.key, fact.op, to_bytes(members), fact.size, members.min(), members.max(),
        fact.who, fact.why, fact.at_ms, fact.until_ms, fact.undoes,
    )  # fmt: skip
    if connection.dialect.name == "sqlite":
        # Past SQLAlchemy's compiler: a single tagging has little else to do.
        return int(connection.exec_driver_sql(_SQLITE_ONE, row).lastrowid)
    return int(connection.execute(_insert, dict(zip(_COLUMNS, row, strict=True))).scalar_one())


def append_all(
    connection: sa.Connection, workspace: int, rows: Sequence[tuple[Wanted, BitMap]], at_ms: int
) -> list[int]:
    """As `append` for at least one change and its effective members; the seqs, which ascend.

    Whoever calls has the right to append, so that nobody else's rows of this workspace come between.
    """
    cells = []
    for one, members in rows:
        members.run_optimize()
        cells.append(
            (workspace, one.key, one.op, to_bytes(members), len(members), members.min(), members.max(),
             one.who, one.why, at_ms, one.until_ms)
        )  # fmt: skip
    if connection.dialect.name == "postgresql":
        columns = [list(column) for column in zip(*cells, strict=True)][1:]
        return sorted(connection.exec_driver_sql(_POSTGRESQL_MANY, (workspace, *columns)).scalars())
    start = 0
    while left := min(len(cells) - start, _PACKED):
        # Of few lengths, so that the driver finds the statements prepared.
        part = cells[start : start + (left - left % _STEP or left)]
        start += len(part)
        connection.exec_driver_sql(_packed(len(part)), tuple(chain.from_iterable(part)))
    last = int(connection.exec_driver_sql("SELECT last_insert_rowid()").scalar_one())
    return list(range(last - len(cells) + 1, last + 1))


@cache
def _packed(size: int) -> str:
    marks = ",".join(["(?,?,?,?,?,?,?,?,?,?,?)"] * size)
    return f"INSERT INTO bitmap_change ({_NAMES}) VALUES {marks}"  # noqa: S608 - names and marks only


def tail(connection: sa.Connection, workspace: int, after: int, to: int, *, limit: int | None = None) -> Iterator[Row]:
    """The changes of all keys with after < seq <= to, oldest first, at most `limit`; long tails are streamed."""
    if connection.dialect.name == "sqlite" and limit is None and to - after <= _LONG_TAIL:
        for seq, key, op, members in connection.exec_driver_sql(_SQLITE_TAIL, (workspace, after, to)):
            yield Row(seq, key, cast(Op, op), from_bytes(members))
        return
    options = {"yield_per": 256} if to - after > _LONG_TAIL else {}
    parameters = {"workspace": workspace, "after": after, "to": to}
    statement = _tail if limit is None else _tail.limit(limit)
    for seq, key, op, members in connection.execute(statement, parameters, execution_options=options):
        yield Row(seq, key, cast(Op, op), from_bytes(members))


def key_tail(connection: sa.Connection, workspace: int, key: str, after: int, to: int) -> Iterator[Row]:
    """The changes of one key with after < seq <= to, oldest first."""
    parameters = {"workspace": workspace, "key": key, "after": after, "to": to}
    for seq, op, members in connection.execute(_key_tail, parameters):
        yield Row(seq, key, cast(Op, op), from_bytes(members))


def seq_at(connection: sa.Connection, workspace: int, key: str, at_ms: int) -> int:
    """The seq of the key's last change that was made at or before `at_ms`, 0 if there is none."""
    statement = (
        sa.select(_c.seq)
        .where(_c.workspace == workspace, _c.key == key, _c.at_ms <= at_ms)
        .order_by(_c.seq.desc())
        .limit(1)
    )
    return int(connection.execute(statement).scalar() or 0)


def keys_ever(connection: sa.Connection, workspace: int, prefix: str, at_ms: int) -> list[str]:
    """The keys that begin with `prefix` and changed at or before `at_ms`, sorted."""
    statement = sa.select(_c.key).distinct().where(_c.workspace == workspace, _c.at_ms <= at_ms)
    if prefix:
        statement = statement.where(_c.key >= prefix, _c.key < prefix + "\U0010ffff")
    return list(connection.scalars(statement.order_by(_c.key)))


def find(connection: sa.Connection, workspace: int, seq: int) -> Change | None:
    """One change without its members."""
    statement = sa.select(*_facts).where(_c.workspace == workspace, _c.seq == seq)
    row = connection.execute(statement).first()
    return None if row is None else _change(row)


def members(connection: sa.Connection, workspace: int, seq: int) -> BitMap | None:
    """The members that one change added or removed."""
    data = connection.execute(sa.select(_c.members).where(_c.workspace == workspace, _c.seq == seq)).scalar()
    return None if data is None else from_bytes(data)


def undone_by(connection: sa.Connection, workspace: int, seq: int) -> int | None:
    """The seq of the change that undid `seq`."""
    statement = sa.select(_c.seq).where(_c.workspace == workspace, _c.undoes == seq).limit(1)
    return connection.execute(statement).scalar()


def history(
    connection: sa.Connection, workspace: int, key: str, *, limit: int, before: int | None, only: Only
) -> list[Change]:
    """The key's changes that `only` chooses, newest first, from below the seq `before`."""
    statement = sa.select(*_facts).where(_c.workspace == workspace, _c.key == key)
    if before is not None:
        statement = statement.where(_c.seq < before)
    if only.who is not None:
        statement = statement.where(_c.who == only.who)
    if only.why is not None:
        statement = statement.where(_c.why.icontains(only.why, autoescape=True))
    if only.op is not None:
        statement = statement.where(_c.op == only.op)
    if only.since_ms is not None:
        statement = statement.where(_c.at_ms >= only.since_ms)
    if only.until_ms is not None:
        statement = statement.where(_c.at_ms <= only.until_ms)
    return [_change(row) for row in connection.execute(statement.order_by(_c.seq.desc()).limit(limit))]


def changes_of(connection: sa.Connection, workspace: int, prefix: str, member: int) -> list[Change]:
    """The changes, newest first, of keys that begin with `prefix` and that concern `member`."""
    statement = (
        sa.select(*_facts, _c.members)
        .where(_c.workspace == workspace, _c.low <= member, _c.high >= member)
        .order_by(_c.seq.desc())
    )
    if prefix:
        statement = statement.where(_c.key >= prefix, _c.key < prefix + "\U0010ffff")
    rows = connection.execute(statement)
    return [_change(row) for row in rows if row.size == 1 or member in from_bytes(row.members)]


def last_change(connection: sa.Connection, workspace: int, key: str, member: int, *, below: bool) -> Change | None:
    """The newest change of a key, with `below` of any key that begins with it, that concerns `member`."""
    named = sa.and_(_c.key >= key, _c.key < key + "\U0010ffff") if below else _c.key == key
    statement = (
        sa.select(*_facts, _c.members)
        .where(_c.workspace == workspace, named, _c.low <= member, _c.high >= member)
        .order_by(_c.seq.desc())
        .limit(_PAGE)
    )
    before = 1 << 62
    # A page at a time: the newest change is usually the one, and each may hold millions of members.
    while rows := connection.execute(statement.where(_c.seq < before)).all():
        for row in rows:
            if row.size == 1 or member in from_bytes(row.members):
                return _change(row)
        before = rows[-1].seq
    return None


def _change(row: _AnyRow) -> Change:
    return Change(
        seq=row.seq,
        key=row.key,
        op=row.op,
        size=row.size,
        who=row.who,
        why=row.why,
        at_ms=row.at_ms,
        until_ms=row.until_ms,
        undoes=row.undoes,
    )


def checkpoints(connection: sa.Connection, workspace: int, node: str) -> list[_AnyRow]:
    """The checkpoints recorded for this node, newest first: (generation, seq, file, digest)."""
    c = checkpoint.c
    statement = (
        sa.select(c.generation, c.seq, c.file, c.digest)
        .where(c.workspace == workspace, c.node == node)
        .order_by(c.generation.desc())
    )
    return list(connection.execute(statement))


def record_checkpoint(connection: sa.Connection, workspace: int, node: str, values: dict[str, object]) -> bool:
    """Record one checkpoint; False if its generation was recorded meanwhile."""
    c = checkpoint.c
    newest = sa.select(sa.func.max(c.generation)).where(c.workspace == workspace, c.node == node)
    if (connection.execute(newest).scalar() or 0) >= cast(int, values["generation"]):
        return False
    connection.execute(sa.insert(checkpoint).values(workspace=workspace, node=node, **values))
    return True


def drop_checkpoints(connection: sa.Connection, workspace: int, node: str, below: int) -> None:
    """Forget the checkpoints of this node whose generation is below `below`."""
    c = checkpoint.c
    connection.execute(sa.delete(checkpoint).where(c.workspace == workspace, c.node == node, c.generation < below))
