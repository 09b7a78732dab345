"""What tags are called on a platform, and the merge of three sets, without any platform."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast.kit.errors import Invalid
from tagcast.tags.rules import normal
from tagcast.tags.sync.merge import merge_sets
from tagcast.tags.sync.rules import Named, Place, arriving, check_settings, flatten, own_name, shape

names = st.text(alphabet=string.ascii_letters + "会员金卡银~/ ".replace("/", ""), min_size=1, max_size=40).filter(
    lambda name: bool(normal(name)) and name == name.strip()
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("kind", ["official", "wecom"])
@given(st.lists(st.tuples(st.integers(0, 1), paths), max_size=30, unique_by=lambda one: (one[0], normal(one[1]))))
def test_distinct_tags_have_distinct_places_that_fit(kind: str, tags: list[tuple[int, str]]) -> None:
    form = shape(kind)
    wanted = [Named(number, tree, path) for number, (tree, path) in enumerate(tags, 1)]
    places = flatten(wanted, form)
    assert len(places) == len(wanted)
    assert len({(normal(place.group), normal(place.name)) for place in places.values()}) == len(wanted)
    assert all(0 < form.length(place.name) <= form.name for place in places.values())
    assert all(form.length(place.group) <= form.name for place in places.values())
    assert all(bool(place.group) == (form.levels == 2) for place in places.values())
    assert flatten(reversed(wanted), form) == places
    spelt = [normal(tag.path) for tag in wanted]
    for tag in wanted if kind == "official" else []:
        if form.length(tag.path) <= form.name and spelt.count(normal(tag.path)) == 1:
            assert places[tag.id].name == tag.path


def test_what_a_path_becomes() -> None:
    tags = [
        Named(1, 0, "会员/金卡"), Named(2, 0, "会员"), Named(3, 5, "会员/金卡"), Named(4, 0, "星标组"),
        Named(5, 0, "会员/一年以内消费满一万元的金卡"),
    ]  # fmt: skip
    official = flatten(tags, shape("service"))
    assert official[1] == Place("", "会员/金卡")
    assert official[2] == Place("", "会员")
    assert official[3].name.startswith("会员/金卡~")
    assert official[4].name.startswith("星标组~")
    assert official[5].name.startswith("会员/一年以内消费~")
    assert len(official[5].name.encode()) == 30
    wecom = flatten([*tags, Named(6, 0, "会员/会员")], shape("wecom"))
    assert wecom[1] == Place("会员", "金卡")
    assert wecom[2] == Place("会员", "会员")
    assert wecom[5] == Place("会员", "一年以内消费满一万元的金卡")
    assert wecom[6].name.startswith("会员~")


@pytest.mark.parametrize(
    ("there", "here"),
    [("金卡", "金卡"), (" 金卡 ", "金卡"), ("会员/金卡", "会员-金卡"), ("会员／金卡", "会员-金卡"), ("a\u200bb", "ab")],
)
def test_what_a_name_of_the_platform_becomes(there: str, here: str) -> None:
    assert arriving(there, 30) == here


@given(st.text(max_size=60))
def test_every_name_can_arrive(there: str) -> None:
    name = arriving(there, 30)
    assert 0 < len(name) <= 30
    assert normal(name)
    assert "/" not in name


def test_the_own_part_of_a_name() -> None:
    assert own_name("会员/白银", "会员") == "白银"
    assert own_name("白银", "会员") == "白银"
    assert own_name("会员/a/b", "会员") == "会员/a/b"
    assert own_name("白银", "") == "白银"


sets = st.sets(st.integers(1, 12)).map(BitMap)


@given(sets, sets, sets)
def test_after_a_merge_both_sides_are_what_each_person_was_changed_to(
    base: BitMap, ours: BitMap, theirs: BitMap
) -> None:
    found = merge_sets(base, ours, theirs, "both")
    after_here = (ours | found.add_here) - found.drop_here
    after_there = (theirs | found.add_there) - found.drop_there
    assert after_here == after_there
    for number in range(1, 13):
        bits = (number in base, number in ours, number in theirs)
        changed = bits[1] if bits[1] != bits[0] else bits[2]
        assert (number in after_here) == changed
    assert ((base | found.base_add) - found.base_drop) & ours & theirs == ours & theirs


def test_settings_are_checked() -> None:
    assert check_settings(names="ours", members=None) == {"names": "ours"}
    with pytest.raises(Invalid):
        check_settings(names="newest")
    with pytest.raises(Invalid):
        shape("custom")
