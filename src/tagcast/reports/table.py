"""A report's figures as a CSV table, one figure a row."""

import csv
import io
from collections.abc import Iterator, Sequence

from tagcast import files
from tagcast.kit.errors import Lang
from tagcast.reports import words
from tagcast.reports.rules import BroadcastReport, Figure
from tagcast.statistics import Interval

COLUMNS = (
    "broadcast", "name", "figure", "label", "numerator", "denominator", "value", "low", "high", "definition",
)  # fmt: skip

Cells = tuple[str | int | float | None, ...]


def render(reports: Sequence[BroadcastReport], lang: Lang = "zh") -> str:
    """CSV with a header; texts that a spreadsheet would run are disarmed. Shares are 0 to 1."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for report in reports:
        for row in _rows(report, lang):
            writer.writerow([files.safe_cell(cell) for cell in row])
    return target.getvalue()


def lines(report: BroadcastReport, lang: Lang) -> Iterator[tuple[str, str, str, str]]:
    """The figures for people: what it is called, the value, its 95 % interval, what is divided by what."""

    def line(name: str, value: str, one: str = "", of: str = "") -> tuple[str, str, str, str]:
        return words.word(name, lang).label, value, one, of

    yield line("assigned", words.whole(report.assigned))
    yield line("holdout", words.whole(report.holdout))
    for figure in (*report.figures, report.effect.sent, report.effect.holdout):
        yield line(figure.name, words.percent(figure.share), words.interval(figure.interval), words.fraction(figure))
    for count in report.visits:
        yield line(count.name, words.whole(count.value))


def _rows(report: BroadcastReport, lang: Lang) -> Iterator[Cells]:
    def row(name: str, value: float | None, one: Interval | None = None, of: Figure | None = None) -> Cells:
        label, definition = words.word(name, lang)
        parts = (None, None) if of is None else (of.numerator, of.denominator)
        ends = (None, None) if one is None else (one.low, one.high)
        return (report.id, report.name, name, label, *parts, value, *ends, definition)

    yield row("assigned", report.assigned)
    yield row("holdout", report.holdout)
    effect = report.effect
    for figure in (*report.figures, effect.sent, effect.holdout):
        yield row(figure.name, figure.share, figure.interval, figure)
    yield row("difference", None if effect.difference is None else effect.difference.estimate, effect.difference)
    yield row("lift", None if effect.lift is None else effect.lift.estimate, effect.lift)
    yield row("split", effect.split_p)
    for count in report.visits:
        yield row(count.name, count.value)
