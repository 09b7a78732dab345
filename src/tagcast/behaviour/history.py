"""The events of a workspace as they were told, from the lake and from batches that are not in it yet."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.behaviour import actions, packed
from tagcast.behaviour.packed import Events
from tagcast.behaviour.questions import Did, Question, Where, Window
from tagcast.kit.uow import Work

_EPOCH = np.datetime64("1970-01-01", "D")
_OPS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "is": operator.eq,
    "is_not": operator.ne,
    "in": lambda one, some: one in some,
    "between": lambda one, ends: ends[0] <= one <= ends[1],
}


def ask(work: Work, question: Question, within: BitMap | None = None, *, zone: str) -> BitMap:
    """The contacts that a question is about, or those of `within`; exact for all that is recorded.

    A condition on a property holds only for events that have it, but for `unknown`: `is_not` is false where it is
    unknown. In a sequence the second event is later than the first, not at the same millisecond, and at most so many
    seconds; `absent` wants one first event without such a second whose time was over before `work.now`.
    Raises NotFound for the type.
    """
    everyone = contacts.everyone(work) if within is None else contacts.everyone(work) & within
    if isinstance(question, Did):
        found, missing = _measured(question, _events(work, question, zone), zone)
        return everyone - found if missing else everyone & found
    first, second = _events(work, question.first, zone), _events(work, question.second, zone)
    span = question.within_seconds * 1000
    ordered = np.lexsort((second.at_ms, second.contact))
    # One number a (contact, time), so that "the next one of the same contact" is one search.
    seconds = second.contact[ordered].astype(np.int64) * 2**42 + second.at_ms[ordered]
    firsts = first.contact.astype(np.int64) * 2**42 + first.at_ms
    after = np.searchsorted(seconds, firsts, side="right")
    next_one = np.append(seconds, np.iinfo(np.int64).max)[after]
    followed = next_one <= firsts + span
    wanted = ~followed & (first.at_ms + span < work.now_ms) if question.absent else followed
    return everyone & bitmaps.pack(first.contact[wanted])


def _events(work: Work, asked: Did, zone: str) -> Events:
    """The events that a part of a question is about."""
    found = actions.events_of(work, asked.event)
    mask = _in_window(packed.local_days(found.at_ms, zone), asked.window)
    for where in asked.where:
        mask &= _holds(found, where)
    return found.where(mask)


def _in_window(day: NDArray[np.int32], window: Window) -> NDArray[np.bool_]:
    mask = np.ones(len(day), dtype=np.bool_)
    if window.first is not None:
        mask &= day >= (np.datetime64(window.first, "D") - _EPOCH).astype(int)
    if window.last is not None:
        mask &= day <= (np.datetime64(window.last, "D") - _EPOCH).astype(int)
    return mask


def _holds(found: Events, where: Where) -> NDArray[np.bool_]:
    if where.name in ("amount", "quantity"):
        values: list[Any] = (found.amount if where.name == "amount" else found.quantity).tolist()
    else:
        held: list[Mapping[str, Any]] = list(found.properties) if found.properties else [{}] * len(found)
        values = [one.get(where.name) for one in held]
    if where.op in ("known", "unknown"):
        return np.array([(one is not None) == (where.op == "known") for one in values], dtype=np.bool_)
    return np.array([one is not None and bool(_OPS[where.op](one, where.value)) for one in values], dtype=np.bool_)


def _measured(asked: Did, found: Events, zone: str) -> tuple[BitMap, bool]:
    """(contacts, whether it is all others who are meant)."""
    compare = _OPS[asked.op]
    order = np.argsort(found.contact, kind="stable")
    who, starts = np.unique(found.contact[order], return_index=True)
    amount = found.amount[order]
    counts = np.diff(np.append(starts, len(amount)))
    if not len(who):
        return BitMap(), asked.measure in ("times", "days", "sum") and bool(compare(0, asked.value))
    if asked.measure == "days":
        days = packed.per_day(found, zone)
        measured = np.unique(days.contact, return_counts=True)[1]
    else:
        total: NDArray[Any] = np.add.reduceat(amount, starts)
        measures: dict[str, NDArray[Any]] = {
            "times": counts,
            "sum": total,
            "average": total / counts,
            "least": np.minimum.reduceat(amount, starts),
            "most": np.maximum.reduceat(amount, starts),
        }
        measured = measures[asked.measure]
    met = compare(measured, asked.value)
    if asked.measure in ("times", "days", "sum") and compare(0, asked.value):
        return bitmaps.pack(who[~met]), True
    return bitmaps.pack(who[met]), False
