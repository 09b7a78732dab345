"""Segments over HTTP: counting while one edits, keeping, explaining, previewing, tagging, freezing."""

import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.audiences import actions, compiler, language, rules
from tagcast.audiences.compiler import Explained
from tagcast.audiences.rules import Expression
from tagcast.audiences.store import Segment
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

router = APIRouter(prefix="/segments")

Number = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
Limit = Annotated[int, Field(ge=1, le=rules.limits().preview)]


class ExpressionIn(BaseModel):
    """An expression, as text or as JSON."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, examples=['tag("会员/金卡") and region = "华东"'])
    json_: dict[str, Any] | None = Field(None, alias="json", examples=[{"tag": "会员/金卡"}])

    def read(self) -> Expression:
        """The expression. Raises Invalid, Refused."""
        if (self.text is None) == (self.json_ is None):
            raise Invalid("audiences.one_form")
        return language.parse(self.text) if self.text is not None else rules.from_json(self.json_)


class ExpressionOut(BaseModel):
    """An expression in both forms."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    text: str
    json_: dict[str, Any] = Field(alias="json")


class CountOut(ExpressionOut):
    """How many contacts an expression stands for; `took_ms` is the time of reading and counting."""

    count: int
    took_ms: float


class SegmentIn(ExpressionIn):
    """A segment to make."""

    name: str
    description: str = ""


class SegmentChangeIn(ExpressionIn):
    """A segment's new content; `version` guards against overwriting somebody else's change."""

    name: str | None = None
    description: str | None = None
    version: int | None = None


class SegmentOut(ExpressionOut):
    """A segment."""

    id: int
    name: str
    description: str
    version: int
    created_at: datetime
    created_by: str
    changed_at: datetime
    used_by: list[str] = Field(default_factory=list, description="Segments that stand on this one; on single reads.")


class SegmentsOut(BaseModel):
    """Segments by name."""

    segments: list[SegmentOut]


class MembersIn(ExpressionIn):
    """Which page of an expression's members."""

    after: int = Field(0, ge=0, le=0xFFFFFFFF, description="The last number of the page before.")
    limit: Limit = 100


class MembersOut(BaseModel):
    """A page of contact numbers, ascending; `next` continues, none: that was all."""

    count: int
    numbers: list[int]
    next: int | None


class SampleIn(ExpressionIn):
    """How many members to draw."""

    size: Limit = 20
    seed: int | None = None


class SampleOut(BaseModel):
    """Contact numbers drawn at random, ascending."""

    numbers: list[int]


class ExplainIn(ExpressionIn):
    """The contact in question."""

    number: Number


class ExplainedOut(BaseModel):
    """Whether a part holds for the contact."""

    text: str
    holds: bool
    parts: list["ExplainedOut"]


class OverlapIn(BaseModel):
    """Two expressions."""

    model_config = ConfigDict(extra="forbid")

    a: ExpressionIn
    b: ExpressionIn


class OverlapOut(BaseModel):
    """Contacts in each and in both; `jaccard` is both over either, 0 to 1."""

    a: int
    b: int
    both: int
    jaccard: float


class TagIn(ExpressionIn):
    """Which tag to give, and why."""

    tag: int
    why: str


class TaggedOut(BaseModel):
    """How many were tagged newly; `seq` names the change for undo."""

    seq: int | None
    changed: int


class FreezeIn(ExpressionIn):
    """Why the audience is frozen."""

    why: str = Field(max_length=300)


class FrozenOut(BaseModel):
    """A frozen audience; `digest` is the SHA-256 of its numbers."""

    id: int
    size: int
    digest: str


@router.post("/count", summary="计数 · Count an expression")
def count(entry: Guarded, body: ExpressionIn) -> CountOut:
    """Count an expression, exactly."""
    started = time.perf_counter()
    expression = body.read()
    with entry.read() as work:
        found = compiler.count(work, expression)
    took = round((time.perf_counter() - started) * 1000, 2)
    return CountOut(**_forms(expression), count=found, took_ms=took)


@router.get("", summary="人群列表 · List segments")
def every(entry: Guarded) -> SegmentsOut:
    """All segments."""
    with entry.read() as work:
        return SegmentsOut(segments=[_segment(segment) for segment in actions.every(work)])


@router.post("", status_code=201, summary="新建人群 · Create a segment")
def create(entry: Guarded, body: SegmentIn) -> SegmentOut:
    """Make a segment."""
    expression = body.read()
    return entry.write(lambda work: _segment(actions.create(work, body.name, expression, description=body.description)))


@router.get("/{segment_id}", summary="人群详情 · One segment")
def get(entry: Guarded, segment_id: int) -> SegmentOut:
    """One segment, and which others stand on it."""
    with entry.read() as work:
        segment = actions.get(work, segment_id)
        return _segment(segment).model_copy(update={"used_by": actions.where_used(work, segment.name)})


@router.put("/{segment_id}", summary="修改人群 · Change a segment")
def update(entry: Guarded, segment_id: int, body: SegmentChangeIn) -> SegmentOut:
    """Change a segment."""
    expression = body.read()

    def use_case(work: Work) -> SegmentOut:
        changed = actions.update(
            work, segment_id, expression, name=body.name, description=body.description, version=body.version
        )
        return _segment(changed)

    return entry.write(use_case)


@router.delete("/{segment_id}", summary="删除人群 · Delete a segment")
def delete(entry: Guarded, segment_id: int) -> SegmentOut:
    """Delete a segment that no other stands on; the answer is what it was."""
    return entry.write(lambda work: _segment(actions.delete(work, segment_id)))


@router.post("/members", summary="人群成员 · Members of an expression")
def members(entry: Guarded, body: MembersIn) -> MembersOut:
    """The numbers of the contacts that an expression stands for, a page at a time."""
    expression = body.read()
    with entry.read() as work:
        found = compiler.members(work, expression)
    numbers, following = bitmaps.page(found, body.after, body.limit)
    return MembersOut(count=len(found), numbers=numbers, next=following)


@router.post("/sample", summary="随机抽样 · Sample members at random")
def sample(entry: Guarded, body: SampleIn) -> SampleOut:
    """Some members at random."""
    expression = body.read()
    with entry.read() as work:
        return SampleOut(numbers=compiler.sample(work, expression, body.size, seed=body.seed))


@router.post("/explain", summary="此人为何在或不在人群中 · Why a contact is or is not in it")
def explain(entry: Guarded, body: ExplainIn) -> ExplainedOut:
    """Which parts of an expression hold for a contact."""
    expression = body.read()
    with entry.read() as work:
        return _explained(compiler.explain(work, expression, body.number))


@router.post("/overlap", summary="两个人群的重叠 · Overlap of two expressions")
def overlap(entry: Guarded, body: OverlapIn) -> OverlapOut:
    """How two expressions overlap."""
    a, b = body.a.read(), body.b.read()
    with entry.read() as work:
        found = compiler.overlap(work, a, b)
    either = found.a + found.b - found.both
    return OverlapOut(a=found.a, b=found.b, both=found.both, jaccard=found.both / either if either else 0.0)


@router.post("/tag", summary="给人群打标签 · Tag everyone in an expression")
def tag(entry: Guarded, body: TagIn) -> TaggedOut:
    """Tag everyone in an expression, all or none."""
    expression = body.read()

    def use_case(work: Work) -> TaggedOut:
        change = actions.tag_segment(work, expression, body.tag, why=body.why)
        return TaggedOut(seq=change.seq if change else None, changed=change.size if change else 0)

    return entry.write(use_case)


@router.post("/freeze", status_code=201, summary="固定受众 · Freeze an audience")
def freeze(entry: Guarded, body: FreezeIn) -> FrozenOut:
    """Keep the members of an expression as they are now."""
    expression = body.read()

    def use_case(work: Work) -> FrozenOut:
        made = actions.freeze(work, expression, why=body.why)
        return FrozenOut(id=made.id, size=made.size, digest=made.digest)

    return entry.write(use_case)


def _forms(expression: Expression) -> dict[str, Any]:
    return {"text": language.to_text(expression), "json_": rules.to_json(expression)}


def _segment(segment: Segment) -> SegmentOut:
    return SegmentOut(
        **_forms(segment.expression), id=segment.id, name=segment.name, description=segment.description,
        version=segment.version, created_at=clock.from_ms(segment.created_at), created_by=segment.created_by,
        changed_at=clock.from_ms(segment.changed_at),
    )  # fmt: skip


def _explained(found: Explained) -> ExplainedOut:
    return ExplainedOut(text=found.text, holds=found.holds, parts=[_explained(part) for part in found.parts])
