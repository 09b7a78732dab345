"""What stands on a segment, and giving it another name everywhere.

Floors above that keep expressions tell what they name to `tags.register`, and to `on_rename` how to follow a new name.
"""

from collections.abc import Callable
from dataclasses import replace

from tagcast import tags
from tagcast.audiences import catalogue, rules, store
from tagcast.audiences.rules import Expression, Leaf, SegmentLeaf
from tagcast.kit.uow import Work

Rename = Callable[[Work, str, str], None]
_renames: dict[str, Rename] = {}


def on_rename(kind: str, rename: Rename) -> None:
    """Say that things of a kind name segments: `rename(work, before, after)` rewrites them."""
    _renames[kind] = rename


def where_used(work: Work, name: str) -> list[str]:
    """The segments that name this one themselves, sorted."""
    return [segment.name for segment in store.every(work) if name in catalogue.used_by(segment.expression)]


def uses(work: Work, name: str) -> dict[str, list[str]]:
    """All that names a segment, by kind: other segments, frozen audiences, and what floors above registered."""
    found: dict[str, set[str]] = {}
    for use in tags.uses(work):
        if name in use.over and use.kind not in ("segment", "frozen"):
            found.setdefault(use.kind, set()).add(use.name)
    if below := where_used(work, name):
        found["segment"] = set(below)
    if frozen := store.frozen_of(work, name):
        found.setdefault("frozen", set()).update(str(one) for one in frozen)
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def standing_on(work: Work, name: str) -> list[str]:
    """What would break without the segment: segments, and live uses of floors above."""
    live = {use.name for use in tags.uses(work) if use.live and use.kind != "segment" and name in use.over}
    return [*where_used(work, name), *sorted(live)]


def rename(work: Work, before: str, after: str) -> None:
    """Let everything that names a segment name it so; their versions stay, for they mean what they meant."""
    for segment in store.every(work):
        if before in catalogue.used_by(segment.expression):
            store.rewrite(work, segment.id, renamed(segment.expression, before, after))
    store.rename_frozen(work, before, after)
    for follow in _renames.values():
        follow(work, before, after)


def renamed(expression: Expression, before: str, after: str) -> Expression:
    """The expression with a segment's new name."""

    def change(leaf: Leaf) -> Leaf:
        return replace(leaf, name=after) if isinstance(leaf, SegmentLeaf) and leaf.name == before else leaf

    return rules.substitute(expression, change)
