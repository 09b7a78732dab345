"""Use cases of contacts: people and their identities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.contacts import rules, store
from tagcast.contacts.events import Erased
from tagcast.contacts.rules import Identity, PersonIn
from tagcast.kit.errors import Conflict, Invalid, NotFound, TagcastError
from tagcast.kit.events import publish
from tagcast.kit.uow import Work

Vaulted = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one person: the contact's number, whether it is new or got something new, or what is wrong."""

    number: int = 0
    made: bool = False
    changed: bool = False
    problem: TagcastError | None = None


@dataclass(slots=True)
class _Matching:
    """People being matched within one transaction."""

    last: int
    known: dict[tuple[Identity, bytes], int]
    rows: dict[int, Vaulted]
    made: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    new_marks: list[tuple[Identity, bytes, int]] = field(default_factory=list)


def everyone(work: Work) -> BitMap:
    """All contacts. Shared: not to be mutated."""
    return work.bitmaps.read(rules.EVERYONE)


def ensure(work: Work, people: Sequence[PersonIn]) -> list[int]:
    """The numbers of people, found by any identity or made; new identities and texts are added to who is found.

    Raises Conflict(identity_conflict) when identities point to two contacts, Invalid for a bad or missing identity.
    """
    found = find_or_make(work, people)
    for one in found:
        if one.problem is not None:
            raise one.problem
    return [one.number for one in found]


def find_or_make(work: Work, people: Sequence[PersonIn]) -> list[Found]:
    """As `ensure`, but what is wrong with one person stands in their own result and touches nobody."""
    last = store.lock(work)
    cleaned = [_clean(work, person) for person in people]
    wanted: dict[Identity, set[bytes]] = {}
    for marks in cleaned:
        if not isinstance(marks, TagcastError):
            for identity, (_, fingerprint) in marks.items():
                wanted.setdefault(identity, set()).add(fingerprint)
    known = {
        (identity, fingerprint): number
        for identity, asked in wanted.items()
        for fingerprint, number in store.find_numbers(work, identity, asked).items()
    }
    matching = _Matching(last, known, open_rows(work, set(known.values())))
    found = [
        Found(problem=marks) if isinstance(marks, TagcastError) else _match(matching, person, marks)
        for person, marks in zip(people, cleaned, strict=True)
    ]
    _write(work, matching)
    return found


def numbers_of(work: Work, kind: str, values: Sequence[str], account: int = 0) -> list[int | None]:
    """The contact known under each value, None where there is none. Raises Invalid for an unknown kind."""
    identity = rules.check_identity(kind, account)
    marks = [_mark_or_none(work, kind, value) for value in values]
    found = store.find_numbers(work, identity, {mark for mark in marks if mark is not None})
    return [None if mark is None else found.get(mark) for mark in marks]


def identities_of(work: Work, numbers: Iterable[int], kind: str, account: int = 0) -> dict[int, str]:
    """The identity of each contact that has one of this kind, in the clear. Raises Invalid for an unknown kind."""
    name = rules.check_identity(kind, account).text
    rows = open_rows(work, numbers)
    return {number: row["i"][name] for number, row in rows.items() if name in row["i"]}


def texts_of(work: Work, numbers: Iterable[int]) -> dict[int, dict[str, str]]:
    """The private texts of contacts, in the clear."""
    return {number: row["t"] for number, row in open_rows(work, numbers).items()}


def vault_of(work: Work, number: int) -> tuple[dict[str, str], dict[str, str]]:
    """(identities, private texts) of one contact. Raises NotFound."""
    row = open_rows(work, [number]).get(number)
    if row is None:
        raise NotFound("contacts.no_contact", number=number)
    return row["i"], row["t"]


def erase(work: Work, number: int) -> None:
    """Delete a contact's vault row and look-ups and take the number out of every set. Raises NotFound.

    What others keep of the contact (events, visits, computed values) follows from the event `contacts.erased`.
    """
    store.lock(work)
    names, _ = vault_of(work, number)
    marks = []
    for name, value in names.items():
        kind, _, account = name.partition(":")
        marks.append((Identity(kind, int(account or 0)), work.vault.fingerprint(kind, value)))
    store.delete_contact(work, number, marks)
    take_out(work, BitMap([number]))
    publish(work, Erased(number))


def take_out(work: Work, gone: BitMap) -> None:
    """Take erased contacts' numbers out of every set that has any."""
    for key in work.bitmaps.keys(""):
        work.bitmaps.remove(key, gone, why="erased")


def on_followed(work: Work, identity: Identity, value: str, *, unionid: str = "", employee: str = "") -> int:
    """Somebody followed an account, or became an employee's customer: the contact's number."""
    known = {identity: value} | ({Identity("unionid"): unionid} if unionid else {})
    (number,) = ensure(work, [PersonIn(known)])
    member = BitMap([number])
    work.bitmaps.add(f"following:{identity.account}", member, why="followed")
    if employee:
        work.bitmaps.add(f"employee:{identity.account}:{employee}", member, why="followed")
    return number


def on_unfollowed(work: Work, identity: Identity, value: str, *, employee: str = "") -> int | None:
    """Somebody left. With `employee`, only this employee lost the customer, who follows while any other has them."""
    (number,) = numbers_of(work, identity.kind, [value], identity.account)
    if number is None:
        return None
    member = BitMap([number])
    prefix = f"employee:{identity.account}:"
    if employee:
        work.bitmaps.remove(prefix + employee, member, why="unfollowed")
        if any(number in work.bitmaps.read(key) for key in work.bitmaps.keys(prefix)):
            return number
    for key in work.bitmaps.keys(prefix):
        work.bitmaps.remove(key, member, why="unfollowed")
    work.bitmaps.remove(f"following:{identity.account}", member, why="unfollowed")
    return number


def no_members(work: Work, account: int, numbers: BitMap) -> None:
    """The receiver of a `custom` account says that it has these people no more; an import that names them says else."""
    work.bitmaps.remove(f"following:{account}", numbers, why="the receiver's word")


def _clean(work: Work, person: PersonIn) -> dict[Identity, tuple[str, bytes]] | TagcastError:
    """Each identity with its one spelling and its fingerprint, or what is wrong."""
    if not person.identities:
        return Invalid("contacts.no_identity")
    try:
        cleaned = {}
        for identity, value in person.identities.items():
            rules.check_identity(*identity)
            text = rules.clean_identity(identity.kind, value)
            cleaned[identity] = (text, work.vault.fingerprint(identity.kind, text))
    except Invalid as error:
        return error
    return cleaned


def _match(matching: _Matching, person: PersonIn, marks: Mapping[Identity, tuple[str, bytes]]) -> Found:
    numbers = {
        number for identity, (_, mark) in marks.items() if (number := matching.known.get((identity, mark))) is not None
    }
    if len(numbers) > 1:
        return Found(problem=Conflict("contacts.identity_conflict", kinds=_kinds(marks)))
    number = numbers.pop() if numbers else 0
    row: Vaulted = matching.rows[number] if number else {"i": {}, "t": {}}
    names = row["i"]
    for identity, (value, _) in marks.items():
        if names.get(identity.text, value) != value:
            return Found(problem=Conflict("contacts.identity_conflict", kinds=_kinds(marks)))
    made = number == 0
    if made:
        matching.last += 1
        number = matching.last
        matching.rows[number] = row
        matching.made.add(number)
    changed = False
    for identity, (value, mark) in marks.items():
        if identity.text not in names:
            names[identity.text] = value
            matching.known[identity, mark] = number
            matching.new_marks.append((identity, mark, number))
            changed = True
    for name, text in person.texts.items():
        if row["t"].get(name) != text:
            row["t"][name] = text
            changed = True
    if changed and not made:
        matching.changed.add(number)
    return Found(number, made, changed and not made)


def _write(work: Work, matching: _Matching) -> None:
    def seal(number: int) -> bytes:
        return work.vault.seal(orjson.dumps(matching.rows[number]), f"contact:{number}")

    if matching.made:
        store.set_last_number(work, matching.last)
        numbers = sorted(matching.made)
        store.insert_contacts(work, numbers, [seal(number) for number in numbers])
        work.bitmaps.add(rules.EVERYONE, BitMap(sorted(matching.made)), why="first seen")
    store.update_sealed(work, {number: seal(number) for number in matching.changed - matching.made})
    new: dict[Identity, dict[bytes, int]] = {}
    for identity, mark, number in matching.new_marks:
        new.setdefault(identity, {})[mark] = number
    put_identities(work, new)


def put_identities(work: Work, new: Mapping[Identity, Mapping[bytes, int]]) -> None:
    """Keep new identities (fingerprint to number); the sets of who an account reaches, and its members, follow."""
    for identity, found in new.items():
        store.insert_identities(work, identity, found)
        if identity.account and found:
            numbers = bitmaps.pack(found.values())
            work.bitmaps.add(f"identity:{identity.account}", numbers, why="first seen")
            if identity.kind == "member_id":
                work.bitmaps.add(f"following:{identity.account}", numbers, why="first seen")


def open_rows(work: Work, numbers: Iterable[int]) -> dict[int, Vaulted]:
    """The vault rows of those who are there, opened."""
    loads: Any = orjson.loads
    opened = work.vault.open
    return {
        number: loads(opened(sealed, f"contact:{number}")) for number, sealed in store.sealed_of(work, numbers).items()
    }


def _mark_or_none(work: Work, kind: str, value: str) -> bytes | None:
    try:
        return work.vault.fingerprint(kind, rules.clean_identity(kind, value))
    except Invalid:
        return None


def _kinds(marks: Mapping[Identity, object]) -> str:
    return ", ".join(sorted(identity.text for identity in marks))
