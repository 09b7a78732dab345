"""Tags as they were: holders at a moment, who came and left between two, and the search of the history.

Contacts erased since are left out: nothing brings a person back.
"""

from collections.abc import Iterable
from datetime import datetime

from pyroaring import BitMap

from tagcast import contacts
from tagcast.bitmaps import Change, Difference, Only
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work
from tagcast.tags import store
from tagcast.tags.actions import get, key


def as_of(work: Work, tag_ids: int | Iterable[int], moment: datetime, *, below: bool = False) -> BitMap:
    """Who held any of the tags at a moment; with `below` also who held one that stood below then. Raises NotFound."""
    asked = _asked(work, tag_ids)
    ids = _branches(work, asked, clock.to_ms(moment)) if below else asked
    return _held(work, ids, moment)


def diff(
    work: Work, tag_ids: int | Iterable[int], since: datetime, until: datetime, *, below: bool = False
) -> Difference:
    """Who came to hold any of the tags between two moments, and who left; who did both is in neither.

    With `below` each moment has the tree of its time, so a tag moved into the branch brings its holders.
    Raises NotFound; Invalid if the first moment is still to come.
    """
    if since > work.now:
        raise Invalid("tags.diff_future", since=since.isoformat(timespec="seconds"))
    before, after = (as_of(work, tag_ids, moment, below=below) for moment in (since, until))
    return Difference(added=after - before, removed=before - after)


def history(
    work: Work, tag_id: int, *, limit: int = 100, before: int | None = None, only: Only | None = None
) -> list[Change]:
    """The changes of a tag, newest first; `before` (a seq) continues an earlier page. Raises NotFound."""
    get(work, tag_id)
    return work.bitmaps.history(key(tag_id), limit=limit, before=before, only=only)


def contact_history(work: Work, number: int) -> list[Change]:
    """Every change that gave a contact a tag or took one away, newest first."""
    return work.bitmaps.changes_of("tag:", number)


def _asked(work: Work, tag_ids: int | Iterable[int]) -> list[int]:
    ids = [tag_ids] if isinstance(tag_ids, int) else list(tag_ids)
    return [get(work, tag_id).id for tag_id in ids]


def _held(work: Work, ids: Iterable[int], moment: datetime) -> BitMap:
    sets = [work.bitmaps.as_of(key(one), clock.to_ms(moment)) for one in ids]
    return BitMap.union(*sets) & contacts.everyone(work)


def _branches(work: Work, roots: list[int], moment: int) -> set[int]:
    """Those tags and all that were below them at a moment: the tree of today with its later changes taken back."""
    places = {tag.id: (tag.parent or 0, tag.archived_at, tag.created_at) for tag in store.every(work, anywhere=True)}
    for number, was in store.changed_after(work, moment):
        if number in places:
            parent, archived, created = places[number]
            places[number] = was.get("parent", parent), was.get("archived_at", archived), created
    children: dict[int, list[int]] = {}
    for number, (parent, archived, created) in places.items():
        if archived is None and created <= moment:
            children.setdefault(parent, []).append(number)
    found, waiting = set(roots), list(roots)
    while waiting:
        new = [one for one in children.get(waiting.pop(), []) if one not in found]
        found.update(new)
        waiting += new
    return found
