"""Drafts that follow a renamed segment or tag, beside many broadcasts that were sent."""

import sqlalchemy as sa

from tagcast import audiences, broadcasts, tags
from tagcast.broadcasts import retarget
from tagcast.broadcasts.tables import broadcasts as table
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.test_actions import account, draft


def audience(work: Work, number: int) -> str:
    return audiences.to_text(audiences.from_json(broadcasts.get(work, number).audience))


def test_only_drafts_are_read_when_a_name_changes(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        at = account(work, "service", "platform")
        segment = audiences.create(work, "s", audiences.parse("all"))
        tags.create(work, "新客")
        text = 'segment("s") and tag("新客")'
        numbers = [draft(work, at, audience=text, name=str(n)) for n in range(40)]
        sent = numbers[:37]
        work.connection.execute(sa.update(table).where(table.c.id.in_(sent)).values(state="finished"))
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
            if "FROM broadcast " in statement.replace("\n", " "):
                seen.append(statement)

        sa.event.listen(runtime_sqlite.engine, "before_cursor_execute", note)
        audiences.rename(work, segment.id, "t")
        tags.rename(work, tags.find(work, "新客").id, "熟客")
        sa.event.remove(runtime_sqlite.engine, "before_cursor_execute", note)
        assert seen
        assert all("broadcast.state IN (?, ?, ?)" in one for one in seen)
        assert {audience(work, number) for number in sent} == {text}
        assert {audience(work, number) for number in numbers[37:]} == {'segment("t") and tag("熟客")'}
        query = retarget.drafts(1).compile(work.connection, compile_kwargs={"literal_binds": True})
        plan = work.connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}")).all()
        assert any("ix_broadcast_state" in row.detail for row in plan)
