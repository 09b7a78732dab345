"""What a column of an imported file means, and what a chunk of its rows does."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.contacts import actions, rules, store
from tagcast.contacts.rules import KINDS, Attribute, Identity, PersonIn
from tagcast.contacts.values import put_kept
from tagcast.files import Row
from tagcast.kit.errors import Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work

OnConsent = Callable[[Work, str, BitMap, BitMap], None]
"""Called per chunk and purpose with (work, purpose, granted, withdrawn); the numbers are contacts."""

_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,59}")
IGNORE = "ignore"


@dataclass(slots=True)
class ChunkOutcome:
    """What a chunk did: contacts made, rows matched to somebody there, of those changed; problems by row index."""

    made: int = 0
    matched: int = 0
    changed: int = 0
    problems: dict[int, TagcastError] = field(default_factory=dict)


class Handler(Protocol):
    """An import of one kind: reads the mapping once, then applies chunk after chunk, each in its transaction."""

    kind: str
    chunk: int

    def prepare(self, work: Work, columns: Sequence[str]) -> None:
        """Check the mapping against the file's columns and what is declared. Raises Invalid naming what is unknown."""

    def apply(self, work: Work, rows: Sequence[Row], why: str) -> ChunkOutcome:
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
        if column not in columns:
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
    """Imports contacts: identities, attributes, private texts and consents by column."""

    kind = "contacts"
    chunk = 2000

    def __init__(self, mapping: Mapping[str, str], on_consent: OnConsent | None = None) -> None:
        self.mapping = dict(mapping)
        self.on_consent = on_consent
        self.identities: dict[str, Identity] = {}
        self.attributes: dict[str, Attribute] = {}
        self.consents: dict[str, str] = {}

    def prepare(self, work: Work, columns: Sequence[str]) -> None:
        """Check the mapping. Raises Invalid naming the column, the target and the known targets."""
        check_columns(self.mapping, columns)
        declared = store.all_attributes(work)
        for column, target in self.mapping.items():
            what, _, name = target.partition(":")
            attribute = declared.get(name)
            if what == "identity":
                self.identities[column] = identity_of(work, name, column)
            elif what in {"attribute", "text"} and attribute and (what == "attribute" or attribute.type == "text"):
                self.attributes[column] = attribute
            elif what == "consent" and self.on_consent is not None and _PURPOSE.fullmatch(name):
                self.consents[column] = name
            elif target != IGNORE:
                raise Invalid("contacts.unknown_target", column=column, target=target, known=self._known(declared))
        if not self.identities:
            raise Invalid("contacts.no_identity_column", known=", ".join(KINDS))

    def _known(self, declared: Mapping[str, Attribute]) -> str:
        consent = ["consent:<purpose>"] if self.on_consent is not None else []
        named = [f"{'text' if one.type == 'text' else 'attribute'}:{name}" for name, one in declared.items()]
        return ", ".join([*(f"identity:{kind}" for kind in KINDS), *named, *consent, IGNORE])

    def apply(self, work: Work, rows: Sequence[Row], why: str) -> ChunkOutcome:
        """Apply rows; a row with a problem has no effect at all."""
        outcome = ChunkOutcome()
        parsed: list[tuple[int, _Parsed]] = []
        for index, row in enumerate(rows):
            try:
                parsed.append((index, self._parse(row.values)))
            except TagcastError as error:
                outcome.problems[index] = error
        kept: dict[str, dict[int, int | str]] = {attribute.name: {} for attribute in self.attributes.values()}
        consents: dict[str, dict[int, bool]] = {purpose: {} for purpose in self.consents.values()}
        made, changed = BitMap(), BitMap()
        found = actions.find_or_make(work, [one.person for _, one in parsed])
        for (index, one), who in zip(parsed, found, strict=True):
            if who.problem is not None:
                outcome.problems[index] = who.problem
                continue
            outcome.made += who.made
            outcome.matched += not who.made
            (made if who.made else changed).add(who.number) if who.made or who.changed else None
            for name, value in one.kept.items():
                kept[name][who.number] = value
            for purpose, granted in one.consents.items():
                consents[purpose][who.number] = granted
        self._members(work, [(one.person, who.number) for (_, one), who in zip(parsed, found, strict=True)], why)
        changed |= self._write(work, kept, why)
        self._consent(work, consents)
        outcome.changed = len(changed - made)
        return outcome

    def _parse(self, values: Mapping[str, str]) -> "_Parsed":
        known = {identity: values[column] for column, identity in self.identities.items() if values[column].strip()}
        texts: dict[str, str] = {}
        kept: dict[str, int | str] = {}
        for column, attribute in self.attributes.items():
            text = values[column].strip()
            if not text:
                continue
            value = rules.parse_value(attribute, text)
            if attribute.type == "text":
                texts[attribute.name] = str(value)
            else:
                kept[attribute.name] = value
        consents: dict[str, bool] = {}
        for column, purpose in self.consents.items():
            if text := values[column].strip():
                granted = rules.parse_flag(text)
                if granted is None:
                    raise Invalid("contacts.bad_flag", name=f"consent:{purpose}")
                consents[purpose] = granted
        return _Parsed(PersonIn(known, texts), kept, consents)

    def _members(self, work: Work, people: Sequence[tuple[PersonIn, int]], why: str) -> None:
        """A list that names a member id says that its owner is a member, also of somebody who had left."""
        for identity in self.identities.values():
            if identity.kind == "member_id":
                named = BitMap([number for person, number in people if number and identity in person.identities])
                work.bitmaps.add(f"following:{identity.account}", named, why=why)

    def _write(self, work: Work, kept: Mapping[str, Mapping[int, int | str]], why: str) -> BitMap:
        changed = BitMap()
        for attribute in self.attributes.values():
            values = kept[attribute.name]
            if values and attribute.type != "text":
                changed |= put_kept(work, attribute, values, why=why)
        return changed

    def _consent(self, work: Work, consents: Mapping[str, Mapping[int, bool]]) -> None:
        for purpose, given in consents.items():
            if given and self.on_consent is not None:
                granted = bitmaps.pack([number for number, yes in given.items() if yes])
                self.on_consent(work, purpose, granted, bitmaps.pack(given.keys()) - granted)


@dataclass(frozen=True, slots=True)
class _Parsed:
    person: PersonIn
    kept: dict[str, int | str]
    consents: dict[str, bool]
