"""Tags over HTTP: the tree, tagging by contact numbers or identities, history, undo; synchronisation by account."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.bitmaps import Change, Op
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work
from tagcast.tags import actions, past, rules, sync, tagging, together, undoing
from tagcast.tags.forms import (
    AssignIn,
    ChangedOut,
    ChangeOut,
    CountOut,
    DeclareIn,
    DiffOut,
    HistoryOut,
    MembersIn,
    NameIn,
    Number,
    ParentIn,
    RowOut,
    RowStatus,
    Searched,
    TagIn,
    TagOut,
    TreeOut,
    UndoIn,
    UndoneOut,
)
from tagcast.tags.rules import Node, Tag
from tagcast.tags.sync import shapes

router = APIRouter()
tags = APIRouter(prefix="/tags")
syncs = APIRouter(prefix="/accounts/{account}/tag-sync")


@tags.get("", summary="标签树 · The tree of tags")
def tree(entry: Guarded, account: int | None = None) -> TreeOut:
    """The tags of an account, or of the workspace, with their holders."""
    with entry.read() as work:
        return TreeOut(tags=[_node(node) for node in actions.tree(work, account)])


@tags.post("", status_code=201, summary="新建标签 · Create a tag")
def create(entry: Guarded, body: TagIn) -> TagOut:
    """Make a tag."""
    return entry.write(
        lambda work: _tag(
            actions.create(work, body.path, account=body.account, parent=body.parent, parents=body.parents)
        )
    )


@tags.post("/undo", summary="撤销一次变更 · Take back one change")
def undo(entry: Guarded, body: UndoIn) -> UndoneOut:
    """Take back what still stands of one change."""

    def use_case(work: Work) -> UndoneOut:
        change = undoing.undo(work, body.seq, why=body.why)
        return UndoneOut(change=None if change is None else _change(change))

    return entry.write(use_case)


@tags.get("/of/{number}", summary="联系人的标签 · Tags of a contact")
def tags_of(entry: Guarded, number: Number) -> TreeOut:
    """The tags that a contact holds."""
    with entry.read() as work:
        return TreeOut(tags=[_tag(tag) for tag in tagging.tags_of(work, number)])


@tags.get("/of/{number}/history", summary="联系人的标签变更 · History of a contact's tags")
def contact_history(entry: Guarded, number: Number) -> HistoryOut:
    """Every change of a contact's tags, newest first."""
    with entry.read() as work:
        return HistoryOut(changes=[_change(change) for change in past.contact_history(work, number)])


@tags.get("/{tag_id}", summary="标签详情 · One tag")
def get(entry: Guarded, tag_id: int) -> TagOut:
    """One tag."""
    with entry.read() as work:
        return _tag(actions.get(work, tag_id))


@tags.post("/{tag_id}/rename", summary="重命名标签 · Rename a tag")
def rename(entry: Guarded, tag_id: int, body: NameIn) -> TagOut:
    """Give a tag another name."""
    return entry.write(lambda work: _tag(actions.rename(work, tag_id, body.name)))


@tags.patch("/{tag_id}", summary="设置有效期与互斥 · Set its lifetime, and whether those below shut each other out")
def declare(entry: Guarded, tag_id: int, body: DeclareIn) -> TagOut:
    return entry.write(lambda work: _tag(actions.declare(work, tag_id, **body.model_dump(exclude_unset=True))))


@tags.get("/{tag_id}/diff", summary="两个时刻之间的变化 · Who came and left between two moments")
def diff(entry: Guarded, tag_id: int, since: AwareDatetime, until: AwareDatetime, below: bool = False) -> DiffOut:
    with entry.read() as work:
        before = len(past.as_of(work, tag_id, since, below=below))
        found = past.diff(work, tag_id, since, until, below=below)
        came, left = len(found.added), len(found.removed)
        return DiffOut(
            before=before, after=before + came - left, came=came, left=left,
            came_first=list(found.added[:1000]), left_first=list(found.removed[:1000]),
        )  # fmt: skip


@tags.post("/{tag_id}/move", summary="移动标签 · Move a tag")
def move(entry: Guarded, tag_id: int, body: ParentIn) -> TagOut:
    """Put a tag under another."""
    return entry.write(lambda work: _tag(actions.move(work, tag_id, body.parent)))


@tags.post("/{tag_id}/archive", summary="归档标签 · Archive a tag and all below it")
def archive(entry: Guarded, tag_id: int) -> TagOut:
    """Put a tag and all below it away."""
    return entry.write(lambda work: _tag(actions.archive(work, tag_id)))


@tags.post("/{tag_id}/restore", summary="恢复标签 · Restore an archived tag")
def restore(entry: Guarded, tag_id: int) -> TagOut:
    """Take an archived tag back."""
    return entry.write(lambda work: _tag(actions.restore(work, tag_id)))


@tags.post("/{tag_id}/assign", summary="打标签 · Tag contacts")
async def assign(entry: Guarded, request: Request, tag_id: int, body: AssignIn) -> ChangedOut:
    """Tag contacts. Rows that name nobody are reported; over a limit nobody is tagged. Repeating it changes nothing."""
    if body.until is not None and body.until.tzinfo is None:
        raise Invalid("tags.until_zone", until=body.until.isoformat())
    asked = replace(_asked(entry, tag_id, "add", body), until=body.until, forever=body.forever)
    return await _change_members(entry, request, asked)


@tags.post("/{tag_id}/remove", summary="移除标签 · Take a tag from contacts")
async def remove(entry: Guarded, request: Request, tag_id: int, body: MembersIn) -> ChangedOut:
    """Take a tag from contacts. Repeating it changes nothing."""
    return await _change_members(entry, request, _asked(entry, tag_id, "remove", body))


@tags.get("/{tag_id}/history", summary="标签变更记录 · Changes of a tag")
def history(entry: Guarded, tag_id: int, only: Annotated[Searched, Query()]) -> HistoryOut:
    """The changes of a tag, newest first."""
    since, until = (None if at is None else clock.to_ms(at) for at in (only.since, only.until))
    with entry.read() as work:
        chosen = bitmaps.Only(only.who, only.why, only.op, since, until)
        found = past.history(work, tag_id, limit=only.limit, before=only.before, only=chosen)
        return HistoryOut(changes=[_change(change) for change in found])


@tags.get("/{tag_id}/as-of", summary="某时刻的标签人数 · Holders of a tag at a moment")
def as_of(entry: Guarded, tag_id: int, moment: datetime, below: bool = False) -> CountOut:
    """How many held a tag at a moment (with a time zone)."""
    if moment.tzinfo is None:
        raise Invalid("tags.until_zone", until=moment.isoformat())
    with entry.read() as work:
        return CountOut(count=len(past.as_of(work, tag_id, moment, below=below)))


@syncs.get("", summary="标签同步设置 · How an account's tags are synchronised")
def sync_state(entry: Guarded, account: int) -> shapes.StateOut:
    with entry.read() as work:
        return shapes.state_out(sync.show(work, account))


@syncs.patch("", summary="更改标签同步设置 · Change how an account's tags are synchronised")
def sync_change(entry: Guarded, account: int, body: shapes.SettingsIn) -> shapes.StateOut:
    return entry.write(lambda work: shapes.state_out(sync.change(work, account, **body.model_dump())))


@syncs.get("/directions", summary="标签同步方向 · Which way each tag goes")
def sync_ways(entry: Guarded, account: int) -> shapes.WaysOut:
    with entry.read() as work:
        return shapes.WaysOut(tags=[shapes.way_out(one) for one in sync.ways(work, account)])


@syncs.put("/directions", summary="设置标签同步方向 · Say which way a tag and those below it go")
def sync_direct(entry: Guarded, account: int, body: shapes.DirectionIn) -> shapes.WaysOut:
    def use_case(work: Work) -> shapes.WaysOut:
        sync.direct(work, account, body.tag, body.direction)
        return shapes.WaysOut(tags=[shapes.way_out(one) for one in sync.ways(work, account)])

    return entry.write(use_case)


@syncs.post("/plan", summary="生成标签同步计划（不做改动） · Make a plan; it changes nothing")
async def sync_plan(entry: Guarded, account: int, body: shapes.PlanIn) -> shapes.PlanOut:
    made = await sync.make(entry.runtime, entry.caller.workspace, account, full=body.full)
    return shapes.plan_out(made.plan)


@syncs.post("/runs", status_code=202, summary="执行标签同步计划 · Carry out a plan")
def sync_start(entry: Guarded, account: int, body: shapes.RunIn) -> shapes.RunOut:
    return entry.write(
        lambda work: shapes.run_out(sync.start(work, account, body.plan, anew=body.anew, full=body.full))
    )


@syncs.get("/runs", summary="标签同步记录 · Runs of an account")
def sync_runs(entry: Guarded, account: int, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> shapes.RunsOut:
    with entry.read() as work:
        return shapes.RunsOut(runs=[shapes.run_out(one) for one in sync.runs(work, account, limit=limit)])


@syncs.get("/runs/{run}", summary="标签同步进度 · One run")
def sync_run(entry: Guarded, account: int, run: int) -> shapes.RunOut:
    with entry.read() as work:
        return shapes.run_out(sync.run(work, account, run))


@syncs.post("/runs/{run}/cancel", summary="取消标签同步 · End a run where it is")
def sync_cancel(entry: Guarded, account: int, run: int) -> shapes.RunOut:
    return entry.write(lambda work: shapes.run_out(sync.cancel(work, account, run)))


router.include_router(tags)
router.include_router(syncs)


def _asked(entry: Guarded, tag_id: int, op: Op, body: MembersIn) -> together.Request:
    if (count := len(body.numbers) + len(body.identities)) > rules.ceilings()["batch"]:
        raise Invalid("tags.batch_long", count=count, most=rules.ceilings()["batch"])
    identities = [(one.kind, one.value, one.account) for one in body.identities]
    return together.Request(tag_id, op, body.why, entry.caller.actor, body.numbers, identities)


async def _change_members(entry: Guarded, request: Request, asked: together.Request) -> ChangedOut:
    """A few contacts share a commit with those of other calls; many have one of their own."""
    if len(asked.numbers) + len(asked.identities) > rules.ceilings()["together"]:
        return await run_in_threadpool(entry.write, lambda work: _changed(together.take_one(work, asked)))
    if (key := entry.idempotency_key) is not None:
        once = together.Once(
            key, entry.request_digest, entry.status, lambda outcome: _changed(outcome).model_dump_json()
        )
        asked = replace(asked, once=once)
    taggings: together.Taggings = request.app.state.taggings
    return _changed(await taggings.submit(entry.caller.workspace, asked))


def _changed(outcome: together.Outcome) -> ChangedOut:
    def status(number: int | None) -> RowStatus:
        return "unknown" if number is None else "changed" if number in outcome.touched else "unchanged"

    shown = [RowOut(row=i, number=number, status=status(number)) for i, number in enumerate(outcome.rows)]
    seq = outcome.change.seq if outcome.change is not None else None
    return ChangedOut(seq=seq, changed=len(outcome.touched), rows=shown)


def _change(change: Change) -> ChangeOut:
    until = None if change.until_ms is None else clock.from_ms(change.until_ms)
    return ChangeOut(
        seq=change.seq, tag=tagging.tag_id_of(change), op=change.op, size=change.size, who=change.who, why=change.why,
        at=clock.from_ms(change.at_ms), until=until, undoes=change.undoes,
    )  # fmt: skip


def _tag(tag: Tag) -> TagOut:
    return TagOut(
        id=tag.id, account=tag.account, parent=tag.parent, name=tag.name, path=tag.path, depth=tag.depth,
        created_at=clock.from_ms(tag.created_at), created_by=tag.created_by, archived=tag.archived_at is not None,
        lifetime_days=tag.lifetime_days, exclusive=tag.exclusive,
    )  # fmt: skip


def _node(node: Node) -> TagOut:
    return _tag(node.tag).model_copy(update={"own": node.own, "below": node.below})
