"""The people, and what they do: reproducible, and with exactly the effect that the sandbox states."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, start, wait_for

_SIZE = 6000
_PAGE = '<html><a href="/other">x</a> <a class="b" data-button href="/click?a=1&amp;b=2">立即购买</a></html>'


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start(tmp_path_factory.mktemp("city") / "state.db")
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_the_demo_population_is_made_in_seconds(city: Sandbox, tmp_path: Path) -> None:
    clients = [city.account(kind) for kind in ("wecom", "official", "service")]
    began = time.monotonic()
    made = city.post("/sandbox/population", {"size": 23570, "seed": 7})
    assert time.monotonic() - began < 5
    assert (made["size"], made["seed"]) == (23570, 7)
    shares = [made["accounts"][str(client.id)]["reachable"] / 23570 for client in clients]
    assert shares == pytest.approx([0.55, 0.65, 0.8], abs=0.02)
    other = start(tmp_path / "other.db")
    twin = other.account("wecom"), other.account("official"), other.account("service")
    other.post("/sandbox/population", {"size": 23570, "seed": 7})
    same = other.people() == city.people()
    other.stop()
    assert other.process.stdout is not None
    other.process.stdout.close()
    assert (same, len(twin)) == (True, 3)


def test_people_differ_in_the_stated_shares(city: Sandbox) -> None:
    people = city.people()
    assert len({row["unionid"] for row in people}) == len(people)
    tastes = Counter(row["taste"] for row in people)
    assert tastes["美妆"] / len(people) == pytest.approx(0.26, abs=0.01)
    assert {row["city_tier"] for row in people} == {"1", "2", "3"}
    assert [row["index"] for row in city.get("/sandbox/people", after=9, limit=3)] == [10, 11, 12]


def _shop(tmp_path: Path) -> tuple[Sandbox, Client]:
    running = start(tmp_path / "state.db", "--population", str(_SIZE))
    running.post("/sandbox/settings", {"mass_finish_seconds": 0, "system_failed_share": 0})
    return running, running.account("service", reach=1)


def _act(running: Sandbox, days: int) -> dict[str, object]:
    assert running.call("POST", "/sandbox/population/act", {"days": days})[0] == 202
    wait_for(lambda: running.get("/sandbox/population/act")["state"] == "done", 60)
    progress: dict[str, object] = running.get("/sandbox/population/act")
    return progress


def test_receivers_open_click_and_buy_with_the_stated_effect(tmp_path: Path, receiver: Receiver) -> None:
    running, client = _shop(tmp_path)
    pages = {
        "/page": (200, {"Content-Type": "text/html"}, _PAGE),
        "/click": (302, {"Location": "https://shop.example/x"}, ""),
    }
    receiver.answers = lambda path, query, n: pages.get(path, (404, {}, ""))
    people = running.people()
    ids = [row["ids"]["1"]["openid"] for row in people]
    treated, control = ids[: _SIZE // 2], ids[_SIZE // 2 :]
    text = f"数码新品，限时优惠 {receiver.url}/page"
    sent = client.post("message/mass/send", {"touser": treated, "msgtype": "text", "text": {"content": text}})
    running.quiet()
    progress = _act(running, 3)

    calls = Counter(path for path, _, _, _ in receiver.requests)
    assert (calls["/page"], calls["/click"], calls["/other"]) == (progress["opened"], progress["clicked"], 0)
    assert (progress["done"], progress["messages"], progress["open_failed"]) == (_SIZE, len(treated), 0)
    assert progress["locations"] == {"https://shop.example/x": progress["clicked"]}
    assert all("MicroMessenger/" in headers["User-Agent"] for _, _, _, headers in receiver.requests)
    assert next(query for path, query, _, _ in receiver.requests if path == "/click") == {"a": "1", "b": "2"}

    orders = running.get("/sandbox/orders")["orders"]
    assert [order["seq"] for order in orders] == list(range(1, len(orders) + 1))
    assert {order["message"] for order in orders} == {None, str(sent["msg_id"])}
    ask = {"account": client.id, "message": str(sent["msg_id"]), "days": 3}
    truth = running.post("/sandbox/truth", ask)
    assert (truth["people"], truth["received"]) == (len(treated), len(treated))
    assert truth["effect"] == pytest.approx(truth["with"] - truth["without"])
    buyers = {order["unionid"] for order in orders}
    unionids = [row["unionid"] for row in people]
    for group, expected in ((unionids[: _SIZE // 2], truth["with"]), (unionids[_SIZE // 2 :], truth["without"])):
        share = sum(person in buyers for person in group) / len(group)
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(group))
    at = next(row["at"] for row in running.get("/sandbox/ledger") if row["outcome"] == "arrived")
    same_words = running.post("/sandbox/truth", {**ask, "message": None, "text": text, "people": treated, "at": at})
    assert same_words["with"] == pytest.approx(truth["with"])
    seen = running.post("/sandbox/truth", {**ask, "message": None, "since_seq": 0, "people": control})
    assert (seen["received"], seen["effect"]) == (0, 0)

    before = len(receiver.requests)
    _act(running, 3)
    assert len(receiver.requests) == before
    assert len(running.get("/sandbox/orders", after=orders[-1]["seq"])["orders"]) > 0
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_taste_and_price_decide_the_effect(city: Sandbox) -> None:
    people = city.people()
    account = next(row["id"] for row in city.get("/sandbox/accounts")["accounts"] if row["kind"] == "service")

    def effect(text: str, **traits: str) -> float:
        chosen = [row["unionid"] for row in people if all(row[name] == value for name, value in traits.items())][:500]
        return float(
            city.post("/sandbox/truth", {"account": account, "text": text, "people": chosen, "days": 3})["effect"]
        )

    match, none, other = effect("数码", taste="数码"), effect("你好", taste="数码"), effect("美妆", taste="数码")
    assert match > none > other > 0
    # open 0.60 × click 0.45 × buy 0.30, on those who would not have bought anyway at 0.6 % a day
    assert effect("数码", taste="数码", price_sensitivity="high") == pytest.approx(0.081 * 0.994**3)
    assert effect("数码优惠", taste="数码", price_sensitivity="high") == pytest.approx(0.081 * 1.6 * 0.994**3)
