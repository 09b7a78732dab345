"""What can be asked of behaviour, as values. Pure: `answers` says how a question is answered.

Days are calendar days of the workspace's zone; amounts are in cents.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

Op = Literal["<", "<=", "=", "!=", ">=", ">"]
Measure = Literal["times", "days", "sum", "average", "least", "most"]
PropertyOp = Literal["is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown"]


@dataclass(frozen=True, slots=True)
class Window:
    """Whole days from `first` to `last`, both included; None: open on that side."""

    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on one property of an event (also `amount`, in cents, and `quantity`).

    `value` is a tuple for `in` and (low, high), both included, for `between`, None for known and unknown. An event
    without the property meets `unknown` only, not even `is_not`.
    """

    name: str
    op: PropertyOp
    value: str | int | float | bool | tuple[str | int | float | bool, ...] | None = None


@dataclass(frozen=True, slots=True)
class Did:
    """The contacts whose events of a type, in a window and with certain properties, measure `op` `value`.

    times: events; days: distinct days; sum, average, least, most: of the amounts, in cents. Who has no such event has
    done it 0 times on 0 days for a sum of 0, so `times < 2` includes them; they have no average, least or most.
    """

    event: str
    window: Window = Window()
    measure: Measure = "times"
    op: Op = ">="
    value: float = 1
    where: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True)
class Then:
    """The contacts with an event `first` that an event `second` follows, later and within so many seconds.

    Later is at least a millisecond later. `absent`: that no such event followed one of the first, whose time is over
    (`at + within < now`). Both are `times >= 1`; the windows bound each by itself.
    """

    first: Did
    second: Did
    within_seconds: int
    absent: bool = False


Question = Did | Then
