"""All SQL of postings."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from tagcast.broadcasts.posting_tables import outcomes, postings, posts
from tagcast.broadcasts.postings.shapes import Outcome, Post, Posting
from tagcast.kit import clock, db
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work


def insert(work: Work, **values: Any) -> int:
    """A new draft's number."""
    shared = {"workspace": work.workspace, "state": "draft", "stopping": False, "plan": {}}
    made = work.connection.execute(
        sa.insert(postings).values(**shared, created_at=work.now_ms, created_by=work.actor, **values)
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def get(work: Work, posting: int, *, lock: bool = False) -> Posting:
    """A posting. Raises NotFound. Whoever changes its posts holds its lock."""
    query = sa.select(postings).where(postings.c.workspace == work.workspace, postings.c.id == posting)
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("broadcasts.no_posting", posting=posting)
    return _posting(row)


def of_plan(work: Work, plan_hash: str) -> int | None:
    """Which posting a plan belongs to."""
    return work.connection.scalar(
        sa.select(postings.c.id).where(postings.c.workspace == work.workspace, postings.c.plan_hash == plan_hash)
    )


def all_(work: Work, limit: int = 100) -> list[Posting]:
    """The newest first."""
    query = sa.select(postings).where(postings.c.workspace == work.workspace).order_by(postings.c.id.desc())
    return [_posting(row) for row in work.connection.execute(query.limit(limit))]


def moments_since(work: Work, account: int, since_ms: int) -> list[int]:
    """Moments of an account that were started since a time and not cancelled."""
    query = sa.select(postings.c.id).where(
        postings.c.workspace == work.workspace,
        postings.c.account == account,
        postings.c.kind == "moments",
        postings.c.started_at >= since_ms,
        postings.c.state != "cancelled",
    )
    return list(work.connection.scalars(query))


def update(work: Work, posting: int, **values: Any) -> None:
    """Set columns of a posting."""
    work.connection.execute(
        sa.update(postings).where(postings.c.workspace == work.workspace, postings.c.id == posting).values(**values)
    )


def add_posts(work: Work, posting: int, recipients: Mapping[str, list[str]], size: int) -> list[int]:
    """Posts of at most `size` recipients a sender, everybody planned; their numbers."""
    rows: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for sender, mine in recipients.items():
        for at in range(0, len(mine), size):
            no = len(rows)
            rows.append(
                {
                    "workspace": work.workspace,
                    "posting": posting,
                    "no": no,
                    "sender": sender,
                    "call": "",
                    "progress": {},
                }
            )
            people += [
                {
                    "workspace": work.workspace,
                    "posting": posting,
                    "post": no,
                    "recipient": one,
                    "status": "planned",
                    "reason": "",
                    "at": work.now_ms,
                }
                for one in mine[at : at + size]
            ]
    db.insert_many(work.connection, posts, rows)
    db.insert_many(work.connection, outcomes, people)
    return list(range(len(rows)))


def post(work: Work, posting: int, no: int) -> Post:
    """One post."""
    query = sa.select(posts).where(posts.c.workspace == work.workspace, posts.c.posting == posting, posts.c.no == no)
    return _post(work.connection.execute(query).one())


def posts_of(work: Work, posting: int) -> list[Post]:
    """All posts of a posting in their order."""
    query = sa.select(posts).where(posts.c.workspace == work.workspace, posts.c.posting == posting)
    return [_post(row) for row in work.connection.execute(query.order_by(posts.c.no))]


def save_post(work: Work, changed: Post) -> None:
    """Write back what can change of a post."""
    work.connection.execute(
        sa.update(posts)
        .where(posts.c.workspace == work.workspace, posts.c.posting == changed.posting, posts.c.no == changed.no)
        .values(
            call=changed.call,
            tried_at=changed.tried_at,
            msgid=changed.msgid,
            progress=changed.progress,
            done_at=work.now_ms if changed.done else None,
        )
    )


def known(work: Work, account: int) -> set[str]:
    """Every mass message and Moment that a post of the account holds."""
    query = (
        sa.select(posts.c.msgid, posts.c.progress)
        .join(postings, sa.and_(postings.c.workspace == posts.c.workspace, postings.c.id == posts.c.posting))
        .where(posts.c.workspace == work.workspace, postings.c.account == account)
    )
    rows = work.connection.execute(query).all()
    return {row.msgid for row in rows if row.msgid} | {
        row.progress["moment"] for row in rows if "moment" in row.progress
    }


def outcomes_of(work: Work, posting: int, no: int | None = None) -> list[Outcome]:
    """Outcomes of a posting, or of one of its posts, by post and recipient."""
    query = sa.select(outcomes).where(outcomes.c.workspace == work.workspace, outcomes.c.posting == posting)
    if no is not None:
        query = query.where(outcomes.c.post == no)
    rows = work.connection.execute(query.order_by(outcomes.c.post, outcomes.c.recipient))
    return [Outcome(row.post, row.recipient, row.status, row.reason, row.at) for row in rows]


def set_outcomes(
    work: Work, one: Post, recipients: Iterable[str], status: str, reason: str = "", *, only: Iterable[str]
) -> None:
    """Move recipients of a post that are in one of the statuses `only`."""
    wanted = list(recipients)
    for at in range(0, len(wanted), 500):
        work.connection.execute(
            sa.update(outcomes)
            .where(
                outcomes.c.workspace == work.workspace,
                outcomes.c.posting == one.posting,
                outcomes.c.post == one.no,
                outcomes.c.recipient.in_(wanted[at : at + 500]),
                outcomes.c.status.in_(list(only)),
            )
            .values(status=status, reason=reason, at=work.now_ms)
        )


def received(work: Work, account: int, since_ms: int) -> dict[str, int]:
    """Group chat → how many messages it was sent, or may have been, since a time."""
    query = (
        sa.select(outcomes.c.recipient, sa.func.count())
        .join(postings, sa.and_(postings.c.workspace == outcomes.c.workspace, postings.c.id == outcomes.c.posting))
        .where(
            outcomes.c.workspace == work.workspace,
            postings.c.account == account,
            postings.c.kind == "groups",
            postings.c.started_at >= since_ms,
            outcomes.c.status.in_(["planned", "accepted", "delivered", "in_doubt"]),
        )
        .group_by(outcomes.c.recipient)
    )
    return {row[0]: row[1] for row in work.connection.execute(query)}


def _posting(row: sa.Row[Any]) -> Posting:
    return Posting(
        row.id,
        row.account,
        row.kind,
        row.name,
        row.purpose,
        row.content,
        row.target,
        row.within_hours,
        row.state,
        row.reason,
        row.stopping,
        row.plan_hash,
        row.plan,
        clock.from_ms(row.created_at),
        row.created_by,
        None if row.started_at is None else clock.from_ms(row.started_at),
        None if row.finished_at is None else clock.from_ms(row.finished_at),
    )


def _post(row: sa.Row[Any]) -> Post:
    return Post(
        row.posting, row.no, row.sender, row.call, row.tried_at, row.msgid, dict(row.progress), row.done_at is not None
    )
