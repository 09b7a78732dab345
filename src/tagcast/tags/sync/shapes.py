"""How synchronisation looks over HTTP and on the command line: shapes in and out, and how they are filled."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.kit import clock
from tagcast.tags.sync.actions import State, Way
from tagcast.tags.sync.rules import DeletionRule, Direction, Employees, MemberRule, NameRule
from tagcast.tags.sync.steps import SETS, Kind, Plan, Step
from tagcast.tags.sync.store import Run, RunState

_SAMPLE = 5


class SettingsIn(BaseModel):
    """Settings to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    names: NameRule | None = Field(default=None, description="Two new names of one tag: whose stands.")
    members: MemberRule | None = Field(default=None, description="Two sets of people that meet for the first time.")
    deletions: DeletionRule | None = Field(default=None, description="A tag that is gone on one side; keep: make anew.")
    employees: Employees | None = Field(default=None, description="wecom: who marks a customer.")
    daily: bool | None = Field(default=None, description="Read everything and synchronise once a day.")


class StateOut(BaseModel):
    """How an account is synchronised. `tree`: which way its own tags go; `full_at`: when everything was last."""

    account: int
    names: NameRule
    members: MemberRule
    deletions: DeletionRule
    employees: Employees
    daily: bool
    tree: Direction
    full_at: datetime | None


class DirectionIn(BaseModel):
    """Which way a tag and those below it go; none: as the tag above it. Tag 0: the account's own tree."""

    model_config = ConfigDict(extra="forbid")

    tag: int = Field(ge=0)
    direction: Direction | None


class WayOut(BaseModel):
    """Which way a tag goes. `own`: said of itself; `group`, `name`: what it is called on the platform, or will be."""

    tag: int
    account: int | None
    path: str
    direction: Direction
    own: bool
    group: str | None
    name: str | None


class WaysOut(BaseModel):
    """Tags, depth first."""

    tags: list[WayOut]


class PlanIn(BaseModel):
    """`full`: read everything; false: what may have changed; none: everything unless that was done within a day."""

    model_config = ConfigDict(extra="forbid")

    full: bool | None = None


class StepOut(BaseModel):
    """One step. Counts and a few contact numbers of those concerned stand with `members`; ids come from here or there.

    `name` is what the tag is called on the platform, as `group/name` where it has groups.
    """

    do: str
    tag: int | None
    path: str
    name: str | None
    add_here: int = 0
    drop_here: int = 0
    add_there: int = 0
    drop_there: int = 0
    sample: dict[str, list[int]] = Field(default_factory=dict)


class ConflictOut(BaseModel):
    """What both sides changed, or one deleted, the rule that applies, and the step it makes of it (none: nothing)."""

    kind: Kind
    path: str
    ours: str
    theirs: str
    rule: str
    does: str | None
    people: int


class RefusalOut(BaseModel):
    """A limit that the plan does not fit into; no run is begun."""

    limit: str
    where: Literal["here", "there"]
    count: int
    most: int
    path: str
    source: str


class PlanOut(BaseModel):
    """A plan. `plan` is its hash, to run just this one. `counts` by kind of step; memberships are counted one by one.

    `left_out`: people who would bear more tags than the platform allows, by tag. `strangers`: people there who are no
    contacts yet. `skipped`: tags taken for unchanged. `read_calls` were made; a run takes `calls` more, and `seconds`.
    """

    plan: str
    full: bool
    counts: dict[str, int]
    steps: list[StepOut]
    conflicts: list[ConflictOut]
    refusals: list[RefusalOut]
    left_out: dict[str, int]
    strangers: int
    skipped: int
    read_calls: int
    calls: int
    seconds: float


class RunIn(BaseModel):
    """The plan to carry out. `anew`: if both sides have moved since, carry out a new plan instead of refusing."""

    model_config = ConfigDict(extra="forbid")

    plan: str | None = None
    anew: bool = False
    full: bool | None = None


class RunOut(BaseModel):
    """One run. `done` of `total` tags and memberships. `told`: `counts` of people refused by reason, `problems` by tag,
    `refusals` of limits, what has `moved` since a stale plan, what it `waits` for, the `problem` that ended it.
    """

    id: int
    account: int
    state: RunState
    plan: str
    full: bool
    done: int
    total: int
    told: dict[str, Any]
    started_by: str
    started_at: datetime
    ended_at: datetime | None


class RunsOut(BaseModel):
    """Runs, newest first."""

    runs: list[RunOut]


def state_out(state: State) -> StateOut:
    """An account's settings as they are shown."""
    one = state.settings
    return StateOut(
        account=state.account, names=one.names, members=one.members, deletions=one.deletions, employees=one.employees,
        daily=one.daily, tree=state.tree, full_at=clock.from_ms(state.full_at) if state.full_at else None,
    )  # fmt: skip


def way_out(way: Way) -> WayOut:
    """A tag's direction as it is shown."""
    group, name = (None, None) if way.place is None else way.place
    return WayOut(
        tag=way.tag.id, account=way.tag.account, path=way.tag.path, direction=way.direction, own=way.own, group=group,
        name=name,
    )  # fmt: skip


def plan_out(plan: Plan) -> PlanOut:
    """A plan as it is shown."""
    conflicts = [
        ConflictOut(
            kind=one.kind, path=one.path, ours=one.ours, theirs=one.theirs, rule=one.rule, does=one.does or None,
            people=one.people,
        )
        for one in plan.conflicts
    ]  # fmt: skip
    refusals = [
        RefusalOut(limit=one.limit, where=one.where, count=one.count, most=one.most, path=one.path, source=one.source)
        for one in plan.refusals
    ]
    steps = [_step(one) for one in plan.steps if one.do != "marks"]
    return PlanOut(
        plan=plan.hash, full=plan.full, counts=plan.counts(), steps=steps,
        conflicts=conflicts, refusals=refusals, left_out=plan.left_out, strangers=plan.strangers, skipped=plan.skipped,
        read_calls=plan.read_calls, calls=plan.calls, seconds=plan.seconds,
    )  # fmt: skip


def run_out(run: Run) -> RunOut:
    """A run as it is shown."""
    ended = None if run.ended_at is None else clock.from_ms(run.ended_at)
    return RunOut(
        id=run.id, account=run.account, state=run.state, plan=run.plan_hash, full=run.full, done=run.done,
        total=run.total, told=run.told, started_by=run.started_by, started_at=clock.from_ms(run.started_at),
        ended_at=ended,
    )  # fmt: skip


def _step(step: Step) -> StepOut:
    name = "/".join(part for part in step.place if part) or None
    shown = StepOut(do=step.do, tag=step.tag or None, path=step.path, name=name)
    if step.sets is None:
        return shown
    sets = {one: getattr(step.sets, one) for one in SETS[:4]}
    counts = {one: len(members) for one, members in sets.items()}
    sample = {one: bitmaps.page(members, 0, _SAMPLE)[0] for one, members in sets.items() if members}
    return shown.model_copy(update={**counts, "sample": sample})
