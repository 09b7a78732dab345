"""What a change is, and the refusals of an undo."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pyroaring import BitMap

Op = Literal["add", "remove"]


class UnknownChange(ValueError):
    """The workspace has no change with this seq."""


class AlreadyUndone(ValueError):
    """The change was undone before; undoing that undo brings it back."""


@dataclass(frozen=True, slots=True)
class Change:
    """One recorded change of one key. `size` counts the members that it really added or removed."""

    seq: int
    key: str
    op: Op
    size: int
    who: str
    why: str
    at_ms: int
    until_ms: int | None = None
    undoes: int | None = None


class Wanted(NamedTuple):
    """A change asked for by `who`: to add those of `members` that are missing, or to remove those that are there."""

    key: str
    op: Op
    members: BitMap
    who: str
    why: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """The net effect between two moments: members that came and members that left."""

    added: BitMap
    removed: BitMap


@dataclass(frozen=True, slots=True)
class Only:
    """Which changes of a history: by whom, a part of the reason in any case, which way, since and until (epoch ms)."""

    who: str | None = None
    why: str | None = None
    op: Op | None = None
    since_ms: int | None = None
    until_ms: int | None = None
