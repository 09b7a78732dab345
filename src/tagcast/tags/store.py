"""All SQL of tags."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.kit import db
from tagcast.kit.uow import Work, workspaces
from tagcast.tags.rules import SEPARATOR, Tag
from tagcast.tags.tables import tag_log, tags, together, trees

_t = tags.c


def claim(work: Work) -> None:
    """Take the right to change sets before looking at a tag: who archives or merges it does so before or after."""
    work.bitmaps.add("tag:0", BitMap(), why="")


def lock(work: Work) -> None:
    """Be the only one who changes this workspace's tree until the transaction ends.

    Two moves that each see the tree without the other could make a ring; two creations could each take the last place.
    The right to change sets comes first: whoever gives a tag may have to make it, and has that right by then.
    """
    claim(work)
    work.connection.execute(sa.select(workspaces.c.id).where(workspaces.c.id == work.workspace).with_for_update())


def every(work: Work, account: int | None = None, *, anywhere: bool = False) -> list[Tag]:
    """The tags of one account (None: the workspace's own), or of all, each parent before its children."""
    statement = sa.select(tags).where(_t.workspace == work.workspace).order_by(_t.id)
    if not anywhere:
        statement = statement.where(_t.account == (account or 0))
    return _ordered(work.connection.execute(statement).all())


def get(work: Work, tag_id: int) -> Tag | None:
    """One tag with its path."""
    row = work.connection.execute(_one, {"workspace": work.workspace, "tag": tag_id}).first()
    if row is None:
        return None
    names, rivals = [row.name], False
    if row.parent:
        for _, name, exclusive in work.connection.execute(_above, {"workspace": work.workspace, "tag": row.parent}):
            names.append(name)
            rivals = rivals or exclusive is not None
    return _tag(row, SEPARATOR.join(reversed(names)), len(names), rivals=rivals)


# Built once: putting them together costs more than asking them, and every expression and every change asks them.
_one = sa.select(tags).where(_t.workspace == sa.bindparam("workspace"), _t.id == sa.bindparam("tag"))
_children = sa.select(_t.account, _t.parent, _t.key, _t.id).where(
    _t.workspace == sa.bindparam("workspace"),
    _t.archived_at.is_(None),
    sa.tuple_(_t.account, _t.parent, _t.key).in_(sa.bindparam("wanted", expanding=True)),
)


_stamp = sa.select(trees.c.stamp).where(trees.c.workspace == sa.bindparam("workspace"))


def stamp(work: Work) -> int | None:
    """A number that stands for all tags as they are now: their names, places and who is archived. None: no tags yet.

    It is never given to two trees, committed or not, of any database.
    """
    return work.connection.execute(_stamp, {"workspace": work.workspace}).scalar()


def _changed(work: Work) -> None:
    row = {"workspace": work.workspace, "stamp": secrets.randbits(62)}
    db.upsert(work.connection, trees, [row], ["workspace"])


def _made_branches() -> sa.Select[int, int]:
    here = _t.workspace == sa.bindparam("workspace")
    down = (
        sa.select(_t.parent.label("root"), _t.id)
        .where(here, _t.parent.in_(sa.bindparam("roots", expanding=True)), _t.archived_at.is_(None))
        .cte(recursive=True)
    )
    more = sa.select(down.c.root, _t.id).where(here, _t.parent == down.c.id, _t.archived_at.is_(None))
    down = down.union_all(more)
    return sa.select(down.c.root, down.c.id)


_branches = _made_branches()


def _made_above() -> sa.Select[int, str, str | None]:
    here = sa.select(_t.parent, _t.name, _t.exclusive).where(_t.workspace == sa.bindparam("workspace"))
    up = here.where(_t.id == sa.bindparam("tag")).cte(recursive=True)
    return sa.select(up.union_all(here.where(_t.id == up.c.parent)))


_above = _made_above()


def child(work: Work, account: int | None, parent: int | None, key: str) -> sa.Row[Any, Any] | None:
    """(id, archived_at) of the tag of that normalised name below a parent, archived or not."""
    return work.connection.execute(
        sa.select(_t.id, _t.archived_at).where(
            _t.workspace == work.workspace, _t.account == (account or 0), _t.parent == (parent or 0), _t.key == key
        )
    ).first()


def children(work: Work, wanted: set[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    """The ids of those tags, of (account, parent, normalised name), that are there and not archived."""
    rows = work.connection.execute(_children, {"workspace": work.workspace, "wanted": sorted(wanted)})
    return {(account, parent, key): number for account, parent, key, number in rows}


def branches(work: Work, tag_ids: set[int]) -> dict[int, list[int]]:
    """For each tag: its id, followed by those below it that are not archived."""
    found = {tag_id: [tag_id] for tag_id in tag_ids}
    for root, number in work.connection.execute(_branches, {"workspace": work.workspace, "roots": sorted(tag_ids)}):
        found[root].append(number)
    return found


def below(work: Work, tag_id: int) -> list[int]:
    """The ids of a tag and of all tags below it that are not archived."""
    down = sa.select(_t.id).where(_t.workspace == work.workspace, _t.id == tag_id).cte(recursive=True)
    down = down.union_all(
        sa.select(_t.id).where(_t.workspace == work.workspace, _t.parent == down.c.id, _t.archived_at.is_(None))
    )
    return list(work.connection.scalars(sa.select(down.c.id)))


def count(work: Work, account: int | None) -> int:
    """How many tags an account has that are not archived."""
    return int(
        work.connection.scalar(
            sa.select(sa.func.count()).where(
                _t.workspace == work.workspace, _t.account == (account or 0), _t.archived_at.is_(None)
            )
        )
        or 0
    )


def insert(work: Work, *, account: int | None, parent: int | None, name: str, key: str) -> int:
    """A new tag's id."""
    made = work.connection.execute(
        sa.insert(tags).values(
            workspace=work.workspace,
            account=account or 0,
            parent=parent or 0,
            name=name,
            key=key,
            created_at=work.now_ms,
            created_by=work.actor[:100],
        )
    ).inserted_primary_key
    assert made is not None
    _changed(work)
    return int(made[0])


def update(work: Work, tag_ids: Iterable[int], **values: Any) -> None:
    """Change columns of tags, and note what they were."""
    listed = list(tag_ids)
    here = sa.and_(_t.workspace == work.workspace, _t.id.in_(listed))
    before = work.connection.execute(sa.select(_t.id, *(_t[name] for name in values)).where(here).order_by(_t.id))
    rows = [
        {"workspace": work.workspace, "tag": number, "was": dict(zip(values, was, strict=True)),
         "at": work.now_ms, "who": work.actor[:100]}
        for number, *was in before
    ]  # fmt: skip
    db.insert_many(work.connection, tag_log, rows)
    work.connection.execute(sa.update(tags).where(here).values(values))
    _changed(work)


def changed_after(work: Work, moment: int) -> list[tuple[int, dict[str, Any]]]:
    """(tag, what it was) of each change of the tree made after a moment, newest first."""
    here = (tag_log.c.workspace == work.workspace, tag_log.c.at > moment)
    rows = work.connection.execute(sa.select(tag_log.c.tag, tag_log.c.was).where(*here).order_by(tag_log.c.id.desc()))
    return [(number, was) for number, was in rows]


def put_together(work: Work, first: int, seqs: Iterable[int]) -> None:
    """Note that changes were made because of the change `first`."""
    rows = [{"workspace": work.workspace, "first": first, "seq": seq} for seq in sorted(set(seqs))]
    db.insert_many(work.connection, together, rows)


def made_together(work: Work, first: int) -> list[int]:
    """The changes that were made because of the change `first`, in their order."""
    here = (together.c.workspace == work.workspace, together.c.first == first)
    return list(work.connection.scalars(sa.select(together.c.seq).where(*here).order_by(together.c.seq)))


def exclusive_above(work: Work, tag_id: int) -> list[tuple[int, str, list[int]]]:
    """For each exclusive tag above: (the branch `tag_id` is in, how it is exclusive, the other branches' roots)."""
    found, at = [], tag_id
    while row := work.connection.execute(
        sa.select(_t.parent).where(_t.workspace == work.workspace, _t.id == at, _t.parent != 0)
    ).first():
        above = sa.select(_t.exclusive).where(_t.workspace == work.workspace, _t.id == row.parent)
        how = work.connection.scalar(above)
        if how is not None:
            beside = sa.select(_t.id).where(
                _t.workspace == work.workspace, _t.parent == row.parent, _t.id != at, _t.archived_at.is_(None)
            )
            found.append((at, str(how), list(work.connection.scalars(beside.order_by(_t.id)))))
        at = row.parent
    return found


def put_keeper(work: Work, tag_id: int, keeper: str | None) -> None:
    """Say who alone gives and takes a tag."""
    work.connection.execute(
        sa.update(tags).where(_t.workspace == work.workspace, _t.id == tag_id).values(keeper=keeper)
    )


def archived_together(work: Work, account: int | None, moment: int) -> set[int]:
    """The ids of the tags of an account that were archived at one moment."""
    found = work.connection.scalars(
        sa.select(_t.id).where(_t.workspace == work.workspace, _t.account == (account or 0), _t.archived_at == moment)
    )
    return set(found)


def _ordered(rows: Sequence[sa.Row[Any]]) -> list[Tag]:
    """Depth first, siblings in the order in which they were made."""
    children: dict[int, list[sa.Row[Any]]] = {}
    for row in rows:
        children.setdefault(row.parent, []).append(row)
    found: list[Tag] = []
    waiting = [(row, "", 1, False) for row in reversed(children.get(0, []))]
    while waiting:
        row, above, depth, rivals = waiting.pop()
        tag = _tag(row, f"{above}{row.name}", depth, rivals=rivals)
        found.append(tag)
        rivals = rivals or row.exclusive is not None
        waiting += [(one, f"{tag.path}{SEPARATOR}", depth + 1, rivals) for one in reversed(children.get(row.id, []))]
    return found


def _tag(row: sa.Row[Any], path: str, depth: int, *, rivals: bool) -> Tag:
    return Tag(
        row.id, row.account or None, row.parent or None, row.name, path, depth,
        row.created_at, row.created_by, row.archived_at, row.lifetime_days, row.exclusive, rivals,
        row.keeper,
    )  # fmt: skip
