"""Exclusive groups and lifetimes."""

from datetime import UTC, datetime, timedelta

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd, until_of

from tagcast import tags
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Runtime, Work


@pytest.fixture
def levels(work: Work) -> dict[str, int]:
    """会员等级 with two levels, one of which has tags below; contacts 1 to 9."""
    crowd(work, 9)
    paths = ("会员等级", "会员等级/金", "会员等级/金/一星", "会员等级/银", "会员等级/铜")
    made = {path.rpartition("/")[2]: tags.create(work, path).id for path in paths}
    tags.declare(work, made["会员等级"], exclusive="replace")
    return made


def held(work: Work, levels: dict[str, int]) -> dict[str, list[int]]:
    found = {name: list(tags.holders(work, tag, below=False)) for name, tag in levels.items()}
    return {name: numbers for name, numbers in found.items() if numbers}


def test_a_second_one_takes_the_place_of_the_first_and_an_undo_brings_it_back(
    work: Work, levels: dict[str, int]
) -> None:
    until = work.now + timedelta(days=3)
    tags.assign(work, levels["银"], BitMap([1, 2, 3]), why="t", until=until)
    tags.assign(work, levels["会员等级"], BitMap([1]), why="above is not beside")
    change = tags.assign(work, levels["一星"], BitMap([2, 3, 4]), why="promoted")
    assert change is not None
    assert held(work, levels) == {"会员等级": [1], "银": [1], "一星": [2, 3, 4]}
    tags.assign(work, levels["金"], BitMap([2]), why="of the same branch")
    assert held(work, levels)["一星"] == [2, 3, 4]
    tags.assign(work, levels["铜"], BitMap([3]), why="since")
    assert tags.violations(work) == []
    tags.undo(work, change.seq)
    # 3 got another one since and keeps it; 2 has silver again, until then.
    assert held(work, levels) == {"会员等级": [1], "金": [2], "银": [1, 2], "铜": [3]}
    assert until_of(work, levels["银"], 2) == clock.to_ms(until)


def test_an_undone_removal_gives_nobody_a_second_one(work: Work, levels: dict[str, int]) -> None:
    tags.assign(work, levels["银"], BitMap([1, 2]), why="t")
    gone = tags.remove(work, levels["银"], BitMap([1, 2]), why="t")
    assert gone is not None
    tags.assign(work, levels["铜"], BitMap([2]), why="since")
    tags.undo(work, gone.seq)
    assert held(work, levels) == {"银": [1], "铜": [2]}


def test_a_group_can_refuse(work: Work, levels: dict[str, int]) -> None:
    tags.assign(work, levels["一星"], BitMap([1, 2]), why="t")
    tags.declare(work, levels["会员等级"], exclusive="refuse")
    with pytest.raises(Refused) as caught:
        tags.assign(work, levels["银"], BitMap([2, 3]), why="t")
    assert (caught.value.code, caught.value.params["contacts"], caught.value.params["first"]) == (
        "tags.exclusive", 1, 2,
    )  # fmt: skip
    assert "会员等级/金/一星" in caught.value.text("zh")
    assert held(work, levels) == {"一星": [1, 2]}
    tags.assign(work, levels["银"], BitMap([3]), why="t")
    tags.declare(work, levels["会员等级"], exclusive=None)
    tags.assign(work, levels["银"], BitMap([2]), why="t")
    assert tags.violations(work) == []
    tags.declare(work, levels["会员等级"], exclusive="replace")
    (found,) = tags.violations(work)
    assert (list(found.contacts), [tag.name for tag in found.branches]) == ([2], ["金", "银"])


@pytest.mark.parametrize(("days", "step"), [(1, timedelta(hours=1)), (7, timedelta(hours=1)), (30, timedelta(days=1))])
def test_a_lifetime_ends_at_a_full_hour_or_day_and_never_too_soon(runtime: Runtime, days: int, step: timedelta) -> None:
    now = datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC)
    with runtime.work(1, "test", now=now) as work:
        crowd(work, 9)
        tag = tags.declare(work, tags.create(work, "a").id, lifetime_days=days).id
        tags.assign(work, tag, BitMap([1]), why="t")
        tags.assign(work, tag, BitMap([2]), why="t", forever=True)
        tags.assign(work, tag, BitMap([3]), why="t", until=now + timedelta(minutes=1))
        ends = until_of(work, tag, 1)
        assert ends is not None
        end = clock.from_ms(ends)
        assert timedelta(0) <= end - now - timedelta(days=days) < step
        assert until_of(work, tag, 2) is None
    with runtime.work(1, "test", now=end - timedelta(seconds=1)) as work:
        tags.expire(work)
        assert tags.holders(work, tag) == BitMap([1, 2])
        tags.assign(work, tag, BitMap([1]), why="again: it is held longer")
    with runtime.work(1, "test", now=end) as work:
        assert tags.expire(work) == 0
        assert tags.holders(work, tag) == BitMap([1, 2])


def test_what_cannot_be_declared(work: Work) -> None:
    tag = tags.create(work, "a").id
    for wrong in ({"lifetime_days": 0}, {"lifetime_days": 4000}, {"exclusive": "maybe"}):
        with pytest.raises(Invalid):
            tags.declare(work, tag, **wrong)  # type: ignore[arg-type]  # a table of wrong ones
    assert tags.declare(work, tag) == tags.get(work, tag)
