"""A rule follows the new name of a segment, and nothing is taken from under it."""

import pytest
from pyroaring import BitMap

from tagcast import audiences, tag_rules, tags
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work
from tests.tags.people import crowd


def test_a_rule_stands_on_a_segment_by_any_name(work: Work) -> None:
    crowd(work, 3)
    kept = tags.create(work, "kept")
    segment = audiences.create(work, "s", audiences.parse("all"))
    rule = tag_rules.create(work, kept.id, audiences.parse('not segment("s")'))
    assert audiences.uses(work, "s") == {"rule": ["kept"]}
    with pytest.raises(Conflict) as caught:
        audiences.delete(work, segment.id)
    assert caught.value.params["users"] == "kept"
    audiences.rename(work, segment.id, "t")
    found = tag_rules.get(work, rule.id)
    assert audiences.to_text(found.definition.expression) == 'not segment("t")'
    assert tag_rules.history(work, rule.id)[0].what == "rewritten"
    assert not tags.holders(work, kept.id) & BitMap([1])
    tag_rules.delete(work, rule.id)
    assert audiences.delete(work, segment.id).name == "t"
