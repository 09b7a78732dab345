"""RFM and the lifetime summary on CDNOW, against pandas and lifetimes."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifetimes.utils import summary_data_from_transaction_data
from pyroaring import BitMap

from tagcast import behaviour, contacts, features
from tagcast.contacts import Identity, PersonIn
from tagcast.features import CLASSES, Thresholds
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

AS_OF = date(1998, 6, 30)
PURCHASES = {"customer_id": "contact:customer_id", "day": "at", "cds": "quantity", "dollars": "amount"}


@pytest.fixture(scope="session")
def cdnow() -> pd.DataFrame:
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"
    return pd.read_csv(file, sep=r"\s+", names=["customer_id", "day", "cds", "dollars"], header=0, dtype={"day": str})


@pytest.fixture
def shop(runtime_sqlite: Runtime, cdnow: pd.DataFrame, tmp_path: Path) -> Runtime:
    """CDNOW imported: contact n is the n-th customer in ascending order of the file's ids."""
    members, orders = tmp_path / "members.csv", tmp_path / "orders.csv"
    pd.DataFrame({"id": sorted(cdnow["customer_id"].unique())}).to_csv(members, index=False)
    cdnow.to_csv(orders, index=False)
    with runtime_sqlite.work(1, "t") as work:
        behaviour.declare_event(work, "purchase", "measure sales")
    people = contacts.import_contacts(runtime_sqlite, 1, members, {"id": "identity:customer_id"})
    bought = behaviour.import_events(runtime_sqlite, 1, orders, "purchase", PURCHASES)
    assert (people.made, people.refused) == (23_570, 0)
    assert (bought.made, bought.refused) == (69_659, 0)
    return runtime_sqlite


def quintile(values: pd.Series) -> pd.Series:
    """1 to 5 by rank; equal values in the order of the index."""
    return pd.qcut(values.rank(method="first"), 5, labels=False) + 1


def test_rfm_of_cdnow_equals_pandas(shop: Runtime, cdnow: pd.DataFrame) -> None:
    frame = cdnow.assign(day=pd.to_datetime(cdnow["day"], format="%Y%m%d"), cents=(cdnow["dollars"] * 100).round())
    wanted = frame.groupby("customer_id").agg(last=("day", "max"), f=("day", "size"), m=("cents", "sum"))
    wanted["recency"] = (pd.Timestamp(AS_OF) - wanted["last"]).dt.days
    scores = pd.DataFrame({"r": quintile(-wanted["recency"]), "f": quintile(wanted["f"]), "m": quintile(wanted["m"])})
    high = scores > scores.mean()
    classes = [CLASSES[tuple(bool(each) for each in row)] for row in high.to_numpy()]
    with shop.work(1, "t") as work:
        found = features.compute_rfm(work, as_of=AS_OF)
        everyone = range(1, 23_571)
        for name, values in {
            "rfm.recency": wanted["recency"],
            "rfm.frequency": wanted["f"],
            "rfm.r": scores["r"],
            "rfm.f": scores["f"],
            "rfm.m": scores["m"],
        }.items():
            assert list(features.values_of(work, name, everyone).values()) == values.tolist(), name
        cents = [int(value * 100) for value in features.values_of(work, "rfm.monetary", everyone).values()]
        assert cents == wanted["m"].astype(int).tolist()
        assert [features.values_of(work, "rfm.class", [n])[n] for n in range(1, 200)] == classes[:199]
        assert found.classes == {name: classes.count(name) for name in CLASSES.values()}
        assert found.grid == pd.crosstab(scores["r"], scores["f"]).to_numpy().tolist()
        assert found.contacts == sum(found.classes.values()) == 23_570
        best = features.select(work, "rfm.class", "is", "重要价值")
        assert len(best) == classes.count("重要价值")
        assert best <= features.select(work, "rfm.r", ">=", 3)
        rich = features.select(work, "rfm.monetary", ">", "100.50")
        assert len(rich) == int((wanted["m"] > 10_050).sum())
    with shop.work(1, "t") as work:
        before = work.bitmaps.history("feature:rfm.class=重要价值")
        assert features.compute_rfm(work, as_of=AS_OF).classes == found.classes
        assert work.bitmaps.history("feature:rfm.class=重要价值") == before


@pytest.mark.parametrize("as_of", [AS_OF, date(1997, 9, 30)])
def test_the_lifetime_summary_of_cdnow_equals_lifetimes(shop: Runtime, cdnow: pd.DataFrame, as_of: date) -> None:
    wanted = summary_data_from_transaction_data(
        cdnow, "customer_id", "day", "dollars", datetime_format="%Y%m%d", observation_period_end=f"{as_of:%Y%m%d}"
    )
    with shop.read(1, "t") as work:
        found = features.clv_summary(work, as_of=as_of)
        ids = contacts.identities_of(work, found.contact.tolist(), "customer_id")
    assert [int(ids[number]) for number in found.contact.tolist()] == wanted.index.tolist()
    assert found.frequency.tolist() == wanted["frequency"].astype(int).tolist()
    assert found.recency.tolist() == wanted["recency"].astype(int).tolist()
    assert found.age.tolist() == wanted["T"].astype(int).tolist()
    np.testing.assert_allclose(found.monetary, wanted["monetary_value"].to_numpy(), rtol=0, atol=1e-9)


def bought(work: Work, sums: dict[int, tuple[str, int]]) -> None:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): str(n)}) for n in range(1, 12)])
    behaviour.declare_event(work, "purchase", "measure sales")
    numbers, days, cents = list(sums), [day for day, _ in sums.values()], [amount for _, amount in sums.values()]
    at = [int(pd.Timestamp(day, tz="Asia/Shanghai").timestamp() * 1000) for day in days]
    columns = behaviour.events(numbers, at, cents)
    behaviour.record_packed(work, "purchase", columns, batch_key="a", zone="Asia/Shanghai")


def test_thresholds_score_at_their_borders(work: Work) -> None:
    bought(work, {1: ("2026-03-30", 10_000), 2: ("2026-03-01", 9_999), 3: ("2026-02-28", 500), 4: ("2025-01-01", 0)})
    borders = Thresholds(recency=(180, 90, 30, 7), frequency=(1, 2, 3, 4), monetary=(1, 5, 50, 100))
    found = features.compute_rfm(work, as_of=date(2026, 3, 31), thresholds=borders)
    assert features.values_of(work, "rfm.r", range(1, 5)) == {1: 5, 2: 4, 3: 3, 4: 1}
    assert features.values_of(work, "rfm.f", range(1, 5)) == {1: 2, 2: 2, 3: 2, 4: 2}
    assert features.values_of(work, "rfm.m", range(1, 5)) == {1: 5, 2: 4, 3: 3, 4: 1}
    assert found.details["method"] == "thresholds"
    with pytest.raises(Invalid, match="recency"):
        features.compute_rfm(work, as_of=AS_OF, thresholds=Thresholds((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)))


def test_ties_go_to_the_lower_number_and_early_parts_hold_more(work: Work) -> None:
    bought(work, dict.fromkeys(range(1, 12), ("2026-03-30", 100)))
    features.compute_rfm(work, as_of=date(2026, 3, 31))
    assert list(features.values_of(work, "rfm.r", range(1, 12)).values()) == [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_computation_for_an_earlier_day_forgets_who_came_later(work: Work) -> None:
    bought(work, {1: ("2026-03-01", 100), 2: ("2026-03-05", 100)})
    assert features.compute_rfm(work, as_of=date(2026, 3, 9)).contacts == 2
    assert features.compute_rfm(work, as_of=date(2026, 3, 4)).contacts == 1
    assert features.select(work, "rfm.recency", "known") == BitMap([1])
    assert features.values_of(work, "rfm.recency", [1, 2]) == {1: 3}


def test_what_is_wrong_is_named(work: Work) -> None:
    with pytest.raises(NotFound, match="purchase"):
        features.compute_rfm(work, as_of=AS_OF)
    with pytest.raises(NotFound, match="never computed"):
        features.table(work)
    with pytest.raises(NotFound, match=r"rfm\.recency"):
        features.select(work, "rfm.x", "is", 1)
    with pytest.raises(Invalid, match="重要价值"):
        features.select(work, "rfm.class", "is", "重要")
    with pytest.raises(Invalid, match="<"):
        features.select(work, "rfm.r", "like", 1)
    assert features.select(work, "rfm.class", "is", "重要价值") == BitMap()
