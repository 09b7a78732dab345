"""Invitations as users of tags: for whose holders they were made, and which tag who joins gets."""

from collections.abc import Iterator, Sequence
from typing import Any

from tagcast import tags
from tagcast.groups import store
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work


def _uses(work: Work) -> Iterator[tags.Use]:
    for way in store.all_ways(work):
        given = () if way.joined_tag is None else (way.joined_tag,)
        yield tags.Use("group", way.id, way.name, (way.tag,), given, live=way.status != "revoked")


def _rewrite(work: Work, old: tags.Tag, new: tags.Tag) -> tags.Notes:
    notes: tags.Notes = []
    for way in store.all_ways(work):
        columns = [name for name in ("tag", "joined_tag") if getattr(way, name) == old.id]
        if columns:
            store.change_way(work, way.id, **dict.fromkeys(columns, new.id))
            notes.append({"name": way.name, "id": way.id, "columns": columns, "old": old.id, "new": new.id})
    return notes


def _restore(work: Work, notes: Sequence[dict[str, Any]]) -> None:
    for note in reversed(notes):
        way = store.way(work, note["id"])
        if way is None or any(getattr(way, name) != note["new"] for name in note["columns"]):
            raise Conflict("groups.way_moved", way=note["name"])
        store.change_way(work, note["id"], **dict.fromkeys(note["columns"], note["old"]))


USERS = tags.register(tags.Users("group", _uses, _rewrite, _restore))
