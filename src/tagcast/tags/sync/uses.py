"""Tags that are tied to a platform's, or whose direction was said: uses of tags, rewritten when one is merged."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work
from tagcast.tags import uses
from tagcast.tags.rules import Tag
from tagcast.tags.sync.store import base_key
from tagcast.tags.tables import sync_directions, sync_links
from tagcast.tags.uses import Notes, Use

_TABLES = {"link": sync_links, "direction": sync_directions}


def _uses(work: Work) -> Iterator[Use]:
    for what, table in _TABLES.items():
        rows = work.connection.execute(
            sa.select(table.c.account, table.c.tag).where(table.c.workspace == work.workspace, table.c.tag != 0)
        )
        for account, tag in rows:
            exactly = (tag,) if what == "link" else ()
            yield Use("sync", account, what, branches=() if exactly else (tag,), exactly=exactly)


def _rewrite(work: Work, old: Tag, new: Tag) -> Notes:
    """The platform's tag of the old one becomes that of the new one, unless that has one of its own there."""
    notes: Notes = []
    for what, table in _TABLES.items():
        here = (table.c.workspace == work.workspace, table.c.tag.in_([old.id, new.id]))
        found: dict[int, set[int]] = {}
        for account, tag in work.connection.execute(sa.select(table.c.account, table.c.tag).where(*here)):
            found.setdefault(account, set()).add(tag)
        for account in (account for account, tied in found.items() if tied == {old.id}):
            _move(work, what, account, old.id, new.id)
            notes.append({"name": f"{account}", "what": what, "account": account, "old": old.id, "new": new.id})
    return notes


def _restore(work: Work, notes: Sequence[dict[str, Any]]) -> None:
    for note in reversed(notes):
        if not _move(work, note["what"], note["account"], note["new"], note["old"]):
            raise Conflict("tags.sync_untied", account=note["account"])


def _move(work: Work, what: str, account: int, old: int, new: int) -> bool:
    table = _TABLES[what]
    here = (table.c.workspace == work.workspace, table.c.account == account, table.c.tag == old)
    moved = work.connection.execute(sa.update(table).where(*here).values(tag=new)).rowcount
    if what == "link" and moved:
        # What both had at the last sync goes along; the version of our set says nothing any more.
        here = (table.c.workspace == work.workspace, table.c.account == account, table.c.tag == new)
        work.connection.execute(sa.update(table).where(*here).values(version=0))
        base = work.bitmaps.read(base_key(account, old))
        work.bitmaps.replace(base_key(account, new), base, why="merged")
        work.bitmaps.remove(base_key(account, old), base, why="merged")
    return bool(moved)


USERS = uses.register(uses.Users("sync", _uses, _rewrite, _restore))
