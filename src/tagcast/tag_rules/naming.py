"""Rules as users of tags and segments: what they name, and a segment's new name in them."""

from collections.abc import Iterator
from dataclasses import replace

from tagcast import audiences, tags
from tagcast.kit.uow import Work
from tagcast.tag_rules import store


def _uses(work: Work) -> Iterator[tags.Use]:
    for rule in store.every(work):
        branches, exactly, over = audiences.tag_uses(rule.definition.expression, rule.definition.tags)
        yield tags.Use("rule", rule.id, tags.get(work, rule.tag).path, branches, (*exactly, rule.tag), over)


def follow_name(work: Work, before: str, after: str) -> None:
    """Let rules name a segment by its new name."""
    for rule in store.every(work):
        now = audiences.renamed(rule.definition.expression, before, after)
        if now != rule.definition.expression:
            store.put_definition(work, rule.id, replace(rule.definition, expression=now))
            rewritten = store.get(work, rule.id)
            assert rewritten is not None
            store.write_line(work, rewritten, "rewritten")


audiences.on_rename("rule", follow_name)
USERS = tags.register(tags.Users("rule", _uses))
