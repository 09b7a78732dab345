"""Broadcasts (群发): draft → plan → send → settle, and the ledger of every delivery.

Owns: broadcast, broadcast_plan, broadcast_chunk, broadcast_failure, delivery_receipt; the sets `broadcast:<id>:…`.
"""

from tagcast.broadcasts.actions import (
    DELIVER,
    SETTLE,
    cancel,
    moved,
    note_receipts,
    note_subscription_answer,
    note_subscription_sent,
    pause,
    plan,
    purge_receipts,
    resolve,
    resume,
    send,
)
from tagcast.broadcasts.approving import Approving, approval, approval_reasons, decide, set_approval
from tagcast.broadcasts.drafting import copy, delete, draft, edit, undo
from tagcast.broadcasts.events import BroadcastFinished, BroadcastStarted
from tagcast.broadcasts.ledger import states
from tagcast.broadcasts.planning import Move, costs, set_cost
from tagcast.broadcasts.retarget import USERS
from tagcast.broadcasts.rules import Route, State, Status, Step
from tagcast.broadcasts.store import (
    Approval,
    Broadcast,
    SavedPlan,
    all_,
    approval_of,
    approvals_of,
    get,
    plan_of,
    status_of,
)
from tagcast.broadcasts.views import Failure, WaterfallStep, failures, progress, waterfall, why

__all__ = [
    "DELIVER",
    "SETTLE",
    "USERS",
    "Approval",
    "Approving",
    "Broadcast",
    "BroadcastFinished",
    "BroadcastStarted",
    "Failure",
    "Move",
    "Route",
    "SavedPlan",
    "State",
    "Status",
    "Step",
    "WaterfallStep",
    "all_",
    "approval",
    "approval_of",
    "approval_reasons",
    "approvals_of",
    "cancel",
    "copy",
    "costs",
    "decide",
    "delete",
    "draft",
    "edit",
    "failures",
    "get",
    "moved",
    "note_receipts",
    "note_subscription_answer",
    "note_subscription_sent",
    "pause",
    "plan",
    "plan_of",
    "progress",
    "purge_receipts",
    "resolve",
    "resume",
    "send",
    "set_approval",
    "set_cost",
    "states",
    "status_of",
    "undo",
    "waterfall",
    "why",
]
