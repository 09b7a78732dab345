"""What each leaf of an expression stands for, as a node of set algebra. Only names and catalogues are read here."""

from tagcast import contacts, features, tags
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
)
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Node
from tagcast.kit.uow import Work


class Lowering:
    """Expressions as nodes, each distinct part once."""

    def __init__(self, work: Work, names: Names) -> None:
        self._work = work
        self._names = names
        self._known: dict[Expression, Node] = {}

    def node(self, expression: Expression) -> Node:
        """The node of an expression. Raises Invalid for a value that its field cannot have."""
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._lower(expression)
        return found

    def _lower(self, expression: Expression) -> Node:  # noqa: PLR0911 - one return a kind of node
        match expression:
            case All():
                return algebra.EVERYONE
            case Nobody():
                return algebra.NOBODY
            case And(parts):
                return algebra.AllOf(tuple(self.node(part) for part in parts))
            case Or(parts):
                return algebra.AnyOf(tuple(self.node(part) for part in parts))
            case Not(part):
                return algebra.Except(self.node(part))
            case SegmentLeaf(name):
                return self.node(self._names.segments[name].expression)
            case TagLeaf():
                branch = self._names.tags[expression][: 1 if expression.exactly else None]
                return algebra.AnyOf(tuple(algebra.Key(tags.key(number)) for number in branch))
            case FieldLeaf():
                return self._field(expression)

    def _field(self, leaf: FieldLeaf) -> Node:
        if self._names.fields[leaf.name] == "attribute":
            attribute = contacts.find_attribute(self._work, leaf.name)
            return contacts.node(self._work, attribute, leaf.op, leaf.value)
        return features.node(self._work, leaf.name, leaf.op, leaf.value)
