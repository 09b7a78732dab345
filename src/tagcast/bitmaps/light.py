"""Expressions whose sets are all light: a few kilobytes of Roaring each, worked out in one pass.

For these what is planned, named or remembered costs more than the work itself. An expression with anything else in it
is left to `algebra`.
"""

from collections.abc import Mapping

from pyroaring import BitMap

from tagcast.bitmaps.nodes import AllOf, AnyOf, Except, Key, Node
from tagcast.bitmaps.view import View

_DEPTH = 16
_LONG = 24
"""Parts of a group that is taken as a row of sets, and remembered."""


class _Elsewhere(Exception):
    """There is something in the expression that is not worked out here."""


def members(view: View, node: Node) -> tuple[BitMap, bool] | None:
    """(these, False), or (these, True) for everyone but these; None if the expression is to be worked out otherwise.

    Shared with others: never mutate them.
    """
    inverted = False
    while type(node) is Except:
        node, inverted = node.part, not inverted
    while (light := view.light()) is not None:
        try:
            return _set(node, light, 0), inverted
        except _Elsewhere:
            return None
        except KeyError as missing:
            if not view.lighten(missing.args[0]):
                return None
    return None


def _set(node: Node, light: Mapping[str, BitMap], depth: int) -> BitMap:
    """The members. Raises KeyError for a key that is not light, or not known to be."""
    if type(node) is Key:
        return light[node.name]
    if depth < _DEPTH:
        if type(node) is AllOf:
            return _all_of(node.parts, light, depth + 1)
        if type(node) is AnyOf and len(node.parts) < _LONG:
            return _any_of([light[one.name] if type(one) is Key else _set(one, light, depth + 1) for one in node.parts])
    raise _Elsewhere


def _all_of(parts: tuple[Node, ...], light: Mapping[str, BitMap], depth: int) -> BitMap:
    left: BitMap | None = None
    own = False  # whether what is left may be changed in place, which takes a fraction of making it anew
    outside: list[Node] = []
    for part in parts:
        if type(part) is Except:
            outside.append(part.part)
            continue
        these = light[part.name] if type(part) is Key else _set(part, light, depth)
        if left is None:
            left = these
        else:
            left, own = left & these, True
    if left is None:
        raise _Elsewhere
    for node in outside:
        # Those in none of a group are in none of its parts.
        for part in node.parts if type(node) is AnyOf and len(node.parts) < _LONG else (node,):
            if not left:
                return left
            these = light[part.name] if type(part) is Key else _set(part, light, depth)
            if own:
                left -= these
            else:
                left, own = left - these, True
    return left


def _any_of(sets: list[BitMap]) -> BitMap:
    if len(sets) < 2:
        return sets[0] if sets else BitMap()
    joined = sets[0] | sets[1]
    for these in sets[2:]:
        joined |= these
    return joined
