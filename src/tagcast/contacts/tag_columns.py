"""Columns of an imported file that hold tags, and tags for the whole file. Who keeps tags is told by the caller."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.kit.errors import Conflict, Invalid, TagcastError
from tagcast.kit.uow import Work

ALL = "*"
"""Stands in a mapping for every row: `"*" = "tag=会员/金卡;活动/双十一"`."""
_BETWEEN = re.compile(r"[;；、]")
_TARGET = re.compile(r"tag(?::([0-9]{1,9}))?")
Place = tuple[int | None, str]
"""The account of a tag (None: the workspace's own) and its path."""


class OnTags(Protocol):
    """Who keeps tags, as an import sees them."""

    def check(self, work: Work, wanted: Collection[Place], *, make: bool) -> Mapping[Place, TagcastError]:
        """What is wrong with those tags that cannot be given; with `make`, being unknown is not."""

    def give(self, work: Work, members: Mapping[Place, BitMap], *, make: bool, why: str) -> BitMap:
        """Give the tags, making those that are unknown if `make`; who really got one. Raises Refused for a limit."""


def with_tags(mapping: Mapping[str, str], paths: Sequence[str]) -> dict[str, str]:
    """A mapping with tags of the workspace for every row. Raises Conflict if it gives tags of an account to all."""
    if not paths:
        return dict(mapping)
    before = mapping.get(ALL, "tag=")
    if not before.startswith("tag="):
        raise Conflict("contacts.tags_twice", target=before)
    return {**mapping, ALL: "tag=" + ";".join([*filter(None, [before.removeprefix("tag=")]), *paths])}


class TagColumns:
    """The tags of an import: by column and for every row."""

    def __init__(self, on_tags: OnTags | None, *, make: bool) -> None:
        self.on_tags = on_tags
        self.make = make
        self.columns: dict[str, int | None] = {}
        self.always: list[Place] = []

    def take(self, work: Work, column: str, target: str) -> bool:
        """Whether a column's target is tags. Raises NotFound for its account; Invalid and others for a tag for all."""
        what, equals, paths = target.partition("=")
        match = _TARGET.fullmatch(what)
        if match is None or self.on_tags is None or bool(equals) != (column == ALL):
            return False
        account = accounts.get(work, int(match[1])).id if match[1] else None
        if column != ALL:
            self.columns[column] = account
            return True
        self.always = _places(account, paths)
        for error in self.on_tags.check(work, self.always, make=self.make).values():
            raise error
        return bool(self.always)

    def read(
        self, work: Work, cells: Mapping[str, Sequence[str]], bad: dict[int, TagcastError]
    ) -> dict[Place, list[int]]:
        """The rows of each tag; the rows with a tag that cannot be given are bad."""
        rows: dict[Place, list[int]] = {}
        for column, account in self.columns.items():
            by_cell: dict[str, list[int]] = {}
            for at, cell in enumerate(cells[column]):
                if cell:
                    by_cell.setdefault(cell, []).append(at)
            for cell, found in by_cell.items():
                for place in dict.fromkeys(_places(account, cell)):
                    rows.setdefault(place, []).extend(found)
        if rows and self.on_tags is not None:
            for place, error in self.on_tags.check(work, list(rows), make=self.make).items():
                for at in rows.pop(place):
                    bad.setdefault(at, error)
        return rows

    def give(self, work: Work, rows: Mapping[Place, Sequence[int]], numbers: Sequence[int], why: str) -> BitMap:
        """Give the tags to the contacts of the rows; who got one that they had not. Raises Refused for a limit."""
        none = BitMap([0])
        members = {place: bitmaps.pack([numbers[at] for at in found]) - none for place, found in rows.items()}
        for place in self.always:
            members[place] = bitmaps.pack(numbers) - none
        wanted = {place: given for place, given in members.items() if given}
        if not wanted or self.on_tags is None:
            return BitMap()
        return self.on_tags.give(work, wanted, make=self.make, why=why)


def check_all(mapping: Mapping[str, str], column: str) -> None:
    """Raise Invalid for a target that cannot be that of every row."""
    if column == ALL:
        raise Invalid("contacts.bad_all", target=mapping[column])


def _places(account: int | None, text: str) -> list[Place]:
    return [(account, path) for part in _BETWEEN.split(text) if (path := part.strip())]
