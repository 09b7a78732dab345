"""What arrived at whom, read from the ledger in columns, and how many messages each person had had before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.people.model import Exposures, hour_of, split_topic
from wechat_sandbox.world import World

_WEEK_MS, _MONTH_MS = 7 * 86_400_000, 30 * 86_400_000
_SEQS = 1 << 40
_ROWS = 50_000
_ARRIVED = "outcome='arrived' AND via<>'preview'"
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """Messages at people, ordered by (person, ledger position)."""

    index: Ints
    seq: Ints
    at: Ints
    account: Ints
    key: list[str]
    link: list[str]
    topic: list[str]

    def __len__(self) -> int:
        return len(self.index)


class History:
    """All arrivals of the last 30 days before a moment, to count what a person had received before a message."""

    def __init__(self, world: World, since_ms: int) -> None:
        columns = _read(world, f"{_ARRIVED} AND at>=?", (since_ms - _MONTH_MS,), texts=False)
        self._seq, self._at = columns.seq, columns.at
        self._keys = np.sort(columns.index * _SEQS + columns.seq)

    def before(self, index: Ints, at: Ints, seq: Ints) -> tuple[Ints, Ints]:
        """Messages in the 7 days before (at, seq), and in the 23 days before those, for each person."""
        upto = np.searchsorted(self._keys, index * _SEQS + seq)
        starts = [self._first(index, at - span) for span in (_WEEK_MS, _MONTH_MS)]
        week = np.maximum(upto - starts[0], 0)
        return week, np.maximum(upto - starts[1], 0) - week

    def upto(self, at: int) -> int:
        """The ledger position at which a moment begins."""
        return int(np.append(self._seq, _SEQS - 1)[np.searchsorted(self._at, at, side="left")])

    def _first(self, index: Ints, after_ms: Ints) -> Ints:
        place = np.searchsorted(self._at, after_ms, side="right")
        seqs = np.append(self._seq, _SEQS - 1)[place]
        found: Ints = np.searchsorted(self._keys, index * _SEQS + seqs)
        return found


def since(world: World, seq: int, account: int | None = None) -> Arrivals:
    """Everything that arrived after a ledger position, at one account or at all."""
    rows = _read(world, f"seq>? AND {_ARRIVED} AND (account=? OR ? IS NULL)", (seq, account, account))
    return _ordered(rows)


def of_message(world: World, account: int, key: str) -> Arrivals:
    """One message at everybody who was asked for it, at the time when it arrived or else was asked."""
    rows = _read(world, "account=? AND key=? AND outcome IN ('asked', 'arrived')", (account, key))
    last = {person: place for place, person in enumerate(rows.index.tolist())}
    return _ordered(_chosen(rows, np.array(list(last.values()), dtype=np.int64)))


def only(arrived: Arrivals, people: Iterable[int]) -> Arrivals:
    """Those of some people."""
    return _chosen(arrived, np.flatnonzero(np.isin(arrived.index, list(people))))


def exposures(world: World, arrived: Arrivals) -> Exposures:
    """The model's view of arrivals: category, offer, hour, and fatigue."""
    earliest = int(arrived.at.min()) if len(arrived) else world.now()
    week, month = History(world, earliest).before(arrived.index, arrived.at, arrived.seq)
    topics = {topic: split_topic(topic) for topic in set(arrived.topic)}
    return Exposures(
        index=arrived.index,
        category=np.array([topics[topic][0] for topic in arrived.topic], dtype=np.int64),
        offer=np.array([topics[topic][1] for topic in arrived.topic], dtype=np.bool_),
        hour=np.asarray(hour_of(arrived.at), dtype=float),
        week=week,
        month=month,
    )


def supposed(world: World, topic: str, indexes: Sequence[int], at: int | None) -> Exposures:
    """A message that nobody got: at a moment (hour and fatigue count), or at none (they do not)."""
    people = np.array(indexes, dtype=np.int64)
    size, zero = len(people), np.zeros(len(people), dtype=np.int64)
    category, offer = split_topic(topic)
    week, month = zero, zero
    if at is not None:
        moment = np.full(size, at, dtype=np.int64)
        history = History(world, at)
        week, month = history.before(people, moment, np.full(size, history.upto(at), dtype=np.int64))
    return Exposures(
        index=people,
        category=np.full(size, category, dtype=np.int64),
        offer=np.full(size, offer, dtype=np.bool_),
        hour=np.full(size, -1.0 if at is None else float(hour_of(at))),
        week=week,
        month=month,
    )


def _ordered(rows: Arrivals) -> Arrivals:
    return _chosen(rows, np.lexsort((rows.seq, rows.index)))


def _chosen(rows: Arrivals, places: Ints) -> Arrivals:
    order = places.tolist()
    return Arrivals(
        rows.index[places],
        rows.seq[places],
        rows.at[places],
        rows.account[places],
        [rows.key[place] for place in order],
        [rows.link[place] for place in order],
        [rows.topic[place] for place in order],
    )


def _read(world: World, where: str, parameters: tuple[Any, ...], *, texts: bool = True) -> Arrivals:
    """Ledger rows of known people, in the ledger's order."""
    columns = "seq, account, person, at" + (", key, link, topic" if texts else "")
    world.state.flush()
    cursor = world.state.connection.execute(
        f"SELECT {columns} FROM ledger WHERE {where} ORDER BY seq",  # noqa: S608 - our own texts, no values
        parameters,
    )
    reaches = {account["id"]: world.reach_of(account) for account in world.accounts()}
    numbers: list[Ints] = []
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    while rows := cursor.fetchmany(_ROWS):
        index = _indexes(reaches, rows)
        known = np.flatnonzero(index >= 0)
        part = np.array([(row[0], row[1], row[3]) for row in rows], dtype=np.int64).reshape(-1, 3)
        numbers.append(np.column_stack((index, part))[known])
        if texts:
            for column, list_ in enumerate(found):
                list_.extend(rows[place][4 + column] for place in known.tolist())
    table = np.concatenate(numbers) if numbers else np.empty((0, 4), dtype=np.int64)
    index, seq, account, at = (np.ascontiguousarray(table[:, column]) for column in range(4))
    return Arrivals(index, seq, at, account, *found)


def _indexes(reaches: dict[int, Any], rows: Iterable[tuple[Any, ...]]) -> Ints:
    """Index of the person of each row, -1 for a stranger."""
    accounts = np.array([row[1] for row in rows], dtype=np.int64)
    persons = [row[2] for row in rows]
    found = np.full(len(persons), -1, dtype=np.int64)
    for account in np.unique(accounts).tolist():
        if account in reaches:
            places = np.flatnonzero(accounts == account)
            found[places] = reaches[account].ids.find_many([persons[place] for place in places.tolist()])
    return found
