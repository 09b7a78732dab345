"""Broadcasts as users of tags and segments: what is not sent yet follows when a tag is merged, or gets another name.

What was begun is a record.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tagcast import audiences, tags
from tagcast.audiences import Expression
from tagcast.broadcasts import store
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.tables import broadcasts
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work

# What is still to be sent.
LIVE = (State.DRAFT, State.SCHEDULED)
# A deleted draft may come back.
FOLLOWING = (*LIVE, State.DELETED)


def every(workspace: int) -> sa.Select[Any]:
    """The broadcasts and what they are for."""
    columns = (broadcasts.c.id, broadcasts.c.name, broadcasts.c.state, broadcasts.c.audience)
    return sa.select(*columns).where(broadcasts.c.workspace == workspace).order_by(broadcasts.c.id)


def drafts(workspace: int) -> sa.Select[Any]:
    """Those that follow a change of names: few, found by an index, however many were sent."""
    return every(workspace).where(broadcasts.c.state.in_(FOLLOWING))


def _uses(work: Work) -> Iterator[tags.Use]:
    refs = [(tag.account, tag.path, tag.id) for tag in tags.every(work).values()]
    for row in work.connection.execute(every(work.workspace).where(broadcasts.c.state != State.DELETED)).all():
        branches, exactly, over = audiences.tag_uses(audiences.from_json(row.audience), refs)
        yield tags.Use("broadcast", row.id, row.name, branches, exactly, over, live=row.state in LIVE)


def _rewrite(work: Work, old: tags.Tag, new: tags.Tag) -> tags.Notes:
    notes: tags.Notes = []
    refs = [(one.account, one.path, one.id) for one in tags.every(work).values()]

    def noted(said: Expression) -> dict[str, Any]:
        branches, exactly, _ = audiences.tag_uses(said, refs)
        return audiences.noted(work, said, [ref for ref in refs if ref[2] in (*branches, *exactly)])

    for row in work.connection.execute(drafts(work.workspace)).all():
        before = audiences.from_json(row.audience)
        after = audiences.with_tag(before, old, new)
        if after != before:
            store.update(work, row.id, audience=audiences.to_json(after))
            notes.append({"name": row.name, "id": row.id, "before": noted(before), "after": noted(after)})
    return notes


def _restore(work: Work, notes: Sequence[dict[str, Any]]) -> None:
    """What was sent meanwhile stays as it was sent; a draft whose audience was changed is not overwritten."""
    for note in reversed(notes):
        found = store.get(work, note["id"], lock=True, deleted=True)
        if found.state in FOLLOWING:
            before, after = (audiences.recalled(work, note[one]) for one in ("before", "after"))
            if found.audience != audiences.to_json(after):
                raise Conflict("broadcasts.audience_moved", broadcast=found.name)
            store.update(work, note["id"], audience=audiences.to_json(before))


USERS = tags.register(tags.Users("broadcast", _uses, _rewrite, _restore))


def _renamed(work: Work, before: str, after: str) -> None:
    for row in work.connection.execute(drafts(work.workspace)).all():
        audience = audiences.from_json(row.audience)
        if (now := audiences.renamed(audience, before, after)) != audience:
            store.update(work, row.id, audience=audiences.to_json(now))


def _moved(work: Work, paths: tags.Paths) -> None:
    for row in work.connection.execute(drafts(work.workspace)).all():
        audience = audiences.from_json(row.audience)
        if (now := audiences.moved_tags(audience, paths)) != audience:
            store.update(work, row.id, audience=audiences.to_json(now))


audiences.on_rename("broadcast", _renamed)
tags.on_move("broadcast", _moved)
