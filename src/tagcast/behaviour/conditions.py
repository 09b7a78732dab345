"""Which questions make sense for the declared types. Pure."""

import math
from collections.abc import Mapping
from typing import get_args

from tagcast.behaviour import rules
from tagcast.behaviour.questions import Did, Measure, Op, Question, Where, Window
from tagcast.behaviour.rules import BUILT_IN, EventType
from tagcast.kit.errors import Invalid

_ORDERED = ("<", "<=", ">", ">=")


def check(question: Question, types: Mapping[str, EventType]) -> None:
    """Raises Invalid for what cannot be asked of these types, which must be there."""
    if isinstance(question, Did):
        _check_did(question, types[question.event])
        return
    for part in (question.first, question.second):
        if (part.measure, part.op, part.value) != ("times", ">=", 1):
            raise Invalid("behaviour.bad_question", type=part.event)
        _check_did(part, types[part.event])
    if not 0 < question.within_seconds <= rules.limits()["within_seconds"]:
        raise Invalid("behaviour.bad_sequence")


def _check_did(asked: Did, declared: EventType) -> None:
    sound = asked.measure in get_args(Measure) and asked.op in get_args(Op) and math.isfinite(asked.value)
    if not sound or len(asked.where) > rules.limits()["conditions"]:
        raise Invalid("behaviour.bad_question", type=declared.name)
    _check_window(asked.window)
    for where in asked.where:
        _check_where(where, declared)


def _check_window(window: Window) -> None:
    if window.first is None or window.last is None:
        return
    most = rules.limits()["window_days"]
    if not 0 <= (window.last - window.first).days < most:
        raise Invalid("behaviour.bad_window", most=most)


def _check_where(where: Where, declared: EventType) -> None:
    kind = BUILT_IN.get(where.name)
    if kind is None:
        rules.check_properties(declared, [where.name])
        kind = declared.properties[where.name]
    value = where.value
    match where.op:
        case "known" | "unknown":
            sound = value is None
        case "is" | "is_not":
            sound = rules.is_kind(kind, value)
        case "in":
            sound = isinstance(value, tuple) and bool(value) and all(rules.is_kind(kind, one) for one in value)
        case "between":
            sound = kind == "number" and isinstance(value, tuple) and len(value) == 2
            sound = sound and isinstance(value, tuple) and all(rules.is_kind(kind, one) for one in value)
        case _:
            sound = kind == "number" and where.op in _ORDERED and rules.is_kind(kind, value)
    if not sound:
        raise Invalid("behaviour.bad_condition", type=declared.name, name=where.name, op=where.op, kind=kind)
