"""What can be asked of rows about somebody at some time, as values; every engine gives the same answer.

Kept to operations that DuckDB and Spark agree on: comparisons, membership, sums of integers, counts, extremes, and one
running minimum. Times are integers, so nothing depends on an engine's zones or rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Value = str | int | float | bool
Op = Literal["<", "<=", "=", "!=", ">=", ">"]


@dataclass(frozen=True, slots=True)
class Condition:
    """On one column. `value` is a tuple for `in`, (low, high) for `between`, None for known and unknown.

    Only `unknown` holds for a null.
    """

    column: str
    op: Literal["<", "<=", "=", "!=", ">=", ">", "in", "between", "known", "unknown"]
    value: Value | tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of the source number `source` that meet every condition."""

    source: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Days:
    """Local calendar days: `steps` are (from epoch ms on, add so many ms to the offset before), the first from any."""

    offset_ms: int
    steps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """Who has rows whose measure stands in a relation to a value.

    count: rows; days: distinct local days; sum, average, least, most: of an integer column. Who has no rows is never
    among them.
    """

    rows: Rows
    measure: Literal["count", "days", "sum", "average", "least", "most"]
    op: Op
    value: int | float
    column: str = ""
    days: Days | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """Who has a first row that a second follows, later and by at most `span_ms`.

    With `absent_before`: a first row that no second follows so, its span being over before that time.
    """

    first: Rows
    second: Rows
    span_ms: int
    absent_before: int | None = None


Ask = Measured | Followed


def sources(ask: Ask) -> Iterator[int]:
    """The numbers of the sources that are read."""
    match ask:
        case Measured(rows):
            yield rows.source
        case Followed(first, second):
            yield from {first.source, second.source}
