"""Finding or making people by the columns of a chunk: as `actions.find_or_make`, for tens of thousands at once.

A row whose identities are all known to be of one contact needs nothing of the vault, and one whose identities are all
unknown makes a contact; only what lies between opens a vault row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from pyroaring import BitMap

from tagcast.contacts import actions, rules, store
from tagcast.contacts.actions import Vaulted
from tagcast.contacts.rules import Identity
from tagcast.kit.errors import Conflict, Invalid, TagcastError
from tagcast.kit.uow import Work

Mark = tuple[Identity, str, bytes]
"""An identity with its one spelling and its fingerprint."""


@dataclass(slots=True)
class Matched:
    """The contact of each row, 0 where there is none; who is new; who was there and got something new; problems."""

    numbers: list[int]
    made: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    problems: dict[int, TagcastError] = field(default_factory=dict)


def match(
    work: Work,
    identities: Mapping[Identity, Sequence[str]],
    texts: Mapping[str, Sequence[str | None]],
    *,
    size: int,
    skip: Collection[int],
) -> Matched:
    """Find or make the person of each of `size` rows but those of `skip`; a row with a problem has no effect."""
    found, last = Matched([0] * size), store.lock(work)
    if len(identities) == 1 and not texts:
        ((identity, cells),) = identities.items()
        _match_one(work, identity, cells, skip, found=found, last=last)
        return found
    marks = _marks(work, identities, size, skip, found)
    known = {
        identity: store.find_numbers(work, identity, {mark[2] for row in marks for mark in row if mark[0] is identity})
        for identity in identities
    }
    matching = _Matching(work, last, known, found)
    matching.open(marks, texts)
    for at, row in enumerate(marks):
        if row:
            matching.row(at, row, {name: text for name, cells in texts.items() if (text := cells[at]) is not None})
    matching.write()
    return found


def _match_one(
    work: Work, identity: Identity, cells: Sequence[str], skip: Collection[int], *, found: Matched, last: int
) -> None:
    """One identity and nothing else: known or new, and nothing between. Makes no object a row that is kept long."""
    fingerprint, clean, kind = work.vault.fingerprint, rules.clean_identity, identity.kind
    names: list[str | None] = [None] * len(cells)
    marks: list[bytes] = [b""] * len(cells)
    for at, cell in enumerate(cells):
        if at in skip:
            continue
        if not cell or cell.isspace():
            found.problems[at] = Invalid("contacts.no_identity")
            continue
        try:
            names[at] = text = clean(kind, cell)
        except Invalid as error:
            found.problems[at] = error
            continue
        marks[at] = fingerprint(kind, text)
    known = store.find_numbers(work, identity, {mark for mark in marks if mark})
    first, numbers = last, found.numbers
    new_names: list[str] = []
    new: list[tuple[Identity, bytes, int]] = []
    for at, name in enumerate(names):
        if name is None:
            continue
        mark = marks[at]
        number = known.get(mark)
        if number is None:
            number = known[mark] = last = last + 1
            new_names.append(name)
            new.append((identity, mark, number))
        numbers[at] = number
    if not new:
        return
    dumps, key = orjson.dumps, identity.text
    made = range(first + 1, last + 1)
    found.made = set(made)
    blobs = work.vault.seal_all(
        [
            (dumps({"i": {key: name}, "t": {}}), f"contact:{number}")
            for number, name in zip(made, new_names, strict=True)
        ]
    )
    _insert(work, last, dict(zip(made, blobs, strict=True)), new)


def _insert(work: Work, last: int, sealed: Mapping[int, bytes], new: Sequence[tuple[Identity, bytes, int]]) -> None:
    store.set_last_number(work, last)
    store.insert_contacts(work, sealed)
    work.bitmaps.add(rules.EVERYONE, BitMap(list(sealed)), why="first seen")
    store.insert_identities(work, new)
    actions.note_identities(work, new)


def _marks(
    work: Work, identities: Mapping[Identity, Sequence[str]], size: int, skip: Collection[int], found: Matched
) -> list[list[Mark]]:
    marks: list[list[Mark]] = [[] for _ in range(size)]
    fingerprint, clean = work.vault.fingerprint, rules.clean_identity
    for identity, cells in identities.items():
        kind = identity.kind
        for at, cell in enumerate(cells):
            if not cell or at in skip or cell.isspace():
                continue
            try:
                text = clean(kind, cell)
            except Invalid as error:
                found.problems.setdefault(at, error)
                continue
            marks[at].append((identity, text, fingerprint(kind, text)))
    for at in range(size):
        if at in found.problems:
            marks[at] = []
        elif not marks[at] and at not in skip:
            found.problems[at] = Invalid("contacts.no_identity")
    return marks


class _Matching:
    def __init__(self, work: Work, last: int, known: dict[Identity, dict[bytes, int]], found: Matched) -> None:
        self._work = work
        self._last = last
        self._known = known
        self._found = found
        self._rows: dict[int, Vaulted] = {}
        self._new: list[Mark] = []
        self._of: list[int] = []

    def open(self, marks: Sequence[Sequence[Mark]], texts: Mapping[str, Sequence[str | None]]) -> None:
        """Read the vault rows of those who may get something new."""
        needed: set[int] = set()
        for at, row in enumerate(marks):
            numbers = [self._known[identity].get(mark) for identity, _, mark in row]
            there = {number for number in numbers if number is not None}
            if there and (None in numbers or any(cells[at] is not None for cells in texts.values())):
                needed |= there
        self._rows.update(actions.open_rows(self._work, needed))

    def row(self, at: int, marks: Sequence[Mark], texts: Mapping[str, str]) -> None:
        """Match one row."""
        known = self._known
        numbers = {known[identity].get(mark) for identity, _, mark in marks}
        if len(numbers) == 1 and not texts and (only := next(iter(numbers))) is not None:
            self._found.numbers[at] = only
            return
        numbers.discard(None)
        if len(numbers) > 1:
            self._conflict(at, marks)
            return
        number = numbers.pop() if numbers else None
        held: Vaulted = {"i": {}, "t": {}} if number is None else self._rows[number]
        names = held["i"]
        for identity, text, _ in marks:
            if names.get(identity.text, text) != text:
                self._conflict(at, marks)
                return
        made = number is None
        if number is None:
            self._last = number = self._last + 1
            self._rows[number] = held
            self._found.made.add(number)
        self._found.numbers[at] = number
        if self._add(number, held, marks, texts) and not made:
            self._found.changed.add(number)

    def _add(self, number: int, held: Vaulted, marks: Sequence[Mark], texts: Mapping[str, str]) -> bool:
        changed, names = False, held["i"]
        for one in marks:
            identity, text, mark = one
            if identity.text not in names:
                names[identity.text] = text
                self._known[identity][mark] = number
                self._new.append(one)
                self._of.append(number)
                changed = True
        for name, text in texts.items():
            if held["t"].get(name) != text:
                held["t"][name] = text
                changed = True
        return changed

    def _conflict(self, at: int, marks: Sequence[Mark]) -> None:
        kinds = ", ".join(sorted(identity.text for identity, _, _ in marks))
        self._found.problems[at] = Conflict("contacts.identity_conflict", kinds=kinds)

    def write(self) -> None:
        """Write contacts, vault rows, look-ups and the sets that follow."""
        work, found, rows = self._work, self._found, self._rows
        dumps = orjson.dumps

        def sealed(numbers: Sequence[int]) -> dict[int, bytes]:
            blobs = work.vault.seal_all([(dumps(rows[one]), f"contact:{one}") for one in numbers])
            return dict(zip(numbers, blobs, strict=True))

        if found.made:
            store.set_last_number(work, self._last)
            store.insert_contacts(work, sealed(sorted(found.made)))
            work.bitmaps.add(rules.EVERYONE, BitMap(sorted(found.made)), why="first seen")
        store.update_sealed(work, sealed(sorted(found.changed - found.made)))
        new = [(identity, mark, number) for (identity, _, mark), number in zip(self._new, self._of, strict=True)]
        store.insert_identities(work, new)
        actions.note_identities(work, new)
