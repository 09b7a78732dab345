"""Which employee sends to whom, when several hold a customer: a pure rule over arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tagcast.broadcasts.rules import Numbers

Ints = npt.NDArray[np.int64]
Ranks = Mapping[str, Ints]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Who could send to whom, in the order of the recipients: place of the recipient, number of the employee, rank."""

    at: Ints
    who: Ints
    rank: Ints

    def where(self, chosen: npt.NDArray[np.bool_]) -> "_Pairs":
        return _Pairs(self.at[chosen], self.who[chosen], self.rank[chosen])

    def starts(self) -> Ints:
        """Where the pairs of each recipient begin."""
        return np.flatnonzero(np.r_[True, self.at[1:] != self.at[:-1]])


def assign(
    numbers: Numbers,
    holders: Mapping[str, Numbers],
    *,
    ranks: Ranks | None = None,
    avoid: frozenset[str] = frozenset(),
    limit: int | None = None,
) -> dict[str, Numbers]:
    """One employee for each recipient: recipients who have nobody, or nobody with room, are in no list.

    `numbers` and the customers of `holders` (employee → whom he holds) are sorted. Whom anybody else holds does not go
    to an employee of `avoid`. Of the others the one with the highest rank (`ranks`: employee → a number for each of his
    customers) gets him, and of equals the one with the fewest so far; recipients with the fewest choices come first.
    Nobody gets more than `limit`.
    """
    names = sorted(holders)
    pairs = _pairs(numbers, holders, names, ranks or {}, avoid)
    owner = np.full(numbers.size, -1, dtype=np.int64)
    load = np.zeros(len(names), dtype=np.int64)
    while pairs.at.size:
        at, who = _level(_best(pairs), load)
        if limit is None:
            owner[at] = who
            break
        # Each round fills somebody, or ends.
        room = np.maximum(limit - load, 0)
        order = np.argsort(who, kind="stable")
        place = np.arange(order.size) - np.searchsorted(who[order], who[order])
        fits = order[place < room[who[order]]]
        owner[at[fits]] = who[fits]
        load += np.bincount(who[fits], minlength=len(names))
        pairs = pairs.where((owner[pairs.at] < 0) & (load[pairs.who] < limit))
    return {name: numbers[owner == index] for index, name in enumerate(names) if (owner == index).any()}


def _pairs(
    numbers: Numbers, holders: Mapping[str, Numbers], names: list[str], ranks: Ranks, avoid: frozenset[str]
) -> _Pairs:
    ats, whos, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for index, name in enumerate(names):
        held = holders[name]
        place = np.searchsorted(numbers, held)
        there = place < numbers.size
        there[there] = numbers[place[there]] == held[there]
        at = place[there].astype(np.int64)
        rank = ranks[name][there] if name in ranks else np.zeros(at.size, np.int64)
        ats.append(at)
        whos.append(np.full(at.size, index, np.int64))
        found.append(np.full(at.size, np.iinfo(np.int64).min) if name in avoid else rank)
    order = np.argsort(np.concatenate(ats), kind="stable")
    return _Pairs(*(np.concatenate(parts)[order] for parts in (ats, whos, found)))


def _best(pairs: _Pairs) -> _Pairs:
    """Of each recipient the pairs with his highest rank."""
    starts = pairs.starts()
    sizes = np.diff(np.r_[starts, pairs.at.size])
    return pairs.where(pairs.rank == np.repeat(np.maximum.reduceat(pairs.rank, starts), sizes))


def _level(pairs: _Pairs, load: Ints) -> tuple[Ints, Ints]:
    """(recipient, employee), one for each recipient, so that loads come out as equal as they can."""
    starts = pairs.starts()
    sizes = np.diff(np.r_[starts, pairs.at.size])
    alone = np.repeat(sizes == 1, sizes)
    at, who = pairs.at[alone], pairs.who[alone]
    several = pairs.where(~alone)
    if several.at.size == 0:
        return at, who
    loads = (load + np.bincount(who, minlength=load.size)).tolist()
    starts = several.starts()
    sizes = np.diff(np.r_[starts, several.at.size])
    chosen = np.empty(starts.size, np.int64)
    # People with the same choices are one group, however many they are.
    names = np.random.default_rng(7).integers(0, 2**63, load.size, dtype=np.int64).view(np.uint64)
    kind = np.add.reduceat(names[several.who], starts)
    _, first, group, count = np.unique(kind, return_index=True, return_inverse=True, return_counts=True)
    members = np.argsort(group, kind="stable")
    choices, width = several.who.tolist(), sizes[first].tolist()
    begin, ends, counts = starts[first].tolist(), np.cumsum(count).tolist(), count.tolist()
    for one in np.lexsort((first, sizes[first])).tolist():
        able = choices[begin[one] : begin[one] + width[one]]
        chosen[members[ends[one] - counts[one] : ends[one]]] = _fill(loads, able, counts[one])
    return np.r_[at, several.at[starts]], np.r_[who, chosen]


def _fill(loads: list[int], able: list[int], count: int) -> Ints | int:
    """Who of `able` gets each of `count` recipients, the lowest load first; `loads` grow."""
    if count == 1:
        least = min(able, key=loads.__getitem__)
        loads[least] += 1
        return least
    order = sorted(able, key=loads.__getitem__)
    used, total = 1, count + loads[order[0]]
    while used < len(order) and total > loads[order[used]] * used:
        total += loads[order[used]]
        used += 1
    base, extra = divmod(total, used)
    gives = [base + (place < extra) - loads[order[place]] for place in range(used)]
    for place, more in enumerate(gives):
        loads[order[place]] += more
    return np.repeat(np.array(order[:used], np.int64), gives)
