"""What contacts did: events by declared type, recorded once, with day sets and aggregates derived at intake.

Owns: event_type, behaviour_batch, behaviour_seen; the sets `event:<type>:day:<yyyymmdd>` of who did it that day, with
`:<n>` of who did it at least n times; the records `events-<type>`. The truth is what was recorded.
"""

from tagcast.behaviour import mending, moving
from tagcast.behaviour.actions import (
    Batch,
    batch,
    between,
    checkpoint,
    declare_event,
    event_types,
    events_of,
    forget,
    last_seq,
    rebuild,
    record,
    record_packed,
    recorded_since,
)
from tagcast.behaviour.answers import at_least, node
from tagcast.behaviour.events import Recorded
from tagcast.behaviour.evidence import Evidence, evidence
from tagcast.behaviour.intake import Intake, sent, take_one
from tagcast.behaviour.levels import key as day_key
from tagcast.behaviour.packed import Events, events, local_days
from tagcast.behaviour.questions import Did, Question, Then, Where, Window
from tagcast.behaviour.recording import find_type
from tagcast.behaviour.rules import EventIn, EventType, Kind, parse_value
from tagcast.behaviour.scans import Chosen, fold
from tagcast.behaviour.summaries import Aggregates, aggregates
from tagcast.behaviour.workflows import import_events

__all__ = [
    "Aggregates",
    "Batch",
    "Chosen",
    "Did",
    "EventIn",
    "EventType",
    "Evidence",
    "Events",
    "Intake",
    "Kind",
    "Question",
    "Recorded",
    "Then",
    "Where",
    "Window",
    "aggregates",
    "at_least",
    "batch",
    "between",
    "checkpoint",
    "day_key",
    "declare_event",
    "event_types",
    "events",
    "events_of",
    "evidence",
    "find_type",
    "fold",
    "forget",
    "import_events",
    "last_seq",
    "local_days",
    "mending",
    "moving",
    "node",
    "parse_value",
    "rebuild",
    "record",
    "record_packed",
    "recorded_since",
    "sent",
    "take_one",
]
