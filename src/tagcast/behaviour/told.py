"""Events as rows of the lake, and questions as what the lake can be asked. Pure."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from tagcast import lake
from tagcast.behaviour.packed import Events
from tagcast.behaviour.questions import Did, Op, Then, Where, Window
from tagcast.behaviour.rules import BUILT_IN, EventType, Kind
from tagcast.lake import Condition, Days, Followed, Measured, Rows

if TYPE_CHECKING:
    import pyarrow as pa

_EARLIEST, _LATEST = date(1980, 1, 1), date(2110, 1, 1)
"""No event lies before or after."""


def schema(declared: EventType) -> "pa.Schema":
    """The columns of a type; a property's bears its name behind `p_`, so that it is never one of ours."""
    import pyarrow as pa

    kinds: Mapping[Kind, pa.DataType] = {"text": pa.string(), "number": pa.float64(), "flag": pa.bool_()}
    base = [(lake.WHO, pa.int32()), (lake.WHEN, pa.int64()), ("amount", pa.int64()), ("quantity", pa.int32())]
    return pa.schema(base + [(f"p_{name}", kinds[kind]) for name, kind in declared.properties.items()])


def to_rows(events: Events, columns: "pa.Schema") -> "pa.Table":
    """Events as rows. Properties that the columns lack are left out: they were never declared."""
    import pyarrow as pa

    arrays: list[Any] = [
        pa.array(events.contact.astype(np.int32)),
        pa.array(events.at_ms),
        pa.array(events.amount),
        pa.array(events.quantity),
    ]
    for field in list(columns)[4:]:
        name = field.name.removeprefix("p_")
        if events.properties:
            arrays.append(pa.array([one.get(name) for one in events.properties], field.type))
        else:
            arrays.append(pa.nulls(len(events), field.type))
    return pa.table(arrays, schema=columns)


def to_events(rows: "pa.Table") -> Events:
    """Rows as events."""
    names = [name for name in rows.column_names if name.startswith("p_") and rows.column(name).null_count < len(rows)]
    held: list[dict[str, Any]] = []
    if names:
        columns = [rows.column(name).to_pylist() for name in names]
        bare = [name.removeprefix("p_") for name in names]
        held = [
            {name: value for name, value in zip(bare, values, strict=True) if value is not None}
            for values in zip(*columns, strict=True)
        ]
    return Events(
        rows.column(lake.WHO).to_numpy().astype(np.uint32),
        rows.column(lake.WHEN).to_numpy(),
        rows.column("amount").to_numpy(),
        rows.column("quantity").to_numpy(),
        held,
    )


def ends(window: Window, zone: str) -> tuple[int | None, int | None]:
    """The first and the last millisecond of a window."""
    first = None if window.first is None else _midnight(window.first, zone)
    last = None if window.last is None else _midnight(min(window.last, _LATEST) + timedelta(days=1), zone) - 1
    return first, last


def measured(asked: Did, zone: str, span: tuple[int, int]) -> Measured:
    """A question that nobody meets by doing nothing; `span` are the ends of the events' times."""
    part = rows(asked, 0, zone)
    op, value = _whole(asked.op, asked.value)
    match asked.measure:
        case "times":
            return Measured(part, "count", op, value)
        case "days":
            return Measured(part, "days", op, value, days=days(zone, *span))
        case "average":
            # A whole number of cents is compared exactly; others, and those too large to multiply, as they are.
            exact = float(asked.value).is_integer() and abs(asked.value) <= 10**9
            return Measured(part, "average", asked.op, int(asked.value) if exact else float(asked.value), "amount")
        case measure:
            return Measured(part, measure, op, value, "amount")


def followed(asked: Then, zone: str, now_ms: int) -> Followed:
    """A sequence; the sources are the first's and the second's."""
    first, second = rows(asked.first, 0, zone), rows(asked.second, 1, zone)
    return Followed(first, second, asked.within_seconds * 1000, now_ms if asked.absent else None)


def rows(asked: Did, source: int, zone: str) -> Rows:
    """The events that a part of a question is about."""
    first, last = ends(asked.window, zone)
    conditions = [_condition(where) for where in asked.where]
    if first is not None:
        conditions.append(Condition(lake.WHEN, ">=", first))
    if last is not None:
        conditions.append(Condition(lake.WHEN, "<=", last))
    return Rows(source, tuple(conditions))


def _condition(where: Where) -> Condition:
    column = where.name if where.name in BUILT_IN else f"p_{where.name}"
    if isinstance(where.value, tuple):
        value: Any = tuple(_plain(one) for one in where.value)
    else:
        value = _plain(where.value)
    match where.op:
        case "is":
            return Condition(column, "=", value)
        case "is_not":
            return Condition(column, "!=", value)
        case op:
            return Condition(column, op, value)


def _plain(value: Any) -> Any:
    """A number that is whole as one: it needs no compiling of its own."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _whole(op: Op, value: float) -> tuple[Op, int]:
    """The same comparison of whole numbers with a whole number."""
    cut = max(-(2.0**62), min(2.0**62, float(value)))
    if cut.is_integer():
        return op, int(value) if abs(value) <= 2**62 else int(cut)
    match op:
        case ">=" | ">":
            return ">=", math.ceil(cut)
        case "<=" | "<":
            return "<=", math.floor(cut)
        case "=":
            # No whole number is.
            return "<", -(2**62)
        case _:
            return ">=", -(2**62)


def _midnight(day: date, zone: str) -> int:
    start = datetime.combine(max(_EARLIEST, min(day, _LATEST + timedelta(days=1))), time(), ZoneInfo(zone))
    return int(start.timestamp()) * 1000


def days(zone: str, first: int, last: int) -> Days:
    """How the local days between two moments follow from epoch milliseconds."""
    years = (datetime.fromtimestamp(one // 1000, UTC).year for one in (first, last))
    return _days(zone, *years)


@lru_cache(maxsize=256)
def _days(zone: str, first: int, last: int) -> Days:
    info = ZoneInfo(zone)

    def offset(second: int) -> int:
        shift = datetime.fromtimestamp(second, UTC).astimezone(info).utcoffset()
        assert shift is not None
        return int(shift.total_seconds()) * 1000

    start = int(datetime(first, 1, 1, tzinfo=UTC).timestamp()) - 86_400
    end = int(datetime(last + 1, 1, 1, tzinfo=UTC).timestamp()) + 86_400
    steps = []
    before = offset(start)
    for day in range(start, end, 86_400):
        if (after := offset(day + 86_400)) != before:
            turn = day + bisect_left(range(86_400), 1, key=lambda second: int(offset(day + second) != before))
            steps.append((turn * 1000, after - before))
            before = after
    return Days(offset(start), tuple(steps))
