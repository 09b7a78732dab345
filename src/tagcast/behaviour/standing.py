"""Where a lake stands in the log of batches, and whether it is this log at all.

A lake tells with the seq that it reached also that row's stamp and whose workspace it is. After a backup of a database
was restored, a seq may stand for another row: then the lake goes back to where both agree, and goes on from there.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagcast.behaviour import store
from tagcast.kit.uow import Work
from tagcast.lake import File, Gone, Snapshot

if TYPE_CHECKING:
    from tagcast.lake import LakeTable


@dataclass(frozen=True, slots=True)
class Agreed:
    """Where a lake stood on the log: its newest version that did and has its files; the last such row and its stamp.

    None and 0 without any.
    """

    files: Snapshot | None
    seq: int
    stamp: int


def owner(work: Work) -> int:
    """What stands for the workspace in its lakes, the same in every backup."""
    return int.from_bytes(work.vault.fingerprint("lake", "owner")[:7], "big")


def agrees(work: Work, seen: Snapshot) -> bool:
    """Whether the lake stands on a row of the log that this transaction sees, or is empty."""
    if not seen.upto:
        return not seen.files
    return seen.owner == owner(work) and store.stamps_of(work, [seen.upto]) == {seen.upto: seen.stamp}


def agreed(work: Work, table: "LakeTable", newest: int) -> Agreed:
    """Up to where the lake was ever true to the log that this transaction sees, none of it after `newest`."""
    told = [one for one in table.versions() if 0 < one.upto <= newest]
    stamps = store.stamps_of(work, {one.upto for one in told})
    mine = owner(work)
    seq = stamp = 0
    for one in told:
        if stamps.get(one.upto) != one.stamp:
            continue
        if one.upto > seq:
            seq, stamp = one.upto, one.stamp
        try:
            found = table.as_of(one.version)
        except Gone:
            continue
        # A commit beside an append tells where it began, not where it stands.
        if (found.upto, found.stamp, found.owner) == (one.upto, one.stamp, mine):
            return Agreed(found, seq, stamp)
    return Agreed(None, seq, stamp)


def kept_below(seen: Snapshot, seq: int) -> tuple[list[File], int]:
    """(files that hold only rows up to a seq of the log, from where on up to it rows have to be written anew)."""
    since = seq
    while (lower := min((one.since for one in seen.files if one.since < since < one.upto), default=since)) < since:
        since = lower
    return [one for one in seen.files if one.upto <= since], since
