"""Until when a tag is held: noted in `tag-until:<id>:<ms>`, the set of those whose tag ends at that time."""

from pyroaring import BitMap

from tagcast.bitmaps import Change
from tagcast.kit.uow import Work


def prefix(tag_id: int) -> str:
    """How the keys of a tag's ends begin."""
    return f"tag-until:{tag_id}:"


def ends_at(until_key: str) -> tuple[int, int]:
    """(tag, epoch milliseconds) of a key."""
    _, tag_id, until_ms = until_key.split(":")
    return int(tag_id), int(until_ms)


def prolong(work: Work, tag_id: int, members: BitMap, new: BitMap, until_ms: int | None) -> list[Change]:
    """Of two times the longer stands: who got the tag now (`new`) ends then; who would lose it earlier, then instead.

    None for `until_ms`: it never ends. Returns what was changed.
    """
    later, made = new, []
    for until_key in work.bitmaps.keys(prefix(tag_id)):
        held = work.bitmaps.read(until_key)
        if (until_ms is None or ends_at(until_key)[1] < until_ms) and held.intersect(members):
            sooner = held & members
            later = later | sooner
            made.append(work.bitmaps.remove(until_key, sooner, why="prolonged"))
    if until_ms is not None:
        made.append(work.bitmaps.add(f"{prefix(tag_id)}{until_ms}", later, why="until"))
    return [change for change in made if change is not None]


def forget(work: Work, tag_id: int, members: BitMap) -> list[Change]:
    """Who holds the tag no more has no end of it either. Returns what was changed."""
    ending = [one for one in work.bitmaps.keys(prefix(tag_id)) if work.bitmaps.read(one).intersect(members)]
    made = [work.bitmaps.remove(until_key, members, why="removed") for until_key in ending]
    return [change for change in made if change is not None]
