"""Upkeep over HTTP: the report, where a tag is used, thresholds, clean-ups."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tagcast import tags
from tagcast.access import Guarded
from tagcast.kit.errors import Lang
from tagcast.kit.uow import Work
from tagcast.upkeep import actions, finding, rules, table, words
from tagcast.upkeep.actions import Act
from tagcast.upkeep.graph import Graph, Used
from tagcast.upkeep.rules import Do, Effect, Kind, Operation

router = APIRouter(prefix="/upkeep")


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class OperationIO(Strict):
    """One thing to do with a tag."""

    do: Do
    tag: int
    into: int | None = Field(default=None, description="合并的目标 · The tag that remains of a merge.")
    members: Literal["unite", "target", "common"] = "unite"


class FindingOut(BaseModel):
    """A tag, or two, worth a look."""

    kind: Kind
    tags: list[int]
    paths: list[str]
    facts: dict[str, Any]
    found: str = Field(description="一句话说明 · What was found, as a sentence.")
    suggested: OperationIO | None
    suggestion: str


class ReportOut(BaseModel):
    """What is worth a look, the most pressing first."""

    findings: list[FindingOut]


class UseOut(BaseModel):
    """One use, and what stands on it."""

    kind: str
    id: int
    name: str
    how: Literal["itself", "above", "through"]
    live: bool
    more: bool = Field(description="已在别处展开 · Opened elsewhere in the tree.")
    below: list["UseOut"]


class UsesOut(BaseModel):
    """Where a tag is used."""

    tag: int
    path: str
    uses: list[UseOut]
    lines: list[str]


class ThresholdsIO(Strict):
    """Thresholds; in a change, null brings back the one that ships and what is left out stays."""

    unused_days: int | None = None
    stale_days: int | None = None
    tiny: int | None = None
    nearly_equal: float | None = None
    equal_least: int | None = None
    drift_days: int | None = None
    drift_periods: int | None = None
    drift_times: float | None = None
    drift_share: float | None = None
    near_limit: float | None = None


class CleanIn(Strict):
    """What to do, and why."""

    operations: list[OperationIO]
    why: str = ""


class SizedOut(BaseModel):
    """Who holds a tag before and after."""

    tag: int
    path: str
    before: int
    after: int
    gained: int
    lost: int


class EffectOut(BaseModel):
    """What one operation does."""

    operation: OperationIO
    sizes: list[SizedOut]
    archived: list[str]
    moved: list[str]
    uses: list[tuple[str, str]] = Field(description="改写的引用 · Uses rewritten: kind and name.")


class PreviewOut(BaseModel):
    """What would be done, exactly."""

    effects: list[EffectOut]


class ActOut(BaseModel):
    """A clean-up that was carried out."""

    id: int
    why: str
    effects: list[EffectOut]
    at: datetime
    who: str
    undone_at: datetime | None
    undone_by: str | None


class ActsOut(BaseModel):
    """Clean-ups, newest first."""

    acts: list[ActOut]


@router.get("/report", summary="标签体检 · What is worth a look", response_model=ReportOut)
def report(
    entry: Guarded,
    kind: Annotated[list[Kind] | None, Query(description="只看这些类别 · These kinds only.")] = None,
    account: int | None = None,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the word of the API
    lang: Lang = "zh",
) -> ReportOut | Response:
    with entry.read() as work:
        found = finding.report(work, kinds=kind or (), account=account)
        paths = {number: tag.path for number, tag in tags.every(work).items()}
    if format == "csv":
        return Response(table.render(found, paths, lang), media_type="text/csv; charset=utf-8")
    return ReportOut(
        findings=[
            FindingOut(
                kind=one.kind, tags=list(one.tags), paths=list(one.paths), facts=one.facts,
                found=words.sentence(one, lang), suggested=None if one.suggested is None else _io(one.suggested),
                suggestion=words.suggestion(one.suggested, paths, lang),
            )
            for one in found
        ]
    )  # fmt: skip


@router.get("/uses/{tag_id}", summary="标签用在哪里 · Where a tag is used")
def uses(entry: Guarded, tag_id: int, lang: Lang = "zh") -> UsesOut:
    with entry.read() as work:
        tag = tags.get(work, tag_id)
        found = Graph(work).of(tag.id)
        return UsesOut(
            tag=tag.id, path=tag.path, uses=[_use(one) for one in found], lines=words.used_lines(found, lang)
        )  # fmt: skip


@router.get("/thresholds", summary="体检阈值 · Thresholds")
def get_thresholds(entry: Guarded) -> ThresholdsIO:
    with entry.read() as work:
        return ThresholdsIO(**asdict(actions.thresholds(work)))


@router.patch("/thresholds", summary="更改体检阈值 · Change thresholds")
def patch_thresholds(entry: Guarded, body: ThresholdsIO) -> ThresholdsIO:
    given = body.model_dump(exclude_unset=True)
    return entry.write(lambda work: ThresholdsIO(**asdict(actions.set_thresholds(work, given))))


@router.post("/preview", summary="预览清理（不做改动） · What a clean-up would do; it changes nothing")
def preview(entry: Guarded, body: CleanIn) -> PreviewOut:
    return entry.write(
        lambda work: PreviewOut(effects=[_effect(one) for one in actions.preview(work, _operations(body))])
    )


@router.post("/acts", status_code=201, summary="执行清理 · Clean up, all or nothing")
def apply(entry: Guarded, body: CleanIn) -> ActOut:
    return entry.write(lambda work: _act(actions.apply(work, _operations(body), why=body.why)))


@router.get("/acts", summary="清理记录 · Clean-ups, newest first")
def acts(entry: Guarded, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> ActsOut:
    with entry.read() as work:
        return ActsOut(acts=[_act(one) for one in actions.acts(work, limit=limit)])


@router.get("/acts/{act}", summary="一次清理 · One clean-up")
def get(entry: Guarded, act: int) -> ActOut:
    with entry.read() as work:
        return _act(actions.get(work, act))


@router.post("/acts/{act}/undo", summary="整体撤销清理 · Take a clean-up back as a whole")
def undo(entry: Guarded, act: int) -> ActOut:
    def use_case(work: Work) -> ActOut:
        return _act(actions.undo(work, act))

    return entry.write(use_case)


def _operations(body: CleanIn) -> list[Operation]:
    return rules.check_operations([Operation(one.do, one.tag, one.into, one.members) for one in body.operations])


def _io(operation: Operation) -> OperationIO:
    return OperationIO.model_validate(asdict(operation))


def _use(one: Used) -> UseOut:
    use = one.use
    return UseOut(
        kind=use.kind, id=use.id, name=use.name, how=one.how, live=use.live, more=one.more,
        below=[_use(below) for below in one.below],
    )  # fmt: skip


def _effect(effect: Effect) -> EffectOut:
    return EffectOut.model_validate(effect.to_json())


def _act(act: Act) -> ActOut:
    return ActOut(
        id=act.id, why=act.why, effects=[_effect(one) for one in act.effects], at=act.at, who=act.who,
        undone_at=act.undone_at, undone_by=act.undone_by,
    )  # fmt: skip
