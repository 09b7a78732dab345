"""What a posting, its posts and their outcomes are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

KIND = "broadcasts.posting"
GROUPS, MOMENTS = "groups", "moments"

DRAFT, SENDING, FINISHED, CANCELLED, PAUSED = "draft", "sending", "finished", "cancelled", "paused"

# What became of one recipient: a group chat, or of a Moment an employee. `accepted`: not confirmed yet.
STATUSES = ("planned", "held", "cancelled", "in_doubt", "failed", "accepted", "delivered")
FINAL = ("held", "cancelled", "in_doubt", "failed", "delivered")


@dataclass(frozen=True, slots=True)
class Posting:
    """One message to customer groups, or one Moment.

    `target` of groups: `owners`, `chats` (both: all when missing), `least` members in `audience` (default 0). Of a
    Moment: `employees` (all when missing) and `audience`. `stopping`: it is being cancelled.
    """

    id: int
    account: int
    kind: str
    name: str
    purpose: str
    content: dict[str, Any]
    target: dict[str, Any]
    within_hours: float
    state: str
    reason: str | None
    stopping: bool
    plan_hash: str | None
    plan: dict[str, Any]
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def key(self) -> str:
        """The prefix of its sets."""
        return f"posting:{self.id}"


@dataclass(slots=True)
class Post:
    """One call of a posting. `call`: "", intent, accepted. `msgid`: of the mass message, or the Moment's job or id."""

    posting: int
    no: int
    sender: str
    call: str
    tried_at: int | None
    msgid: str | None
    progress: dict[str, Any]
    done: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient of a post; `at` (ms): when it changed."""

    post: int
    recipient: str
    status: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the waterfall."""

    name: str
    count: int
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: `hash` is what `send` asks for; `shares`: employee → chats, or customers; warnings are codes."""

    hash: str
    posting: int
    lines: list[Line]
    shares: Mapping[str, int]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Status:
    """Where a posting stands: `states` are recipients by status, `waiting` employees who have not confirmed."""

    id: int
    state: str
    reason: str | None
    states: Mapping[str, int]
    waiting: int
    outcomes: list[Outcome]
