"""Which employee gets whom: the array rule against one that goes person by person, and what settings say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts
from tagcast.accounts import NewAccount
from tagcast.broadcasts import assigning
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime

TEXT = {"kind": "text", "text": "会员日活动今天开始"}
HELD = st.dictionaries(st.sampled_from("abcde"), st.sets(st.integers(1, 40)), max_size=5)


def arrays(held: dict[str, set[int]]) -> dict[str, np.ndarray[Any, np.dtype[np.uint32]]]:
    return {name: np.array(sorted(who), dtype=np.uint32) for name, who in held.items()}


@given(st.sets(st.integers(1, 40)), HELD, st.sets(st.sampled_from("abcde")), st.none() | st.integers(1, 8))
def test_everybody_who_can_be_is_given_to_one_who_holds_him(
    who: set[int], held: dict[str, set[int]], avoid: set[str], limit: int | None
) -> None:
    numbers = np.array(sorted(who), dtype=np.uint32)
    shares = assigning.assign(numbers, arrays(held), avoid=frozenset(avoid), limit=limit)
    given_ = [int(number) for share in shares.values() for number in share]
    assert len(given_) == len(set(given_))
    assert set(given_) <= who
    for name, share in shares.items():
        assert set(share.tolist()) <= held[name]
        assert limit is None or share.size <= limit
    left = who - set(given_)
    for number in left:
        holders = [name for name, customers in held.items() if number in customers]
        assert limit is not None or not holders
        assert all(shares[name].size == limit for name in holders)
    if limit is None:
        for name in avoid & shares.keys():
            for number in shares[name].tolist():
                assert all(other in avoid for other, customers in held.items() if number in customers)


@given(st.sets(st.integers(1, 30), min_size=1), st.sets(st.sampled_from("abc"), min_size=1), st.data())
def test_loads_are_level_where_all_hold_all(who: set[int], names: set[str], data: st.DataObject) -> None:
    numbers = np.array(sorted(who), dtype=np.uint32)
    shares = assigning.assign(numbers, dict.fromkeys(names, numbers))
    sizes = [shares[name].size if name in shares else 0 for name in names]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(who)


@given(HELD, st.data())
def test_the_highest_rank_gets_him(held: dict[str, set[int]], data: st.DataObject) -> None:
    who = set().union(*held.values()) if held else set()
    ranks = {
        name: np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(own), max_size=len(own))), dtype=np.int64)
        for name, own in held.items()
    }
    numbers = np.array(sorted(who), dtype=np.uint32)
    shares = assigning.assign(numbers, arrays(held), ranks=ranks)
    rank = {
        (name, number): int(ranks[name][place])
        for name, own in held.items()
        for place, number in enumerate(sorted(own))
    }
    for name, share in shares.items():
        for number in share.tolist():
            assert rank[name, number] == max(rank[one] for one in rank if one[1] == number)


@pytest.fixture
def wecom(runtime: Runtime) -> int:
    """An account with ten customers; anna holds all of them first, bo the last five later."""
    with runtime.work(1, "test") as work:
        account = accounts.add(
            work, NewAccount(kind="wecom", name="wecom", secret="s" * 32, corpid="ww1234567890abcdef", agentid=1)
        ).id
        contacts.declare_attribute(work, "owner", "choice", purpose="test")
        which = Identity("external_userid", account)
        people = contacts.ensure(work, [PersonIn({which: f"wm{number}"}) for number in range(10)])
        everybody = BitMap(people)
        for key in (f"following:{account}", f"employee:{account}:anna"):
            work.bitmaps.add(key, everybody, why="test")
        work.bitmaps.add(f"employee:{account}:bo", BitMap(people[5:]), why="test")
        compliance.record(work, "marketing", everybody, BitMap(), source="test")
    return account


def shares(runtime: Runtime, account: int, **senders: Any) -> tuple[dict[str, int], dict[str, int]]:
    """(employee → customers, waterfall) of a plan with these settings."""
    with runtime.work(1, "test") as work:
        settings = {"senders": senders} if senders else {}
        made = broadcasts.draft(
            work, name="day", account=account, audience="all", content=TEXT, settings=settings, purpose="marketing"
        )
        steps = {step.name: step.count for step in broadcasts.plan(work, made.id).steps}
        return broadcasts.planned_senders(work, made.id), steps


def test_the_settings_say_who_gets_whom(runtime: Runtime, wecom: int) -> None:
    assert shares(runtime, wecom)[0] == {"anna": 5, "bo": 5}
    assert shares(runtime, wecom, prefer="recent")[0] == {"anna": 5, "bo": 5}
    assert shares(runtime, wecom, prefer="first")[0] == {"anna": 10}
    found, steps = shares(runtime, wecom, only=["bo"])
    assert found == {"bo": 5}
    assert steps["no_employee"] == 5
    assert shares(runtime, wecom, **{"not": ["bo"]})[0] == {"anna": 10}
    found, steps = shares(runtime, wecom, most=3)
    assert found == {"anna": 3, "bo": 3}
    assert steps["employee_full"] == 4


def test_the_owner_named_by_a_field_gets_his_customer(runtime: Runtime, wecom: int) -> None:
    with runtime.work(1, "test") as work:
        last = work.bitmaps.read(f"employee:{wecom}:bo").max()
        for number in work.bitmaps.read(f"employee:{wecom}:bo"):
            contacts.set_values(work, "owner", {number: "bo" if number == last else "anna"}, why="test")
    assert shares(runtime, wecom, prefer="owner", attribute="owner")[0] == {"anna": 9, "bo": 1}


@pytest.mark.parametrize(
    ("senders", "code"),
    [
        ({"prefer": "luck"}, "bad_prefer"),
        ({"prefer": "owner"}, "bad_owner"),
        ({"attribute": "owner"}, "bad_owner"),
        ({"only": ["carl"]}, "unknown_employee"),
        ({"only": "anna"}, "bad_senders"),
        ({"most": 0}, "bad_most"),
        ({"best": 1}, "bad_senders"),
    ],
)
def test_settings_that_cannot_be_are_refused(runtime: Runtime, wecom: int, senders: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        shares(runtime, wecom, **senders)
    assert refused.value.code == f"broadcasts.{code}"
