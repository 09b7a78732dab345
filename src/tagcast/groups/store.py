"""All SQL of group chats."""

from typing import Any

import sqlalchemy as sa

from tagcast.groups.rules import Chat, ChatSeen, NewWay, Way
from tagcast.groups.tables import chats, ways
from tagcast.kit import db
from tagcast.kit.uow import Work


def all_chats(work: Work, account: int | None = None) -> list[Chat]:
    """Chats of one account or of all, by number."""
    statement = sa.select(chats).where(chats.c.workspace == work.workspace).order_by(chats.c.id)
    if account is not None:
        statement = statement.where(chats.c.account == account)
    return [_chat(row) for row in work.connection.execute(statement)]


def put_chat(work: Work, account: int, seen: ChatSeen, strangers: dict[str, int]) -> int:
    """Keep a chat as it was seen now; gives its number."""
    values = {
        "name": seen.name[:200],
        "owner": seen.owner,
        "created_at": seen.created_at,
        "dismissed_at": None,
        "read_at": work.now_ms,
        "strangers": strangers,
    }
    key = {"workspace": work.workspace, "account": account, "chat_id": seen.chat_id}
    db.upsert(work.connection, chats, [key | values], list(key))
    here = [chats.c[name] == value for name, value in key.items()]
    return int(work.connection.execute(sa.select(chats.c.id).where(*here)).scalar_one())


def dismiss(work: Work, number: int) -> None:
    """Note that a chat is no more."""
    work.connection.execute(
        sa.update(chats)
        .where(chats.c.workspace == work.workspace, chats.c.id == number, chats.c.dismissed_at.is_(None))
        .values(dismissed_at=work.now_ms, strangers={})
    )


def strangers_by_state(work: Work, account: int) -> dict[str, int]:
    """Members of the account's chats who are nobody's contact, by the invitation's state."""
    found: dict[str, int] = {}
    statement = sa.select(chats.c.strangers).where(chats.c.workspace == work.workspace, chats.c.account == account)
    for counts in work.connection.scalars(statement):
        for state, count in counts.items():
            found[state] = found.get(state, 0) + count
    return found


def all_ways(work: Work, account: int | None = None) -> list[Way]:
    """Invitations of one account or of all, by number."""
    statement = sa.select(ways).where(ways.c.workspace == work.workspace).order_by(ways.c.id)
    if account is not None:
        statement = statement.where(ways.c.account == account)
    return [_way(row) for row in work.connection.execute(statement)]


def way(work: Work, number: int) -> Way | None:
    """One invitation."""
    row = work.connection.execute(
        sa.select(ways).where(ways.c.workspace == work.workspace, ways.c.id == number)
    ).first()
    return None if row is None else _way(row)


def way_of_name(work: Work, account: int, name: str) -> Way | None:
    """The invitation of an account with that name."""
    here = (ways.c.workspace == work.workspace, ways.c.account == account, ways.c.name == name)
    row = work.connection.execute(sa.select(ways).where(*here)).first()
    return None if row is None else _way(row)


def add_way(work: Work, asked: NewWay, state: str) -> None:
    """Note an invitation that is about to be made, unless one of its name is there."""
    values = {
        "workspace": work.workspace,
        "account": asked.account,
        "tag": asked.tag,
        "name": asked.name,
        "chats": list(asked.chats),
        "auto_create": asked.auto_create,
        "base_name": asked.base_name,
        "joined_tag": asked.joined_tag,
        "state": state,
        "config_id": "",
        "qr_code": "",
        "status": "making",
        "created_at": work.now_ms,
        "created_by": work.actor,
    }
    db.upsert_ignore(work.connection, ways, [values], ["workspace", "account", "name"])


def change_way(work: Work, number: int, **values: Any) -> None:
    """Change an invitation's columns."""
    work.connection.execute(
        sa.update(ways).where(ways.c.workspace == work.workspace, ways.c.id == number).values(**values)
    )


def _chat(row: sa.Row[Any]) -> Chat:
    return Chat(
        id=row.id,
        account=row.account,
        chat_id=row.chat_id,
        name=row.name,
        owner=row.owner,
        created_at=row.created_at,
        dismissed_at=row.dismissed_at,
        read_at=row.read_at,
        strangers=sum(row.strangers.values()),
    )


def _way(row: sa.Row[Any]) -> Way:
    return Way(
        id=row.id,
        account=row.account,
        tag=row.tag,
        name=row.name,
        chats=tuple(row.chats),
        auto_create=row.auto_create,
        base_name=row.base_name,
        joined_tag=row.joined_tag,
        state=row.state,
        config_id=row.config_id,
        qr_code=row.qr_code,
        status=row.status,
        created_at=row.created_at,
        created_by=row.created_by,
    )
