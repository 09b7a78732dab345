"""What a change is, and the refusals of an undo."""

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Difference:
    """The net effect between two moments: members that came and members that left."""

    added: BitMap
    removed: BitMap
