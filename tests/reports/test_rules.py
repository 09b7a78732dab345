"""The calculations alone, and that every word they need is there and documented."""

import tomllib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from tagcast.reports import charts, rules, words
from tagcast.reports.rules import BroadcastReport, Conversions, Counts, Line, Verdict

START = datetime(2026, 11, 10, tzinfo=UTC)
STATES = {"delivered": 900, "accepted": 50, "failed": 40, "in_doubt": 10}
FIGURES = tomllib.loads((resources.files("tagcast.reports") / "figures.toml").read_text("utf-8"))


def counts(holdout: int = 1000, assigned: int = 1000) -> Counts:
    return Counts(assigned, holdout, STATES, 950, 300, 100)


@pytest.mark.parametrize(
    ("sent", "holdout", "verdict"),
    [(120, 60, Verdict.MORE), (60, 120, Verdict.LESS), (62, 60, Verdict.NOT_ENOUGH), (0, 0, Verdict.NOT_ENOUGH)],
)
def test_the_verdict_follows_the_interval(sent: int, holdout: int, verdict: Verdict) -> None:
    effect = rules.effect(counts(), Conversions(sent, holdout), 50.0)
    assert effect.verdict is verdict
    assert effect.difference is not None
    assert (effect.difference.low <= 0 <= effect.difference.high) == (verdict is Verdict.NOT_ENOUGH)
    assert (effect.lift is None) == (0 in (sent, holdout))


def test_without_a_holdout_there_is_no_effect() -> None:
    effect = rules.effect(counts(holdout=0), Conversions(500, 0), 0.0)
    assert (effect.verdict, effect.difference, effect.lift, effect.split_p) == (Verdict.NO_HOLDOUT, None, None, None)


def test_a_wrong_split_silences_the_effect() -> None:
    effect = rules.effect(counts(holdout=1000, assigned=1200), Conversions(400, 60), 50.0)
    assert effect.split_p is not None
    assert effect.split_p < rules.SPLIT_ALARM
    assert effect.verdict is Verdict.BAD_SPLIT


def test_nobody_assigned_divides_nothing() -> None:
    made = rules.figures(Counts(0, 0, {}, 0, 0, 0))
    assert [(one.share, one.interval) for one in made] == [(None, None)] * 6


def test_the_waterfall_takes_out_step_by_step() -> None:
    steps = [Line(name, count, name, name) for name, count in (("a", 10), ("b", 3), ("c", 2), ("d", 5))]
    assert [(step.name, left) for step, left in rules.remaining(steps)] == [("a", 10), ("b", 10), ("c", 7), ("d", 5)]
    assert rules.remaining([]) == []


def sample(effect: rules.Effect) -> BroadcastReport:
    return BroadcastReport(
        1, "n", 1, "finished", START, START, "purchase", 7, START, 1000, 1000, (), STATES, rules.figures(counts()), (),
        (), effect,
    )  # fmt: skip


@pytest.mark.parametrize("high", [(1, 0), (3, 1), (120, 60), (999, 998), (0, 0), (1000, 1000)])
def test_charts_stay_inside_their_frame(high: tuple[int, int]) -> None:
    report = sample(rules.effect(counts(), Conversions(*high), 50.0))
    axes = [charts.conversion(report, "en"), charts.difference(report, "en")]
    for axis in axes:
        assert axis is not None
        places = [place for one in axis.whiskers for place in (one.low, one.at, one.high)]
        assert all(charts.LEFT <= place <= charts.WIDTH - charts.RIGHT for place in places)
        assert 2 <= len(axis.ticks) <= 9
        assert len({tick.text for tick in axis.ticks}) == len(axis.ticks)
    for bar in charts.funnel(report, "zh"):
        assert charts.LEFT <= bar.x <= bar.x + bar.width <= charts.WIDTH - charts.RIGHT


def test_labels_are_cut_by_their_width() -> None:
    assert charts.short("已达该账号的频次上限") == "已达该账号的频次上限"
    assert charts.short("标" * 19) == "标" * 17 + "…"
    assert charts.short("a" * 37) == "a" * 35 + "…"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_sentence(verdict: Verdict) -> None:
    conversions = {Verdict.MORE: (120, 60), Verdict.LESS: (60, 120)}.get(verdict, (60, 60))
    effect = rules.effect(counts(), Conversions(*conversions), 50.0)
    report = sample(rules.Effect(effect.sent, effect.holdout, effect.difference, effect.lift, 0.5, verdict))
    assert "{" not in words.sentence(report, "zh")
    assert words.sentence(report, "zh") != words.sentence(report, "en")


def test_every_figure_is_defined_and_documented() -> None:
    effect = rules.effect(counts(), Conversions(1, 1), 50.0)
    names = {one.name for one in (*rules.figures(counts()), effect.sent, effect.holdout)}
    assert names <= set(FIGURES)
    text = (Path(__file__).parents[2] / "docs" / "reference" / "report.md").read_text("utf-8")
    for name, figure in FIGURES.items():
        assert f"`{name}`" in text
        for sentence in figure.values():
            assert sentence in text
