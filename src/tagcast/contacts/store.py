"""All SQL of contacts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, TypeVar

import sqlalchemy as sa
from pyroaring import BitMap
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Row

from tagcast.contacts import rules
from tagcast.contacts.rules import Attribute, Identity
from tagcast.contacts.tables import attributes, contacts, counters, identities, import_jobs, syncs
from tagcast.kit import db
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work

T = TypeVar("T")

_ASKED_AT_ONCE = 5000


def lock(work: Work) -> int:
    """Make this transaction the only one that finds or makes people here; returns the last number given.

    The right to write sets is taken first: every writer takes the two in this order, so none waits in a ring.
    """
    work.bitmaps.add(rules.EVERYONE, BitMap(), why="")
    db.upsert_ignore(work.connection, counters, [{"workspace": work.workspace, "last": 0}], ["workspace"])
    query = sa.select(counters.c.last).where(counters.c.workspace == work.workspace).with_for_update()
    return int(work.connection.scalar(query) or 0)


def set_last_number(work: Work, last: int) -> None:
    """Remember the last number given. Raises Refused when there is none so high."""
    if last > rules.HIGHEST:
        raise Refused("contacts.no_more_numbers", highest=rules.HIGHEST)
    work.connection.execute(sa.update(counters).where(counters.c.workspace == work.workspace).values(last=last))


def find_numbers(work: Work, identity: Identity, fingerprints: Iterable[bytes]) -> dict[bytes, int]:
    """The numbers of those fingerprints that are known."""
    if work.connection.dialect.name == "sqlite":
        return _find_numbers_sqlite(work, identity, fingerprints)
    table = identities.c
    mine = sa.and_(table.workspace == work.workspace, table.kind == identity.kind, table.account == identity.account)
    query = _looked_up(work, table.fingerprint, table.number, mine)
    return {
        bytes(row[0]): row[1]
        for asked in _parts(fingerprints)
        for row in work.connection.execute(query, {"asked": asked})
    }


def _find_numbers_sqlite(work: Work, identity: Identity, fingerprints: Iterable[bytes]) -> dict[bytes, int]:
    """By the driver itself: tens of thousands of look-ups a second are more than a statement's parameters can bear."""
    here = (work.workspace, identity.kind, identity.account)
    found: dict[bytes, int] = {}
    # In their order, so that look-ups that follow each other stand on the same page.
    for asked in _parts(sorted(fingerprints)):
        marks = ",".join("?" * len(asked))
        query = f"SELECT fingerprint, number FROM identity WHERE workspace = ? AND kind = ? AND account = ? AND fingerprint IN ({marks})"  # noqa: S608, E501 - marks only
        found.update(work.connection.exec_driver_sql(query, (*here, *asked)).all())
    return found


def sealed_of(work: Work, numbers: Iterable[int]) -> dict[int, bytes]:
    """The vault rows of those numbers that stand."""
    query = _looked_up(work, contacts.c.number, contacts.c.sealed, contacts.c.workspace == work.workspace)
    return {row[0]: row[1] for asked in _parts(numbers) for row in work.connection.execute(query, {"asked": asked})}


def created_at(work: Work, number: int) -> int | None:
    """When the contact came, epoch milliseconds."""
    return work.connection.scalar(
        sa.select(contacts.c.created_at).where(contacts.c.workspace == work.workspace, contacts.c.number == number)
    )


def insert_contacts(work: Work, numbers: Sequence[int], sealed: Sequence[bytes]) -> None:
    """New vault rows."""
    _insert(work, contacts, len(numbers), (work.workspace, numbers, sealed, work.now_ms))


def update_sealed(work: Work, sealed: Mapping[int, bytes]) -> None:
    """New contents of vault rows."""
    if sealed:
        work.connection.execute(
            sa.update(contacts)
            .where(contacts.c.workspace == work.workspace, contacts.c.number == sa.bindparam("of"))
            .values(sealed=sa.bindparam("blob")),
            [{"of": number, "blob": blob} for number, blob in sealed.items()],
        )


def insert_identities(work: Work, identity: Identity, found: Mapping[bytes, int]) -> None:
    """New look-ups: numbers by fingerprint. In the order of their key, so that a page is met once."""
    marks = sorted(found)
    numbers = [found[mark] for mark in marks]
    _insert(work, identities, len(marks), (work.workspace, identity.kind, identity.account, marks, numbers))


def delete_contact(work: Work, number: int, marks: Sequence[tuple[Identity, bytes]]) -> None:
    """Delete a vault row and its look-ups."""
    table = identities.c
    for identity, fingerprint in marks:
        work.connection.execute(
            sa.delete(identities).where(
                table.workspace == work.workspace,
                table.kind == identity.kind,
                table.account == identity.account,
                table.fingerprint == fingerprint,
            )
        )
    work.connection.execute(
        sa.delete(contacts).where(contacts.c.workspace == work.workspace, contacts.c.number == number)
    )


def all_attributes(work: Work) -> dict[str, Attribute]:
    """The declared attributes by name, sorted."""
    names = [column for column in attributes.c if column.name != "workspace"]
    query = sa.select(*names).where(attributes.c.workspace == work.workspace).order_by(attributes.c.name)
    return {row.name: Attribute(**row._mapping) for row in work.connection.execute(query)}


def put_attribute(work: Work, attribute: Attribute) -> None:
    """Insert an attribute or overwrite its description."""
    row = {
        "workspace": work.workspace,
        "name": attribute.name,
        "type": attribute.type,
        "scale": attribute.scale,
        "purpose": attribute.purpose,
        "label_zh": attribute.label_zh,
        "label_en": attribute.label_en,
        "retention_days": attribute.retention_days,
    }
    db.upsert(work.connection, attributes, [row], ["workspace", "name"])


def delete_attribute(work: Work, name: str) -> int:
    """How many were deleted (0 or 1)."""
    return work.connection.execute(
        sa.delete(attributes).where(attributes.c.workspace == work.workspace, attributes.c.name == name)
    ).rowcount


def open_job(work: Work, kind: str, content: str, mapping: str) -> Row[Any]:
    """The import of this content under this mapping; made if there is none, and anew if it had nothing but refusals."""
    table = import_jobs.c
    work.connection.execute(
        sa.delete(import_jobs).where(
            table.workspace == work.workspace,
            table.kind == kind,
            table.content == content,
            table.mapping == mapping,
            table.done_at.is_not(None),
            table.refused > 0,
            table.refused == table.records,
        )
    )
    row = {"workspace": work.workspace, "kind": kind, "content": content, "mapping": mapping, "created_at": work.now_ms}
    counts = dict.fromkeys(("records", "made", "matched", "changed", "refused", "refused_bytes"), 0)
    db.upsert_ignore(work.connection, import_jobs, [row | counts], ["workspace", "kind", "content", "mapping"])
    found = find_job(work, kind, content, mapping)
    assert found is not None
    return found


def find_job(work: Work, kind: str, content: str, mapping: str) -> Row[Any] | None:
    """The import of this content under this mapping."""
    table = import_jobs.c
    return work.connection.execute(
        sa.select(import_jobs).where(
            table.workspace == work.workspace,
            table.kind == kind,
            table.content == content,
            table.mapping == mapping,
        )
    ).one_or_none()


def job_exists(work: Work, job: int) -> bool:
    """Whether this workspace has that import."""
    query = sa.select(import_jobs.c.id).where(import_jobs.c.workspace == work.workspace, import_jobs.c.id == job)
    return work.connection.scalar(query) is not None


def advance_job(work: Work, job: int, before: int, values: Mapping[str, int]) -> bool:
    """Write an import's progress; False when it no longer stands at `before` records."""
    moved = work.connection.execute(
        sa.update(import_jobs)
        .where(import_jobs.c.workspace == work.workspace, import_jobs.c.id == job, import_jobs.c.records == before)
        .values(**values)
    )
    return moved.rowcount == 1


def find_sync(work: Work, account: int) -> Row[Any] | None:
    """The syncs of an account, if there was one or its schedule was set."""
    return work.connection.execute(
        sa.select(syncs).where(syncs.c.workspace == work.workspace, syncs.c.account == account)
    ).one_or_none()


def put_sync(work: Work, account: int, values: Mapping[str, Any]) -> None:
    """Write how far a sync came (cursor, seen, before, started_at), or its schedule (every_hours)."""
    key = {"workspace": work.workspace, "account": account}
    none = {"cursor": "", "seen": b"", "before": b"", "started_at": 0, "ended_at": 0}
    db.upsert_ignore(work.connection, syncs, [key | none], ["workspace", "account"])
    here = sa.and_(syncs.c.workspace == work.workspace, syncs.c.account == account)
    work.connection.execute(sa.update(syncs).where(here).values(**values))


def end_sync(work: Work, account: int) -> None:
    """The sync is over."""
    none = {"cursor": "", "seen": b"", "before": b"", "started_at": 0}
    put_sync(work, account, {**none, "ended_at": work.now_ms})


def due_syncs(work: Work, every_hours: int) -> list[int]:
    """Accounts that were synchronised once, and not for as many hours as are set for them (else `every_hours`)."""
    hours = sa.func.coalesce(syncs.c.every_hours, every_hours)
    rows = work.connection.scalars(
        sa.select(syncs.c.account).where(
            syncs.c.workspace == work.workspace,
            syncs.c.ended_at > 0,
            hours > 0,
            syncs.c.ended_at + sa.cast(hours, sa.BigInteger) * 3_600_000 <= work.now_ms,
        )
    )
    return list(rows)


def _insert(work: Work, table: sa.Table, size: int, columns: Sequence[int | str | Sequence[Any]]) -> None:
    """Insert `size` rows given by column, one value for a column that is the same in all, by the driver's bulk way."""
    if not size:
        return
    names = ", ".join(table.c.keys())
    driver: Any = work.connection.connection.driver_connection
    if work.connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        cells = [repeat(one, size) if isinstance(one, int | str) else one for one in columns]
        # The driver takes rows as they come; a list of them would be ten thousands of objects more.
        driver.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", zip(*cells, strict=True))  # noqa: S608 - names of our own table
        return
    texts = [repeat(str(one), size) if isinstance(one, int | str) else map(_copied, one) for one in columns]
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        rows = map("\t".join, zip(*texts, strict=True))
        while part := list(islice(rows, _ASKED_AT_ONCE)):
            copy.write("\n".join(part) + "\n")


def _copied(value: int | bytes) -> str:
    """A number or bytes in the text format of COPY."""
    return str(value) if isinstance(value, int) else f"\\\\x{value.hex()}"


def _looked_up(
    work: Work, key: sa.Column[Any], value: sa.Column[Any], mine: sa.ColumnElement[bool]
) -> sa.Select[tuple[Any, Any]]:
    """(key, value) of the rows whose key, unique among `mine`, is among the values given as `asked`.

    PostgreSQL without fresh statistics compares each row with each value; a look-up per value leaves it no choice.
    """
    if work.connection.dialect.name == "sqlite":
        return sa.select(key, value).where(mine, key.in_(sa.bindparam("asked", expanding=True)))
    values = (
        sa.func.unnest(sa.bindparam("asked", type_=postgresql.ARRAY(key.type)))
        .table_valued("key")
        .render_derived(name="one")
    )
    row = sa.select(key, value).where(mine, key == values.c.key).limit(1).lateral("found")
    return sa.select(row.c[key.name], row.c[value.name]).select_from(values.join(row, sa.true()))


def _parts(items: Iterable[T]) -> Iterable[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, _ASKED_AT_ONCE)):
        yield part
