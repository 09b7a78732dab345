"""Questions answered in this process from few rows that are already here: no SQL, no engine, no file.

One more engine beside DuckDB and Spark, with the same answers; for what concerns a handful of people many times a
second.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagcast.lake.asking import Ask, Condition, Days, Followed, Measured, Op, Rows
from tagcast.lake.words import WHEN, WHO, Numbers

if TYPE_CHECKING:
    import pyarrow as pa

_DAY_MS = 86_400_000
_OPS: Mapping[Op, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_ARROW: Mapping[str, str] = {
    "<": "less",
    "<=": "less_equal",
    "=": "equal",
    "!=": "not_equal",
    ">=": "greater_equal",
    ">": "greater",
}


def answer(ask: Ask, sources: Sequence["pa.Table"]) -> Numbers:
    """Who it is among whom the rows are about, each once; the sources are numbered as they stand."""
    if isinstance(ask, Measured):
        return _measured(chosen(ask.rows, sources), ask)
    return _followed(chosen(ask.first, sources), chosen(ask.second, sources), ask)


def chosen(rows: Rows, sources: Sequence["pa.Table"]) -> "pa.Table":
    """The rows of one of the sources that meet every condition."""
    table = sources[rows.source]
    if not rows.conditions or not len(table):
        return table
    mask = np.ones(len(table), dtype=np.bool_)
    for one in rows.conditions:
        mask &= _meets(table.column(one.column), one)
    return table if mask.all() else table.filter(mask)


def _meets(column: "pa.ChunkedArray", one: Condition) -> NDArray[np.bool_]:
    """Where the condition holds; for a null only `unknown` does."""
    import pyarrow.compute as pc

    value = one.value
    match one.op:
        case "known":
            return _mask(column.is_valid())
        case "unknown":
            return _mask(column.is_null())
        case "in":
            assert isinstance(value, tuple)
            found = np.zeros(len(column), dtype=np.bool_)
            for each in value:
                found |= _mask(pc.equal(column, each))
            return found
        case "between":
            assert isinstance(value, tuple)
            low, high = value
            return _mask(pc.greater_equal(column, low)) & _mask(pc.less_equal(column, high))
        case op:
            return _mask(pc.call_function(_ARROW[op], [column, value]))


def _mask(found: Any) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    made: NDArray[np.bool_] = np.asarray(pc.fill_null(found, False))
    return made


def _measured(rows: "pa.Table", ask: Measured) -> Numbers:
    who = _column(rows, WHO)
    order = np.argsort(who, kind="stable")
    who = who[order]
    if not len(who):
        return who.astype(np.int32)
    starts = np.flatnonzero(np.append(True, who[1:] != who[:-1]))
    counts = np.diff(np.append(starts, len(who)))
    right: Any = ask.value
    found: NDArray[Any]
    if ask.measure == "count":
        found = counts
    elif ask.measure == "days":
        assert ask.days is not None
        day = _local_days(_column(rows, WHEN)[order], ask.days)
        group = np.repeat(np.arange(len(starts)), counts)
        pairs = np.unique(np.stack((group, day)), axis=1)[0]
        found = np.bincount(pairs, minlength=len(starts))
    else:
        values = _column(rows, ask.column)[order].astype(np.int64)
        join = {"least": np.minimum, "most": np.maximum}.get(ask.measure, np.add)
        found = join.reduceat(values, starts)
        if ask.measure == "average":
            # Multiplied out, as the other engines do.
            right = counts * ask.value
    met: Numbers = who[starts][_OPS[ask.op](found, right)].astype(np.int32)
    return met


def _local_days(when: NDArray[np.int64], days: Days) -> NDArray[np.int64]:
    shifted = when + days.offset_ms
    for start, more in days.steps:
        shifted = shifted + np.where(when >= start, more, 0)
    return shifted // _DAY_MS


def _followed(first: "pa.Table", second: "pa.Table", ask: Followed) -> Numbers:
    """For each first the next second of the same contact: one search in times laid end to end, contact by contact."""
    who, when = _column(first, WHO), _column(first, WHEN)
    if not len(who):
        return who.astype(np.int32)
    whose, then = _column(second, WHO), _column(second, WHEN)
    everyone = np.unique(np.concatenate((who, whose)))
    start = min(int(when.min()), int(then.min()) if len(then) else int(when.min()))
    end = max(int(when.max()), int(then.max()) if len(then) else int(when.max()))
    # So wide that what is within the span of one contact's last row is before the next contact's first.
    stride = end - start + ask.span_ms + 2
    marks = np.sort(np.searchsorted(everyone, whose) * stride + (then - start))
    mine = np.searchsorted(everyone, who) * stride + (when - start)
    followed = np.searchsorted(marks, mine + ask.span_ms, "right") > np.searchsorted(marks, mine, "right")
    if ask.absent_before is not None:
        followed = ~followed & (when + ask.span_ms < ask.absent_before)
    return np.unique(who[followed]).astype(np.int32)


def _column(rows: "pa.Table", name: str) -> NDArray[Any]:
    found: NDArray[Any] = rows.column(name).to_numpy()
    return found
