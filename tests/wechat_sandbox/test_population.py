"""The people, and what they do: reproducible, and with exactly the effect that the sandbox states."""

import math
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, start, wait_for

from wechat_sandbox.people.codes import Codes
from wechat_sandbox.people.friends import Friends

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


def test_ids_are_computed_and_read_back_and_no_forged_one_is_taken() -> None:
    size = 2_000_000
    codes, others = Codes("wm", 30, size, "corp", 1), Codes("wm", 30, size, "corp", 2)
    chosen = np.random.default_rng(3).integers(0, size, 5000)
    ids = codes.many(chosen)
    assert ids == [codes[int(index)] for index in chosen]
    assert {len(ident) for ident in ids} == {32}
    assert codes.find_many(ids).tolist() == chosen.tolist()
    assert [codes.find(ident) for ident in ids[:500]] == chosen[:500].tolist()
    forged = [ident[:-1] + ("A" if ident[-1] != "A" else "B") for ident in ids[:500]]
    assert {codes.find(ident) for ident in forged} == {None}
    assert set(codes.find_many([*forged, "", "wm", "é" * 32, others[1]]).tolist()) == {-1}
    assert {others.find(ident) for ident in ids[:500]} == {None}


def test_friendship_is_mutual_and_as_frequent_as_stated() -> None:
    figures = tomllib.loads(files("wechat_sandbox.people").joinpath("behaviour.toml").read_text("utf-8"))["friends"]
    for size in (1, 2, 3, 1001, 2_000_000):
        graph = Friends(size, 7, figures)
        for index in range(min(size, 300)):
            friends = graph.of(index)
            assert index not in friends
            assert len(set(friends)) == len(friends)
            assert all(index in graph.of(friend) for friend in friends)
    degrees = [len(graph.of(index)) for index in range(4000)]
    assert graph.mean() == pytest.approx(5.2695)
    assert sum(degrees) / 4000 == pytest.approx(graph.mean(), rel=0.06)


def _send(client: Client, people: list[str], text: str) -> None:
    body = {"touser": people, "msgtype": "text", "text": {"content": text}}
    assert client.post("message/mass/send", body)["errcode"] == 0


def test_many_messages_tire_and_the_hour_counts(tmp_path: Path) -> None:
    running = start(tmp_path / "state.db", "--population", "800", "--clock", "virtual")
    noon = (running.get("/sandbox/clock")["now"] // 86_400_000 + 40) * 86_400_000 + 4 * 3_600_000
    running.post("/sandbox/clock", {"to": noon})
    running.post("/sandbox/settings", {"mass_finish_seconds": 0, "system_failed_share": 0, "mass_pace": 0})
    client = running.account("service", reach=1)
    people, tired = client.reachable()[:400], []
    hours = {row["ids"]["1"]["openid"]: row["active_hour"] for row in running.people()}
    for number in range(3):
        client.renew()
        since = client.summary()["last_seq"]
        _send(client, people, f"数码 {number}")
        running.post("/sandbox/clock", {"advance_seconds": 1})
        asked = {"account": client.id, "since_seq": since}
        tired.append(running.post("/sandbox/truth", {**asked, "people": people})["expected"])
        running.post("/sandbox/clock", {"advance_seconds": 86_399})
    # each message of the seven days before: opening × 0.97, buying × 0.98, leaving × 1.15
    for number, found in enumerate(tired):
        assert found["opened"] == pytest.approx(tired[0]["opened"] * 0.97**number)
        assert found["left"] == pytest.approx(tired[0]["left"] * 1.15**number)
        assert found["bought"] == pytest.approx(tired[0]["bought"] * (0.97 * 0.98) ** number)
    running.post("/sandbox/clock", {"advance_seconds": 86_400 * 7})
    at = running.get("/sandbox/clock")["now"]
    fresh = [one for one in hours if one not in people][:60]
    asked = {"account": client.id, "text": "你好"}
    rested = running.post("/sandbox/truth", {**asked, "people": people, "at": at})["expected"]["opened"] / 400
    never = [
        running.post("/sandbox/truth", {**asked, "people": [one], "at": at})["expected"]["opened"] for one in fresh
    ]
    # one's own hour +10 %, the opposite −10 %, in between a cosine; a message of weeks ago × 0.995
    for one, opened in zip(fresh, never, strict=True):
        distance = (at // 3_600_000 % 24 + 8) % 24 + at % 3_600_000 / 3_600_000 - hours[one]
        assert opened == pytest.approx(0.35 * (1 + 0.1 * math.cos(2 * math.pi * distance / 24)))
    swings = [1 + 0.1 * math.cos(2 * math.pi * (at / 3_600_000 + 8 - hours[one]) / 24) for one in people]
    assert rested == pytest.approx(0.35 * 0.995**3 * sum(swings) / 400)
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_shares_go_from_friend_to_friend_with_the_simulated_effect(tmp_path: Path, receiver: Receiver) -> None:
    offered = '<html><a data-share href="/shared">x</a><a data-button href="/click">y</a></html>'
    receiver.answers = lambda path, query, n: (200, {"Content-Type": "text/html"}, offered)
    running = start(tmp_path / "state.db", "--population", "6000")
    running.post("/sandbox/settings", {"mass_finish_seconds": 0, "system_failed_share": 0})
    certain = {f"reaction.{kind}.{step}": 1 for kind in ("match", "none", "other") for step in ("open", "click", "buy")}
    silent = {f"reaction.{kind}.{step}": 0 for kind in ("match", "none", "other") for step in ("leave", "block")}
    shares = {f"reaction.{kind}.share": 0.5 for kind in ("match", "none", "other")}
    base = {f"purchase.daily_rate.{mood}": 0 for mood in ("low", "mid", "high")}
    sharing = {"sharing.see": 0.5, "sharing.open": 0.8, "sharing.follow": 1, "sharing.again": 1, "hours.strength": 0}
    running.post("/sandbox/model", {**certain, **silent, **shares, **base, **sharing})
    client = running.account("service", reach=0.5)
    sent, strangers = client.reachable()[:300], 6000 - len(client.reachable())
    _send(client, sent, f"你好 {receiver.url}/page")
    running.quiet()
    truth = running.post("/sandbox/truth", {"account": client.id, "since_seq": 0, "people": sent, "simulations": 20})
    assert (truth["with"], truth["without"]) == (1, 0)
    done = _act(running, 1)
    expected = truth["sharing"]
    for name, told in (("shared", "shared"), ("reached", "reached"), ("followed", "followed")):
        assert done[name] == pytest.approx(expected[told], rel=0.25), name
    orders = running.get("/sandbox/orders")["orders"]
    spread = 5 * expected["bought_deviation"] + 1
    assert abs(len(orders) - len(sent) - expected["bought"]) < spread
    assert len({order["unionid"] for order in orders}) == len(orders)
    paths = Counter(path for path, _, _, _ in receiver.requests)
    assert (paths["/page"], paths["/shared"]) == (300, len(orders) - 300)
    assert strangers - (6000 - len(client.reachable())) == done["followed"] > 0
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_coupons_are_redeemed_as_stated(tmp_path: Path) -> None:
    running = start(tmp_path / "state.db", "--population", "5000")
    running.post("/sandbox/settings", {"mass_finish_seconds": 0, "system_failed_share": 0})
    client = running.account("service", reach=1)
    _send(client, client.reachable(), "数码新品，满减优惠")
    running.quiet()
    truth = running.post("/sandbox/truth", {"account": client.id, "since_seq": 0})
    done = _act(running, 3)
    orders = [order for order in running.get("/sandbox/orders")["orders"] if order["message"]]
    assert (done["redeemed"], {order["coupon"] for order in orders}) == (sum(o["coupon"] for o in orders), {0, 1})
    for name, count in (("bought", len(orders)), ("redeemed", done["redeemed"]), ("left", done["left"])):
        expected = truth["expected"][name]
        assert abs(count - expected) < 4 * math.sqrt(expected) + 5, name
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def _resident_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_two_million_people_start_within_a_minute_and_two_gigabytes(tmp_path: Path) -> None:
    state, rows = tmp_path / "state.db", []
    for kinds in (("wecom", "official", "service"), ()):
        began = time.monotonic()
        running = start(state, "--population", "2000000")
        assert time.monotonic() - began < 60
        clients = [running.account(kind) for kind in kinds]
        assert running.get("/sandbox/population")["size"] == 2_000_000
        for client in clients[1:]:
            page = client.get("user/get")
            assert (page["count"], page["total"] > 1_000_000) == (10_000, True)
            assert client.get("user/get", next_openid=page["next_openid"])["count"] == 10_000
        assert _resident_mb(running.process.pid) < 2048
        rows.append(running.get("/sandbox/people", after=1_999_990))
        running.stop()
        assert running.process.stdout is not None
        running.process.stdout.close()
    assert len(rows[0]) == 9
    assert rows[0] == rows[1]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000
