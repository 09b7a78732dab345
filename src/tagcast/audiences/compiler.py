"""From an expression to the set it stands for, by set algebra alone.

Each distinct sub-expression is evaluated once. A complement is never built: a set is carried as "these" or "all but
these" through and, or, not (De Morgan), and everyone is touched once, at the end. Small sets are intersected first.
"""

import random
from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import contacts, features, tags
from tagcast.audiences import catalogue, language
from tagcast.audiences.catalogue import Names
from tagcast.audiences.rules import (
    All,
    And,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    SegmentLeaf,
    TagLeaf,
    parts_of,
)
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a node holds for a contact; `text` is the node in the text form, `parts` what it is made of."""

    text: str
    holds: bool
    parts: tuple["Explained", ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How two expressions overlap, in contacts."""

    a: int
    b: int
    both: int


@dataclass(frozen=True, slots=True)
class _Set:
    """`these`, or everyone but these."""

    these: BitMap
    inverted: bool = False


class Evaluation:
    """Expressions evaluated in one transaction, each distinct part once."""

    def __init__(self, work: Work, names: Names) -> None:
        self._work = work
        self._names = names
        self._known: dict[Expression, _Set] = {}

    def count(self, expression: Expression) -> int:
        """How many contacts."""
        found, everyone = self._set(expression), contacts.everyone(self._work)
        inside = everyone.intersection_cardinality(found.these)
        return len(everyone) - inside if found.inverted else inside

    def members(self, expression: Expression) -> BitMap:
        """The contacts, as a set of the caller's own."""
        found, everyone = self._set(expression), contacts.everyone(self._work)
        return everyone - found.these if found.inverted else everyone & found.these

    def holds(self, expression: Expression, number: int) -> bool:
        """Whether one contact is among them."""
        found = self._set(expression)
        return number in contacts.everyone(self._work) and (number in found.these) != found.inverted

    def _set(self, expression: Expression) -> _Set:
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._evaluate(expression)
        return found

    def _evaluate(self, expression: Expression) -> _Set:  # noqa: PLR0911 - one return a kind of node
        match expression:
            case All():
                return _Set(BitMap(), inverted=True)
            case Nobody():
                return _Set(BitMap())
            case And(parts):
                return _all_of([self._set(part) for part in parts])
            case Or(parts):
                # a or b = not (not a and not b)
                return _not(_all_of([_not(self._set(part)) for part in parts]))
            case Not(part):
                return _not(self._set(part))
            case SegmentLeaf(name):
                return self._set(self._names.segments[name].expression)
            case TagLeaf():
                branch = self._names.tags[expression][: 1 if expression.exactly else None]
                sets = [self._work.bitmaps.read(tags.key(number)) for number in branch]
                return _Set(sets[0] if len(sets) == 1 else BitMap.union(*sets))
            case FieldLeaf():
                return _Set(self._field(expression))

    def _field(self, leaf: FieldLeaf) -> BitMap:
        if self._names.fields[leaf.name] == "attribute":
            return contacts.select(self._work, leaf.name, leaf.op, leaf.value)
        return features.select(self._work, leaf.name, leaf.op, leaf.value)


def evaluation(work: Work, expression: Expression) -> Evaluation:
    """An evaluation that knows the expression's names. Raises Invalid for an unknown name."""
    return Evaluation(work, catalogue.resolve(work, expression))


def count(work: Work, expression: Expression) -> int:
    """How many contacts an expression stands for, exactly. Raises Invalid for an unknown name or a wrong value."""
    return evaluation(work, expression).count(expression)


def members(work: Work, expression: Expression) -> BitMap:
    """The contacts that an expression stands for, as a set of the caller's own. Raises Invalid."""
    return evaluation(work, expression).members(expression)


def sample(work: Work, expression: Expression, size: int, *, seed: int | None = None) -> list[int]:
    """At most `size` of the members, each as likely as any other, ascending; a seed makes it repeatable."""
    found = members(work, expression)
    chosen = random.Random(seed).sample(range(len(found)), min(size, len(found)))  # noqa: S311 - a preview, no secret
    return [found[place] for place in sorted(chosen)]


def overlap(work: Work, a: Expression, b: Expression) -> Overlap:
    """How many are in each of two expressions and in both."""
    first, second = members(work, a), members(work, b)
    return Overlap(len(first), len(second), first.intersection_cardinality(second))


def explain(work: Work, expression: Expression, number: int) -> Explained:
    """Which parts of an expression hold for a contact; a segment is opened to its own expression."""
    names = catalogue.resolve(work, expression)
    known, opened = Evaluation(work, names), set[str]()

    def explained(node: Expression) -> Explained:
        below = parts_of(node)
        # Opened where it is met first: segments that share segments would be written out again and again.
        if isinstance(node, SegmentLeaf) and node.name not in opened:
            opened.add(node.name)
            below = (names.segments[node.name].expression,)
        return Explained(language.to_text(node), known.holds(node, number), tuple(explained(part) for part in below))

    return explained(expression)


def _not(found: _Set) -> _Set:
    return _Set(found.these, not found.inverted)


def _all_of(sets: list[_Set]) -> _Set:
    inside = sorted((found.these for found in sets if not found.inverted), key=len)
    outside = [found.these for found in sets if found.inverted]
    if not inside:
        return _Set(BitMap.union(*outside), inverted=True)
    left = inside[0]
    for these in inside[1:]:
        left = left & these
    for these in outside:
        left = left - these
    return _Set(left)
