"""Broadcasts (群发): draft → plan → send → settle, and the ledger of every delivery.

Owns: broadcast, broadcast_plan, broadcast_chunk, broadcast_failure, delivery_receipt; the sets `broadcast:<id>:…`.
"""

from tagcast.broadcasts.actions import (
    DELIVER,
    SETTLE,
    cancel,
    draft,
    note_receipts,
    pause,
    plan,
    purge_receipts,
    resolve,
    resume,
    send,
)
from tagcast.broadcasts.events import BroadcastFinished, BroadcastStarted
from tagcast.broadcasts.ledger import states
from tagcast.broadcasts.retarget import USERS
from tagcast.broadcasts.rules import Route, State, Status, Step
from tagcast.broadcasts.store import Broadcast, SavedPlan, all_, get, plan_of, status_of
from tagcast.broadcasts.views import Failure, WaterfallStep, failures, progress, waterfall, why

__all__ = [
    "DELIVER",
    "SETTLE",
    "Broadcast",
    "BroadcastFinished",
    "BroadcastStarted",
    "Failure",
    "Route",
    "SavedPlan",
    "State",
    "Status",
    "Step",
    "USERS",
    "WaterfallStep",
    "all_",
    "cancel",
    "draft",
    "failures",
    "get",
    "note_receipts",
    "pause",
    "plan",
    "plan_of",
    "progress",
    "purge_receipts",
    "resolve",
    "resume",
    "send",
    "states",
    "status_of",
    "waterfall",
    "why",
]
