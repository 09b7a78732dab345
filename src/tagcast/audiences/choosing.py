"""Whether an audience chooses people by what is known of them, or is simply everybody."""

from collections.abc import Callable, Mapping

from tagcast.audiences import store
from tagcast.audiences.tree import All, And, Expression, Nobody, Not, Or, SegmentLeaf, walk
from tagcast.kit.uow import Work

Named = Callable[[set[str]], Mapping[str, Expression]]
"""The expressions of segments by name; one that is not there is left out."""


def chooses(expression: Expression, named: Named) -> bool:
    """Whether tags, attributes, features, behaviour or past sends decide who is in it, also within segments it names.

    All and nobody, however combined, do not choose. A segment that is not there is taken for one that does.
    """
    waiting, seen = [expression], set[str]()
    while waiting:
        names = set[str]()
        for node, _ in walk(waiting.pop()):
            if isinstance(node, SegmentLeaf):
                names.add(node.name)
            elif not isinstance(node, All | Nobody | And | Or | Not):
                return True
        found = named(names - seen) if names - seen else {}
        if names - seen - found.keys():
            return True
        seen |= names
        waiting.extend(found.values())
    return False


def personalised(work: Work, expression: Expression) -> bool:
    """As `chooses`, with the segments as they are now."""

    def named(names: set[str]) -> dict[str, Expression]:
        return {name: segment.expression for name, segment in store.by_names(work, names).items()}

    return chooses(expression, named)
