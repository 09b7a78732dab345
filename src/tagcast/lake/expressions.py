"""A question as one Ibis expression, compiled to an engine's SQL once for each shape of question.

The shape leaves out whole numbers, texts and where the rows lie: they are put into the compiled text afterwards, so
that "bought twice in 30 days" is not compiled again tomorrow. Two things are not used because engines differ silently:
`epoch_seconds()` (a fraction on DuckDB) and `last(include_null=False)` over a window (its IGNORE NULLS is lost there).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import pyarrow as pa

from tagcast.lake.asking import Ask, Condition, Days, Followed, Measured, Rows, Value
from tagcast.lake.words import WHEN, WHO

Dialect = Literal["duckdb", "pyspark"]

DAY_MS = 86_400_000
_NUMBER = 8_100_000_000_000_000
_HOLE = re.compile(r"81000000\d{8}|'§(\d+)§'|[\"`](source|within)_(\d+)[\"`]")
SHAPES = 512
"""Compiled shapes kept at most."""


@dataclass(frozen=True, slots=True)
class Hole:
    """What stands in for a value in the shape of a question, told apart by its place."""

    place: int
    text: bool


class Shape:
    """Takes the values out of a question, in the order of their places."""

    def __init__(self) -> None:
        self.values: list[int | str] = []

    def _out(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._out(one) for one in value)
        # What is not a number or a text belongs to the shape: there are few, and their text is not plain.
        if isinstance(value, bool | float) or value is None:
            return value
        self.values.append(value)
        return Hole(len(self.values) - 1, isinstance(value, str))

    def rows(self, rows: Rows) -> Rows:
        """Rows without values."""
        return Rows(rows.source, tuple(Condition(one.column, one.op, self._out(one.value)) for one in rows.conditions))

    def ask(self, ask: Ask) -> Ask:
        """A question without values."""
        match ask:
            case Measured(rows, measure, op, value, column, days):
                bare = None if days is None else Days(self._out(days.offset_ms), self._out(days.steps))
                return Measured(self.rows(rows), measure, op, self._out(value), column, bare)
            case Followed(first, second, span_ms, absent_before):
                ends = self._out(span_ms), self._out(absent_before)
                return Followed(self.rows(first), self.rows(second), *ends)


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL with holes: texts, and between each two what belongs there."""

    texts: tuple[str, ...]
    holes: tuple[tuple[Literal["value", "source", "within"], int], ...]

    def fill(self, values: list[str], sources: list[str], within: str) -> str:
        """The SQL; all of it is text in the engine's own words."""
        out = [self.texts[0]]
        for (kind, place), text in zip(self.holes, self.texts[1:], strict=True):
            out.append({"value": values, "source": sources}[kind][place] if kind != "within" else within)
            out.append(text)
        return "".join(out)


def compiled(ask: Ask, schemas: tuple[pa.Schema, ...], within: bool, dialect: Dialect) -> tuple[Compiled, list[str]]:
    """(SQL with holes, its values as the dialect writes them)."""
    shape = Shape()
    bare = shape.ask(ask)
    columns = tuple(tuple((field.name, _ibis_type(field.type)) for field in schema) for schema in schemas)
    found = _compile(bare, columns, within, dialect)
    return found, [_literal(one, dialect) for one in shape.values]


def clear() -> None:
    """Forget what was compiled."""
    _compile.cache_clear()


@lru_cache(maxsize=SHAPES)
def _compile(bare: Ask, columns: tuple[tuple[tuple[str, str], ...], ...], within: bool, dialect: Dialect) -> Compiled:
    import ibis

    getattr(ibis, dialect)  # loads the dialect's options, without which it cannot compile
    text = str(ibis.to_sql(expression(bare, columns, within), dialect=dialect))
    texts: list[str] = []
    holes: list[tuple[Any, int]] = []
    at = 0
    for found in _HOLE.finditer(text):
        texts.append(text[at : found.start()])
        at = found.end()
        if found[2] is not None:
            holes.append((found[2], int(found[3])))
        else:
            holes.append(("value", int(found[1]) if found[1] else int(found[0]) - _NUMBER))
    return Compiled((*texts, text[at:]), tuple(holes))


def expression(ask: Ask, columns: tuple[tuple[tuple[str, str], ...], ...], within: bool) -> Any:
    """The question as an Ibis table of one column, who."""
    import ibis

    tables = [ibis.table(dict(some), name=f"source_{index}") for index, some in enumerate(columns)]
    inside = ibis.table({WHO: "int32"}, name="within_0") if within else None

    def chosen(rows: Rows) -> Any:
        table = tables[rows.source]
        for one in rows.conditions:
            table = table.filter(_condition(table, one))
        return table if inside is None else table.semi_join(inside, WHO)

    match ask:
        case Measured():
            return _measured(chosen(ask.rows), ask)
        case Followed(first, second, span_ms, absent_before):
            return _followed(chosen(first), chosen(second), span_ms, absent_before)


def _condition(table: Any, one: Condition) -> Any:
    column = table[one.column]
    value = one.value
    match one.op:
        case "known":
            return column.notnull()
        case "unknown":
            return column.isnull()
        case "in":
            assert isinstance(value, tuple)
            return column.isin([_value(each) for each in value])
        case "between":
            assert isinstance(value, tuple)
            low, high = value
            return column.between(_value(low), _value(high))
        case op:
            return _compare(column, op, _value(value))


def _compare(left: Any, op: str, right: Any) -> Any:
    match op:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case "=":
            return left == right
        case "!=":
            return left != right
        case ">=":
            return left >= right
        case _:
            return left > right


def _value(value: Any) -> Any:
    """A value, or what stands in for it: a number or a text that no table holds."""
    if isinstance(value, Hole):
        return f"§{value.place}§" if value.text else _NUMBER + value.place
    return value


def _measured(rows: Any, ask: Measured) -> Any:
    column: Any = rows[ask.column] if ask.column else None
    right: Any = _value(ask.value)
    groups = rows.group_by(WHO)
    match ask.measure:
        case "count":
            found = groups.agg(measured=rows.count())
        case "days":
            assert ask.days is not None
            found = groups.agg(measured=_day(rows[WHEN], ask.days).nunique())
        case "sum":
            found = groups.agg(measured=column.sum())
        case "least":
            found = groups.agg(measured=column.min())
        case "most":
            found = groups.agg(measured=column.max())
        case "average":
            # Multiplied out: a division would be rounded, and not by every engine alike.
            found = groups.agg(measured=column.sum(), times=rows.count())
            right = found.times * right
    return found.filter(_compare(found.measured, ask.op, right)).select(WHO)


def _day(when: Any, days: Days) -> Any:
    """The local day's number. The quotient of numbers below 2**53 has the right floor."""
    import ibis

    shifted = when + _value(days.offset_ms)
    for start, more in days.steps:
        shifted += ibis.ifelse(when >= _value(start), _value(more), 0)
    return (shifted / DAY_MS).floor()


def _followed(first: Any, second: Any, span_ms: Any, absent_before: Any) -> Any:
    """One list of both kinds per contact, latest first; the least second seen so far is the next one.

    A mark is twice the time, and one more for a first: at the same time a first stands before a second, so what it sees
    is later. A pair is within the span if their marks differ by at most twice the span less one.
    """
    import ibis

    firsts = first.select(WHO, mark=first[WHEN] * 2 + 1, second=ibis.null("int64"))
    seconds = second.select(WHO, mark=second[WHEN] * 2, second=second[WHEN] * 2)
    both = firsts.union(seconds)
    latest_first = ibis.window(group_by=WHO, order_by=both.mark.desc(), rows=(None, 0))
    seen = both.mutate(following=both.second.min().over(latest_first))
    asking = seen.filter(seen.second.isnull())
    span = ibis.literal(_value(span_ms), "int64") * 2
    if absent_before is None:
        found = asking.filter(asking.following <= asking.mark + span)
    else:
        alone = asking.following.isnull() | (asking.following > asking.mark + span)
        over = asking.mark + span < ibis.literal(_value(absent_before), "int64") * 2
        found = asking.filter(alone & over)
    return found.select(WHO).distinct()


def _literal(value: Value, dialect: Dialect) -> str:
    if isinstance(value, str):
        from sqlglot import exp

        return str(exp.Literal.string(value).sql(dialect={"duckdb": "duckdb", "pyspark": "spark"}[dialect]))
    return f"({value})" if value < 0 else str(value)


def _ibis_type(kind: pa.DataType) -> str:
    return {
        pa.int32(): "int32",
        pa.int64(): "int64",
        pa.float64(): "float64",
        pa.string(): "string",
        pa.bool_(): "boolean",
    }[kind]
