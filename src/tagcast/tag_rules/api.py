"""Rules over HTTP: write, try, activate, stop, take back."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tagcast import audiences
from tagcast.access import Guarded
from tagcast.audiences import Explained, Expression
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work
from tagcast.tag_rules import actions, rules, trial, views
from tagcast.tag_rules.rules import Line, Mode
from tagcast.tag_rules.views import Seen

router = APIRouter(prefix="/rules")


class ExpressionIn(BaseModel):
    """An expression, as text or as JSON."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, examples=['did("purchase", times >= 2, last 30 days)'])
    json_: dict[str, Any] | None = Field(None, alias="json", examples=[{"tag": "会员/金卡"}])

    def read(self) -> Expression | None:
        """The expression, if one is given. Raises Invalid, Refused."""
        if self.text is not None and self.json_ is not None:
            raise Invalid("audiences.one_form")
        if self.text is not None:
            return audiences.parse(self.text)
        return None if self.json_ is None else audiences.from_json(self.json_)

    def required(self) -> Expression:
        """The expression. Raises Invalid when none is given."""
        found = self.read()
        if found is None:
            raise Invalid("audiences.one_form")
        return found


class RuleIn(ExpressionIn):
    """A rule to make: which tag, and who is to have it."""

    tag: int
    mode: Mode = Field("mirror", description="mirror: exactly those; grow: those, and nobody loses it.")
    until_days: int = Field(0, ge=0, description="With grow: for so many days; 0: for good.")
    owner: str = ""


class RuleChangeIn(ExpressionIn):
    """What to change of a rule; `version` guards against overwriting somebody else's change."""

    mode: Mode | None = None
    until_days: int | None = Field(None, ge=0)
    owner: str | None = None
    version: int | None = None


class TryIn(ExpressionIn):
    """A rule to try before it is made."""

    tag: int
    mode: Mode = "mirror"


class TryChangeIn(ExpressionIn):
    """A change of a rule to try; nothing given: the rule as it is."""

    mode: Mode | None = None


class ProblemOut(BaseModel):
    """Why a rule stopped by itself, or would."""

    code: str
    zh: str
    zh_remedy: str
    en: str
    en_remedy: str


class TroubleOut(ProblemOut):
    """Why turns fail, since the first that did."""

    since: datetime


class RuleOut(BaseModel):
    """A rule. `filling`: it was activated and has not looked at everybody yet, `looked_at` of `contacts`.

    `lag`: changes not followed yet, `lag_seconds` the age of the first of them. `trouble`: why no rule is followed now.
    """

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    id: int
    tag: int
    path: str
    state: str
    text: str
    json_: dict[str, Any] = Field(alias="json")
    mode: str
    until_days: int
    owner: str
    version: int
    holders: int
    lag: int | None
    lag_seconds: float | None
    looked_at: int | None
    contacts: int
    trouble: TroubleOut | None
    acted_at: datetime | None
    created_at: datetime
    created_by: str
    changed_at: datetime
    problem: ProblemOut | None


class RulesOut(BaseModel):
    """Rules, oldest first."""

    rules: list[RuleOut]


class FactOut(BaseModel):
    """What a part rests on."""

    zh: str
    en: str


class WhyOut(BaseModel):
    """Whether a part holds for the contact, and whether the outcome rests on it."""

    text: str
    holds: bool
    matters: bool
    facts: list[FactOut]
    parts: list["WhyOut"]


class ShownOut(BaseModel):
    """A contact of a sample."""

    number: int
    why: WhyOut


class SideOut(BaseModel):
    """How many, and some of them at random."""

    count: int
    sample: list[ShownOut]


class TrialOut(BaseModel):
    """What a rule would do now; `problem` would stop it, nothing being changed."""

    holders: int
    members: int
    added: SideOut
    removed: SideOut
    problem: ProblemOut | None


class LineOut(BaseModel):
    """What was done to a rule, and how it was from then on."""

    version: int
    what: str
    who: str
    at: datetime
    text: str
    mode: str
    until_days: int
    owner: str
    problem: ProblemOut | None


class HistoryOut(BaseModel):
    """What was done, newest first."""

    lines: list[LineOut]


class RestoreIn(BaseModel):
    """Which version to take back."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1)


class DeletedOut(BaseModel):
    """How many lost the tag."""

    taken: int


@router.get("", summary="规则列表 · List rules")
def every(entry: Guarded) -> RulesOut:
    with entry.read() as work:
        return RulesOut(rules=[_out(one) for one in views.every(work)])


@router.post("", status_code=201, summary="新建规则（草稿） · Create a rule, as a draft")
def create(entry: Guarded, body: RuleIn) -> RuleOut:
    expression = body.required()

    def use_case(work: Work) -> RuleOut:
        made = actions.create(work, body.tag, expression, mode=body.mode, until_days=body.until_days, owner=body.owner)
        return _one(work, made.id)

    return entry.write(use_case)


@router.post("/try", summary="试运行 · What a rule would do now")
def attempt(entry: Guarded, body: TryIn) -> TrialOut:
    expression = body.required()
    with entry.read() as work:
        return _trial(trial.dry_run(work, body.tag, expression, body.mode))


@router.get("/{rule_id}", summary="规则详情 · One rule")
def get(entry: Guarded, rule_id: int) -> RuleOut:
    with entry.read() as work:
        return _one(work, rule_id)


@router.put("/{rule_id}", summary="修改规则 · Change a rule: a new version")
def edit(entry: Guarded, rule_id: int, body: RuleChangeIn) -> RuleOut:
    expression = body.read()

    def use_case(work: Work) -> RuleOut:
        actions.edit(
            work, rule_id, expression=expression, mode=body.mode, until_days=body.until_days,
            owner=body.owner, version=body.version,
        )  # fmt: skip
        return _one(work, rule_id)

    return entry.write(use_case)


@router.post("/{rule_id}/try", summary="试运行修改 · What the rule, or a change of it, would do now")
def attempt_change(entry: Guarded, rule_id: int, body: TryChangeIn) -> TrialOut:
    expression = body.read()
    with entry.read() as work:
        rule = actions.get(work, rule_id)
        meant = rule.definition.expression if expression is None else expression
        return _trial(trial.dry_run(work, rule.tag, meant, body.mode or rule.definition.mode))


@router.post("/{rule_id}/activate", summary="启用 · Let a rule run")
def activate(entry: Guarded, rule_id: int) -> RuleOut:
    return entry.write(lambda work: _one(work, actions.activate(work, rule_id).id))


@router.post("/{rule_id}/stop", summary="停止 · Let a rule rest")
def stop(entry: Guarded, rule_id: int) -> RuleOut:
    return entry.write(lambda work: _one(work, actions.stop(work, rule_id).id))


@router.post("/{rule_id}/restore", summary="恢复版本 · Make an earlier version the newest")
def restore(entry: Guarded, rule_id: int, body: RestoreIn) -> RuleOut:
    return entry.write(lambda work: _one(work, actions.restore(work, rule_id, body.version).id))


@router.get("/{rule_id}/history", summary="规则历史 · What was done to a rule")
def history(entry: Guarded, rule_id: int) -> HistoryOut:
    with entry.read() as work:
        return HistoryOut(lines=[_line(line) for line in actions.history(work, rule_id)])


@router.delete("/{rule_id}", summary="删除规则 · Delete a rule")
def delete(
    entry: Guarded,
    rule_id: int,
    take: Annotated[bool, Query(description="Take the tag from who has it by the rule.")] = False,
) -> DeletedOut:
    return entry.write(lambda work: DeletedOut(taken=actions.delete(work, rule_id, take=take)))


def _one(work: Work, rule_id: int) -> RuleOut:
    return _out(views.one(work, actions.get(work, rule_id)))


def _out(found: Seen) -> RuleOut:
    rule, wanted = found.rule, found.rule.definition
    return RuleOut(
        id=rule.id, tag=rule.tag, path=found.path, state=found.state, text=audiences.to_text(wanted.expression),
        json=audiences.to_json(wanted.expression), mode=wanted.mode, until_days=wanted.until_days,
        owner=wanted.owner, version=rule.version, holders=found.holders,
        lag=None if found.lag is None else found.lag.changes,
        lag_seconds=None if found.lag is None else found.lag.seconds,
        looked_at=found.looked_at, contacts=found.contacts,
        trouble=None if found.trouble is None else TroubleOut(
            **found.trouble.problem, since=clock.from_ms(found.trouble.since)
        ),
        acted_at=None if found.acted_at is None else clock.from_ms(found.acted_at),
        created_at=clock.from_ms(rule.created_at), created_by=rule.created_by,
        changed_at=clock.from_ms(rule.changed_at),
        problem=None if rule.problem is None else ProblemOut(**rule.problem),
    )  # fmt: skip


def _trial(found: trial.Trial) -> TrialOut:
    problem = None if found.problem is None else ProblemOut(**rules.shown(found.problem))
    return TrialOut(
        holders=found.holders, members=found.members, added=_side(found.added), removed=_side(found.removed),
        problem=problem,
    )  # fmt: skip


def _side(side: trial.Side) -> SideOut:
    return SideOut(count=side.count, sample=[ShownOut(number=one.number, why=_why(one.why)) for one in side.sample])


def _why(found: Explained) -> WhyOut:
    facts = [FactOut(zh=fact.sentence("zh"), en=fact.sentence("en")) for fact in found.facts]
    parts = [_why(part) for part in found.parts]
    return WhyOut(text=found.text, holds=found.holds, matters=found.matters, facts=facts, parts=parts)


def _line(line: Line) -> LineOut:
    wanted = line.definition
    return LineOut(
        version=line.version, what=line.what, who=line.who, at=clock.from_ms(line.at),
        text=audiences.to_text(wanted.expression), mode=wanted.mode, until_days=wanted.until_days,
        owner=wanted.owner, problem=None if line.problem is None else ProblemOut(**line.problem),
    )  # fmt: skip
