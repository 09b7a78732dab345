"""A segment's new name in the rules that stand on it."""

from dataclasses import replace

from tagcast import audiences
from tagcast.kit.uow import Work
from tagcast.tag_rules import store


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
