"""Words of reports: names and definitions of figures, sentences, numbers as they are written."""

from functools import cache
from typing import NamedTuple

from tagcast.kit.errors import Lang
from tagcast.kit.shipped import read_toml
from tagcast.reports.rules import BroadcastReport, Effect, Figure
from tagcast.statistics import Interval


class Word(NamedTuple):
    """A figure's name and definition."""

    label: str
    definition: str


@cache
def _data(file: str) -> dict[str, dict[str, str]]:
    return read_toml("reports", file)


def word(name: str, lang: Lang) -> Word:
    """What a figure is called and how it is computed."""
    found = _data("figures.toml")[name]
    return Word(found[lang], found[f"{lang}_definition"])


def label(name: str, lang: Lang) -> str:
    """A word of the page."""
    return _data("labels.toml")[name][lang]


def whole(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """0.01234 as 1.23%; a dash for none."""
    return "–" if share is None else f"{share * 100:.2f}%"


def signed(share: float, unit: str) -> str:
    """0.01234 as +1.23 and the unit."""
    return f"{share * 100:+.2f}{unit}".replace("-", "\N{MINUS SIGN}")


def fraction(one: Figure) -> str:
    """What is divided by what."""
    return f"{whole(one.numerator)} / {whole(one.denominator)}"


def interval(one: Interval | None) -> str:
    """The 95 % interval of a share."""
    return "–" if one is None else f"{one.low * 100:.2f}% – {one.high * 100:.2f}%"


def points(one: Interval | None, lang: Lang) -> str:
    """A difference of shares with its interval, in percentage points."""
    return "–" if one is None else _with_interval(one, label("points", lang))


def relative(one: Interval | None) -> str:
    """A lift with its interval, in percent."""
    return "–" if one is None else _with_interval(one, "%")


def _with_interval(one: Interval, unit: str) -> str:
    return f"{signed(one.estimate, unit)} [{signed(one.low, '')}, {signed(one.high, '')}]"


def sentence(report: BroadcastReport, lang: Lang) -> str:
    """What the effect comes to, in one sentence that never names a bare percentage."""
    effect: Effect = report.effect
    text = label(f"verdict_{effect.verdict}", lang)
    return text.format(
        event=report.event,
        difference=points(effect.difference, lang),
        lift=relative(effect.lift),
        sent=fraction(effect.sent),
        holdout=fraction(effect.holdout),
        p="–" if effect.split_p is None else f"{effect.split_p:.2g}",
    )
