"""All SQL of tracking."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tagcast.kit import clock, db
from tagcast.kit.uow import Work
from tagcast.tracking.rules import Hit, Kind, Link, Page, pack_hits
from tagcast.tracking.tables import hit_batches, links, pages, tallies


def put_link(work: Work, ref: str, kind: Kind, no: int, destination: str) -> Link:
    """The link under (ref, kind, no): a new one, or the one that is there, whatever it leads to."""
    row = {
        "workspace": work.workspace,
        "ref": ref,
        "kind": kind.value,
        "no": no,
        "destination": destination,
        "created_at": work.now_ms,
    }
    db.upsert_ignore(work.connection, links, [row], ["workspace", "ref", "kind", "no"])
    found = work.connection.execute(
        sa.select(links).where(
            links.c.workspace == work.workspace, links.c.ref == ref, links.c.kind == kind.value, links.c.no == no
        )
    ).one()
    return _link(found)


def find_link(work: Work, link: int) -> Link | None:
    """One link by its id."""
    row = work.connection.execute(
        sa.select(links).where(links.c.workspace == work.workspace, links.c.id == link)
    ).one_or_none()
    return None if row is None else _link(row)


def links_of(work: Work, ref: str) -> list[Link]:
    """Everything sent under one ref, in the order it was made."""
    rows = work.connection.execute(
        sa.select(links).where(links.c.workspace == work.workspace, links.c.ref == ref).order_by(links.c.id)
    )
    return [_link(row) for row in rows]


def put_page(work: Work, page: Page) -> None:
    """Keep a page's content, unless there is one already."""
    row = {
        "link": page.link.id,
        "workspace": work.workspace,
        "title": page.title,
        "body": page.body,
        "button_label": page.button_label,
        "button_link": None if page.button is None else page.button.id,
    }
    db.upsert_ignore(work.connection, pages, [row], ["link"])


def find_page(work: Work, link: Link) -> Page | None:
    """The page that an open link leads to."""
    row = work.connection.execute(
        sa.select(pages).where(pages.c.workspace == work.workspace, pages.c.link == link.id)
    ).one_or_none()
    if row is None:
        return None
    button = None if row.button_link is None else find_link(work, row.button_link)
    return Page(link, row.title, row.body, row.button_label, button)


def insert_hits(connection: Connection, batches: Mapping[int, Sequence[Hit]]) -> None:
    """Store hits, one row a workspace (the key), before their visitors are answered."""
    rows = [{"workspace": workspace, "hits": pack_hits(hits)} for workspace, hits in batches.items()]
    db.insert_many(connection, hit_batches, rows)


def has_open_batches(work: Work) -> bool:
    """Whether hits wait to be folded."""
    return (
        work.connection.scalar(
            sa.select(hit_batches.c.seq)
            .where(hit_batches.c.workspace == work.workspace, hit_batches.c.folded_at.is_(None))
            .limit(1)
        )
        is not None
    )


def take_open_batches(work: Work, limit: int) -> list[bytes]:
    """Mark the oldest open batches as folded and give their hits; a batch is given once.

    Waits for who is folding at this moment; what they took is not given, so fewer or none may come although more wait.
    """
    oldest = (
        sa.select(hit_batches.c.seq)
        .where(hit_batches.c.workspace == work.workspace, hit_batches.c.folded_at.is_(None))
        .order_by(hit_batches.c.seq)
        .limit(limit)
        .with_for_update()
    )
    seqs = list(work.connection.scalars(oldest))
    if not seqs:
        return []
    return list(
        work.connection.scalars(
            sa.update(hit_batches)
            .where(hit_batches.c.workspace == work.workspace, hit_batches.c.seq.in_(seqs))
            .values(folded_at=work.now_ms)
            .returning(hit_batches.c.hits)
        )
    )


def link_kinds(work: Work, ids: Iterable[int]) -> dict[int, tuple[str, Kind]]:
    """(ref, kind) of links by id."""
    rows = work.connection.execute(
        sa.select(links.c.id, links.c.ref, links.c.kind).where(
            links.c.workspace == work.workspace, links.c.id.in_(list(ids))
        )
    )
    return {row.id: (row.ref, Kind(row.kind)) for row in rows}


def add_tallies(work: Work, counted: Mapping[int, tuple[int, int]]) -> None:
    """Add (people's, machines') hits to links' totals."""
    db.upsert_ignore(
        work.connection,
        tallies,
        [{"link": link, "workspace": work.workspace, "people_hits": 0, "machine_hits": 0} for link in counted],
        ["link"],
    )
    if counted:
        work.connection.execute(
            sa.update(tallies)
            .where(tallies.c.workspace == work.workspace, tallies.c.link == sa.bindparam("of"))
            .values(
                people_hits=tallies.c.people_hits + sa.bindparam("people"),
                machine_hits=tallies.c.machine_hits + sa.bindparam("machines"),
            ),
            [{"of": link, "people": people, "machines": machines} for link, (people, machines) in counted.items()],
        )


def sum_tallies(work: Work, ref: str) -> dict[Kind, tuple[int, int]]:
    """(people's, machines') hits of everything sent under one ref, by kind."""
    rows = work.connection.execute(
        sa.select(links.c.kind, sa.func.sum(tallies.c.people_hits), sa.func.sum(tallies.c.machine_hits))
        .join(tallies, tallies.c.link == links.c.id)
        .where(links.c.workspace == work.workspace, tallies.c.workspace == work.workspace, links.c.ref == ref)
        .group_by(links.c.kind)
    )
    return {Kind(kind): (int(people), int(machines)) for kind, people, machines in rows}


def all_batches(work: Work) -> list[tuple[int, bytes]]:
    """(seq, hits) of every batch of the workspace."""
    rows = work.connection.execute(
        sa.select(hit_batches.c.seq, hit_batches.c.hits)
        .where(hit_batches.c.workspace == work.workspace)
        .order_by(hit_batches.c.seq)
    )
    return [(row.seq, row.hits) for row in rows]


def rewrite_batch(work: Work, seq: int, hits: bytes) -> None:
    """Replace the hits of one batch."""
    work.connection.execute(
        sa.update(hit_batches)
        .where(hit_batches.c.workspace == work.workspace, hit_batches.c.seq == seq)
        .values(hits=hits)
    )


def _link(row: Row[Any]) -> Link:
    return Link(row.id, row.workspace, row.ref, row.no, Kind(row.kind), row.destination, clock.from_ms(row.created_at))
