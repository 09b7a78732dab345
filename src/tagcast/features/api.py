"""Features over HTTP: definitions, computations, RFM, layers and families."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.features import actions, layers, measures, moves, pest, rules, store, values
from tagcast.features.actions import RfmTable, State
from tagcast.features.scoring import Thresholds
from tagcast.kit import clock

router = APIRouter(prefix="/features")


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class ThresholdsIn(Strict):
    """Borders from worst to best, one less than there are scores: recency in days, descending; the others ascending."""

    recency: tuple[float, ...] = Field(max_length=4)
    frequency: tuple[float, ...] = Field(max_length=4)
    monetary: tuple[float, ...] = Field(max_length=4)


class RfmIn(Strict):
    """What to compute RFM from; without event and thresholds as the model is defined."""

    event: str | None = None
    as_of: date | None = Field(default=None, description="None: today, in the workspace's zone.")
    thresholds: ThresholdsIn | None = None


class RfmOut(BaseModel):
    """Sizes of the classes and of the cells: `grid[r - 1][f - 1]`."""

    contacts: int
    classes: dict[str, int]
    grid: list[list[int]]
    details: dict[str, Any]
    computed_at: datetime


class FeatureOut(BaseModel):
    """A feature that can stand in a segment."""

    name: str
    type: str
    label_zh: str
    label_en: str
    definition: str = Field(description="The definition that it comes from.")
    layer: str
    choices: list[str]


class FeaturesOut(BaseModel):
    """All features."""

    features: list[FeatureOut]


class WhereIn(Strict):
    """A condition on a property, `amount` (in cents) or `quantity`."""

    name: str
    op: Literal["is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown"]
    value: str | int | float | bool | list[str | int | float] | None = None


class DefinitionIn(Strict):
    """What a feature is; what its kind does not use is left out."""

    kind: Literal["rfm", "measure", "age", "lifetime"] = "measure"
    events: list[str] = Field(default=[], max_length=100)
    label_zh: str = Field(default="", max_length=80)
    label_en: str = Field(default="", max_length=80)
    layer: str = "custom"
    schedule: Literal["daily", "weekly", "asked"] = "daily"
    window_days: int | None = Field(default=None, description="The last so many days; none: all time.")
    measure: str = Field(default="count", description="count, days, sum, average, least, most, first, last …")
    where: list[WhereIn] = Field(default=[], max_length=100)
    recency_events: list[str] = Field(default=[], max_length=100, description="Count for recency too: interactions.")
    method: Literal["quantiles", "thresholds", "decay"] = "quantiles"
    parts: int = Field(default=5, description="Scores from 1 to 3, 4 or 5.")
    thresholds: ThresholdsIn | None = None
    half_life_days: float | None = None
    attribute: str = ""
    borders: list[int] = Field(default=[], max_length=100)
    horizon_days: int = 365
    discount_percent: float = 1.0


class DefinitionOut(BaseModel):
    """A definition and how things stand. `progress`: of what a worker was asked for."""

    name: str
    version: int
    definition: dict[str, Any]
    fields: list[str]
    contacts: int
    as_of: date | None
    computed_at: datetime | None
    details: dict[str, Any] | None
    progress: dict[str, Any] | None


class DefinitionsOut(BaseModel):
    """All definitions."""

    definitions: list[DefinitionOut]


class VersionOut(BaseModel):
    """A version of a definition."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    created_by: str
    deleted_at: datetime | None


class HistoryOut(BaseModel):
    """A definition, and its versions, newest first."""

    present: DefinitionOut
    versions: list[VersionOut]


class ComputeIn(Strict):
    """For which day; `full` looks at everybody again."""

    as_of: date | None = None
    full: bool = False


class DoneOut(BaseModel):
    """That it was done."""

    done: bool = True


class NamesOut(BaseModel):
    """What was made."""

    made: list[str]


class DistributionOut(BaseModel):
    """How a field is spread over the contacts that have it."""

    name: str
    contacts: int
    least: Decimal | date | None
    most: Decimal | date | None
    mean: float | None
    percentiles: dict[int, Decimal | date] | None
    choices: dict[str, int] | None


class MigrationOut(BaseModel):
    """`counts[i][j]`: from `classes[i]` to `classes[j]`; the empty name is who was in no class."""

    name: str
    version: int
    before: date
    after: date
    classes: list[str]
    counts: list[list[int]]


class MembersOut(BaseModel):
    """A page of contacts; `next` continues."""

    count: int
    contacts: list[int]
    next: int | None


class LayersOut(BaseModel):
    """The ready-made features."""

    features: list[layers.Ready]


class FamiliesOut(BaseModel):
    """The four families."""

    families: list[pest.Family]


@router.get("", summary="特征列表 · The features")
def features(entry: Guarded) -> FeaturesOut:
    with entry.read() as work:
        found = values.fields(work)
    return FeaturesOut(
        features=[
            FeatureOut(
                name=name,
                type=one.attribute.type,
                label_zh=one.attribute.label_zh,
                label_en=one.attribute.label_en,
                definition=one.definition.name,
                layer=one.definition.layer,
                choices=list(one.attribute.choices),
            )
            for name, one in found.items()
        ]
    )


@router.get("/definitions", summary="特征定义与计算状态 · Definitions and how they stand")
def definitions(entry: Guarded) -> DefinitionsOut:
    with entry.read() as work:
        return DefinitionsOut(definitions=[_state(one) for one in actions.states(work).values()])


@router.get("/definitions/{name}", summary="一个特征及其版本 · A definition and its versions")
def definition(entry: Guarded, name: str) -> HistoryOut:
    with entry.read() as work:
        actions.find(work, name)
        return HistoryOut(
            present=_state(actions.states(work)[name]),
            versions=[
                VersionOut(
                    version=one.definition.version,
                    definition=rules.as_data(one.definition),
                    created_at=clock.from_ms(one.created_ms),
                    created_by=one.created_by,
                    deleted_at=clock.from_ms(one.retired_ms) if one.retired_ms is not None else None,
                )
                for one in store.versions(work, name)
            ],
        )


@router.put("/definitions/{name}", summary="定义特征 · Define a feature")
def define(entry: Guarded, name: str, body: DefinitionIn) -> DefinitionOut:
    def use_case(work: Any) -> DefinitionOut:
        actions.define(work, rules.parse(name, body.model_dump()))
        return _state(actions.states(work)[name])

    return entry.write(use_case)


@router.delete("/definitions/{name}", summary="删除特征 · Delete a feature")
def delete(entry: Guarded, name: str) -> DoneOut:
    def use_case(work: Any) -> DoneOut:
        actions.delete(work, name)
        return DoneOut()

    return entry.write(use_case)


@router.post("/definitions/{name}/compute", status_code=202, summary="后台计算特征 · Let a worker compute a feature")
def compute(entry: Guarded, name: str, body: ComputeIn) -> DefinitionOut:
    def use_case(work: Any) -> DefinitionOut:
        actions.ask_for(work, name, as_of=body.as_of, full=body.full)
        return _state(actions.states(work)[name])

    return entry.write(use_case)


@router.get("/fields/{name}/distribution", summary="特征分布 · How a feature is spread")
def distribution(entry: Guarded, name: str) -> DistributionOut:
    with entry.read() as work:
        found = values.distribution(work, name)
    return DistributionOut(
        name=found.name,
        contacts=found.contacts,
        least=found.least,
        most=found.most,
        mean=found.mean,
        percentiles=found.percentiles,
        choices=found.choices,
    )


@router.get("/rfm", summary="RFM 分层人数 · Sizes of the RFM classes")
def rfm(entry: Guarded, model: str = "rfm") -> RfmOut:
    with entry.read() as work:
        return _shown(actions.table(work, model))


@router.post("/rfm", summary="计算 RFM · Compute RFM")
def compute_rfm(entry: Guarded, body: RfmIn, model: str = "rfm") -> RfmOut:
    borders = body.thresholds
    thresholds = Thresholds(borders.recency, borders.frequency, borders.monetary) if borders is not None else None
    return entry.write(
        lambda work: _shown(
            actions.compute_rfm(
                work, as_of=body.as_of or work.today, event=body.event, thresholds=thresholds, name=model
            )
        )
    )


@router.get("/rfm/migration", summary="RFM 迁移矩阵 · Who moved between the RFM classes")
def migration(entry: Guarded, before: date, after: date, model: str = "rfm") -> MigrationOut:
    with entry.read() as work:
        found = moves.migration(work, model, before, after)
    return MigrationOut(
        name=found.name,
        version=found.version,
        before=found.before,
        after=found.after,
        classes=list(moves.NAMES),
        counts=found.counts,
    )


@router.get("/rfm/migration/members", summary="迁移人员名单 · Who is in a cell of the matrix")
def migrated(
    entry: Guarded,
    before: date,
    after: date,
    *,
    source: str = "",
    target: str = "",
    model: str = "rfm",
    cursor: int = 0,
    limit: int = 1000,
) -> MembersOut:
    with entry.read() as work:
        members = moves.migration(work, model, before, after).members(source, target)
    page, rest = bitmaps.page(members, cursor, max(1, min(limit, 10_000)))
    return MembersOut(count=len(members), contacts=page, next=rest)


@router.get("/layers", summary="四层预置特征 · Ready-made features of the four layers")
def ready(entry: Guarded) -> LayersOut:
    with entry.read() as work:
        return LayersOut(features=layers.ready(work))


@router.post("/layers/{layer}", summary="启用一层特征 · Use the features of a layer")
def use(entry: Guarded, layer: str) -> NamesOut:
    return entry.write(lambda work: NamesOut(made=layers.use(work, layer)))


@router.get("/pest", summary="PEST 四族覆盖率与新鲜度 · Coverage and freshness of the families")
def families(entry: Guarded) -> FamiliesOut:
    with entry.read() as work:
        return FamiliesOut(families=pest.families(work))


@router.post("/pest/{family}", summary="声明一族内置属性 · Declare the attributes of a family")
def declare(entry: Guarded, family: str) -> NamesOut:
    return entry.write(lambda work: NamesOut(made=pest.declare(work, family)))


def _state(state: State) -> DefinitionOut:
    run, progress = state.run, state.progress
    return DefinitionOut(
        name=state.definition.name,
        version=state.definition.version,
        definition=rules.as_data(state.definition),
        fields=list(state.fields),
        contacts=state.contacts,
        as_of=measures.day_of(run.as_of) if run is not None else None,
        computed_at=clock.from_ms(run.computed_ms) if run is not None else None,
        details=run.details | {"version": run.version} if run is not None else None,
        progress=None
        if progress is None
        else {
            "state": progress.state,
            "done": progress.done,
            "total": progress.total,
            "problem": progress.problem,
            "at": clock.from_ms(progress.at_ms),
        },
    )


def _shown(table: RfmTable) -> RfmOut:
    return RfmOut(
        contacts=table.contacts,
        classes=table.classes,
        grid=table.grid,
        details=table.details,
        computed_at=clock.from_ms(table.computed_ms),
    )
