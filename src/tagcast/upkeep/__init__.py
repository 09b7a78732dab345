"""Keeping the tags in order: where each is used, what is worth a look, and cleaning up with a preview and an undo.

Owns: upkeep_act, upkeep_setting. Reads whatever lies below; what uses tags registers with `tags`.
"""

from tagcast.upkeep.actions import Act, acts, apply, get, preview, set_thresholds, thresholds, undo
from tagcast.upkeep.finding import report
from tagcast.upkeep.graph import Graph, Used, walk
from tagcast.upkeep.overlap import Pair, nearly_equal
from tagcast.upkeep.rules import DOES, KINDS, Effect, Finding, Operation, Sized, Thresholds
from tagcast.upkeep.table import render as render_csv
from tagcast.upkeep.words import kind, sentence, suggestion, used_lines

__all__ = [
    "Act",
    "DOES",
    "Effect",
    "Finding",
    "Graph",
    "KINDS",
    "Operation",
    "Pair",
    "Sized",
    "Thresholds",
    "Used",
    "acts",
    "apply",
    "get",
    "kind",
    "nearly_equal",
    "preview",
    "render_csv",
    "report",
    "sentence",
    "set_thresholds",
    "suggestion",
    "thresholds",
    "undo",
    "used_lines",
    "walk",
]
