"""From an expression to the set it stands for: `leaves` lowers it, `bitmaps.algebra` evaluates it."""

import random
from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import contacts
from tagcast.audiences import catalogue, language
from tagcast.audiences.catalogue import Names
from tagcast.audiences.leaves import Lowering
from tagcast.audiences.rules import Expression, SegmentLeaf, parts_of
from tagcast.bitmaps import algebra
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


class Evaluation:
    """Expressions evaluated in one transaction, each distinct part once; with `within`, for those contacts only."""

    def __init__(self, work: Work, names: Names, *, within: BitMap | None = None) -> None:
        self._lowering = Lowering(work, names)
        self._sets = algebra.Evaluation(work.bitmaps, contacts.EVERYONE, within=within)

    def count(self, expression: Expression) -> int:
        """How many contacts."""
        return self._sets.count(self._lowering.node(expression))

    def members(self, expression: Expression) -> BitMap:
        """The contacts, as a set of the caller's own."""
        return self._sets.members(self._lowering.node(expression))

    def holds(self, expression: Expression, number: int) -> bool:
        """Whether one contact is among them."""
        return self._sets.holds(self._lowering.node(expression), number)


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
    known, opened = Evaluation(work, names, within=BitMap([number])), set[str]()

    def explained(node: Expression) -> Explained:
        below = parts_of(node)
        # Opened where it is met first: segments that share segments would be written out again and again.
        if isinstance(node, SegmentLeaf) and node.name not in opened:
            opened.add(node.name)
            below = (names.segments[node.name].expression,)
        return Explained(language.to_text(node), known.holds(node, number), tuple(explained(part) for part in below))

    return explained(expression)
