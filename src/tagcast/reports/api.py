"""Routes of reports."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from tagcast.access import Guarded
from tagcast.kit.errors import Lang
from tagcast.reports import actions, html, table, words
from tagcast.reports.rules import BroadcastReport, Figure
from tagcast.statistics import Interval

router = APIRouter(prefix="/reports", tags=["reports"])

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The page carries its style inside, so that it stays whole when it is saved."""


class Asked(BaseModel):
    """What to report, and in what shape."""

    event: str = Field("purchase", max_length=60, description="转化事件 · Event that counts as a conversion.")
    window_days: int = Field(
        actions.WINDOW_DAYS, description="转化窗口（天） · Days after the start in which it counts."
    )
    format: Literal["json", "html", "csv"] = Field("json", description="格式 · Shape of the answer.")
    lang: Lang = Field("zh", description="语言 · Language of sentences and of the page.")


class IntervalOut(BaseModel):
    """A two-sided interval; `level` 0.95 is 95 %."""

    low: float
    high: float
    estimate: float
    level: float
    method: str


class FigureOut(BaseModel):
    """A share of people with everything needed to check it."""

    name: str
    label: str
    numerator: int
    denominator: int
    share: float | None = Field(description="0 到 1；分母为 0 时为空 · 0 to 1; null while the denominator is 0.")
    interval: IntervalOut | None
    definition: str


class CountOut(BaseModel):
    """A number of visits, not of people."""

    name: str
    label: str
    value: int
    definition: str


class LineOut(BaseModel):
    """A step of the waterfall or a reason of failure."""

    name: str
    count: int
    label: str


class EffectOut(BaseModel):
    """Sent to against holdout, by intention to treat."""

    sent: FigureOut
    holdout: FigureOut
    difference: IntervalOut | None = Field(description="转化率之差，0.01 为 1 个百分点 · 0.01 is one percentage point.")
    lift: IntervalOut | None = Field(description="相对提升，0.5 为多一半 · 0.5 is half as much again.")
    split_p: float | None
    verdict: str
    sentence: str


class ReportOut(BaseModel):
    """What one broadcast did."""

    id: int
    name: str
    account: int
    state: str
    started_at: datetime
    made_at: datetime
    event: str
    window_days: int
    window_ends_at: datetime
    window_open: bool
    assigned: int
    holdout: int
    waterfall: list[LineOut]
    states: dict[str, int]
    figures: list[FigureOut]
    visits: list[CountOut]
    failures: list[LineOut]
    effect: EffectOut


@router.get(
    "/broadcasts/{broadcast_id}",
    response_model=ReportOut,
    summary="一次群发的效果 · What a broadcast did",
    responses={200: {"content": {"text/html": {}, "text/csv": {}}}},
)
def read_report(broadcast_id: int, asked: Annotated[Asked, Query()], entry: Guarded) -> Any:
    """JSON, one self-contained HTML page, or CSV. Visits that wait are counted first."""
    actions.catch_up(entry.runtime, entry.caller.workspace, entry.caller.actor)
    with entry.read() as work:
        report = actions.broadcast_report(work, broadcast_id, event=asked.event, window_days=asked.window_days)
    if asked.format == "html":
        page = html.render([report], asked.lang, zone=entry.runtime.settings.zone)
        return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})
    if asked.format == "csv":
        body = "\ufeff" + table.render([report], asked.lang)
        headers = {"Content-Disposition": f'attachment; filename="broadcast-{broadcast_id}.csv"'}
        return Response(body, media_type="text/csv; charset=utf-8", headers=headers)
    return _shown(report, asked.lang)


def _shown(report: BroadcastReport, lang: Lang) -> ReportOut:
    effect = report.effect
    plain = (
        "id name account state started_at made_at event window_days window_ends_at window_open assigned holdout"
    ).split()
    return ReportOut(
        **{name: getattr(report, name) for name in plain},
        states=dict(report.states),
        waterfall=[LineOut(name=one.name, count=one.count, label=getattr(one, lang)) for one in report.waterfall],
        failures=[LineOut(name=one.name, count=one.count, label=getattr(one, lang)) for one in report.failures],
        figures=[_figure(one, lang) for one in report.figures],
        visits=[
            CountOut(name=one.name, value=one.value, **words.word(one.name, lang)._asdict()) for one in report.visits
        ],
        effect=EffectOut(
            sent=_figure(effect.sent, lang),
            holdout=_figure(effect.holdout, lang),
            difference=_interval(effect.difference),
            lift=_interval(effect.lift),
            split_p=effect.split_p,
            verdict=effect.verdict,
            sentence=words.sentence(report, lang),
        ),
    )


def _figure(one: Figure, lang: Lang) -> FigureOut:
    return FigureOut(
        name=one.name,
        numerator=one.numerator,
        denominator=one.denominator,
        share=one.share,
        interval=_interval(one.interval),
        **words.word(one.name, lang)._asdict(),
    )


def _interval(one: Interval | None) -> IntervalOut | None:
    return None if one is None else IntervalOut(**asdict(one))
