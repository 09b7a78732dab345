"""Segments over HTTP: counting while one edits, keeping, explaining, previewing, tagging, freezing."""

import time
from datetime import datetime

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.audiences import actions, compiler, naming
from tagcast.audiences.api import analysis, personalisation, sizes
from tagcast.audiences.api.forms import ExpressionIn, ExpressionOut, Limit, forms
from tagcast.audiences.forms import to_json
from tagcast.audiences.store import Refresh, Segment
from tagcast.audiences.writing import to_text
from tagcast.kit import clock
from tagcast.kit.uow import Work

router = APIRouter(prefix="/segments")


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
    refresh: Refresh
    every_hours: int = Field(description="Of a scheduled segment: how often, from local midnight on.")
    fresh_at: datetime | None = Field(description="For which moment the kept set is true; none: there is none.")
    kept: int | None = Field(None, description="Size of the kept set; on single reads.")
    used_by: dict[str, list[str]] = Field(
        default_factory=dict, description="What names this one, by kind: segment, frozen, rule …; on single reads."
    )


class RenameIn(BaseModel):
    """The new name."""

    name: str


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


# Routes are tried in the order in which they are named: this one is asked with every key that somebody presses.
@router.post("/count", response_model=CountOut, summary="计数 · Count an expression")
def count(entry: Guarded, body: ExpressionIn) -> Response:
    """Count an expression, exactly."""
    started = time.perf_counter()
    expression = body.read()
    with entry.read() as work:
        found = compiler.count(work, expression)
    took = round((time.perf_counter() - started) * 1000, 2)
    # Written at once: to have it checked would be a second wait for a thread.
    answer = {"text": to_text(expression), "json": to_json(expression), "count": found, "took_ms": took}
    return Response(orjson.dumps(answer), media_type="application/json")


router.include_router(analysis.router)
router.include_router(sizes.router)
router.include_router(personalisation.router)


@router.get("", summary="人群列表 · List segments")
def every(entry: Guarded) -> SegmentsOut:
    """All segments."""
    with entry.read() as work:
        return SegmentsOut(segments=[_segment(segment) for segment in actions.every(work)])


@router.get("/deleted", summary="已删除的人群 · Deleted segments")
def deleted(entry: Guarded) -> SegmentsOut:
    """Segments that can be restored, the newest first."""
    with entry.read() as work:
        return SegmentsOut(segments=[_segment(segment) for segment, _ in actions.deleted(work)])


@router.post("", status_code=201, summary="新建人群 · Create a segment")
def create(entry: Guarded, body: SegmentIn) -> SegmentOut:
    """Make a segment."""
    expression = body.read()
    return entry.write(lambda work: _segment(actions.create(work, body.name, expression, description=body.description)))


@router.get("/{segment_id}", summary="人群详情 · One segment")
def get(entry: Guarded, segment_id: int) -> SegmentOut:
    """One segment, and what names it."""
    with entry.read() as work:
        segment = actions.get(work, segment_id)
        kept = work.bitmaps.count(segment.key) if segment.fresh_at is not None else None
        more = {"used_by": naming.uses(work, segment.name), "kept": kept}
        return _segment(segment).model_copy(update=more)


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


@router.post("/{segment_id}/rename", summary="重命名 · Rename a segment")
def rename(entry: Guarded, segment_id: int, body: RenameIn) -> SegmentOut:
    """Give a segment another name; what names it follows."""
    return entry.write(lambda work: _segment(actions.rename(work, segment_id, body.name)))


@router.post("/{segment_id}/restore", summary="恢复已删除的人群 · Restore a deleted segment")
def restore(entry: Guarded, segment_id: int) -> SegmentOut:
    """Take a deleted segment back."""
    return entry.write(lambda work: _segment(actions.restore(work, segment_id)))


@router.delete("/{segment_id}", summary="删除人群 · Delete a segment")
def delete(entry: Guarded, segment_id: int) -> SegmentOut:
    """Delete a segment that nothing stands on; the answer is what it was, `restore` takes it back."""
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


def _segment(segment: Segment) -> SegmentOut:
    return SegmentOut(
        **forms(segment.expression), id=segment.id, name=segment.name, description=segment.description,
        version=segment.version, created_at=clock.from_ms(segment.created_at), created_by=segment.created_by,
        changed_at=clock.from_ms(segment.changed_at), refresh=segment.refresh, every_hours=segment.every_hours,
        fresh_at=None if segment.fresh_at is None else clock.from_ms(segment.fresh_at),
    )  # fmt: skip
