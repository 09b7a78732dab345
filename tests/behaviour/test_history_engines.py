"""Every kind of question about behaviour, asked of DuckDB and of Spark over the same files, in a workspace."""

from pathlib import Path

import pytest
from tests.behaviour.naive import KINDS, PEOPLE, ZONE, batch, naive, questions
from tests.conftest import make_runtime
from tests.lake.conftest import sail_url

from tagcast import behaviour, contacts
from tagcast.behaviour import Did, history, moving
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Unavailable

__all__ = ["sail_url"]


def test_spark_answers_as_a_look_at_every_event(tmp_path: Path, sail_url: str) -> None:
    runtime = make_runtime(tmp_path, lake_engine="spark", spark_url=sail_url)
    with runtime.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        told = []
        for name in ("view", "buy"):
            behaviour.declare_event(work, name, "to measure", KINDS)
            for seed in range(2):
                made, some = batch(name, seed, 80)
                told += some
                behaviour.record_packed(work, name, made, batch_key=str(seed), zone=ZONE)
    moving.bring(runtime, 1)
    with runtime.work(1, "t") as work:
        made, some = batch("view", 7, 30)
        told += some
        behaviour.record_packed(work, "view", made, batch_key="7", zone=ZONE)
    with runtime.read(1, "t") as work:
        for question in questions():
            expected = naive(question, told, set(range(1, PEOPLE + 1)), work.now_ms)
            assert set(history.ask(work, question, zone=ZONE)) == expected, question
    runtime.close()


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, lake_engine="spark", spark_url="sc://127.0.0.1:9")
    with runtime.work(1, "t") as work:
        behaviour.declare_event(work, "view", "to measure")
        with pytest.raises(Unavailable, match="does not answer"):
            history.ask(work, Did("view"), zone=ZONE)
    runtime.close()
