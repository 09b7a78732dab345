"""What a column of an imported file means, and what a chunk of its rows does."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.contacts import matching, rules, store
from tagcast.contacts.rules import KINDS, Attribute, Identity
from tagcast.contacts.tag_columns import ALL, OnTags, TagColumns, check_all
from tagcast.contacts.values import put_kept
from tagcast.files import Rows
from tagcast.kit.errors import Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work

OnConsent = Callable[[Work, str, BitMap, BitMap], None]
"""Called per chunk and purpose with (work, purpose, granted, withdrawn); the numbers are contacts."""

_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,59}")
IGNORE = "ignore"
_MOST_KNOWN = 100_000
_ROWS, _CELLS = 80_000, 1_200_000
"""Most rows and cells of a chunk. New fingerprints fall on all pages of their index, which each chunk writes anew."""
V = TypeVar("V")


@dataclass(slots=True)
class ChunkOutcome:
    """What a chunk did: contacts made, rows matched to somebody there, of those changed; problems by row index."""

    made: int = 0
    matched: int = 0
    changed: int = 0
    problems: dict[int, TagcastError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Above:
    """What the floors above do with columns of theirs; without them such columns are unknown targets."""

    on_consent: OnConsent | None = None
    on_tags: OnTags | None = None
    make_tags: bool = False


NOTHING_ABOVE = Above()


class Handler(Protocol):
    """An import of one kind: reads the mapping once, then applies chunk after chunk, each in its transaction."""

    kind: str
    chunk: int

    def prepare(self, work: Work, columns: Sequence[str]) -> None:
        """Check the mapping against the file's columns and what is declared. Raises Invalid naming what is unknown."""

    def apply(self, work: Work, rows: Rows, why: str) -> ChunkOutcome:
        """Apply rows; a row with a problem has no effect at all."""


def load_mapping(path: Path) -> dict[str, str]:
    """A mapping (column = "target") from a TOML or JSON file. Raises NotFound, Invalid."""
    if not path.is_file():
        raise NotFound("files.no_file", file=path.name)
    text = path.read_text("utf-8-sig")
    try:
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise Invalid("contacts.bad_mapping_file", file=path.name, reason=str(error)) from None
    if not isinstance(found, dict) or not all(isinstance(target, str) for target in found.values()):
        raise Invalid("contacts.bad_mapping_file", file=path.name, reason="column = target")
    return found


def check_columns(mapping: Mapping[str, str], columns: Sequence[str]) -> None:
    """Raises Invalid for a mapped column that the file does not have."""
    for column in mapping:
        if column not in columns and column != ALL:
            raise Invalid("contacts.no_column", column=column, known=", ".join(columns))


def parse_identity(target: str, column: str) -> Identity:
    """`kind` or `kind:account` of a mapping. Raises Invalid."""
    kind, _, account = target.partition(":")
    try:
        return rules.check_identity(kind, int(account or 0))
    except ValueError:
        raise Invalid("contacts.unknown_target", column=column, target=f"…:{target}", known=", ".join(KINDS)) from None


def identity_of(work: Work, target: str, column: str) -> Identity:
    """The same of an account that is there and knows people so. Raises Invalid, NotFound."""
    found = parse_identity(target, column)
    if found.account:
        account = accounts.get(work, found.account)
        if rules.KIND_OF[account.kind] != found.kind:
            fitting = rules.KIND_OF[account.kind]
            raise Invalid("contacts.other_kind", account=account.name, kind=found.kind, fitting=fitting)
    return found


class PeopleHandler:
    """Imports contacts: identities, attributes, private texts, consents and tags by column; tags for all."""

    kind = "contacts"
    chunk = _ROWS

    def __init__(self, mapping: Mapping[str, str], above: Above) -> None:
        self.mapping = dict(mapping)
        self.on_consent = above.on_consent
        self.tags = TagColumns(above.on_tags, make=above.make_tags)
        self.identities: dict[str, Identity] = {}
        self.attributes: dict[str, Attribute] = {}
        self.consents: dict[str, str] = {}
        self._parsed: dict[str, _Cells] = {}

    def prepare(self, work: Work, columns: Sequence[str]) -> None:
        """Check the mapping. Raises Invalid naming the column, the target and the known targets."""
        check_columns(self.mapping, columns)
        self.chunk = min(_ROWS, max(1, _CELLS // len(columns)))
        declared = store.all_attributes(work)
        for column, target in self.mapping.items():
            what, _, name = target.partition(":")
            attribute = declared.get(name)
            if what == "identity":
                self.identities[column] = identity_of(work, name, column)
            elif what in {"attribute", "text"} and attribute and (what == "attribute" or attribute.type == "text"):
                self.attributes[column] = attribute
                self._parsed[column] = _Cells(_value_parser(attribute))
            elif what == "consent" and self.on_consent is not None and _PURPOSE.fullmatch(name):
                self.consents[column] = name
                self._parsed[column] = _Cells(partial(_consent_flag, name))
            elif not self.tags.take(work, column, target) and target != IGNORE:
                check_all(self.mapping, column)
                raise Invalid("contacts.unknown_target", column=column, target=target, known=self._known(declared))
        if not self.identities:
            raise Invalid("contacts.no_identity_column", known=", ".join(KINDS))

    def _known(self, declared: Mapping[str, Attribute]) -> str:
        consent = ["consent:<purpose>"] if self.on_consent is not None else []
        named = [f"{'text' if one.type == 'text' else 'attribute'}:{name}" for name, one in declared.items()]
        tags = ["tag", "tag:<account>"] if self.tags.on_tags is not None else []
        return ", ".join([*(f"identity:{kind}" for kind in KINDS), *named, *consent, *tags, IGNORE])

    def apply(self, work: Work, rows: Rows, why: str) -> ChunkOutcome:
        """Apply rows; a row with a problem has no effect at all."""
        bad: dict[int, TagcastError] = {}
        texts: dict[str, list[str | None]] = {}
        kept: dict[str, list[int | str | None]] = {}
        for column, attribute in self.attributes.items():
            parsed = self._parsed[column].parse(rows.columns[column], bad)
            if attribute.type == "text":
                texts[attribute.name] = _over(texts.get(attribute.name), parsed)
            else:
                kept[attribute.name] = _over(kept.get(attribute.name), parsed)
        consents: dict[str, list[bool | None]] = {}
        for column, purpose in self.consents.items():
            consents[purpose] = _over(consents.get(purpose), self._parsed[column].parse(rows.columns[column], bad))
        identities, tagged = self._identities_of(rows), self.tags.read(work, rows.columns, bad)
        found = matching.match(work, identities, texts, size=len(rows), skip=bad)
        numbers = found.numbers
        self._members(work, identities, numbers, why)
        changed = BitMap(found.changed)
        changed |= self._write(work, {name: _given(numbers, values) for name, values in kept.items()}, why)
        self._consent(work, {purpose: _given(numbers, given) for purpose, given in consents.items()})
        changed |= self.tags.give(work, tagged, numbers, why)
        made = BitMap(found.made)
        there = len(numbers) - numbers.count(0)
        return ChunkOutcome(len(made), there - len(made), len(changed - made), bad | found.problems)

    def _identities_of(self, rows: Rows) -> dict[Identity, Sequence[str]]:
        found: dict[Identity, Sequence[str]] = {}
        for column, identity in self.identities.items():
            cells = rows.columns[column]
            before = found.get(identity)
            found[identity] = cells if before is None else [
                cell if cell.strip() else former for cell, former in zip(cells, before, strict=True)
            ]  # fmt: skip
        return found

    def _members(
        self, work: Work, identities: Mapping[Identity, Sequence[str]], numbers: Sequence[int], why: str
    ) -> None:
        """A list that names a member id says that its owner is a member, also of somebody who had left."""
        for identity, cells in identities.items():
            if identity.kind == "member_id":
                named = BitMap([n for n, cell in zip(numbers, cells, strict=True) if n and cell.strip()])
                work.bitmaps.add(f"following:{identity.account}", named, why=why)

    def _write(self, work: Work, kept: Mapping[str, Mapping[int, int | str]], why: str) -> BitMap:
        changed = BitMap()
        for attribute in self.attributes.values():
            if values := kept.get(attribute.name):
                changed |= put_kept(work, attribute, values, why=why)
        return changed

    def _consent(self, work: Work, consents: Mapping[str, Mapping[int, bool]]) -> None:
        for purpose, given in consents.items():
            if given and self.on_consent is not None:
                granted = bitmaps.pack([number for number, yes in given.items() if yes])
                self.on_consent(work, purpose, granted, bitmaps.pack(given.keys()) - granted)


class _Cells:
    """Cells of one column. Equal cells are parsed once, also of different chunks, as long as they are not too many."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse
        self._known: dict[str, Any] = {"": None}
        self._wrong: dict[str, TagcastError] = {}

    def parse(self, cells: Sequence[str], bad: dict[int, TagcastError]) -> list[Any]:
        """Each cell's value, None for an empty or a bad one, whose problem is noted."""
        if len(self._known) > _MOST_KNOWN:
            self._known, self._wrong = {"": None}, {}
        known, wrong = self._known, self._wrong
        for cell in set(cells).difference(known):
            text = cell.strip()
            try:
                known[cell] = self._parse(text) if text else None
            except TagcastError as error:
                known[cell], wrong[cell] = None, error
        if wrong:
            for at, cell in enumerate(cells):
                if cell in wrong:
                    bad.setdefault(at, wrong[cell])
        return [known[cell] for cell in cells]


def _value_parser(attribute: Attribute) -> Callable[[str], int | str]:
    return lambda text: rules.parse_value(attribute, text)


def _consent_flag(purpose: str, text: str) -> bool:
    granted = rules.parse_flag(text)
    if granted is None:
        raise Invalid("contacts.bad_flag", name=f"consent:{purpose}")
    return granted


def _over(before: list[Any] | None, after: list[Any]) -> list[Any]:
    """Of two columns for one thing the later counts where it says something."""
    if before is None:
        return after
    return [a if b is None else b for a, b in zip(before, after, strict=True)]


def _given(numbers: Sequence[int], values: Sequence[V | None]) -> dict[int, V]:
    """The values by contact; of a contact's rows the last that says something counts."""
    if 0 not in numbers and None not in values:
        return dict(zip(numbers, cast("Sequence[V]", values), strict=True))
    return {number: value for number, value in zip(numbers, values, strict=True) if number and value is not None}
