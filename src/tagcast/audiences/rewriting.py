"""Segments and frozen audiences as users of tags: which they name, and another tag in the place of one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from tagcast import tags
from tagcast.audiences import actions, catalogue, rules, store
from tagcast.audiences.rules import Expression, Leaf, SegmentLeaf, TagLeaf
from tagcast.audiences.tables import frozen
from tagcast.kit.uow import Work

Refs = Iterable[tuple[int | None, str, int]]


def tag_uses(expression: Expression, refs: Refs) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """What an expression names: (tags with those below, tags without, segments). `refs` say what its paths mean."""
    meant = {(account, path): number for account, path, number in refs}
    leaves = [node for node, _ in rules.walk(expression) if isinstance(node, TagLeaf)]
    named = {(meant[leaf.account, leaf.path], leaf.exactly) for leaf in leaves if (leaf.account, leaf.path) in meant}
    branches = tuple(sorted(number for number, exactly in named if not exactly))
    exactly = tuple(sorted(number for number, exactly in named if exactly))
    return branches, exactly, tuple(sorted(catalogue.used_by(expression)))


def with_tag(expression: Expression, old: tags.Tag, new: tags.Tag) -> Expression:
    """The expression with another tag in the place of one; its paths are those of today."""

    def change(leaf: Leaf) -> Leaf:
        if isinstance(leaf, TagLeaf) and (leaf.account, leaf.path) == (old.account, old.path):
            return replace(leaf, path=new.path)
        return leaf

    return rules.substitute(expression, change)


def repathed(expression: Expression, refs: Refs, paths: Mapping[int, str]) -> Expression:
    """An expression kept earlier, its tags under the paths that they have today."""
    meant = {(account, path): paths.get(number, path) for account, path, number in refs}

    def change(leaf: Leaf) -> Leaf:
        if isinstance(leaf, TagLeaf):
            return replace(leaf, path=meant.get((leaf.account, leaf.path), leaf.path))
        return leaf

    return rules.substitute(expression, change)


def noted(work: Work, expression: Expression, refs: Refs) -> dict[str, Any]:
    """An expression to be kept as JSON with what its names mean today: `recalled` brings it back."""
    ids = {one.name: one.id for one in store.every(work)}
    over = {name: ids[name] for name in catalogue.used_by(expression) if name in ids}
    return {"expression": rules.to_json(expression), "tags": [list(ref) for ref in refs], "segments": over}


def recalled(work: Work, note: Mapping[str, Any]) -> Expression:
    """What was noted, its tags and segments under the names that they have today."""
    paths = {number: tag.path for number, tag in tags.every(work).items()}
    refs = [(account, path, number) for account, path, number in note["tags"]]
    names = {one.id: one.name for one in store.every(work)}

    def change(leaf: Leaf) -> Leaf:
        if isinstance(leaf, SegmentLeaf):
            return replace(leaf, name=names.get(note["segments"].get(leaf.name), leaf.name))
        return leaf

    return rules.substitute(repathed(rules.from_json(note["expression"]), refs, paths), change)


def moved_tags(expression: Expression, paths: tags.Paths) -> Expression:
    """An expression with the new paths of tags that moved."""

    def change(leaf: Leaf) -> Leaf:
        if isinstance(leaf, TagLeaf):
            return replace(leaf, path=paths.get((leaf.account, leaf.path), leaf.path))
        return leaf

    return rules.substitute(expression, change)


def _segments(work: Work) -> Iterator[tags.Use]:
    for one in store.every(work):
        branches, exactly, over = tag_uses(one.expression, one.tags)
        yield tags.Use("segment", one.id, one.name, branches, exactly, over)


def _rewrite(work: Work, old: tags.Tag, new: tags.Tag) -> tags.Notes:
    notes: tags.Notes = []
    for one in actions.every(work):
        if any(number == old.id for _, _, number in one.tags):
            made = actions.update(work, one.id, with_tag(one.expression, old, new))
            before = noted(work, one.expression, one.tags)
            notes.append({"name": one.name, "id": one.id, "version": made.version, **before})
    return notes


def _restore(work: Work, notes: Sequence[dict[str, Any]]) -> None:
    for note in reversed(notes):
        actions.update(work, note["id"], recalled(work, note), version=note["version"])


def _frozen(work: Work) -> Iterator[tags.Use]:
    """Frozen audiences keep paths, not tags: those of today, and the segment that they were made from."""
    ids = {(tag.account, tag.path): tag.id for tag in tags.every(work).values()}
    for row in work.connection.execute(sa.select(frozen).where(frozen.c.workspace == work.workspace)):
        refs = [(account, path, number) for (account, path), number in ids.items()]
        branches, exactly, over = tag_uses(rules.from_json(row.expression), refs)
        over = (row.segment, *over) if row.segment else over
        yield tags.Use("frozen", row.id, row.segment or row.why, branches, exactly, over, live=False)


SEGMENTS = tags.register(tags.Users("segment", _segments, _rewrite, _restore))
FROZEN = tags.register(tags.Users("frozen", _frozen))
