"""Finding and making people, attributes, selection."""

import time
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import contacts
from tagcast.contacts import Identity, PersonIn, rules, store
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work

CUSTOMER, PHONE, UNION = Identity("customer_id"), Identity("phone"), Identity("unionid")


def person(customer: str = "", phone: str = "", openid: str = "", name: str = "") -> PersonIn:
    given = {CUSTOMER: customer, PHONE: phone, Identity("openid", 3): openid}
    return PersonIn({kind: value for kind, value in given.items() if value}, {"name": name} if name else {})


def test_numbers_are_dense_and_identities_merge_onto_who_is_found(work: Work) -> None:
    assert contacts.ensure(work, [person("A"), person("B", "138 0000 0001"), person("A")]) == [1, 2, 1]
    assert contacts.ensure(work, [person("C"), person(phone="+86-13800000001", openid="o1")]) == [3, 2]
    assert contacts.numbers_of(work, "openid", ["o1", "none"], 3) == [2, None]
    assert contacts.numbers_of(work, "phone", ["008613800000001", "?"]) == [2, None]
    assert contacts.everyone(work) == BitMap([1, 2, 3])
    assert work.bitmaps.read("identity:3") == BitMap([2])
    assert contacts.identities_of(work, [1, 2, 3], "phone") == {2: "13800000001"}
    assert contacts.describe(work, 2).identities == {"customer_id": "B", "phone": "13800000001", "openid:3": "o1"}


def test_numbers_end_where_the_lake_cannot_hold_them(work: Work) -> None:
    contacts.ensure(work, [person("A")])
    store.set_last_number(work, rules.HIGHEST - 1)
    with pytest.raises(Refused, match=str(rules.HIGHEST)):
        contacts.ensure(work, [person("B"), person("C")])
    assert contacts.ensure(work, [person("B")]) == [rules.HIGHEST]
    with pytest.raises(Refused, match="another home"):
        contacts.ensure(work, [person("C")])
    assert contacts.everyone(work) == BitMap([1, rules.HIGHEST])


def test_a_conflict_is_told_and_nothing_is_merged(work: Work) -> None:
    contacts.ensure(work, [person("A", "13800000001"), person("B", "13800000002")])
    crossed = [person("A", "13800000002"), person("Z", "13800000001"), PersonIn({}), person("D")]
    found = contacts.find_or_make(work, crossed)
    assert [one.problem.code if one.problem else one.number for one in found] == [
        "contacts.identity_conflict",
        "contacts.identity_conflict",
        "contacts.no_identity",
        3,
    ]
    assert contacts.identities_of(work, [1, 2, 3], "phone") == {1: "13800000001", 2: "13800000002"}
    assert contacts.numbers_of(work, "customer_id", ["Z"]) == [None]
    with pytest.raises(Conflict):
        contacts.ensure(work, [person("A", "13800000002")])


def test_two_new_rows_of_one_person_make_one_contact(work: Work) -> None:
    rows = [person("A", openid="o1"), person(phone="13800000001", openid="o1"), person("A", name="李雷")]
    assert contacts.ensure(work, rows) == [1, 1, 1]
    view = contacts.describe(work, 1)
    assert view.identities == {"customer_id": "A", "openid:3": "o1", "phone": "13800000001"}
    assert view.texts == {"name": "李雷"}


def test_workspaces_do_not_meet(runtime: Runtime) -> None:
    from tagcast import access

    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "t") as work:
        contacts.ensure(work, [person("A"), person("B")])
    with runtime.work(other, "t") as work:
        assert contacts.numbers_of(work, "customer_id", ["A"]) == [None]
        assert contacts.ensure(work, [person("B")]) == [1]
        assert contacts.everyone(work) == BitMap([1])


def test_nothing_in_the_tables_is_in_the_clear(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        contacts.ensure(work, [person("CANARY-77", "13812345678", "openid-canary", "韩梅梅")])
    with runtime_sqlite.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    stored = (runtime_sqlite.settings.home / "tagcast.db").read_bytes()
    for word in ("CANARY-77", "13812345678", "openid-canary", "韩梅梅"):
        assert word.encode() not in stored


def test_erasing_leaves_no_trace_and_never_gives_the_number_again(work: Work) -> None:
    contacts.declare_attribute(work, "city", "choice", purpose="offers nearby")
    contacts.ensure(work, [person("A", openid="o1"), person("B")])
    contacts.set_values(work, "city", {1: "深圳", 2: "北京"}, why="t")
    contacts.erase(work, 1)
    assert contacts.numbers_of(work, "customer_id", ["A", "B"]) == [None, 2]
    assert [key for key in work.bitmaps.keys("") if 1 in work.bitmaps.read(key)] == []
    assert contacts.ensure(work, [person("A")]) == [3]
    with pytest.raises(NotFound, match="no contact 1"):
        contacts.describe(work, 1)


@pytest.fixture
def filled(work: Work) -> Work:
    contacts.ensure(work, [person(f"P{n}") for n in range(1, 7)])
    contacts.declare_attribute(work, "region", "choice", purpose="nearby")
    contacts.declare_attribute(work, "spend", "number", purpose="value", scale=2)
    contacts.declare_attribute(work, "born", "date", purpose="birthday")
    contacts.declare_attribute(work, "vip", "flag", purpose="service")
    contacts.declare_attribute(work, "name", "text", purpose="address people")
    contacts.set_values(work, "region", {1: "华东", 2: "华南", 3: "华东", 4: "华北"}, why="t")
    contacts.set_values(work, "spend", {1: "12.50", 2: "-3", 3: "1,200.01", 5: 0}, why="t")
    contacts.set_values(work, "born", {1: "19900101", 2: "1985-6-30", 3: date(2001, 12, 31)}, why="t")
    contacts.set_values(work, "vip", {1: "是", 2: "false"}, why="t")
    return work


@pytest.mark.parametrize(
    ("name", "op", "value", "expected"),
    [
        ("region", "is", "华东", [1, 3]),
        ("region", "is_not", "华东", [2, 4]),
        ("region", "in", ["华东", "华北"], [1, 3, 4]),
        ("region", "known", None, [1, 2, 3, 4]),
        ("region", "unknown", None, [5, 6]),
        ("vip", "is", True, [1]),
        ("vip", "is_not", "是", [2]),
        ("spend", "<", 12.5, [2, 5]),
        ("spend", "<=", "12.5", [1, 2, 5]),
        ("spend", ">", 0, [1, 3]),
        ("spend", ">=", 0, [1, 3, 5]),
        ("spend", "is", "1200.01", [3]),
        ("spend", "is_not", 0, [1, 2, 3]),
        ("spend", "in", [0, -3], [2, 5]),
        ("spend", "between", [0, 100], [1, 5]),
        ("spend", "unknown", None, [4, 6]),
        ("born", "between", ["1985-06-30", "1990-01-01"], [1, 2]),
        ("born", ">", "2000-01-01", [3]),
    ],
)
def test_select(filled: Work, name: str, op: str, value: object, expected: list[int]) -> None:
    assert contacts.select(filled, name, op, value) == BitMap(expected)  # type: ignore[arg-type]  # parametrised


@pytest.mark.parametrize(
    ("name", "op", "value", "code"),
    [
        ("regoin", "is", "华东", "contacts.no_attribute"),
        ("region", "<", "华东", "contacts.bad_operation"),
        ("region", "is", "火星", "contacts.no_choice"),
        ("spend", "is", "much", "contacts.bad_number"),
        ("spend", "is", "1.234", "contacts.too_precise"),
        ("spend", "between", [1], "contacts.bad_operands"),
        ("spend", "is", [1, 2], "contacts.bad_operands"),
        ("born", "<", "yesterday", "contacts.bad_date"),
        ("vip", "is", "maybe", "contacts.bad_flag"),
        ("name", "is", "李雷", "contacts.bad_operation"),
    ],
)
def test_select_tells_what_is_wrong(filled: Work, name: str, op: str, value: object, code: str) -> None:
    with pytest.raises((Invalid, NotFound)) as caught:
        contacts.select(filled, name, op, value)  # type: ignore[arg-type]  # parametrised
    assert caught.value.code == code
    assert name in str(caught.value)


def test_values_come_back_and_change_in_place(filled: Work) -> None:
    assert contacts.values_of(filled, "spend", [3, 2, 4]) == {2: Decimal("-3.00"), 3: Decimal("1200.01")}
    assert contacts.values_of(filled, "born", [3]) == {3: date(2001, 12, 31)}
    assert contacts.values_of(filled, "vip", range(1, 7)) == {1: True, 2: False}
    assert contacts.set_values(filled, "region", {1: "华东", 2: "华东"}, why="t") == BitMap([2])
    assert contacts.choices(filled, "region") == {"华东": 3, "华北": 1}
    assert contacts.set_numbers(
        filled, "spend", np.array([1, 2], dtype=np.uint32), np.array([1250, 7], dtype=np.int64), why="t"
    ) == BitMap([2])
    contacts.forget_attribute(filled, "spend")
    assert filled.bitmaps.keys("attribute:spend") == []
    assert "spend" not in contacts.attributes(filled)


def test_attributes_need_a_purpose_and_keep_their_type(work: Work) -> None:
    for name, kind, purpose, code in [
        ("Region", "choice", "p", "bad_name"),
        ("region", "enum", "p", "bad_type"),
        ("region", "choice", " ", "no_purpose"),
    ]:
        with pytest.raises(Invalid) as caught:
            contacts.declare_attribute(work, name, kind, purpose=purpose)  # type: ignore[arg-type]  # parametrised
        assert caught.value.code == f"contacts.{code}"
    contacts.declare_attribute(work, "region", "choice", purpose="p")
    assert contacts.declare_attribute(work, "region", "choice", purpose="q").purpose == "q"
    with pytest.raises(Conflict):
        contacts.declare_attribute(work, "region", "number", purpose="p")


def test_ten_thousand_identities_in_the_clear_within_the_budget(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        contacts.ensure(work, [person(f"P{n}", f"138{n:08d}", f"o{n}") for n in range(10_000)])
    with runtime_sqlite.read(1, "t") as work:
        started = time.perf_counter()
        found = contacts.identities_of(work, range(1, 10_001), "openid", 3)
        took = time.perf_counter() - started
    assert (len(found), found[10_000]) == (10_000, "o9999")
    assert took < 0.9, took


def test_followers_come_and_go(work: Work) -> None:
    identity = Identity("external_userid", 5)
    assert contacts.on_followed(work, identity, "wm1", unionid="u1", employee="zhang") == 1
    assert contacts.on_followed(work, identity, "wm1", employee="li") == 1
    assert contacts.numbers_of(work, "unionid", ["u1"]) == [1]
    contacts.on_unfollowed(work, identity, "wm1", employee="zhang")
    assert work.bitmaps.read("following:5") == BitMap([1])
    contacts.on_unfollowed(work, identity, "wm1", employee="li")
    assert work.bitmaps.read("following:5") == BitMap()
    assert work.bitmaps.read("identity:5") == BitMap([1])
    assert contacts.on_unfollowed(work, identity, "wm-unknown") is None
