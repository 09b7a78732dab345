"""Making a plan: read both sides, merge, count what it costs and what does not fit. Only the kept plan changes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.accounts import Limits
from tagcast.channels import ChannelError
from tagcast.kit import clock
from tagcast.kit.uow import Runtime, Work
from tagcast.tags import store as tree
from tagcast.tags.actions import key
from tagcast.tags.rules import SEPARATOR, Tag, ceilings, normal
from tagcast.tags.sync import reading, store
from tagcast.tags.sync.merge import Ours, Sides, merge
from tagcast.tags.sync.reading import Before, Reading
from tagcast.tags.sync.rules import Direction, Named, Place, Shape, flatten, shape
from tagcast.tags.sync.steps import Plan, Refusal, Step

FULL_EVERY = timedelta(days=1)
"""How long after a full reading the next one is made without being asked for."""


@dataclass(frozen=True, slots=True)
class Made:
    """A plan with what it was made from: the platform's side, and the last change of each of our sets."""

    plan: Plan
    reading: Reading
    versions: Mapping[int, int]


async def make(runtime: Runtime, workspace: int, account_id: int, *, full: bool | None = None) -> Made:
    """Make an account's plan and keep it. `full` None: fully, unless that was done within a day.

    Raises NotFound, Invalid for an account without tags of its own, and what the platform's refusal means.
    """
    async with accounts.connect(runtime, workspace, account_id) as connected:
        return await make_over(runtime, workspace, connected, full=full)


async def make_over(runtime: Runtime, workspace: int, connected: accounts.Connected, *, full: bool | None) -> Made:
    """As `make`, over a connection that is there."""
    account = connected.account
    form = shape(account.kind)

    def look() -> tuple[Before, bool]:
        with runtime.read(workspace, "sync") as work:
            since = clock.to_ms(work.now - FULL_EVERY)
            return _before(work, account.id), store.find(work, account.id).full_at < since

    before, due = await asyncio.to_thread(look)
    whole = due if full is None else full
    try:
        read = await reading.read(runtime, workspace, connected, before, shape=form, full=whole)
    except ChannelError as error:
        raise accounts.explain(account, error) from error
    return await asyncio.to_thread(_merge, runtime, workspace, account.id, read, whole)


def places(work: Work, account: accounts.Account) -> dict[int, Place]:
    """What each of our tags is called on an account's platform, as far as it goes there or comes from there."""
    linked = {known.link.tag for known in store.links(work, account.id)}
    open_ = [one for one in _ours(work, account.id) if one.direction != "off" and not one.archived]
    wanted = [one for one in open_ if one.id in linked or not one.heading]
    return flatten((Named(one.id, one.tree, one.path) for one in wanted), shape(account.kind))


def directions(work: Work, account_id: int) -> dict[int, tuple[Tag, Direction, bool]]:
    """Each tag that can concern an account: the tag, which way it goes, and whether that was said of itself."""
    said = store.directions(work, account_id)
    found: dict[int, tuple[Tag, Direction, bool]] = {}
    meant: dict[int, Direction] = {}
    start: dict[int | None, Direction] = {account_id: said.get(0, "from"), None: "off"}
    for tag in tree.every(work, account_id) + tree.every(work):
        above = meant[tag.parent] if tag.parent is not None else start[tag.account]
        meant[tag.id] = said.get(tag.id, above)
        # What a rule keeps goes there, but nobody there gives or takes it here.
        only_to = tag.keeper is not None and meant[tag.id] == "both"
        found[tag.id] = (tag, "to" if only_to else meant[tag.id], tag.id in said)
    return found


def _before(work: Work, account_id: int) -> Before:
    known = store.links(work, account_id)
    return Before(
        {one.link.there: one for one in known},
        frozenset(one.link.tag for one in known if work.bitmaps.version(key(one.link.tag)) != one.version),
        work.bitmaps.read(f"following:{account_id}"),
        {one.link.tag: work.bitmaps.read(key(one.link.tag)) for one in known},
        work.bitmaps.read(store.touched_key(account_id)),
    )


def _merge(runtime: Runtime, workspace: int, account_id: int, read: Reading, full: bool) -> Made:
    with runtime.read(workspace, "sync") as work:
        account = accounts.get(work, account_id)
        form, limits = shape(account.kind), accounts.limits(work, account_id)
        ours = {one.id: one for one in _ours(work, account_id)}
        arrive = store.directions(work, account_id).get(0, "from")
        longest = min(limits.count("tags.name_chars") or ceilings()["name_chars"], ceilings()["name_chars"])
        links = [one.link for one in store.links(work, account_id)]
        sides = Sides(account_id, ours, read.theirs, links, read.reach, arrive, longest)
        settings = store.find(work, account_id).settings
        plan = merge(sides, settings, form)
        plan.full, plan.strangers, plan.skipped, plan.read_calls = full, read.strangers, read.skipped, read.calls
        plan.refusals += _limits_here(sides, plan, limits)
        if form.batch == 1 and any(step.sets and (step.sets.add_there or step.sets.drop_there) for step in plan.steps):
            plan.steps.insert(_after_members(plan), Step("marks", 0))
        holders = _employees(work, account_id) if form.batch == 1 else []
        plan.calls = _calls(plan, form, holders, one=settings.employees == "one")
        rate = limits.rate_per_minute(form.api)
        waits = plan.calls * form.answer_seconds / form.concurrency
        plan.seconds = round(max(waits, plan.calls * 60 / rate if rate else 0.0), 1)
        versions = {one: work.bitmaps.version(key(one)) for one in ours}
    with runtime.work(workspace, "sync") as work:
        store.put_plan(work, account_id, plan.hash, plan.steps, full=full)
    return Made(plan, read, versions)


def _after_members(plan: Plan) -> int:
    return 1 + max(index for index, step in enumerate(plan.steps) if step.do == "members")


def _ours(work: Work, account_id: int) -> list[Ours]:
    found = directions(work, account_id)
    above = {tag.parent for tag, _, _ in found.values() if tag.archived_at is None}
    rows = []
    for tag, direction, _ in found.values():
        own = work.bitmaps.read(key(tag.id))
        heading = tag.id in above and not own
        rows.append(Ours(tag.id, tag.account or 0, tag.path, tag.archived_at is not None, direction, own, heading))
    return rows


def _limits_here(sides: Sides, plan: Plan, limits: Limits) -> list[Refusal]:
    """What the account's own limits would refuse here: tags, contacts a tag, tags a contact."""
    found: list[Refusal] = []
    standing = {normal(one.path) for one in sides.ours.values() if one.tree == sides.account and not one.archived}
    after = set(standing)
    for step in plan.steps:
        if step.do == "create_here":
            names = step.path.split(SEPARATOR)
            after |= {normal(SEPARATOR.join(names[: depth + 1])) for depth in range(len(names))}
    most = limits.count("tags.count")
    if most is not None and len(after) > max(most, len(standing)):
        found.append(Refusal("tags.count", "here", len(after), most, source=limits.value("tags.count").source))
    most_members, most_held = limits.count("tags.members"), limits.count("tags.per_contact")
    held: dict[int, BitMap] = {
        one.id: one.members for one in sides.ours.values() if one.tree == sides.account and not one.archived
    }
    for index, step in enumerate(plan.steps):
        if step.sets is None or (step.tag and step.tag not in held):
            continue
        members = (held.get(step.tag, BitMap()) | step.sets.add_here) - step.sets.drop_here
        held[step.tag or -index - 1] = members
        if most_members is not None and step.sets.add_here and len(members) > most_members:
            source = limits.value("tags.members").source
            found.append(Refusal("tags.members", "here", len(members), most_members, step.path, source))
    added = BitMap.union(*[step.sets.add_here for step in plan.steps if step.sets] or [BitMap()])
    if most_held is not None and len(held) > most_held:
        beyond = bitmaps.counting.at_least([one & added for one in held.values()], most_held + 1)
        if beyond:
            source = limits.value("tags.per_contact").source
            found.append(Refusal("tags.per_contact", "here", len(beyond), most_held, source=source))
    return found


def _employees(work: Work, account_id: int) -> list[BitMap]:
    return [work.bitmaps.read(one) for one in work.bitmaps.keys(f"employee:{account_id}:")]


def _calls(plan: Plan, form: Shape, holders: list[BitMap], *, one: bool) -> int:
    """Calls that change something there. One call takes `batch` people of a tag, or all tags of one person."""
    there = ("create_there", "rename_there", "rename_group_there", "delete_there")
    calls = sum(step.do in there for step in plan.steps)
    sets = [step.sets for step in plan.steps if step.sets is not None]
    if form.batch > 1:
        return calls + sum(-(-len(group) // form.batch) for each in sets for group in (each.add_there, each.drop_there))
    people = BitMap.union(*[each.add_there | each.drop_there for each in sets] or [BitMap()])
    return calls + (len(people) if one else sum(len(held & people) for held in holders))
