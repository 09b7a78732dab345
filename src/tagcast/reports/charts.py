"""Geometry of the report's charts, in the units of an SVG 800 wide. The template only draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from unicodedata import east_asian_width

from tagcast.kit.errors import Lang
from tagcast.reports import words
from tagcast.reports.rules import BroadcastReport, Figure, Line, remaining
from tagcast.statistics import Interval

WIDTH = 800
LEFT = 262
RIGHT = 138
ROW = 34
SPAN = WIDTH - LEFT - RIGHT
CELLS = 36
"""Half-width characters that fit before a bar; the rest of a longer label is in its tooltip."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A labelled bar from `x`, `width` long; `note` stands at its right end."""

    label: str
    note: str
    x: float
    width: float
    kind: str
    y: int


@dataclass(frozen=True, slots=True)
class Whisker:
    """An estimate with its interval on an axis."""

    label: str
    note: str
    low: float
    high: float
    at: float
    kind: str
    y: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Whiskers over one axis; `zero` where the axis crosses 0."""

    whiskers: tuple[Whisker, ...]
    ticks: tuple[Tick, ...]
    zero: float | None
    height: int


def waterfall(report: BroadcastReport, lang: Lang) -> list[Bar]:
    """A bar a step: what is left, and what the step takes out at its right end."""
    steps = remaining(report.waterfall)
    most = max((step.count for step, _ in steps), default=0) or 1
    bars = []
    for row, (step, left) in enumerate(steps):
        ends = row in (0, len(steps) - 1)
        start = 0 if ends else left - step.count
        kind = "whole" if ends else "held" if step.name == "holdout" else "out"
        note = words.whole(step.count) if ends or not step.count else f"\N{MINUS SIGN}{words.whole(step.count)}"
        bars.append(_bar(_named(step, lang), note, (start / most, step.count / most), kind=kind, row=row))
    return bars


def funnel(report: BroadcastReport, lang: Lang) -> list[Bar]:
    """Assigned, then the people of each stage, with their share."""
    whole = report.assigned or 1
    bars = [
        _bar(
            words.word("assigned", lang).label,
            words.whole(report.assigned),
            (0, report.assigned / whole),
            kind="whole",
            row=0,
        )
    ]
    for name in ("reached", "delivered", "opened", "clicked"):
        one = report.figure(name)
        note = f"{words.whole(one.numerator)} · {words.percent(one.share)}"
        bars.append(_bar(words.word(name, lang).label, note, (0, one.numerator / whole), kind="stage", row=len(bars)))
    return bars


def reasons(lines: Sequence[Line], lang: Lang) -> list[Bar]:
    """Failures, the most frequent first."""
    most = max((line.count for line in lines), default=0) or 1
    return [
        _bar(_named(line, lang), words.whole(line.count), (0, line.count / most), kind="out", row=row)
        for row, line in enumerate(lines)
    ]


def conversion(report: BroadcastReport, lang: Lang) -> Axis:
    """Both groups' conversion with their intervals, from 0."""
    effect = report.effect
    groups = [one for one in (effect.sent, effect.holdout) if one.interval is not None]
    top = max((one.interval.high for one in groups if one.interval), default=0.01) or 0.01
    low, high, step = _scale(0.0, top)
    whiskers = tuple(
        _whisker(
            _group_label(one, lang), f"{words.percent(one.share)}", one.interval, (low, high), row=row, kind=_kind(one)
        )
        for row, one in enumerate(groups)
        if one.interval is not None
    )
    return _axis(whiskers, (low, high, step), "%")


def difference(report: BroadcastReport, lang: Lang) -> Axis | None:
    """The difference with its interval around 0."""
    found = report.effect.difference
    if found is None:
        return None
    low, high, step = _scale(min(found.low, 0.0), max(found.high, 0.0))
    note = words.signed(found.estimate, words.label("points", lang))
    whisker = _whisker(words.word("difference", lang).label, note, found, (low, high), row=0, kind="difference")
    return _axis((whisker,), (low, high, step), "")


def short(label: str) -> str:
    """The label cut to what fits; a Chinese character is two cells wide."""
    cells = 0
    for place, character in enumerate(label):
        cells += 2 if east_asian_width(character) in "WF" else 1
        if cells > CELLS:
            return label[: place - 1].rstrip() + "…"
    return label


def _named(line: Line, lang: Lang) -> str:
    return line.zh if lang == "zh" else line.en


def _group_label(one: Figure, lang: Lang) -> str:
    return words.word(one.name, lang).label


def _kind(one: Figure) -> str:
    return "sent" if one.name == "converted_sent" else "holdout"


def _bar(label: str, note: str, extent: tuple[float, float], *, kind: str, row: int) -> Bar:
    start, length = extent
    width = max(SPAN * length, 1.5 if length > 0 else 0)
    return Bar(label, note, round(LEFT + SPAN * start, 1), round(width, 1), kind, row * ROW)


def _whisker(label: str, note: str, one: Interval, span: tuple[float, float], *, row: int, kind: str) -> Whisker:
    low, high, at = (_place(value, span) for value in (one.low, one.high, one.estimate))
    return Whisker(label, note, low, high, at, kind, row * ROW)


def _axis(whiskers: tuple[Whisker, ...], scale: tuple[float, float, float], unit: str) -> Axis:
    low, high, step = scale
    marks = [low + step * index for index in range(round((high - low) / step) + 1)]
    digits = max(0, -floor(log10(step * 100)))
    texts = [f"{mark * 100:.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}") for mark in marks]
    ticks = tuple(Tick(_place(mark, (low, high)), text) for mark, text in zip(marks, texts, strict=True))
    zero = _place(0.0, (low, high)) if low <= 0 <= high else None
    return Axis(whiskers, ticks, zero, len(whiskers) * ROW)


def _place(value: float, span: tuple[float, float]) -> float:
    low, high = span
    return round(LEFT + SPAN * (value - low) / (high - low), 1)


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Round ends and a round step, about five marks."""
    raw = (high - low) / 5
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step
