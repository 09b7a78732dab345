"""Finding or making people by the columns of a chunk: as `actions.find_or_make`, for tens of thousands at once.

A row whose identities are all known to be of one contact needs nothing of the vault, and one whose identities are all
unknown makes a contact, which stays in its columns until it is sealed; only what lies between opens a vault row.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from pyroaring import BitMap

from tagcast.contacts import actions, rules, store
from tagcast.contacts.actions import Vaulted
from tagcast.contacts.rules import Identity
from tagcast.kit.errors import Conflict, Invalid, TagcastError
from tagcast.kit.uow import Work

Texts = Mapping[str, Sequence[str | None]]
"""Private texts by name, each with a value or None for every row."""


@dataclass(slots=True)
class Matched:
    """The contact of each row, 0 where there is none; who is new; who was there and got something new; problems."""

    numbers: list[int]
    made: range
    changed: set[int] = field(default_factory=set)
    problems: dict[int, TagcastError] = field(default_factory=dict)


@dataclass(slots=True)
class _Column:
    """An identity of each row, None where there is none, with its fingerprint; those that are known, and the new."""

    identity: Identity
    names: list[str | None]
    marks: list[bytes | None]
    known: dict[bytes, int]
    new: dict[bytes, int] = field(default_factory=dict)


def match(
    work: Work, identities: Mapping[Identity, Sequence[str]], texts: Texts, *, size: int, skip: Collection[int]
) -> Matched:
    """Find or make the person of each of `size` rows but those of `skip`; a row with a problem has no effect."""
    last = store.lock(work)
    found = Matched([0] * size, range(0))
    live, columns = _columns(work, identities, size, skip, found)
    matching = _Matching(work, last, columns, texts, found)
    matching.rows(live)
    matching.write()
    return found


def _columns(
    work: Work, identities: Mapping[Identity, Sequence[str]], size: int, skip: Collection[int], found: Matched
) -> tuple[Sequence[int], list[_Column]]:
    """The rows that name somebody and have no problem, and the identities as columns."""
    named: dict[Identity, list[str | None]] = {}
    for identity, cells in identities.items():
        named[identity], bad = rules.clean_identities(identity.kind, cells)
        for at, error in bad.items():
            if at not in skip:
                found.problems.setdefault(at, error)
    if any(None in names for names in named.values()):
        for at, row in enumerate(zip(*named.values(), strict=True)):
            if at not in skip and not any(row):
                found.problems.setdefault(at, Invalid("contacts.no_identity"))
    dead = found.problems.keys() | set(skip)
    live = [at for at in range(size) if at not in dead] if dead else range(size)
    columns = []
    for identity, names in named.items():
        here = [at for at in live if names[at] is not None] if dead or None in names else live
        fingerprints = work.vault.fingerprints(identity.kind, [name for at in here if (name := names[at]) is not None])
        known = store.find_numbers(work, identity, fingerprints)
        marks: list[bytes | None] = [*fingerprints]
        if len(here) < size:
            marks = [None] * size
            for at, mark in zip(here, fingerprints, strict=True):
                marks[at] = mark
        columns.append(_Column(identity, names, marks, known))
    return live, columns


class _Matching:
    def __init__(self, work: Work, last: int, columns: Sequence[_Column], texts: Texts, found: Matched) -> None:
        self._work = work
        self._first = self._last = last
        self._columns = columns
        self._texts = texts
        self._found = found
        self._origins: list[int] = []
        self._opened: dict[int, Vaulted] = {}

    def rows(self, live: Sequence[int]) -> None:
        """Match the rows one after the other: each sees who was made by those before it."""
        if len(self._columns) == 1 and not self._texts:
            self._by_one(live)
            return
        self._open(live)
        conflicts = self._found.problems
        for at in live:
            held, unknown = 0, False
            for column in self._columns:
                if (mark := column.marks[at]) is None:
                    continue
                number = column.known.get(mark, 0)
                if not number:
                    unknown = True
                elif held and held != number:
                    conflicts[at] = self._conflict(at)
                    break
                else:
                    held = number
            else:
                self._settle(at, held, unknown)

    def _by_one(self, live: Sequence[int]) -> None:
        """One identity and nothing else: known or new, and nothing between."""
        (column,) = self._columns
        known, new, marks, numbers = column.known, column.new, column.marks, self._found.numbers
        last = self._last
        for at in live:
            mark = marks[at]
            assert mark is not None
            number = known.get(mark, 0)
            if not number:
                number = known[mark] = new[mark] = last = last + 1
                self._origins.append(at)
            numbers[at] = number
        self._last = last

    def _open(self, live: Sequence[int]) -> None:
        """Read the vault rows of those who may get something new."""
        if not any(column.known for column in self._columns):
            return
        needed: set[int] = set()
        for at in live:
            numbers = [column.known.get(mark) for column in self._columns if (mark := column.marks[at]) is not None]
            there = {number for number in numbers if number is not None}
            if there and (None in numbers or any(cells[at] is not None for cells in self._texts.values())):
                needed |= there
        self._opened.update(actions.open_rows(self._work, needed))

    def _settle(self, at: int, held: int, unknown: bool) -> None:
        if not held:
            held = self._last = self._last + 1
            self._origins.append(at)
            self._mark(at, held)
        elif unknown or any(cells[at] is not None for cells in self._texts.values()):
            if not self._extend(at, held):
                self._found.problems[at] = self._conflict(at)
                return
            if unknown:
                self._mark(at, held)
        self._found.numbers[at] = held

    def _mark(self, at: int, number: int) -> None:
        for column in self._columns:
            mark = column.marks[at]
            if mark is not None and mark not in column.known:
                column.known[mark] = column.new[mark] = number

    def _extend(self, at: int, number: int) -> bool:
        """Add a row to somebody; False if they have another identity of a kind already."""
        held = self._opened.get(number)
        if held is None:
            held = self._opened[number] = self._told(self._origins[number - self._first - 1])
        told = self._told(at)
        if any(held["i"].get(name, text) != text for name, text in told["i"].items()):
            return False
        if not (held["i"].items() >= told["i"].items() and held["t"].items() >= told["t"].items()):
            held["i"].update(told["i"])
            held["t"].update(told["t"])
            if number <= self._first:
                self._found.changed.add(number)
        return True

    def _told(self, at: int) -> Vaulted:
        """What a row says of a person."""
        return {
            "i": {one.identity.text: name for one in self._columns if (name := one.names[at]) is not None},
            "t": {name: text for name, cells in self._texts.items() if (text := cells[at]) is not None},
        }

    def _conflict(self, at: int) -> Conflict:
        kinds = sorted(column.identity.text for column in self._columns if column.marks[at] is not None)
        return Conflict("contacts.identity_conflict", kinds=", ".join(kinds))

    def write(self) -> None:
        """Write contacts, vault rows, look-ups and the sets that follow."""
        work, seal_all = self._work, self._work.vault.seal_all
        made = self._found.made = range(self._first + 1, self._last + 1)
        if made:
            store.set_last_number(work, self._last)
            contexts = (b"contact:%d" % number for number in made)
            store.insert_contacts(work, made, seal_all(zip(self._plain(made), contexts, strict=True)))
            work.bitmaps.add(rules.EVERYONE, BitMap(made), why="first seen")
        if changed := sorted(self._found.changed):
            told = [(orjson.dumps(self._opened[number]), b"contact:%d" % number) for number in changed]
            store.update_sealed(work, dict(zip(changed, seal_all(told), strict=True)))
        actions.put_identities(work, {column.identity: column.new for column in self._columns})

    def _plain(self, made: range) -> Iterator[bytes]:
        """The vault rows of who is new."""
        dumps, opened, told = orjson.dumps, self._opened, self._told
        if len(self._columns) > 1 or self._texts:
            rows = zip(made, self._origins, strict=True)
            return (dumps(opened[number] if number in opened else told(at)) for number, at in rows)
        (column,) = self._columns
        head, names = b'{"i":{%b:' % dumps(column.identity.text), column.names
        return (head + dumps(names[at]) + b'},"t":{}}' for at in self._origins)
