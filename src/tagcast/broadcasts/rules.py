"""Decisions of a broadcast: states, statuses of the ledger, draw of the holdout, cut into chunks, hash of the plan."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from tagcast.kit.crypto import digest

Numbers = npt.NDArray[np.uint32]
Statuses = npt.NDArray[np.uint8]


class State(StrEnum):
    """What a broadcast is doing."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SETTLING = "settling"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DELETED = "deleted"


class Route(StrEnum):
    """How the messages travel. A route is decided by the account's kind and the message's kind."""

    TASKS = "tasks"
    TAG = "tag"
    LIST = "list"
    TEMPLATE = "template"
    SUBSCRIPTION = "subscription"
    WEBHOOK = "webhook"

    @property
    def personal(self) -> bool:
        """Whether everybody gets an address of his own, so that one knows who opened it."""
        return self in (Route.TEMPLATE, Route.SUBSCRIPTION, Route.WEBHOOK)


def route(account_kind: str, message_kind: str) -> Route:
    """企业微信: a task per employee. 公众号: a temporary tag. 服务号: a call per person, or lists of openids.

    第三方: a signed delivery to many members.
    """
    if account_kind == "custom":
        return Route.WEBHOOK
    if account_kind == "wecom":
        return Route.TASKS
    if message_kind == "subscription":
        return Route.SUBSCRIPTION
    if account_kind == "official":
        return Route.TAG
    return Route.TEMPLATE if message_kind == "template" else Route.LIST


class Status(IntEnum):
    """What became of one recipient, a byte in the ledger. Each has exactly one, so the sum is the audience."""

    PLANNED = 0
    RETRY = 1
    HELD = 2
    CANCELLED = 3
    IN_DOUBT = 4
    FAILED = 5
    ACCEPTED = 6
    DELIVERED = 7
    # He failed here and is tried again in a later chunk, which holds his status: not counted in this one.
    CARRIED = 8


WORDS: tuple[str, ...] = tuple(status.name.lower() for status in Status if status is not Status.CARRIED)


def merge(stored: Statuses, learnt: Statuses) -> Statuses:
    """The outcome of calls from two workers: the stronger fact of each recipient stands."""
    return np.maximum(stored, learnt)


def receipts(stored: Statuses, learnt: Statuses) -> Statuses:
    """Receipts move only what was called: accepted or in doubt → delivered, failed, or cancelled on the platform.

    No delivery is taken back.
    """
    open_ = (stored == Status.ACCEPTED) | (stored == Status.IN_DOUBT)
    news = np.isin(learnt, (Status.DELIVERED, Status.FAILED, Status.CANCELLED))
    return np.where(open_ & news, learnt, stored).astype(np.uint8)


def in_flight(statuses: Statuses, watermark: int) -> npt.NDArray[np.bool_]:
    """Below the watermark without an outcome: they may have been called by a worker that is gone."""
    flying: npt.NDArray[np.bool_] = statuses == Status.PLANNED
    flying[watermark:] = False
    return flying


def count(tallies: Iterable[Sequence[int]]) -> dict[str, int]:
    """How many recipients have each status, over all chunks, named as in `Status`, lower case."""
    total = [sum(column) for column in zip(*tallies, strict=True)] or [0] * len(Status)
    return {word: total[at] for at, word in enumerate(WORDS)}


def mixed(numbers: Numbers, seed: int) -> npt.NDArray[np.uint64]:
    """Each number mixed with the seed by splitmix64 (Steele, Lea & Flood 2014): an order that nobody chose."""
    with np.errstate(over="ignore"):
        found = numbers.astype(np.uint64) + np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
        found = (found + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def draw(numbers: Numbers, percent: float, seed: int) -> Numbers:
    """The holdout: exactly round(n · percent / 100) of the numbers, the same for the same seed whatever the order.

    Those whose mixed numbers are the smallest are held out.
    """
    size = round(numbers.size * percent / 100)
    if size == 0:
        return np.empty(0, dtype=np.uint32)
    # Mixing maps different numbers to different ones, so just `size` of them are up to the size-th smallest.
    order = mixed(numbers, seed)
    return np.sort(numbers[order <= np.partition(order, size - 1)[size - 1]])


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the frozen audience that is sent to together: by one sender, told the same, in one stage.

    Not before `due`, if it has one.
    """

    recipients: Numbers
    sender: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    stage: int = 0
    due: datetime | None = None


def cut(numbers: Numbers, size: int, *, least: int = 1) -> list[Numbers]:
    """Pieces of at most `size`, none smaller than `least` unless all together are: 10,001 in tens of thousands with a
    least of 2 is 5,001 + 5,000.
    """
    pieces = [numbers[at : at + size] for at in range(0, numbers.size, size)]
    if len(pieces) > 1 and pieces[-1].size < least:
        last_two = np.concatenate(pieces[-2:])
        half = (last_two.size + 1) // 2
        pieces[-2:] = [last_two[:half], last_two[half:]]
    return pieces


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the waterfall: a reason, how many, and the digest of exactly whom."""

    name: str
    count: int
    digest: str


def plan_hash(facts: Mapping[str, Any], steps: Sequence[Step]) -> str:
    """The plan's name: everything that it rests on, and whom each step holds. 16 hex digits are shown and asked for."""
    body = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return digest(body, *(f"{step.name}:{step.count}:{step.digest}" for step in steps))[:16]


def moved(before: Sequence[Step], after: Sequence[Step]) -> list[str]:
    """What differs between two plans, in words an operator can check: `no_consent 12 → 15`."""
    then = {step.name: step for step in before}
    changes = []
    for step in after:
        old = then.get(step.name)
        if old is None:
            changes.append(f"{step.name} 0 → {step.count}")
        elif old.count != step.count:
            changes.append(f"{step.name} {old.count} → {step.count}")
        elif old.digest != step.digest:
            changes.append(f"{step.name}: other people")
    return changes
