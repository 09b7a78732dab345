"""From an expression to the set it stands for: `leaves` lowers it, `bitmaps.algebra` evaluates it."""

import random

from pyroaring import BitMap

from tagcast import contacts
from tagcast.audiences import catalogue
from tagcast.audiences.catalogue import Names
from tagcast.audiences.leaves import Lowering
from tagcast.audiences.rules import Expression, Or
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Node
from tagcast.kit.uow import Work


class Evaluation:
    """Expressions evaluated in one transaction, each distinct part once; with `within`, for those contacts only."""

    def __init__(self, work: Work, names: Names, *, within: BitMap | None = None) -> None:
        self.names = names
        self._lowering = Lowering(work, names)
        self._sets = algebra.Evaluation(work.bitmaps, contacts.EVERYONE, within=within)

    def count(self, expression: Expression) -> int:
        """How many contacts."""
        return self._sets.count(self.node(expression))

    def members(self, expression: Expression) -> BitMap:
        """The contacts, as a set of the caller's own."""
        return self._sets.members(self.node(expression))

    def holds(self, expression: Expression, number: int) -> bool:
        """Whether one contact is among them."""
        return self._sets.holds(self.node(expression), number)

    def everyone(self) -> int:
        """How many contacts there are."""
        return self._sets.count(algebra.EVERYONE)

    def node(self, expression: Expression) -> Node:
        """What it is lowered to."""
        return self._lowering.node(expression)


def evaluation(work: Work, *expressions: Expression, within: BitMap | None = None) -> Evaluation:
    """An evaluation that knows the expressions' names. Raises Invalid for an unknown name."""
    together = Or(expressions) if len(expressions) > 1 else expressions[0]
    return Evaluation(work, catalogue.resolve(work, together), within=within)


def count(work: Work, expression: Expression) -> int:
    """How many contacts an expression stands for, exactly. Raises Invalid for an unknown name or a wrong value."""
    return evaluation(work, expression).count(expression)


def members(work: Work, expression: Expression) -> BitMap:
    """The contacts that an expression stands for, as a set of the caller's own. Raises Invalid."""
    return evaluation(work, expression).members(expression)


def sample(work: Work, expression: Expression, size: int, *, seed: int | None = None) -> list[int]:
    """At most `size` of the members, each as likely as any other, ascending; a seed makes it repeatable."""
    return draw(members(work, expression), size, seed=seed)


def draw(found: BitMap, size: int, *, seed: int | None = None) -> list[int]:
    """At most `size` members of a set, each as likely as any other, ascending."""
    chosen = random.Random(seed).sample(range(len(found)), min(size, len(found)))  # noqa: S311 - a preview, no secret
    return [found[place] for place in sorted(chosen)]
