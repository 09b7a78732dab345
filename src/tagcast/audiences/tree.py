"""The tree of a segment expression. Pure values: `checks` says what they may be, `leaves` what they stand for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tagcast.audiences.spans import EVER, Span
from tagcast.behaviour import Where
from tagcast.outcomes import Outcome

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | None
Op = Literal["is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown"]
FigureOp = Literal["is", "is_not", "<", "<=", ">", ">=", "between"]
Measure = Literal["times", "days", "sum", "average", "least", "most"]

OPS: tuple[Op, ...] = ("is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown")
FIGURE_OPS: tuple[FigureOp, ...] = ("is", "is_not", "<", "<=", ">", ">=", "between")
COUNTS: tuple[Measure, ...] = ("times", "days")
AMOUNTS: tuple[Measure, ...] = ("sum", "average", "least", "most")


@dataclass(frozen=True, slots=True)
class All:
    """Every contact."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """No contact."""


@dataclass(frozen=True, slots=True)
class TagLeaf:
    """Who holds the tag at `path`, or one below it unless `exactly`. Without `account` the tag is the workspace's."""

    path: str
    account: int | None = None
    exactly: bool = False


@dataclass(frozen=True, slots=True)
class FieldLeaf:
    """Whose attribute or feature `name` meets `op` and `value`.

    `value` is None for known and unknown, (low, high) for between, values for in, one value for every other op.
    """

    name: str
    op: Op
    value: Value = None


@dataclass(frozen=True, slots=True)
class DateLeaf:
    """Whose date attribute `name` lies in a span."""

    name: str
    during: Span


@dataclass(frozen=True, slots=True)
class BirthdayLeaf:
    """Who has a birthday, or another yearly return of the date `name`, in a span that is closed on both sides.

    The date itself is no return. 29 February returns on 28 February in common years.
    """

    name: str
    during: Span


@dataclass(frozen=True, slots=True)
class RankLeaf:
    """The highest or lowest `percent` of those who have a number `name`.

    They are ranked from the highest down, equal ones by contact number. Of n, the top are the first n × percent / 100,
    rounded up; the bottom are those whom the top of the remaining percents leaves.
    """

    name: str
    side: Literal["top", "bottom"]
    percent: int | float


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """The members of another segment."""

    name: str


@dataclass(frozen=True, slots=True)
class DidLeaf:
    """Whose events of a type, in a span of days and with certain properties, measure `op` `value`.

    `value` is a whole number of events or days, or cents; (low, high) for between. So are conditions on `amount`.
    """

    event: str
    during: Span = EVER
    measure: Measure = "times"
    op: FigureOp = ">="
    value: int | tuple[int, int] = 1
    where: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True)
class ThenLeaf:
    """Who did `first`, and then `second` within so many minutes; with `absent`, did not and the time is over.

    Neither has a measure of its own.
    """

    first: DidLeaf
    second: DidLeaf
    minutes: int
    absent: bool = False


@dataclass(frozen=True, slots=True)
class SendLeaf:
    """What became of past sends: in how many of them the contact had this outcome, `op` `value`.

    `sending` is a broadcast's name, which can stand for several, or its number; None: any. `account` and the days of
    launch narrow them down.
    """

    outcome: Outcome
    sending: str | int | None = None
    account: int | None = None
    during: Span = EVER
    op: FigureOp = ">="
    value: int | tuple[int, int] = 1


@dataclass(frozen=True, slots=True)
class And:
    """Those in every part; at least two parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Those in any part; at least two parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Every contact but those in `part`."""

    part: "Expression"


Named = FieldLeaf | DateLeaf | BirthdayLeaf | RankLeaf
"""The leaves that name an attribute or a feature."""
Leaf = All | Nobody | TagLeaf | Named | SegmentLeaf | DidLeaf | ThenLeaf | SendLeaf
Expression = Leaf | And | Or | Not


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """What stands directly below a node."""
    match expression:
        case And(parts) | Or(parts):
            return parts
        case Not(part):
            return (part,)
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Every node with its depth, the root's being 1; without recursion, so that any depth can be measured."""
    waiting = [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((part, depth + 1) for part in reversed(parts_of(node)))


def questions_of(node: Expression) -> tuple[DidLeaf, ...]:
    """What a node itself asks of behaviour: one question, both halves of a sequence, or nothing."""
    match node:
        case DidLeaf():
            return (node,)
        case ThenLeaf(first, second):
            return (first, second)
        case _:
            return ()


def substitute(expression: Expression, change: Callable[[Leaf], Leaf]) -> Expression:
    """The expression with every leaf replaced by what `change` makes of it."""
    match expression:
        case And(parts):
            return And(tuple(substitute(part, change) for part in parts))
        case Or(parts):
            return Or(tuple(substitute(part, change) for part in parts))
        case Not(part):
            return Not(substitute(part, change))
        case leaf:
            return change(leaf)
