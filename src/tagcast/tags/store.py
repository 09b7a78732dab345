"""All SQL of tags."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from tagcast.kit.uow import Work, workspaces
from tagcast.tags.rules import SEPARATOR, Tag
from tagcast.tags.tables import tags

_t = tags.c


def lock(work: Work) -> None:
    """Be the only one who changes this workspace's tree until the transaction ends.

    Two moves that each see the tree without the other could make a ring; two creations could each take the last place.
    """
    work.connection.execute(sa.select(workspaces.c.id).where(workspaces.c.id == work.workspace).with_for_update())


def every(work: Work, account: int | None = None, *, anywhere: bool = False) -> list[Tag]:
    """The tags of one account (None: the workspace's own), or of all, each parent before its children."""
    statement = sa.select(tags).where(_t.workspace == work.workspace).order_by(_t.id)
    if not anywhere:
        statement = statement.where(_t.account == (account or 0))
    return _ordered(work.connection.execute(statement).all())


def get(work: Work, tag_id: int) -> Tag | None:
    """One tag with its path."""
    row = work.connection.execute(sa.select(tags).where(_t.workspace == work.workspace, _t.id == tag_id)).first()
    if row is None:
        return None
    names = [row.name]
    up = sa.select(_t.parent, _t.name).where(_t.workspace == work.workspace, _t.id == row.parent).cte(recursive=True)
    up = up.union_all(sa.select(_t.parent, _t.name).where(_t.workspace == work.workspace, _t.id == up.c.parent))
    names += [name for _, name in work.connection.execute(sa.select(up))] if row.parent else []
    return _tag(row, SEPARATOR.join(reversed(names)), len(names))


def child(work: Work, account: int | None, parent: int | None, key: str) -> sa.Row[Any, Any] | None:
    """(id, archived_at) of the tag of that normalised name below a parent, archived or not."""
    return work.connection.execute(
        sa.select(_t.id, _t.archived_at).where(
            _t.workspace == work.workspace, _t.account == (account or 0), _t.parent == (parent or 0), _t.key == key
        )
    ).first()


def children(work: Work, wanted: set[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    """The ids of those tags, of (account, parent, normalised name), that are there and not archived."""
    rows = work.connection.execute(
        sa.select(_t.account, _t.parent, _t.key, _t.id).where(
            _t.workspace == work.workspace,
            _t.archived_at.is_(None),
            sa.tuple_(_t.account, _t.parent, _t.key).in_(sorted(wanted)),
        )
    )
    return {(account, parent, key): number for account, parent, key, number in rows}


def branches(work: Work, tag_ids: set[int]) -> dict[int, list[int]]:
    """For each tag: its id, followed by those below it that are not archived."""
    found = {tag_id: [tag_id] for tag_id in tag_ids}
    down = (
        sa.select(_t.parent.label("root"), _t.id)
        .where(_t.workspace == work.workspace, _t.parent.in_(sorted(tag_ids)), _t.archived_at.is_(None))
        .cte(recursive=True)
    )
    down = down.union_all(
        sa.select(down.c.root, _t.id).where(
            _t.workspace == work.workspace, _t.parent == down.c.id, _t.archived_at.is_(None)
        )
    )
    for root, number in work.connection.execute(sa.select(down.c.root, down.c.id)):
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
    return int(made[0])


def update(work: Work, tag_ids: Iterable[int], **values: Any) -> None:
    """Change columns of tags."""
    work.connection.execute(
        sa.update(tags).where(_t.workspace == work.workspace, _t.id.in_(list(tag_ids))).values(values)
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
    waiting = [(row, "", 1) for row in reversed(children.get(0, []))]
    while waiting:
        row, above, depth = waiting.pop()
        tag = _tag(row, f"{above}{row.name}", depth)
        found.append(tag)
        waiting += [(one, f"{tag.path}{SEPARATOR}", depth + 1) for one in reversed(children.get(row.id, []))]
    return found


def _tag(row: sa.Row[Any], path: str, depth: int) -> Tag:
    return Tag(
        row.id, row.account or None, row.parent or None, row.name, path, depth,
        row.created_at, row.created_by, row.archived_at,
    )  # fmt: skip
