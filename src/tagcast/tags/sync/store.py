"""All SQL of synchronisation, always by workspace."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa

from tagcast.kit import db
from tagcast.kit.uow import Work
from tagcast.tags.sync.merge import Link
from tagcast.tags.sync.rules import Direction, Place, Settings
from tagcast.tags.sync.steps import Step, dump_steps, load_steps
from tagcast.tags.tables import sync_accounts, sync_directions, sync_links, sync_runs

_a, _d, _l, _r = sync_accounts.c, sync_directions.c, sync_links.c, sync_runs.c
_ACCOUNT = ["workspace", "account"]
RunState = Literal["waiting", "checking", "running", "done", "stale", "refused", "cancelled", "failed"]
OPEN = ("waiting", "checking", "running")


@dataclass(frozen=True, slots=True)
class Stored:
    """An account's row: settings, when it was fully carried out (epoch milliseconds), and the plan that waits."""

    settings: Settings
    full_at: int = 0
    plan_hash: str | None = None
    plan_full: bool = True
    plan: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A link, the last change of our set when both agreed, and how many bore the tag there then (-1: not known)."""

    link: Link
    version: int
    bearers: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run; times in epoch milliseconds. `done` of `total` counts tags and memberships.

    `told`: `counts` (people refused, by reason), `problems`, `refusals`, `moved`, `waits`, `problem`, each if there is
    any.
    """

    id: int
    account: int
    state: RunState
    plan_hash: str
    anew: bool
    full: bool
    step: int
    position: int
    done: int
    total: int
    told: dict[str, Any]
    started_by: str
    started_at: int
    ended_at: int | None


def base_key(account: int, tag: int) -> str:
    """The set of those who had a tag on both sides when they last agreed."""
    return f"tag-base:{account}:{tag}"


def touched_key(account: int) -> str:
    """The set of those of whom the platform said, since everything was read, that something had changed."""
    return f"tag-touched:{account}"


def find(work: Work, account: int) -> Stored:
    """An account's settings and waiting plan; the defaults when nothing was set."""
    row = work.connection.execute(
        sa.select(sync_accounts).where(_a.workspace == work.workspace, _a.account == account)
    ).one_or_none()
    if row is None:
        return Stored(Settings())
    settings = Settings(row.names, row.members, row.deletions, row.employees, row.daily)
    steps = () if row.plan is None else tuple(load_steps(row.plan))
    return Stored(settings, row.full_at, row.plan_hash, bool(row.plan_full), steps)


def daily(work: Work, before_ms: int) -> list[int]:
    """Accounts that are to be read daily and were not since a moment."""
    rows = work.connection.scalars(
        sa.select(_a.account).where(_a.workspace == work.workspace, _a.daily.is_(True), _a.full_at < before_ms)
    )
    return list(rows)


def put_settings(work: Work, account: int, settings: Settings) -> None:
    """Keep an account's settings."""
    row = {"workspace": work.workspace, "account": account, **asdict(settings)}
    db.upsert(work.connection, sync_accounts, [row], _ACCOUNT)


def put(work: Work, account: int, **values: Any) -> None:
    """Change columns of an account's row, which is made if there is none."""
    row = {"workspace": work.workspace, "account": account, **asdict(Settings())}
    db.upsert_ignore(work.connection, sync_accounts, [row], _ACCOUNT)
    here = sa.and_(_a.workspace == work.workspace, _a.account == account)
    work.connection.execute(sa.update(sync_accounts).where(here).values(values))


def put_plan(work: Work, account: int, plan_hash: str, steps: Iterable[Step], *, full: bool) -> None:
    """Keep a plan until it is carried out or another is made."""
    body = dump_steps(list(steps))
    put(work, account, plan_hash=plan_hash, plan_at=work.now_ms, plan_full=full, plan=body)


def directions(work: Work, account: int) -> dict[int, Direction]:
    """What was said about tags of an account; tag 0 is its own tree."""
    rows = work.connection.execute(
        sa.select(_d.tag, _d.direction).where(_d.workspace == work.workspace, _d.account == account)
    )
    return {row.tag: row.direction for row in rows}


def put_direction(work: Work, account: int, tag: int, direction: Direction | None) -> None:
    """Say which way a tag goes; None: nothing of its own."""
    here = sa.and_(_d.workspace == work.workspace, _d.account == account, _d.tag == tag)
    work.connection.execute(sa.delete(sync_directions).where(here))
    if direction is not None:
        row = {"workspace": work.workspace, "account": account, "tag": tag, "direction": direction}
        db.insert_many(work.connection, sync_directions, [row])


def links(work: Work, account: int) -> list[Known]:
    """The links of an account, by tag."""
    rows = work.connection.execute(
        sa.select(sync_links).where(_l.workspace == work.workspace, _l.account == account).order_by(_l.tag)
    )
    return [
        Known(
            Link(
                row.tag, row.there, row.group_id, Place(row.here_group, row.here_name),
                Place(row.there_group, row.there_name), row.met, work.bitmaps.read(base_key(account, row.tag)),
            ),
            row.version,
            row.bearers,
        )
        for row in rows
    ]  # fmt: skip


def link_of(work: Work, account: int, *, tag: int = 0, there: str = "") -> tuple[int, str] | None:
    """(tag, the platform's id) of a link, found by either."""
    which = _l.tag == tag if tag else _l.there == there
    row = work.connection.execute(
        sa.select(_l.tag, _l.there).where(_l.workspace == work.workspace, _l.account == account, which)
    ).first()
    return None if row is None else (row.tag, row.there)


def put_link(work: Work, account: int, tag: int, there: str, *, group_id: str, here: Place, place: Place) -> None:
    """Join a tag with the platform's; a former link of either is forgotten, and so is its base."""
    drop_links(work, account, tag=tag, there=there)
    row = {
        "workspace": work.workspace, "account": account, "tag": tag, "there": there, "group_id": group_id,
        "here_group": here.group, "here_name": here.name, "there_group": place.group, "there_name": place.name,
        "met": False, "version": 0, "bearers": -1,
    }  # fmt: skip
    db.insert_many(work.connection, sync_links, [row])


def drop_links(work: Work, account: int, *, tag: int, there: str) -> None:
    """Forget the links of a tag and of a platform's id."""
    mine = sa.and_(_l.workspace == work.workspace, _l.account == account)
    which = sa.or_(_l.tag == tag, _l.there == there)
    for old in work.connection.scalars(sa.select(_l.tag).where(mine, which)).all():
        base = base_key(account, old)
        work.bitmaps.remove(base, work.bitmaps.read(base), why="no longer joined")
    work.connection.execute(sa.delete(sync_links).where(mine, which))


def change_link(work: Work, account: int, tag: int, **values: Any) -> None:
    """Change columns of a tag's link."""
    here = sa.and_(_l.workspace == work.workspace, _l.account == account, _l.tag == tag)
    work.connection.execute(sa.update(sync_links).where(here).values(values))


def change_group(work: Work, account: int, group_id: str, name: str) -> None:
    """What a group is called on both sides now."""
    here = sa.and_(_l.workspace == work.workspace, _l.account == account, _l.group_id == group_id)
    work.connection.execute(sa.update(sync_links).where(here).values(here_group=name, there_group=name))


def start_run(work: Work, account: int, plan_hash: str, *, anew: bool, full: bool) -> int:
    """A new run's number."""
    row = {
        "workspace": work.workspace, "account": account, "state": "waiting", "plan_hash": plan_hash, "anew": anew,
        "read_all": full, "steps": dump_steps([]), "step": 0, "position": 0, "done": 0, "total": 0, "told": {},
        "started_by": work.actor[:100], "started_at": work.now_ms,
    }  # fmt: skip
    made = work.connection.execute(sa.insert(sync_runs).values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def run(work: Work, number: int, *, lock: bool = False) -> Run | None:
    """One run, without its steps."""
    columns = [column for column in sync_runs.c if column.name not in ("steps", "workspace")]
    query = sa.select(*columns).where(_r.workspace == work.workspace, _r.id == number)
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _run(row)


def runs(work: Work, account: int, limit: int) -> list[Run]:
    """The newest runs of an account."""
    columns = [column for column in sync_runs.c if column.name not in ("steps", "workspace")]
    here = sa.and_(_r.workspace == work.workspace, _r.account == account)
    query = sa.select(*columns).where(here).order_by(_r.id.desc()).limit(limit)
    return [_run(row) for row in work.connection.execute(query)]


def open_run(work: Work, account: int) -> Run | None:
    """The run of an account that has not ended."""
    return next((one for one in runs(work, account, 1) if one.state in OPEN), None)


def run_steps(work: Work, number: int) -> list[Step]:
    """The steps of a run."""
    body = work.connection.scalar(sa.select(_r.steps).where(_r.workspace == work.workspace, _r.id == number))
    return load_steps(body or b"[]")


def change_run(work: Work, number: int, **values: Any) -> None:
    """Change columns of a run."""
    here = sa.and_(_r.workspace == work.workspace, _r.id == number)
    work.connection.execute(sa.update(sync_runs).where(here).values(values))


def _run(row: sa.Row[Any]) -> Run:
    return Run(
        row.id, row.account, row.state, row.plan_hash, row.anew, row.read_all, row.step, row.position, row.done,
        row.total, row.told, row.started_by, row.started_at, row.ended_at,
    )  # fmt: skip
