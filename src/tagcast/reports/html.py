"""A report as one HTML file: no network, no script, charts drawn here, light and dark, fit to print."""

from collections.abc import Sequence
from functools import cache
from zoneinfo import ZoneInfo

import jinja2

from tagcast.kit.errors import Lang
from tagcast.reports import charts, words
from tagcast.reports.rules import BroadcastReport


def render(reports: Sequence[BroadcastReport], lang: Lang = "zh", *, zone: str = "Asia/Shanghai") -> str:
    """The page of one or several broadcasts; times in an IANA zone."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            reports=reports,
            lang=lang,
            L=lambda name: words.label(name, lang),
            word=lambda name: words.word(name, lang),
            when=lambda moment: f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}",
            zone=zone,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tagcast.reports", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(charts=charts, words=words)
    return made
