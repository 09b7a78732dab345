"""Every operator and kind of question: DuckDB, Spark (Sail, or a real cluster), numpy, SQL and plain Python agree."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lake.rows import DAY, SCHEMA, START, TEXTS, WIDER, answer, records, rows

from tagcast.lake import Ask, Condition, Days, Down, Followed, Lake, Measured, Rows, Source, answer_few

TZ = Days(28_800_000, ((START + 30 * DAY, 3_600_000), (START + 60 * DAY + 1, -3_600_000)))
OPS = ("<", "<=", "=", "!=", ">=", ">")


@dataclass(frozen=True)
class Ground:
    """The same rows for all: in files with and without later columns, and beside them."""

    duck: Lake
    spark: Lake
    sources: list[Source]
    lists: list[list[dict[str, Any]]]

    def agree(self, ask: Ask, within: list[int] | None = None) -> set[int]:
        """What all engines say. Fails when one says something else."""
        told = None if within is None else np.array(within, np.int32)
        expected = answer(ask, self.lists)
        if within is not None:
            expected &= set(within)
        assert set(self.duck.ask(ask, self.sources, told).tolist()) == expected
        assert set(self.spark.ask(ask, self.sources, told).tolist()) == expected
        tables = [_only(some, within) for some in self.lists]
        assert sorted(answer_few(ask, tables).tolist()) == sorted(expected)
        return expected


def _only(some: list[dict[str, Any]], within: list[int] | None) -> pa.Table:
    return pa.Table.from_pylist([one for one in some if within is None or one["contact"] in within], schema=WIDER)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, sail_url: str) -> Iterator[Ground]:
    place: Path = tmp_path_factory.mktemp("lake")
    duck, spark = Lake(place), Lake(place, engine="spark", spark_url=sail_url)
    old, new, tail = rows(1, 500), rows(2, 300, WIDER), rows(3, 60, WIDER)
    table = duck.table("a/one")
    table.append(old, after=0, upto=1)
    table.append(new, after=1, upto=2)
    other = rows(4, 200, WIDER)
    duck.table("a/two").append(other, after=0, upto=1)
    sources = [
        duck.source("a/one", table.snapshot(), tail, without=(7, 8)),
        duck.source("a/two", duck.table("a/two").snapshot(), WIDER.empty_table()),
    ]
    lists = [
        [row for row in records(old, new) if row["contact"] not in (7, 8)] + records(tail),
        records(other),
    ]
    yield Ground(duck, spark, sources, lists)
    duck.close()
    spark.close()


CONDITIONS = [
    *(Condition("at_ms", op, START + 40 * DAY) for op in OPS),
    *(Condition("amount", op, 2500) for op in OPS),
    *(Condition("amount", op, -0.5) for op in OPS),
    *(Condition("p_number", op, 5) for op in OPS),
    *(Condition("p_number", op, 5.25) for op in OPS),
    *(Condition("p_text", op, "b") for op in OPS),
    *(Condition("p_text", "=", text) for text in TEXTS),
    Condition("p_flag", "=", True),
    Condition("p_flag", "=", False),
    Condition("p_flag", "!=", True),
    Condition("p_text", "in", ("a", "o'neil", "back\\slash", "nobody's")),
    Condition("quantity", "in", (0, 3)),
    Condition("p_number", "in", (1, 2.25, 5)),
    Condition("p_flag", "in", (True,)),
    Condition("p_number", "between", (2.5, 7)),
    Condition("amount", "between", (-50, 0)),
    *(Condition(name, op) for name in ("p_text", "p_number", "p_flag", "amount") for op in ("known", "unknown")),
]  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_every_condition_means_the_same_everywhere(ground: Ground, condition: Condition) -> None:
    some = Rows(0, (condition,))
    found = ground.agree(Measured(some, "count", ">=", 1))
    ground.agree(Measured(some, "count", ">", 3))
    assert found or condition.op in ("unknown", "=", "in")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("count", 18),
        ("days", 13),
        ("sum", 40_000),
        ("least", 40),
        ("most", 4800),
        ("average", 2400),
        ("average", 2400.5),
    ],
)
def test_every_measure_means_the_same_everywhere(ground: Ground, measure: Any, op: Any, value: float) -> None:
    column = "" if measure in ("count", "days") else "amount"
    ask = Measured(Rows(0), measure, op, value, column, TZ if measure == "days" else None)
    assert ground.agree(ask) or op == "="
    ground.agree(ask, [1, 2, 3, 7, 999])


@pytest.mark.parametrize("absent_before", [None, START + 80 * DAY])
@pytest.mark.parametrize("span", [1, DAY // 48, DAY, 10 * DAY])
@pytest.mark.parametrize("second", [0, 1])
def test_sequences_mean_the_same_everywhere(ground: Ground, second: int, span: int, absent_before: int | None) -> None:
    first = Rows(0, (Condition("p_text", "in", ("a", "b")),))
    ask = Followed(first, Rows(second, (Condition("quantity", ">=", 1),)), span, absent_before)
    ground.agree(ask)
    ground.agree(ask, [3, 4, 5])


def test_questions_equal_hand_written_sql(ground: Ground) -> None:
    connection = duckdb.connect()
    connection.register("events", pa.Table.from_pylist(ground.lists[0], schema=WIDER))

    def sql(text: str) -> set[int]:
        return {row[0] for row in connection.sql(text).fetchall()}

    assert ground.agree(Measured(Rows(0, (Condition("p_text", "!=", "a"),)), "sum", ">", 20_000, "amount")) == sql(
        "SELECT contact FROM events WHERE p_text <> 'a' GROUP BY 1 HAVING sum(amount) > 20000"
    )
    days = f"(at_ms + 28800000 + CASE WHEN at_ms >= {START + 30 * DAY} THEN 3600000 ELSE 0 END) // 86400000"
    assert ground.agree(Measured(Rows(0), "days", ">=", 14, days=Days(28_800_000, TZ.steps[:1]))) == sql(
        f"SELECT contact FROM events GROUP BY 1 HAVING count(DISTINCT {days}) >= 14"
    )
    joined = "FROM events a JOIN events b ON a.contact = b.contact AND b.at_ms > a.at_ms AND b.at_ms <= a.at_ms + {0}"
    first, second = Rows(0, (Condition("quantity", "=", 1),)), Rows(0, (Condition("quantity", "=", 2),))
    assert ground.agree(Followed(first, second, DAY)) == sql(
        f"SELECT DISTINCT a.contact {joined.format(DAY)} WHERE a.quantity = 1 AND b.quantity = 2"
    )


condition = st.sampled_from(CONDITIONS)
part = st.builds(Rows, st.sampled_from([0, 1]), st.lists(condition, max_size=3).map(tuple))
measured = st.builds(
    Measured,
    st.builds(Rows, st.just(0), st.lists(condition, max_size=3).map(tuple)),
    st.sampled_from(["sum", "average", "least", "most"]),
    st.sampled_from(OPS),
    st.integers(-100, 30_000),
    st.sampled_from(["amount", "quantity"]),
)
followed = st.builds(Followed, part, part, st.integers(1, 20 * DAY), st.none() | st.integers(START, START + 100 * DAY))


# A cluster of processes takes a second or more for each.
EXAMPLES = 8 if "TAGCAST_TEST_SPARK" in os.environ else 40


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ask=measured | followed, within=st.none() | st.lists(st.integers(1, 60), max_size=5))
def test_whatever_is_asked_is_answered_alike(ground: Ground, ask: Ask, within: list[int] | None) -> None:
    ground.agree(ask, within)


def test_a_table_without_a_file_and_without_a_row_answers_nobody(ground: Ground) -> None:
    empty = ground.duck.source("a/none", None, SCHEMA.empty_table())
    ask = Measured(Rows(0), "count", ">=", 1)
    assert not len(ground.duck.ask(ask, [empty]))
    assert not len(ground.spark.ask(ask, [empty]))
    only_tail = ground.duck.source("a/none", None, rows(9, 10))
    assert set(ground.spark.ask(ask, [only_tail]).tolist()) == set(ground.duck.ask(ask, [only_tail]).tolist()) != set()


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    lake = Lake(tmp_path, engine="spark", spark_url="sc://127.0.0.1:9")
    source = lake.source("a/none", None, SCHEMA.empty_table())
    with pytest.raises(Down):
        lake.ask(Measured(Rows(0), "count", ">=", 1), [source])
