"""Who may not be chosen by tags or behaviour: refusals and minors, in the waterfall and right before the call."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from pyroaring import BitMap

from tagcast import audiences, compliance, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

ALL = BitMap(range(1, 7))


@pytest.fixture
def people(work: Work) -> BitMap:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{number}"}) for number in range(1, 7)])
    return ALL


def test_a_refusal_is_in_force_at_once_and_proven(work: Work, people: BitMap) -> None:
    assert compliance.refuse_personalisation(work, BitMap([1, 2]), source="来电") == 2
    assert compliance.refuse_personalisation(work, BitMap([2]), source="表单") == 0
    assert compliance.allow_personalisation(work, BitMap([1]), source="来电") == 1
    assert compliance.personalisation_refused(work) == BitMap([2])
    standing = compliance.standing(work, 2)
    assert (standing.personalised, standing.minor) == (False, False)
    assert [(one.purpose, one.state, one.source) for one in standing.records] == [
        ("personalisation", "withdrawn", "表单"),
        ("personalisation", "withdrawn", "来电"),
    ]
    compliance.on_import(work, "personalisation", BitMap([2]), BitMap([3]))
    assert compliance.personalisation_refused(work) == BitMap([3])
    with pytest.raises(Invalid):
        compliance.refuse_personalisation(work, BitMap([4]), source=" ")
    assert "personalisation" not in {one.name for one in compliance.purposes()}


def test_reasons_come_in_the_order_of_the_waterfall_each_person_under_one(work: Work, people: BitMap) -> None:
    compliance.record(work, "marketing", BitMap([2, 3, 4, 5, 6]), BitMap(), source="form")
    compliance.suppress(work, BitMap([1, 2]), "投诉")
    work.bitmaps.add("following:7", BitMap([1, 2, 4, 5, 6]), why="test")
    compliance.refuse_personalisation(work, BitMap([1, 3, 4]), source="来电")
    compliance.mark_minors(work, BitMap([4, 5]), why="the mother called")
    found = compliance.refusals(work, 7, "marketing", True, people)
    assert list(found.items()) == [
        ("no_consent", BitMap([1])),
        ("suppressed", BitMap([2])),
        ("not_following", BitMap([3])),
        ("personalisation_off", BitMap([4])),
        ("minor", BitMap([5])),
    ]
    # Who is simply everybody was not chosen.
    assert set(compliance.refusals(work, 7, "marketing", False, people)) == {
        "no_consent",
        "suppressed",
        "not_following",
    }
    assert compliance.refusals(work, 7, "marketing", True, BitMap([6])) == {}


# Shanghai's calendar day is that of the workspace.
@pytest.mark.parametrize(
    ("now", "minor"),
    [
        (datetime(2026, 2, 27, 15, 59, tzinfo=UTC), {2, 3, 4}),
        (datetime(2026, 2, 27, 16, 0, tzinfo=UTC), {3, 4}),
        (datetime(2026, 2, 28, 16, 0, tzinfo=UTC), {4}),
        (datetime(2026, 3, 1, 16, 0, tzinfo=UTC), set()),
    ],
)
def test_one_comes_of_age_on_the_eighteenth_birthday(runtime: Runtime, now: datetime, minor: set[int]) -> None:
    births = [date(1990, 1, 1), date(2008, 2, 28), date(2008, 2, 29), date(2008, 3, 2)]
    with runtime.work(1, "test", now=now) as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{number}"}) for number in range(1, 6)])
        contacts.declare_attribute(work, "birthday", "date", purpose="to leave minors alone")
        values = np.array([(day - date(1970, 1, 1)).days for day in births], dtype=np.int64)
        contacts.set_numbers(work, "birthday", np.arange(1, 5, dtype=np.uint32), values, why="test")
        compliance.set_minors(work, "birthday")
        assert set(compliance.minors(work)) == minor
        assert set(compliance.minors(work, among=BitMap([3, 5]))) == minor & {3}


def test_minors_are_told_by_age_band_age_or_flag_and_marked_by_hand(work: Work, people: BitMap) -> None:
    contacts.declare_attribute(work, "band", "choice", purpose="test")
    contacts.declare_attribute(work, "age", "number", purpose="test", scale=1)
    contacts.declare_attribute(work, "young", "flag", purpose="test")
    contacts.set_choices(work, "band", {"0-17": BitMap([1]), "18-24": BitMap([2])}, why="test")
    contacts.set_values(work, "age", {1: "17.9", 2: 18, 3: 4}, why="test")
    contacts.set_choices(work, "young", {"true": BitMap([4]), "false": BitMap([1])}, why="test")
    assert compliance.minors(work) == BitMap()
    compliance.set_minors(work, "band", ["0-17", "never seen"])
    assert compliance.minors(work) == BitMap([1])
    compliance.set_minors(work, "age")
    assert compliance.minors(work) == BitMap([1, 3])
    compliance.set_minors(work, "young")
    assert compliance.minors(work) == BitMap([4])
    assert compliance.mark_minors(work, BitMap([5, 4]), why="call") == 2
    assert compliance.unmark_minors(work, BitMap([4]), why="call") == 1
    assert compliance.minors(work) == BitMap([4, 5])
    assert compliance.standing(work, 4).minor
    contacts.forget_attribute(work, "young")
    assert compliance.minors(work) == BitMap([5])
    compliance.set_minors(work, None)
    setting = compliance.minors_setting(work)
    assert (setting.attribute, setting.marked, setting.years) == (None, 1, 18)
    for attribute, bands in (("band", []), ("age", ["17"]), (None, ["17"]), ("band", [" "])):
        with pytest.raises(Invalid):
            compliance.set_minors(work, attribute, bands)
    with pytest.raises(NotFound):
        compliance.set_minors(work, "horoscope")
    with pytest.raises(Invalid):
        compliance.mark_minors(work, BitMap([1]), why=" ")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("all", False),
        ("not nobody", False),
        ("all or nobody", False),
        ('segment("everybody") and all', False),
        ('segment("gold")', True),
        ('all and not segment("nested")', True),
        ("age > 3", True),
    ],
)
def test_an_audience_that_is_everybody_chooses_nobody(work: Work, people: BitMap, text: str, chosen: bool) -> None:
    contacts.declare_attribute(work, "age", "number", purpose="test")
    audiences.create(work, "everybody", audiences.parse("all"))
    audiences.create(work, "gold", audiences.parse("age > 2"))
    audiences.create(work, "nested", audiences.parse('segment("everybody") and segment("gold")'))
    assert audiences.personalised(work, audiences.parse(text)) is chosen


def test_an_audience_of_a_segment_that_is_gone_is_taken_for_a_chosen_one(work: Work) -> None:
    assert audiences.personalised(work, audiences.SegmentLeaf("gone"))
