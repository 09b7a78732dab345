"""What changed since a mark: the members changed under each key of the change log, and who did something."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import behaviour
from tagcast.audiences.live.standing import Mark
from tagcast.kit.uow import Work

_NEVER_LISTED = ("tag:", "tag-until:", "segment:")
"""Keys that expressions name whether they have members or not."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The changes after one mark up to another; `more`: there are later ones.

    `changed` holds whom each key gained or lost, `did` who did something of each type of event. `appeared`: keys of
    those that are listed came to have members, or lost the last, so that names may stand for other keys. `seqs` are the
    changes of each key.
    """

    to: Mark
    changed: dict[str, BitMap]
    seqs: dict[str, set[int]]
    did: dict[str, BitMap]
    appeared: bool
    more: bool


def read(work: Work, since: Mark, *, batches: bool, limit: int) -> Tail:
    """At most `limit` changes and as many batches of events after `since`; batches only if they are asked for."""
    top = work.bitmaps.last_seq()
    rows = work.bitmaps.changes_since(since.seq, limit=limit) if top > since.seq else []
    changed, net, seqs = dict[str, BitMap](), dict[str, int](), dict[str, set[int]]()
    for row in rows:
        seqs.setdefault(row.key, set()).add(row.seq)
        size = len(row.members)
        net[row.key] = net.get(row.key, 0) + (size if row.op == "add" else -size)
        if row.key in changed:
            changed[row.key] |= row.members
        else:
            changed[row.key] = row.members
    more = len(rows) == limit
    seq = rows[-1].seq if more else top
    did, batch, more_batches = _did(work, since.batch, limit) if batches else ({}, since.batch, False)
    # What came later than the rows read blurs how many there were before them.
    listed = ((key, by) for key, by in net.items() if not key.startswith(_NEVER_LISTED))
    appeared = more or any(_turned(work.bitmaps.count(key), by) for key, by in listed)
    return Tail(Mark(seq, batch, moment(work)), changed, seqs, did, appeared, more or more_batches)


def moment(work: Work) -> int:
    """Now, in whole seconds: what time alone changes is looked at no more often."""
    return work.now_ms - work.now_ms % 1000


def _did(work: Work, since: int, limit: int) -> tuple[dict[str, BitMap], int, bool]:
    found = dict[str, BitMap]()
    batches = behaviour.recorded_since(work, since, limit)
    for one in batches:
        found[one.type] = found.get(one.type, BitMap()) | one.contacts
    return found, batches[-1].seq if batches else since, len(batches) == limit


def _turned(now: int, by: int) -> bool:
    return now == 0 or now - by <= 0
