"""Why a contact is in an expression or not: every part, whether it holds, whether it decided, and the facts."""

from dataclasses import dataclass
from datetime import datetime

from pyroaring import BitMap

from tagcast import contacts
from tagcast.audiences import compiler, language, past
from tagcast.audiences.compiler import Evaluation
from tagcast.audiences.evidence import Fact, Witness
from tagcast.audiences.rules import And, Expression, Not, Or, SegmentLeaf, parts_of
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a node holds for a contact; `text` is the node in the text form, `parts` what it is made of.

    `matters`: the outcome of the whole rests on it. Of a group in which all must hold, those rest that fail, or all if
    none does; of one in which any suffices the other way round. `facts` speak for leaves.
    """

    text: str
    holds: bool
    matters: bool
    facts: tuple[Fact, ...]
    parts: tuple["Explained", ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """A contact who came or left between two moments: the leaves whose outcome changed, as they are at the later."""

    number: int
    came: bool
    leaves: tuple[Explained, ...]


def explain(work: Work, expression: Expression, number: int) -> Explained:
    """Which parts of an expression hold for a contact, and why; a segment is opened to its own expression.

    Raises Invalid for an unknown name, NotFound for a contact that is not there.
    """
    if number not in contacts.everyone(work):
        raise NotFound("contacts.no_contact", number=number)
    known = compiler.evaluation(work, expression, within=BitMap([number]))
    return _Explaining(known, number, Witness(work, known.names, number)).node(expression, matters=True)


def moved(
    work: Work, expression: Expression, between: tuple[datetime, datetime | None], numbers: list[int], *, came: bool
) -> list[Moved]:
    """Why contacts came or left between two moments (None: now). Raises Invalid for a leaf whose past no log tells."""
    within = BitMap(numbers)
    names = past.known_names(work, expression, past.at(work, between[0]))
    before = past.evaluation(work, expression, between[0], within=within)
    later = work if between[1] is None else past.at(work, between[1])
    after = Evaluation(later, names, within=within)
    leaves = sorted(past.leaves(expression, names), key=language.to_text)
    found = []
    for number in numbers:
        witness = Witness(later, names, number)
        turned = [leaf for leaf in leaves if before.holds(leaf, number) != after.holds(leaf, number)]
        told = _Explaining(after, number, witness)
        found.append(Moved(number, came, tuple(told.node(leaf, matters=True) for leaf in turned)))
    return found


class _Explaining:
    """One contact's way through an expression."""

    def __init__(self, known: Evaluation, number: int, witness: Witness) -> None:
        self._known = known
        self._number = number
        self._witness = witness
        self._opened: set[str] = set()

    def node(self, node: Expression, *, matters: bool) -> Explained:
        """The node with all that stands below it."""
        holds = self._known.holds(node, self._number)
        below = parts_of(node)
        facts: tuple[Fact, ...] = ()
        if not isinstance(node, And | Or | Not):
            facts = self._witness.facts(node, self._known.node(node))
        # Opened where it is met first: segments that share segments would be written out again and again.
        if isinstance(node, SegmentLeaf) and node.name not in self._opened:
            self._opened.add(node.name)
            below = (self._known.names.segments[node.name].expression,)
        parts = [self.node(part, matters=matters and self._bears(part, node, holds)) for part in below]
        return Explained(language.to_text(node), holds, matters, facts, tuple(parts))

    def _bears(self, part: Expression, node: Expression, holds: bool) -> bool:
        """Whether a part bears the outcome of its node; what a kept segment was made from may say otherwise by now."""
        return isinstance(node, Not) or self._known.holds(part, self._number) == holds
