"""Expressions at a moment that is over, told from the change log: tags, attributes, features, days of events.

A tag stands for those below it today, and a segment for its expression of today. Events count once they were recorded.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.audiences import catalogue, language
from tagcast.audiences.compiler import Evaluation
from tagcast.audiences.rules import Expression, Named, SegmentLeaf, parts_of
from tagcast.bitmaps import algebra
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Difference:
    """How many there were at two moments, who came between and who left."""

    before: int
    after: int
    came: BitMap
    left: BitMap


def at(work: Work, moment: datetime) -> Work:
    """The work as it would have been then: it only reads. Raises Invalid for a moment to come."""
    if moment > work.now:
        raise Invalid("audiences.not_past", moment=moment.isoformat())
    return replace(work, now=moment, bitmaps=bitmaps.Past(work.bitmaps, clock.to_ms(moment)))


def evaluation(work: Work, expression: Expression, moment: datetime, *, within: BitMap | None = None) -> Evaluation:
    """An evaluation of what was. Raises Invalid for a leaf whose past no log tells, naming it."""
    then = at(work, moment)
    names = known_names(work, expression, then)
    known = Evaluation(then, names, within=within)
    for leaf in leaves(expression, names):
        # Attributes and features are read from the view itself; all else that is asked reads what is there today.
        asked = any(isinstance(node, algebra.Asked) for node in algebra.walk(known.node(leaf)))
        if asked and not isinstance(leaf, Named):
            raise Invalid("audiences.no_past", part=language.to_text(leaf))
    return known


def known_names(work: Work, expression: Expression, then: Work) -> catalogue.Names:
    """The expression's names, for now and then.

    A scheduled segment stands for its expression, not for the set it was made last; a choice has the values that
    anybody has now or had then.
    """
    names = catalogue.resolve(work, expression)
    names.segments = {name: replace(one, refresh="asked") for name, one in names.segments.items()}
    for name, found in names.described.items():
        if found.type == "choice" and not found.choices:
            values = contacts.values_in_use(work, found).keys() | contacts.values_in_use(then, found).keys()
            names.described[name] = replace(found, choices=tuple(sorted(values)))
    return names


def members(work: Work, expression: Expression, moment: datetime) -> BitMap:
    """Who it stood for then. Raises Invalid as `evaluation`."""
    return evaluation(work, expression, moment).members(expression)


def count(work: Work, expression: Expression, moment: datetime) -> int:
    """How many it stood for then. Raises Invalid as `evaluation`."""
    return evaluation(work, expression, moment).count(expression)


def difference(work: Work, expression: Expression, since: datetime, until: datetime | None = None) -> Difference:
    """Who came and who left between two moments, the later one now if not given. Raises Invalid as `evaluation`."""
    if until is not None and until < since:
        raise Invalid("audiences.moments_swapped", since=since.isoformat(), until=until.isoformat())
    before = members(work, expression, since)
    after = members(work, expression, until) if until is not None else _now(work, expression, at(work, since))
    return Difference(len(before), len(after), came=after - before, left=before - after)


def _now(work: Work, expression: Expression, then: Work) -> BitMap:
    return Evaluation(work, known_names(work, expression, then)).members(expression)


def leaves(expression: Expression, names: catalogue.Names) -> set[Expression]:
    """The leaves of an expression and of the segments that it stands on, without the segments themselves."""
    found, waiting, opened = set[Expression](), [expression], set[str]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, SegmentLeaf):
            if node.name not in opened:
                opened.add(node.name)
                waiting.append(names.segments[node.name].expression)
        elif below := parts_of(node):
            waiting.extend(below)
        else:
            found.add(node)
    return found
