"""Numbers and classes computed from behaviour. Owns: feature_run; the sets `feature:…`.

RFM here: recency = days since the last event, frequency = number of events, monetary = their total. The lifetime
summary uses other definitions under the same words; see `clv_summary`.
"""

from tagcast.features.actions import (
    ClvSummary,
    RfmTable,
    clv_summary,
    compute_rfm,
    names,
    node,
    select,
    table,
    values_of,
)
from tagcast.features.rules import CLASSES, Thresholds

__all__ = [
    "CLASSES",
    "ClvSummary",
    "RfmTable",
    "Thresholds",
    "clv_summary",
    "compute_rfm",
    "names",
    "node",
    "select",
    "table",
    "values_of",
]
