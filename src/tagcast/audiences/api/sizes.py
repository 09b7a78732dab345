"""Segments over time over HTTP: sizes, and how a segment is kept."""

from datetime import date, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.audiences import actions, csv_forms, keeping, sizes
from tagcast.audiences.api.analysis import CSV, Format
from tagcast.audiences.sizes import Size, Trend
from tagcast.audiences.store import Refresh, Segment
from tagcast.kit import clock

router = APIRouter()


class SizeOut(BaseModel):
    """The exact size at a moment; `kept`: recorded then, else worked out again from the change log."""

    at: datetime
    day: date
    version: int
    size: int
    kept: bool


class TrendOut(BaseModel):
    """Sizes by time; least, most and now are of the present version."""

    name: str
    sizes: list[SizeOut]
    least: int
    most: int
    now: int


class KeepIn(BaseModel):
    """How a segment is kept: asked, scheduled (`every_hours`: 1, 2, 3, 4, 6, 8, 12, 24) or live."""

    model_config = ConfigDict(extra="forbid")

    refresh: Refresh
    every_hours: int = Field(0, ge=0, le=24)


class KeptOut(BaseModel):
    """How a segment is kept, for which moment its set is true, and how large the set is."""

    id: int
    name: str
    refresh: Refresh
    every_hours: int
    fresh_at: datetime | None
    kept: int


@router.get("/{segment_id}/sizes", summary="人群规模变化 · Size over time", responses=CSV, response_model=TrendOut)
def trend(
    entry: Guarded,
    segment_id: int,
    since: date | None = None,
    *,
    rebuild: bool = False,
    format: Format = "json",  # noqa: A002 - the word of the API
) -> Any:
    """Sizes since a local day; `rebuild` tells days without one from the change log."""
    with entry.read() as work:
        found = sizes.trend(work, segment_id, since=since, rebuild=rebuild)
    if format == "csv":
        return Response(csv_forms.trend_csv(found), media_type="text/csv; charset=utf-8")
    return _trend(found)


@router.post("/{segment_id}/sizes", status_code=201, summary="记录当前规模 · Record the size now")
def record(entry: Guarded, segment_id: int) -> SizeOut:
    """Record the size of a segment now."""
    return entry.write(lambda work: _size(sizes.record_size(work, segment_id)))


@router.put("/{segment_id}/keeping", summary="人群保存方式 · How a segment is kept")
def keep(entry: Guarded, segment_id: int, body: KeepIn) -> KeptOut:
    """Work a segment out whenever it is asked, on a schedule, or with every change."""

    def use_case(work: Any) -> KeptOut:
        made = keeping.keep(work, segment_id, body.refresh, every_hours=body.every_hours)
        return _kept(made, work.bitmaps.count(made.key))

    return entry.write(use_case)


@router.post("/{segment_id}/renew", summary="立即更新定时人群 · Work a scheduled segment out now")
def renew(entry: Guarded, segment_id: int) -> KeptOut:
    """Work a scheduled segment out now."""

    def use_case(work: Any) -> KeptOut:
        made = actions.renew(work, segment_id)
        return _kept(made, work.bitmaps.count(made.key))

    return entry.write(use_case)


def _size(found: Size) -> SizeOut:
    return SizeOut(
        at=clock.from_ms(found.at_ms), day=found.day, version=found.version, size=found.size, kept=found.kept
    )


def _trend(found: Trend) -> TrendOut:
    listed = [_size(one) for one in found.sizes]
    return TrendOut(name=found.segment.name, sizes=listed, least=found.least, most=found.most, now=found.now)


def _kept(found: Segment, size: int) -> KeptOut:
    return KeptOut(
        id=found.id,
        name=found.name,
        refresh=found.refresh,
        every_hours=found.every_hours,
        fresh_at=None if found.fresh_at is None else clock.from_ms(found.fresh_at),
        kept=size,
    )
