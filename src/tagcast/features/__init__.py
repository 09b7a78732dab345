"""Numbers and classes computed from behaviour. Owns: feature_definition, feature_run, feature_progress; the sets
`feature:…`.

RFM here: recency = days since the last event, frequency = number of events, monetary = their total. The lifetime
summary uses other definitions under the same words; see `clv_summary`.
"""

from tagcast.features.actions import (
    KIND,
    RfmTable,
    State,
    ask_for,
    asked_before_deleting,
    compute,
    compute_rfm,
    define,
    deletable,
    delete,
    due,
    forget,
    parse,
    score,
    start_due,
    states,
    table,
    users,
)
from tagcast.features.computing import ClvSummary, clv_summary
from tagcast.features.layers import Ready, ready, use
from tagcast.features.moves import NAMES as MOVE_CLASSES
from tagcast.features.moves import Migration, migration
from tagcast.features.pest import FAMILIES, Family, declare, families
from tagcast.features.rules import LAYERS, Definition, as_data
from tagcast.features.scoring import CLASSES, Amounts, Scores, Thresholds
from tagcast.features.store import Run, Version, versions
from tagcast.features.values import (
    Distribution,
    definitions,
    distribution,
    kept_as,
    names,
    node,
    numbers,
    select,
    values_of,
)
from tagcast.features.workflows import recompute, work_off

__all__ = [
    "Amounts",
    "CLASSES",
    "ClvSummary",
    "Definition",
    "Distribution",
    "FAMILIES",
    "Family",
    "KIND",
    "LAYERS",
    "Migration",
    "MOVE_CLASSES",
    "Ready",
    "RfmTable",
    "Run",
    "Scores",
    "State",
    "Thresholds",
    "Version",
    "as_data",
    "ask_for",
    "asked_before_deleting",
    "clv_summary",
    "compute",
    "compute_rfm",
    "declare",
    "define",
    "definitions",
    "deletable",
    "delete",
    "distribution",
    "due",
    "families",
    "forget",
    "kept_as",
    "migration",
    "names",
    "node",
    "numbers",
    "parse",
    "ready",
    "recompute",
    "score",
    "select",
    "start_due",
    "states",
    "table",
    "use",
    "users",
    "values_of",
    "versions",
    "work_off",
]
