"""What each leaf of an expression stands for, as a node of set algebra. Only names and catalogues are read here."""

import math
from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from pyroaring import BitMap

from tagcast import behaviour, contacts, features, outcomes, tags
from tagcast.audiences import rules, spans
from tagcast.audiences.catalogue import Names
from tagcast.audiences.rules import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    Span,
    TagLeaf,
    ThenLeaf,
)
from tagcast.audiences.store import Segment
from tagcast.audiences.tree import FigureOp
from tagcast.behaviour import Did, Then, Where, Window
from tagcast.bitmaps import algebra, ordered
from tagcast.bitmaps.algebra import AllOf, AnyOf, Asked, AtLeast, Compared, Except, Known, Node
from tagcast.bitmaps.sliced import Comparison
from tagcast.contacts import Attribute
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

_EPOCH = date(1970, 1, 1)
_NO_DAY = date(1900, 1, 1)
"""A day on which nothing was done: events begin in 1990."""
_OPS: dict[FigureOp, Comparison] = {"is": "=", "is_not": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Lowering:
    """Expressions as nodes, each distinct part once."""

    def __init__(self, work: Work, names: Names) -> None:
        self._work = work
        self._names = names
        self._known: dict[Expression, Node] = {}
        self._days = 0

    def node(self, expression: Expression) -> Node:
        """The node of an expression. Raises Invalid for a value that its field or property cannot have."""
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._lower(expression)
        return found

    def _lower(self, expression: Expression) -> Node:  # noqa: PLR0911, C901 - one return a kind of node
        match expression:
            case All():
                return algebra.EVERYONE
            case Nobody():
                return algebra.NOBODY
            case And(parts):
                return AllOf(
                    tuple(map(self.node, parts))
                )  # each frame of Python counts where segments stand on segments
            case Or(parts):
                return AnyOf(tuple(map(self.node, parts)))
            case Not(part):
                return Except(self.node(part))
            case SegmentLeaf(name):
                return self._segment(self._names.segments[name])
            case TagLeaf():
                branch = self._names.tags[expression][: 1 if expression.exactly else None]
                keys = [algebra.Key(tags.key(number)) for number in branch]
                return AnyOf(tuple(keys)) if len(keys) > 1 else keys[0]
            case FieldLeaf():
                return self._field(expression)
            case DateLeaf(name, during):
                return self._during(self._of_type(name, "date"), during)
            case BirthdayLeaf(name, during):
                return self._birthday(self._of_type(name, "date"), during)
            case RankLeaf(name):
                return self._ranked(self._of_type(name, "number", "date"), expression)
            case DidLeaf():
                return self._did(expression)
            case ThenLeaf(first, second, minutes, absent):
                question = Then(self._question(first), self._question(second), minutes * 60, absent)
                return behaviour.node(self._work, question, zone=self._work.zone)
            case SendLeaf(outcome):
                sent = [outcomes.node(sending, outcome) for sending in self._names.sendings[expression]]
                return _counted(sent, expression.op, expression.value)

    def _segment(self, segment: Segment) -> Node:
        """A scheduled one stands for the set that was made last."""
        if segment.refresh == "scheduled" and segment.fresh_at is not None:
            return algebra.Key(segment.key)
        return self.node(segment.expression)

    def _field(self, leaf: FieldLeaf) -> Node:
        if self._names.fields[leaf.name] == "attribute":
            return contacts.node(self._work, self._names.described[leaf.name], leaf.op, leaf.value)
        return features.node(self._work, leaf.name, leaf.op, leaf.value)

    def _of_type(self, name: str, *types: str) -> Attribute:
        found = self._names.described[name]
        if found.type not in types:
            raise Invalid("audiences.wrong_kind", field=name, type=found.type, needed=" / ".join(types))
        return found

    def _during(self, attribute: Attribute, during: Span) -> Node:
        first, last = during.days(self._work.today)
        ends = [Compared(attribute.key, ">=", (first - _EPOCH).days)] if first is not None else []
        ends += [Compared(attribute.key, "<=", (last - _EPOCH).days)] if last is not None else []
        return AllOf(tuple(ends)) if ends else Known(attribute.key)

    def _birthday(self, attribute: Attribute, during: Span) -> Node:
        first, last = during.days(self._work.today)
        assert first is not None
        assert last is not None
        view, key = self._work.bitmaps, attribute.key
        ranges = [((low - _EPOCH).days, (high - _EPOCH).days) for low, high in spans.returns(first, last)]

        def ask(within: BitMap | None) -> BitMap:
            return ordered.inside(view, key, ranges, within)

        return Asked(("birthday", key, first.isoformat(), last.isoformat()), ask, ordered.planes(key))

    def _ranked(self, attribute: Attribute, leaf: RankLeaf) -> Node:
        view, share = self._work.bitmaps, Fraction(str(leaf.percent)) / 100
        kept, turned = attribute, False
        if attribute.family == "feature":
            kept, turned = features.kept_as(self._work, attribute.name)
        key = kept.key

        def ask(within: BitMap | None) -> BitMap:
            known = view.read(f"{key}#known")
            size = math.ceil(len(known) * share)
            if leaf.side != "top":
                size = len(known) - math.ceil(len(known) * (1 - share))
            if (leaf.side == "top") != turned:
                found = ordered.highest(view, key, size)
            else:
                found = known - ordered.highest(view, key, len(known) - size)
            return found if within is None else found & within

        return Asked(("rank", key, leaf.side, str(leaf.percent)), ask, ordered.planes(key), whole=True)

    def _did(self, leaf: DidLeaf) -> Node:
        if isinstance(leaf.value, tuple):
            low, high = sorted(leaf.value)
            return AllOf((self._measured(leaf, ">=", low), self._measured(leaf, "<=", high)))
        return self._measured(leaf, _OPS[leaf.op], leaf.value)

    def _measured(self, leaf: DidLeaf, op: Comparison, value: int) -> Node:
        return behaviour.node(self._work, self._question(leaf, op, value), zone=self._work.zone)

    def _question(self, leaf: DidLeaf, op: Comparison = ">=", value: int = 1) -> Did:
        first, last = leaf.during.days(self._work.today)
        if first is not None and last is not None:
            self._days += max(0, (last - first).days + 1)
            if self._days > rules.limits().asked_days:
                raise rules.over("asked_days")
            if first > last:
                first = last = _NO_DAY
        window = Window(first, last)
        return Did(leaf.event, window, leaf.measure, op, value, tuple(ascending(where) for where in leaf.where))


def ascending(where: Where) -> Where:
    """With the ends of between in order, where they can be compared."""
    match where.op, where.value:
        case ("between", (str() as low, str() as high)) | (
            "between",
            (int() | float() as low, int() | float() as high),
        ):
            return Where(where.name, "between", (min(low, high), max(low, high)))
        case _:
            return where


def _counted(parts: Sequence[Node], op: FigureOp, value: int | tuple[int, int]) -> Node:
    """Those who are in so many of the parts."""

    def at_least(times: int) -> Node:
        if times <= 0:
            return algebra.EVERYONE
        if times > len(parts):
            return algebra.NOBODY
        return AnyOf(tuple(parts)) if times == 1 else AtLeast(times, tuple(parts))

    match op, value:
        case ("between", tuple(ends)):
            return AllOf((at_least(min(ends)), Except(at_least(max(ends) + 1))))
        case (">=", int(times)):
            return at_least(times)
        case (">", int(times)):
            return at_least(times + 1)
        case ("<", int(times)):
            return Except(at_least(times))
        case ("<=", int(times)):
            return Except(at_least(times + 1))
        case (_, int(times)):
            exactly = AllOf((at_least(times), Except(at_least(times + 1))))
            return exactly if op == "is" else Except(exactly)
    raise AssertionError(op)
