"""Broadcasts (群发): draft → plan → send → settle, and the ledger of every delivery.

Owns: broadcast, broadcast_plan, broadcast_chunk, broadcast_failure, delivery_receipt, broadcast_media,
broadcast_reminder; the sets
`broadcast:<id>:…`.
"""

from tagcast.broadcasts.actions import (
    DELIVER,
    SETTLE,
    cancel,
    moved,
    pause,
    plan,
    purge_receipts,
    resolve,
    resume,
    send,
)
from tagcast.broadcasts.approving import Approving, approval, approval_reasons, decide, set_approval
from tagcast.broadcasts.content import (
    Content,
    Media,
    addressees,
    media,
    render,
    texts_needed,
    texts_of,
    worst_cases,
)
from tagcast.broadcasts.drafting import copy, delete, draft, edit, undo
from tagcast.broadcasts.employees import (
    EmployeeTask,
    Reminded,
    Waiting,
    employee_tasks,
    planned_senders,
    remind,
    waiting,
)
from tagcast.broadcasts.events import BroadcastFinished, BroadcastStarted
from tagcast.broadcasts.ledger import REMIND, states
from tagcast.broadcasts.planning import Move, costs, set_cost
from tagcast.broadcasts.retarget import USERS
from tagcast.broadcasts.rules import Route, State, Status, Step
from tagcast.broadcasts.running import (
    note_receipts,
    note_subscription_answer,
    note_subscription_sent,
    proceed,
    retry,
)
from tagcast.broadcasts.stages import STAGE
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
    "Approval",
    "Approving",
    "Broadcast",
    "BroadcastFinished",
    "BroadcastStarted",
    "Content",
    "DELIVER",
    "EmployeeTask",
    "Failure",
    "Media",
    "Move",
    "REMIND",
    "Reminded",
    "Route",
    "SETTLE",
    "STAGE",
    "SavedPlan",
    "State",
    "Status",
    "Step",
    "USERS",
    "Waiting",
    "WaterfallStep",
    "addressees",
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
    "employee_tasks",
    "failures",
    "get",
    "media",
    "moved",
    "note_receipts",
    "note_subscription_answer",
    "note_subscription_sent",
    "pause",
    "plan",
    "plan_of",
    "planned_senders",
    "proceed",
    "progress",
    "purge_receipts",
    "remind",
    "render",
    "resolve",
    "resume",
    "retry",
    "send",
    "set_approval",
    "set_cost",
    "states",
    "status_of",
    "texts_needed",
    "texts_of",
    "undo",
    "waiting",
    "waterfall",
    "why",
    "worst_cases",
]
