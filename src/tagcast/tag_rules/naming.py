"""Rules as users of tags and segments: another tag in the place of one, a segment's new name."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tagcast import audiences, tags
from tagcast.audiences import Expression, live
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work
from tagcast.tag_rules import actions, store
from tagcast.tag_rules.rules import Rule, TagRef


def _uses(work: Work) -> Iterator[tags.Use]:
    for rule in store.every(work):
        branches, exactly, over = audiences.tag_uses(rule.definition.expression, rule.definition.tags)
        yield tags.Use("rule", rule.id, tags.get(work, rule.tag).path, branches, (*exactly, rule.tag), over)


def _rewrite(work: Work, old: tags.Tag, new: tags.Tag) -> tags.Notes:
    notes: tags.Notes = []
    for rule in actions.every(work):
        said = rule.definition
        if any(number == old.id for _, _, number in said.tags):
            now = audiences.with_tag(said.expression, old, new)
            refs = live.prove(work, now)
            before, after = audiences.noted(work, said.expression, said.tags), audiences.noted(work, now, refs)
            made = _rewritten(work, rule, now, refs)
            told = {"name": tags.get(work, rule.tag).path, "id": rule.id, "version": made.version}
            notes.append({**told, "before": before, "after": after})
    return notes


def _restore(work: Work, notes: Sequence[dict[str, Any]]) -> None:
    """A rule that was deleted meanwhile stays deleted; one that says something else by now is not overwritten."""
    for note in reversed(notes):
        if store.get(work, note["id"]) is None:
            continue
        rule = actions.get(work, note["id"])
        if rule.definition.expression != audiences.recalled(work, note["after"]):
            raise Conflict("tag_rules.moved", rule=rule.id, found=rule.version, expected=note["version"])
        before = audiences.recalled(work, note["before"])
        _rewritten(work, rule, before, live.prove(work, before))


def follow_name(work: Work, before: str, after: str) -> None:
    """Let rules name a segment by its new name."""
    for rule in store.every(work):
        now = audiences.renamed(rule.definition.expression, before, after)
        if now != rule.definition.expression:
            # Not proved: a rule that stopped for another reason does not keep a segment from its new name.
            _rewritten(work, rule, now, rule.definition.tags)


def _rewritten(work: Work, rule: Rule, expression: Expression, refs: Sequence[TagRef]) -> Rule:
    store.put_definition(work, rule.id, replace(rule.definition, expression=expression, tags=tuple(refs)))
    made = store.get(work, rule.id)
    assert made is not None
    store.write_line(work, made, "rewritten")
    return made


audiences.on_rename("rule", follow_name)
USERS = tags.register(tags.Users("rule", _uses, _rewrite, _restore))
