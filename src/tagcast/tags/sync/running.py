"""Carrying a plan out, under a lease: read again, keep the steps, do them one by one, each with how far it came.

Every step sets what may be set already, so the one that was under way when a process died is simply done again. Calls
happen outside of transactions; what they did is noted in the next one, together with the renewed lease.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tagcast import accounts
from tagcast.channels import ChannelError, Reaction
from tagcast.kit import leases
from tagcast.kit.errors import Conflict, TagcastError, Unavailable
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work
from tagcast.tags import actions, tagging
from tagcast.tags import store as tree
from tagcast.tags.rules import SEPARATOR
from tagcast.tags.sync import members, planning, store
from tagcast.tags.sync.job import Job, Stopped
from tagcast.tags.sync.planning import Made, places
from tagcast.tags.sync.rules import NOWHERE, shape
from tagcast.tags.sync.steps import SETS, Sets, Step, dump_steps, moved

KIND = "tags.sync"
AGAIN_SECONDS = 30.0
_SHOWN = 20


async def work(runtime: Runtime, lease: Lease) -> None:
    """What a worker does with a run. Raises Lost when another worker has it."""
    number = int(lease.payload["run"])

    def load() -> store.Run | None:
        with runtime.read(lease.workspace, "sync") as work:
            return store.run(work, number)

    run = await asyncio.to_thread(load)
    if run is None or run.state not in store.OPEN:
        await asyncio.to_thread(_end, runtime, lease, number, None)
        return
    try:
        async with accounts.connect(runtime, lease.workspace, run.account) as connected:
            why = f"sync {connected.account.name} run {run.id}"
            job = Job(runtime, lease, connected, run, why[:300], run.started_by)
            if run.state != "running" and not await _check(job):
                return
            await _carry_out(job)
    except Stopped:
        return
    except (ChannelError, TagcastError) as error:
        await asyncio.to_thread(_fail, runtime, lease, number, error)


async def _check(job: Job) -> bool:
    """Read both sides again; keep the steps if they are those of the plan. False: the run is over."""
    await job.transact(lambda work: store.change_run(work, job.run.id, state="checking"))
    before = await job.ask(lambda work: store.find(work, job.account.id))
    made = await planning.make_over(job.runtime, job.lease.workspace, job.connected, full=job.run.full)
    plan = made.plan
    if plan.refusals:
        told = {"refusals": [asdict(refusal) for refusal in plan.refusals]}
        await job.transact(lambda work: _over(job, work, "refused", told))
        return False
    if plan.hash != job.run.plan_hash and not job.run.anew:
        old = before.plan if before.plan_hash == job.run.plan_hash else ()
        news = {"moved": moved(old, plan.steps)[:_SHOWN], "plan": plan.hash}
        await job.transact(lambda work: _over(job, work, "stale", news))
        return False
    await job.transact(lambda work: _keep(job, work, made))
    return True


def _keep(job: Job, work: Work, made: Made) -> None:
    """The steps stand from here on, and with them what was read about tags that do not change."""
    total = sum(1 if step.sets is None else _size(step.sets) for step in made.plan.steps if step.do != "marks")
    told = {"left_out": made.plan.left_out, "strangers": made.plan.strangers}
    store.change_run(
        work, job.run.id, state="running", plan_hash=made.plan.hash, steps=dump_steps(made.plan.steps), total=total,
        told=told,
    )  # fmt: skip
    for known in store.links(work, job.account.id):
        theirs = made.reading.theirs.get(known.link.there)
        if theirs is not None and theirs.members is not None:
            version = made.versions.get(known.link.tag, 0)
            store.change_link(work, job.account.id, known.link.tag, bearers=theirs.count, version=version)
    if made.reading.touched:
        work.bitmaps.remove(store.touched_key(job.account.id), made.reading.touched, why="read")


def _size(sets: Sets) -> int:
    return sum(len(getattr(sets, name)) for name in SETS[:4])


async def _carry_out(job: Job) -> None:
    job.steps = await job.ask(lambda work: store.run_steps(work, job.run.id))
    while job.run.step < len(job.steps):
        step = job.steps[job.run.step]
        if step.do == "members":
            await members.carry_out(job, step)
        elif step.do == "marks":
            await members.mark_all(job, [one for one in job.steps if one.do == "members"])
        elif step.do in _THERE:
            await _there(job, step)
        else:
            await job.transact(lambda work: _here(job, work, step))  # noqa: B023 - awaited at once
    await job.transact(lambda work: _finish(job, work))


# steps on the platform


async def _there(job: Job, step: Step) -> None:
    if step.do == "delete_there" and not await job.ask(lambda work: _may_go(job, work, step)):
        await job.transact(lambda work: _missed(job, work, step, "kept_there"))
        return
    try:
        there, group_id = await _THERE[step.do](job, step)
    except ChannelError as error:
        if error.reaction is not Reaction.PERMANENT or error.scope == "account":
            raise
        problem = error.reason
        if problem == "no_such_tag" and step.do == "delete_there":
            there, group_id = step.there, ""
        else:
            await job.transact(lambda work: _missed(job, work, step, problem))
            return
    await job.transact(lambda work: _done_there(job, work, step, there, group_id))


async def _create(job: Job, step: Step) -> tuple[str, str]:
    """A call that was made before this process came to be may have made the tag already."""
    if job.lease.attempt > 1 and (found := await _look_up(job, step)) is not None:
        return found
    client = job.connected
    try:
        if shape(job.account.kind).platform == "wecom":
            group = await client.call(lambda: client.wecom.tags.add([step.place.name], group_name=step.place.group))
            made = next((one.id for one in group.tag if one.name == step.place.name), "")
            if made:
                return made, group.group_id
        else:
            return str((await client.call(lambda: client.official.tags.create(step.place.name))).id), ""
    except ChannelError as error:
        doubtful = error.reaction is Reaction.IN_DOUBT or error.reason == "bad_tag_name"
        if not doubtful or (found := await _look_up(job, step)) is None:
            raise
        return found
    found = await _look_up(job, step)
    if found is None:
        raise Unavailable("tags.sync_not_made", path=step.path, account=job.account.name)
    return found


async def _look_up(job: Job, step: Step) -> tuple[str, str] | None:
    """(tag id, group id) of a tag of that name that none of ours is joined with."""
    client = job.connected
    if shape(job.account.kind).platform == "wecom":
        groups = await client.call(client.wecom.tags.groups)
        found = [(tag.id, group.group_id) for group in groups for tag in group.tag
                 if (group.group_name, tag.name) == step.place]  # fmt: skip
    else:
        found = [
            (str(tag.id), "") for tag in await client.call(client.official.tags.all) if tag.name == step.place.name
        ]
    joined = await job.ask(lambda work: {known.link.there for known in store.links(work, job.account.id)})
    return next((one for one in found if one[0] not in joined), None)


async def _rename(job: Job, step: Step) -> tuple[str, str]:
    client = job.connected
    if shape(job.account.kind).platform == "wecom":
        name = step.place.group if step.do == "rename_group_there" else step.place.name
        await client.call(lambda: client.wecom.tags.rename(step.there or step.group_id, name))
    else:
        await client.call(lambda: client.official.tags.rename(int(step.there), step.place.name))
    return step.there, step.group_id


def _may_go(job: Job, work: Work, step: Step) -> bool:
    """Not when our tag was restored since the plan, nor before the tag that takes the place of a moved one is there."""
    if step.tag:
        return actions.get(work, step.tag).archived_at is not None
    return store.link_of(work, job.account.id, there=step.there) is None


async def _delete(job: Job, step: Step) -> tuple[str, str]:
    client = job.connected
    if shape(job.account.kind).platform == "wecom":
        await client.call(lambda: client.wecom.tags.delete([step.there]))
    else:
        await client.call(lambda: client.official.tags.delete(int(step.there)))
    return step.there, ""


_THERE = {"create_there": _create, "rename_there": _rename, "rename_group_there": _rename, "delete_there": _delete}


def _done_there(job: Job, work: Work, step: Step, there: str, group_id: str) -> None:
    account = job.account.id
    match step.do:
        case "create_there":
            store.put_link(work, account, step.tag, there, group_id=group_id, here=step.here, place=step.place)
        case "rename_there":
            _named(work, account, step)
        case "rename_group_there":
            store.change_group(work, account, step.group_id, step.place.group)
        case _:
            if step.tag:
                store.drop_links(work, account, tag=step.tag, there=step.there)
    _next(job, work)


# steps here


def _here(job: Job, work: Work, step: Step) -> None:
    try:
        with work.connection.begin_nested():
            _HERE[step.do](job, work, step)
    except TagcastError as error:
        job.trouble(work, step.path, error.code)
    _next(job, work)


def _create_here(job: Job, work: Work, step: Step) -> None:
    try:
        tag = actions.create(work, step.path, account=job.account.id, parents=True)
    except Conflict as error:
        tag = actions.usable(work, int(str(error.params["tag"])))
    _join(job, work, tag.id, step)


def _join(job: Job, work: Work, tag: int, step: Step) -> None:
    store.put_link(work, job.account.id, tag, step.there, group_id=step.group_id, here=NOWHERE, place=step.place)
    here = places(work, job.account)[tag]
    store.change_link(work, job.account.id, tag, here_group=here.group, here_name=here.name)


def _rename_here(job: Job, work: Work, step: Step) -> None:
    actions.rename(work, step.tag, step.path.rpartition(SEPARATOR)[2])
    now = places(work, job.account)
    if step.there:
        _named(work, job.account.id, Step("note", step.tag, step.there, place=step.place, here=now[step.tag]))
        return
    for known in store.links(work, job.account.id):
        if known.link.group_id == step.group_id and known.link.tag in now:
            store.change_link(
                work, job.account.id, known.link.tag,
                here_group=now[known.link.tag].group, there_group=step.place.group,
            )  # fmt: skip


def _archive_here(job: Job, work: Work, step: Step) -> None:
    """A tag with others below it stays as their heading, without holders."""
    if len(tree.below(work, step.tag)) > 1:
        tagging.remove(work, step.tag, work.bitmaps.read(actions.key(step.tag)), why=job.why)
    else:
        actions.archive(work, step.tag)
    store.drop_links(work, job.account.id, tag=step.tag, there=step.there)


def _named(work: Work, account: int, step: Step) -> None:
    store.change_link(
        work, account, step.tag, here_group=step.here.group, here_name=step.here.name, there_group=step.place.group,
        there_name=step.place.name,
    )  # fmt: skip


_HERE: dict[str, Callable[[Job, Work, Step], object]] = {
    "create_here": _create_here,
    "rename_here": _rename_here,
    "archive_here": _archive_here,
    "restore_here": lambda _job, work, step: actions.restore(work, step.tag),
    "link": lambda job, work, step: store.put_link(
        work, job.account.id, step.tag, step.there, group_id=step.group_id, here=step.here, place=step.place
    ),
    "note": lambda job, work, step: _named(work, job.account.id, step),
    "unlink": lambda job, work, step: store.drop_links(work, job.account.id, tag=step.tag, there=step.there),
}


# ends


def _next(job: Job, work: Work) -> None:
    job.note(work, done=1, step=job.run.step + 1, position=0)


def _missed(job: Job, work: Work, step: Step, problem: str) -> None:
    job.trouble(work, step.path, problem)
    _next(job, work)


def _finish(job: Job, work: Work) -> None:
    if job.run.full:
        store.put(work, job.account.id, full_at=job.run.started_at)
    store.put(work, job.account.id, plan=None, plan_hash=None)
    _over(job, work, "done", {})


def _over(job: Job, work: Work, state: str, told: dict[str, Any]) -> None:
    store.change_run(work, job.run.id, state=state, told={**job.run.told, **told}, ended_at=work.now_ms)
    leases.complete(work.connection, job.lease)


def _end(runtime: Runtime, lease: Lease, number: int, problem: str | None) -> None:
    with runtime.work(lease.workspace, "sync") as work:
        if problem is not None:
            run = store.run(work, number, lock=True)
            if run is not None and run.state in store.OPEN:
                told = {**run.told, "problem": problem}
                store.change_run(work, number, state="failed", told=told, ended_at=work.now_ms)
        leases.complete(work.connection, lease)


def _fail(runtime: Runtime, lease: Lease, number: int, error: ChannelError | TagcastError) -> None:
    """What passes by itself is waited for, with its reason shown; anything else ends the run."""
    name = error.reason if isinstance(error, ChannelError) else error.code
    if isinstance(error, ChannelError):
        lasting = error.reaction is Reaction.PERMANENT
    else:
        lasting = not isinstance(error, Unavailable) and error.code != "accounts.quota_used"
    if lasting:
        _end(runtime, lease, number, name)
        return
    with runtime.work(lease.workspace, "sync") as work:
        run = store.run(work, number, lock=True)
        if run is not None:
            store.change_run(work, number, told={**run.told, "waits": name})
        leases.defer(work.connection, lease, max(_wait(error, work.now), AGAIN_SECONDS), problem=name)


def _wait(error: ChannelError | TagcastError, now: datetime) -> float:
    """Seconds until it may help to try again, as far as the error tells."""
    if isinstance(error, ChannelError):
        return float(error.wait_seconds)
    until = error.params.get("until")
    return (datetime.fromisoformat(str(until)) - now).total_seconds() if until is not None else 0.0
