"""What broadcasts did: shares with their intervals, the effect against the holdout. Reads only; owns no table."""

from tagcast.reports.actions import broadcast_report, catch_up
from tagcast.reports.html import render as render_html
from tagcast.reports.rules import BroadcastReport, Effect, Figure, Verdict
from tagcast.reports.table import lines
from tagcast.reports.table import render as render_csv
from tagcast.reports.words import sentence

__all__ = [
    "BroadcastReport",
    "Effect",
    "Figure",
    "Verdict",
    "broadcast_report",
    "catch_up",
    "lines",
    "render_csv",
    "render_html",
    "sentence",
]
