"""Rows for the tests of the lake, and what a question means, by plain Python over lists of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tagcast.lake import Ask, Condition, Days, Followed, Measured, Rows

DAY = 86_400_000
START = 1_704_067_200_000  # 2024-01-01 UTC

SCHEMA = pa.schema(
    [
        ("contact", pa.int32()), ("at_ms", pa.int64()), ("amount", pa.int64()), ("quantity", pa.int32()),
        ("p_text", pa.string()),
    ]
)  # fmt: skip
WIDER = SCHEMA.append(pa.field("p_number", pa.float64())).append(pa.field("p_flag", pa.bool_()))
TEXTS = ["a", "b", "鞋", "o'neil", "back\\slash", 'double"quote', "line\nbreak", "§0§", "--", "%_", ""]


def rows(seed: int, count: int, schema: pa.Schema = SCHEMA, people: int = 40, days: int = 90) -> pa.Table:
    """Random rows; many share a moment, values are often missing."""
    dice = np.random.default_rng(seed)
    made: dict[str, Any] = {
        "contact": dice.integers(1, people + 1, count).astype(np.int32),
        "at_ms": START + dice.integers(0, days * 48, count) * (DAY // 48),
        "amount": dice.integers(-50, 5000, count),
        "quantity": dice.integers(0, 4, count).astype(np.int32),
        "p_text": [None if one == 11 else TEXTS[one] for one in dice.integers(0, 12, count)],
        "p_number": [None if one > 40 else one / 4 for one in dice.integers(0, 50, count).tolist()],
        "p_flag": [(None, True, False)[one] for one in dice.integers(0, 3, count)],
    }
    return pa.table({name: made[name] for name in schema.names}, schema=schema)


def records(*tables: pa.Table) -> list[dict[str, Any]]:
    """Rows as dicts that have every column."""
    return [{name: one.get(name) for name in WIDER.names} for table in tables for one in table.to_pylist()]


def compare(left: Any, op: str, right: Any) -> bool:
    return bool({"<": left < right, "<=": left <= right, "=": left == right, "!=": left != right, ">=": left >= right,
                 ">": left > right}[op])  # fmt: skip


def meets(row: dict[str, Any], one: Condition) -> bool:
    value = row[one.column]
    if one.op in ("known", "unknown"):
        return (value is None) == (one.op == "unknown")
    if value is None:
        return False
    if one.op == "in":
        return value in one.value  # type: ignore[operator]  # a tuple
    if one.op == "between":
        return bool(one.value[0] <= value <= one.value[1])  # type: ignore[index,operator]  # a tuple
    return compare(value, one.op, one.value)


def local_day(at_ms: int, days: Days) -> int:
    return (at_ms + days.offset_ms + sum(more for start, more in days.steps if at_ms >= start)) // DAY


def answer(ask: Ask, sources: Sequence[list[dict[str, Any]]]) -> set[int]:
    """Who it is, by going through the rows one by one."""

    def chosen(part: Rows) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in sources[part.source]:
            if all(meets(row, one) for one in part.conditions):
                found[row["contact"]].append(row)
        return found

    if isinstance(ask, Measured):
        return {who for who, some in chosen(ask.rows).items() if compare(figure(ask, some), ask.op, ask.value)}
    return sequence(ask, chosen(ask.first), chosen(ask.second))


def figure(ask: Measured, some: list[dict[str, Any]]) -> float:
    if ask.measure == "count":
        return len(some)
    if ask.measure == "days":
        assert ask.days is not None
        return len({local_day(row["at_ms"], ask.days) for row in some})
    values = [row[ask.column] for row in some]
    if ask.measure == "average":
        return float(sum(values) / len(values))
    return float({"sum": sum(values), "least": min(values), "most": max(values)}[ask.measure])


def sequence(ask: Followed, firsts: dict[int, Any], seconds: dict[int, Any]) -> set[int]:
    found = set()
    for who, some in firsts.items():
        for first in some:
            start, end = first["at_ms"], first["at_ms"] + ask.span_ms
            followed = any(start < second["at_ms"] <= end for second in seconds.get(who, ()))
            if followed if ask.absent_before is None else not followed and end < ask.absent_before:
                found.add(who)
    return found
