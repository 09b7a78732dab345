"""Features over HTTP: RFM, computed and shown."""

from datetime import date, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.features import actions
from tagcast.features.actions import RfmTable
from tagcast.features.rules import Thresholds
from tagcast.kit import clock

router = APIRouter(prefix="/features")


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class ThresholdsIn(Strict):
    """Four borders each, from worst to best: recency in days, descending; the others ascending."""

    recency: tuple[float, float, float, float]
    frequency: tuple[float, float, float, float]
    monetary: tuple[float, float, float, float]


class RfmIn(Strict):
    """What to compute RFM from; without thresholds scores are quintiles."""

    event: str = "purchase"
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


class FeaturesOut(BaseModel):
    """All features."""

    features: list[FeatureOut]


@router.get("", summary="特征列表 · The features")
def features(entry: Guarded) -> FeaturesOut:
    with entry.read() as work:
        found = actions.names(work).values()
    shown = [FeatureOut(name=one.name, type=one.type, label_zh=one.label_zh, label_en=one.label_en) for one in found]
    return FeaturesOut(features=shown)


@router.get("/rfm", summary="RFM 分层人数 · Sizes of the RFM classes")
def rfm(entry: Guarded) -> RfmOut:
    with entry.read() as work:
        return _shown(actions.table(work))


@router.post("/rfm", summary="计算 RFM · Compute RFM")
def compute_rfm(entry: Guarded, body: RfmIn) -> RfmOut:
    zone = entry.runtime.settings.zone
    borders = body.thresholds
    thresholds = Thresholds(borders.recency, borders.frequency, borders.monetary) if borders is not None else None
    return entry.write(
        lambda work: _shown(
            actions.compute_rfm(
                work,
                as_of=body.as_of or clock.local_day(work.now, zone),
                event=body.event,
                thresholds=thresholds,
                zone=zone,
            )
        )
    )


def _shown(table: RfmTable) -> RfmOut:
    return RfmOut(
        contacts=table.contacts,
        classes=table.classes,
        grid=table.grid,
        details=table.details,
        computed_at=clock.from_ms(table.computed_ms),
    )
