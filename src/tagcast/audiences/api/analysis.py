"""Looking into expressions over HTTP: why, overlap, difference in time, cross tables, how they are worked out."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.audiences import bounds, compiler, crosstab, csv_forms, explaining, past, planning, regions
from tagcast.audiences.api.forms import ExpressionIn, ExpressionOut, Limit, Number, forms
from tagcast.audiences.crosstab import Table
from tagcast.audiences.evidence import Fact
from tagcast.audiences.explaining import Explained
from tagcast.audiences.planning import Planned
from tagcast.audiences.rules import All

router = APIRouter()
_bounds = bounds.bounds()
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
Format = Literal["json", "csv"]


class ExplainIn(ExpressionIn):
    """The contact in question."""

    number: Number


class FactOut(BaseModel):
    """One fact in both languages; `code` and `params` for programs."""

    code: str
    params: dict[str, Any]
    en: str
    zh: str


class ExplainedOut(BaseModel):
    """Whether a part holds for the contact, and whether the outcome of the whole rests on it."""

    text: str
    holds: bool
    matters: bool
    facts: list[FactOut]
    parts: list["ExplainedOut"]


class OverlapIn(BaseModel):
    """Two expressions or more."""

    model_config = ConfigDict(extra="forbid")

    of: list[ExpressionIn] = Field(max_length=_bounds.matrix)


class RegionIn(OverlapIn):
    """Which region: the places of the expressions it is inside of."""

    inside: list[int] = Field(max_length=_bounds.matrix)


class RegionOut(BaseModel):
    """Those in just these expressions, by their places."""

    inside: list[int]
    size: int


class PairOut(BaseModel):
    """Two expressions by their places; `jaccard` is both over either, 0 to 1."""

    a: int
    b: int
    both: int
    only_a: int
    only_b: int
    jaccard: float


class OverlapOut(BaseModel):
    """Sizes of each, of every region (none in a matrix), of every pair; `either`: in any, `total`: all contacts."""

    sizes: list[int]
    regions: list[RegionOut]
    pairs: list[PairOut]
    either: int
    total: int


class CountedOut(ExpressionOut):
    """An expression and how many it stands for."""

    count: int


class DifferenceIn(ExpressionIn):
    """Between which moments, the later one now if not given; how many to show of who came and who left."""

    since: AwareDatetime
    until: AwareDatetime | None = None
    sample: Annotated[int, Field(ge=0, le=100)] = 0


class MovedOut(BaseModel):
    """A contact who came or left, and the leaves whose outcome changed."""

    number: int
    leaves: list[ExplainedOut]


class DifferenceOut(BaseModel):
    """How many before and after, how many came and left; some of them with why."""

    before: int
    after: int
    came: int
    left: int
    came_sample: list[MovedOut]
    left_sample: list[MovedOut]


class AsOfIn(ExpressionIn):
    """At which moment."""

    at: AwareDatetime
    after: int = Field(0, ge=0, le=0xFFFFFFFF, description="The last number of the page before.")
    limit: Limit = 100


class AsOfOut(BaseModel):
    """How many there were, and a page of their numbers."""

    count: int
    numbers: list[int]
    next: int | None


class TableIn(ExpressionIn):
    """Dimensions, one line each, and optionally within which expression."""

    dimensions: list[Annotated[str, Field(max_length=20_000)]] = Field(
        max_length=20, examples=[["region", "spend: 0, 100", "tag: 会员", "segments: 活跃, 沉睡"]]
    )

    def table(self) -> tuple[list[str], Any]:
        """Dimensions and the expression, everyone if none is given."""
        return self.dimensions, All() if self.text is None and self.json_ is None else self.read()


class CellIn(TableIn):
    """Which cell: the place of a category in each dimension."""

    place: list[int] = Field(max_length=20)


class CategoryOut(BaseModel):
    """One category: what selects it, how many it has; `rest`: those to whom no other applies."""

    label: str
    text: str
    size: int
    rest: bool


class DimensionOut(BaseModel):
    """A dimension; `apart`: nobody is in two of its categories."""

    name: str
    apart: bool
    categories: list[CategoryOut]


class TableOut(BaseModel):
    """`sizes` of all cells, the last dimension running fastest; `total` counts who the table is about."""

    within: str
    dimensions: list[DimensionOut]
    sizes: list[int]
    total: int


class PlannedOut(BaseModel):
    """A part: what it reads, the most it could be, what it is, the time it took, how often it stands in the whole."""

    text: str
    kind: str
    keys: int
    estimate: int | None
    size: int
    ms: float
    times: int
    parts: list["PlannedOut"]


class PlanOut(BaseModel):
    """How an expression is worked out; `asked` are the leaves that no kept set answers."""

    root: PlannedOut
    distinct: int
    keys: int
    asked: list[str]
    size: int


@router.post("/explain", summary="此人为何在或不在人群中 · Why a contact is or is not in it")
def explain(entry: Guarded, body: ExplainIn) -> ExplainedOut:
    """Which parts of an expression hold for a contact, which of them decided, and the facts."""
    expression = body.read()
    with entry.read() as work:
        return _explained(explaining.explain(work, expression, body.number))


@router.post("/overlap", summary="人群的重叠 · Overlap of expressions")
def overlap(entry: Guarded, body: OverlapIn) -> OverlapOut:
    """Every region of 2 to 6 expressions."""
    expressions = [one.read() for one in body.of]
    with entry.read() as work:
        return _overlap(regions.overlap(work, expressions))


@router.post("/matrix", summary="人群两两对比 · Expressions in pairs")
def matrix(entry: Guarded, body: OverlapIn) -> OverlapOut:
    """Every pair of many expressions."""
    expressions = [one.read() for one in body.of]
    with entry.read() as work:
        return _overlap(regions.matrix(work, expressions))


@router.post("/overlap/region", summary="重叠区域的表达式 · The expression of one region")
def region(entry: Guarded, body: RegionIn) -> CountedOut:
    """The expression that selects just one region of an overlap."""
    found = regions.region([one.read() for one in body.of], body.inside)
    with entry.read() as work:
        return CountedOut(**forms(found), count=compiler.count(work, found))


@router.post("/difference", summary="人群的时间变化 · Who came and who left between two moments")
def difference(entry: Guarded, body: DifferenceIn) -> DifferenceOut:
    """Who came and who left, with why for some."""
    expression = body.read()
    with entry.read() as work:
        found = past.difference(work, expression, body.since, body.until)

        def some(members: Any, *, came: bool) -> list[MovedOut]:
            numbers = compiler.draw(members, body.sample)
            told = explaining.moved(work, expression, (body.since, body.until), numbers, came=came)
            return [MovedOut(number=one.number, leaves=[_explained(leaf) for leaf in one.leaves]) for one in told]

        return DifferenceOut(
            before=found.before,
            after=found.after,
            came=len(found.came),
            left=len(found.left),
            came_sample=some(found.came, came=True),
            left_sample=some(found.left, came=False),
        )


@router.post("/as-of", summary="过去某时的人群 · An expression at a moment in the past")
def as_of(entry: Guarded, body: AsOfIn) -> AsOfOut:
    """Who an expression stood for then."""
    expression = body.read()
    with entry.read() as work:
        found = past.members(work, expression, body.at)
    numbers, following = bitmaps.page(found, body.after, body.limit)
    return AsOfOut(count=len(found), numbers=numbers, next=following)


@router.post("/table", summary="交叉表 · A cross table", responses=CSV, response_model=TableOut)
def table(entry: Guarded, body: TableIn, format: Format = "json") -> Any:  # noqa: A002 - the word of the API
    """The exact size of every cell of one to four dimensions; `?format=csv` gives one line a cell."""
    specs, within = body.table()
    with entry.read() as work:
        found = crosstab.cross_table(work, specs, within)
    if format == "csv":
        return Response(csv_forms.table_csv(found), media_type="text/csv; charset=utf-8")
    return _table(found)


@router.post("/table/cell", summary="单元格的表达式 · The expression of one cell")
def cell(entry: Guarded, body: CellIn) -> CountedOut:
    """The expression that selects just one cell."""
    specs, within = body.table()
    with entry.read() as work:
        found = crosstab.cross_table(work, specs, within).cell(body.place)
        return CountedOut(**forms(found), count=compiler.count(work, found))


@router.post("/plan", summary="表达式的计算方式 · How an expression is worked out")
def plan(entry: Guarded, body: ExpressionIn) -> PlanOut:
    """Parts in their order with expected and exact sizes, and what must be asked."""
    expression = body.read()
    with entry.read() as work:
        found = planning.plan(work, expression)
    return PlanOut(
        root=_planned(found.root), distinct=found.distinct, keys=found.keys, asked=list(found.asked), size=found.size
    )


def _explained(found: Explained) -> ExplainedOut:
    return ExplainedOut(
        text=found.text,
        holds=found.holds,
        matters=found.matters,
        facts=[_fact(one) for one in found.facts],
        parts=[_explained(part) for part in found.parts],
    )


def _fact(fact: Fact) -> FactOut:
    params = {name: _plain(value) for name, value in fact.params.items()}
    return FactOut(code=fact.code, params=params, en=fact.sentence("en"), zh=fact.sentence("zh"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _overlap(found: regions.Overlap) -> OverlapOut:
    return OverlapOut(
        sizes=list(found.sizes),
        regions=[RegionOut(inside=list(one.inside), size=one.size) for one in found.regions],
        pairs=[
            PairOut(a=one.a, b=one.b, both=one.both, only_a=one.only_a, only_b=one.only_b, jaccard=one.jaccard)
            for one in found.pairs
        ],
        either=found.either,
        total=found.total,
    )


def _table(found: Table) -> TableOut:
    listed = [
        DimensionOut(
            name=dimension.name,
            apart=dimension.apart,
            categories=[
                CategoryOut(label=one.label, text=one.text, size=size, rest=one.rest)
                for one, size in zip(dimension.categories, margins, strict=True)
            ],
        )
        for dimension, margins in zip(found.dimensions, found.margins, strict=True)
    ]
    within = forms(found.within)["text"]
    return TableOut(within=within, dimensions=listed, sizes=list(found.sizes), total=found.total)


def _planned(found: Planned) -> PlannedOut:
    return PlannedOut(
        text=found.text,
        kind=found.kind,
        keys=found.keys,
        estimate=found.estimate,
        size=found.size,
        ms=found.ms,
        times=found.times,
        parts=[_planned(part) for part in found.parts],
    )
