"""All SQL of tag rules."""

from collections.abc import Mapping
from typing import Any, cast

import sqlalchemy as sa

from tagcast import audiences
from tagcast.kit import db
from tagcast.kit.uow import Work
from tagcast.tag_rules.rules import Definition, Line, Rule, State, Trouble, What
from tagcast.tag_rules.tables import log, rules
from tagcast.tag_rules.tables import trouble as troubles

_r = rules.c


def every(work: Work) -> list[Rule]:
    """All rules by id."""
    rows = work.connection.execute(sa.select(rules).where(_r.workspace == work.workspace).order_by(_r.id))
    return [_rule(row) for row in rows]


def get(work: Work, rule_id: int) -> Rule | None:
    """One rule."""
    row = work.connection.execute(sa.select(rules).where(_mine(work, rule_id))).first()
    return None if row is None else _rule(row)


def of_tag(work: Work, tag_id: int) -> Rule | None:
    """The rule of a tag."""
    here = sa.and_(_r.workspace == work.workspace, _r.tag == tag_id)
    row = work.connection.execute(sa.select(rules).where(here)).first()
    return None if row is None else _rule(row)


def active(work: Work) -> list[tuple[int, int, int, str]]:
    """(id, tag, version, mode) of the rules that run; several times a second."""
    mode = _r.definition["mode"].as_string().label("mode")
    here = (_r.workspace == work.workspace, _r.state == "active")
    rows = work.connection.execute(sa.select(_r.id, _r.tag, _r.version, mode).where(*here))
    return [(row.id, row.tag, row.version, row.mode) for row in rows]


def count(work: Work) -> int:
    """How many rules there are."""
    here = sa.select(sa.func.count()).where(_r.workspace == work.workspace)
    return int(work.connection.scalar(here) or 0)


def insert(work: Work, tag_id: int, definition: Definition) -> int:
    """A new rule's id; it is a draft."""
    made = work.connection.execute(
        sa.insert(rules).values(
            workspace=work.workspace,
            tag=tag_id,
            definition=_packed(definition),
            version=1,
            state="draft",
            created_at=work.now_ms,
            created_by=work.actor[:100],
            changed_at=work.now_ms,
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def put_definition(work: Work, rule_id: int, definition: Definition) -> None:
    """Another definition; the version grows by one."""
    values = {"definition": _packed(definition), "version": _r.version + 1, "changed_at": work.now_ms}
    work.connection.execute(sa.update(rules).where(_mine(work, rule_id)).values(values))


def put_state(work: Work, rule_id: int, state: State, problem: Mapping[str, Any] | None = None) -> None:
    """Another state."""
    shown = sa.null() if problem is None else dict(problem)
    values = {"state": state, "problem": shown, "changed_at": work.now_ms}
    work.connection.execute(sa.update(rules).where(_mine(work, rule_id)).values(values))


def delete(work: Work, rule_id: int) -> None:
    """Delete a rule; what was done to it stays."""
    work.connection.execute(sa.delete(rules).where(_mine(work, rule_id)))


def write_line(work: Work, rule: Rule, what: What) -> None:
    """Note what was done to a rule that now is as given."""
    work.connection.execute(
        sa.insert(log).values(
            workspace=work.workspace,
            rule=rule.id,
            version=rule.version,
            what=what,
            who=work.actor[:100],
            at=work.now_ms,
            definition=_packed(rule.definition),
            problem=sa.null() if rule.problem is None else dict(rule.problem),
        )
    )


def lines(work: Work, rule_id: int) -> list[Line]:
    """What was done to a rule, newest first."""
    here = (log.c.workspace == work.workspace, log.c.rule == rule_id)
    rows = work.connection.execute(sa.select(log).where(*here).order_by(log.c.id.desc()))
    return [
        Line(
            row.rule, row.version, cast(What, row.what), row.who, row.at, _definition(row.definition), row.problem,
        )
        for row in rows
    ]  # fmt: skip


def trouble(work: Work) -> Trouble | None:
    """What keeps the workspace's turns from succeeding."""
    row = work.connection.execute(sa.select(troubles).where(troubles.c.workspace == work.workspace)).first()
    return None if row is None else Trouble(row.since, row.at, row.problem)


def put_trouble(work: Work, problem: Mapping[str, Any]) -> None:
    """A turn failed, for the first time or again."""
    before = trouble(work)
    since = work.now_ms if before is None else before.since
    row = {"workspace": work.workspace, "since": since, "at": work.now_ms, "problem": dict(problem)}
    db.upsert(work.connection, troubles, [row], ["workspace"])


def drop_trouble(work: Work) -> None:
    """Turns succeed again."""
    work.connection.execute(sa.delete(troubles).where(troubles.c.workspace == work.workspace))


def _mine(work: Work, rule_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(_r.workspace == work.workspace, _r.id == rule_id)


def _packed(definition: Definition) -> dict[str, Any]:
    return {
        "expression": audiences.to_json(definition.expression),
        "tags": [list(ref) for ref in definition.tags],
        "mode": definition.mode,
        "until_days": definition.until_days,
        "owner": definition.owner,
    }


def _definition(packed: Mapping[str, Any]) -> Definition:
    refs = tuple((account, path, tag) for account, path, tag in packed["tags"])
    expression = audiences.from_json(packed["expression"])
    return Definition(expression, refs, packed["mode"], packed["until_days"], packed["owner"])


def _rule(row: sa.Row[Any]) -> Rule:
    return Rule(
        row.id, row.tag, _definition(row.definition), row.version, row.state, row.problem,
        row.created_at, row.created_by, row.changed_at,
    )  # fmt: skip
