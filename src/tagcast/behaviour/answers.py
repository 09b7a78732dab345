"""How a question about behaviour is answered: from the sets derived at intake where they can tell, else from events.

A node feeds on at least one key that begins with `event:<type>:` for each type it asks about. Events that change no set
(a ninth on one day, another property) come from `recorded_since`, and a day never seen before brings new keys to an
open window: whoever keeps members up to date takes the contacts of those batches and asks for the node anew.
"""

import math
import operator
from collections.abc import Callable
from datetime import date, timedelta
from itertools import groupby

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.behaviour import actions, conditions, few, history, levels, recording, store
from tagcast.behaviour.questions import Did, Op, Question, Then, Window
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import AllOf, AnyOf, Asked, AtLeast, Evaluation, Except, Key, Node
from tagcast.kit.uow import Work

_COMPARE: dict[Op, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_OPPOSITE: dict[Op, Op] = {"<": ">=", "<=": ">", "=": "!=", "!=": "=", ">=": "<", ">": "<="}
_MONTH = 28
_FROM_ZERO = ("times", "days", "sum")


def node(work: Work, question: Question, *, zone: str) -> Node:
    """The contacts that a question is about. Raises NotFound for the type, Invalid for a property or a value."""
    types = store.types_once(work)
    parts = (question,) if isinstance(question, Did) else (question.first, question.second)
    for part in parts:
        if part.event not in types:
            recording.find_type(work, part.event)
    conditions.check(question, types)
    if isinstance(question, Then):
        return _asked(work, question, zone)
    return _did(work, question, zone)


def _did(work: Work, asked: Did, zone: str) -> Node:
    op, value = asked.op, asked.value
    if asked.measure in _FROM_ZERO and _COMPARE[op](0, value):
        # Who never did it is among them: all but the opposite.
        opposite = Did(asked.event, asked.window, asked.measure, _OPPOSITE[op], value, asked.where)
        return Except(_did(work, opposite, zone))
    if asked.measure not in ("times", "days") or asked.where:
        return _asked(work, asked, zone)
    # What zero does not meet here is true from some number on, except for "exactly so many".
    if op == "=":
        times = max(1, math.ceil(value))
        exactly = (_at_least(work, asked, times, zone), Except(_at_least(work, asked, times + 1, zone)))
        return AllOf(exactly) if times == value else algebra.NOBODY
    least = {">=": math.ceil(value), ">": math.floor(value) + 1, "!=": 1}.get(op)
    return algebra.NOBODY if least is None else _at_least(work, asked, least, zone)


def _at_least(work: Work, asked: Did, times: int, zone: str) -> Node:
    highest = 1 if asked.measure == "days" else times
    if highest > levels.top():
        return _asked(work, Did(asked.event, asked.window, "times", ">=", times), zone)
    if times == 1:
        return AnyOf(_months(_keys(work, asked.event, asked.window)))
    return AtLeast(times, tuple(Key(key) for key in _keys(work, asked.event, asked.window, highest)))


def _keys(work: Work, event: str, window: Window, highest: int = 1) -> list[str]:
    """The day sets of a window up to a level: every day of one with two ends, else those that there are."""
    if window.first is not None and window.last is not None:
        days = [window.first + timedelta(days=n) for n in range((window.last - window.first).days + 1)]
        return [levels.key(event, day, level) for day in days for level in range(1, highest + 1)]
    first, last = window.first or date.min, window.last or date.max
    found = ((key, *levels.split(key)) for key in levels.keys(work, event))
    return [key for key, day, level in found if first <= day <= last and level <= highest]


def _months(keys: list[str]) -> tuple[Node, ...]:
    """The day sets, those of a month together, so that whoever remembers nodes meets whole months again."""
    found: list[Node] = []
    for _, some in groupby(keys, key=lambda key: key[:-2]):
        days = tuple(Key(key) for key in some)
        found.extend([AnyOf(days)] if len(days) >= _MONTH else days)
    return tuple(found)


def at_least(work: Work, name: str, times: int, window: tuple[date, date], *, zone: str) -> BitMap:
    """The contacts with at least `times` events on the days of `window`, both ends included."""
    asked = Did(name, Window(*window), "times", ">=", max(times, 1))
    return Evaluation(work.bitmaps, contacts.EVERYONE).members(node(work, asked, zone=zone))


def _asked(work: Work, question: Question, zone: str) -> Node:
    def ask(within: BitMap | None) -> BitMap:
        found = None if within is None else few.ask(work, question, within, zone=zone)
        return history.ask(work, question, within, zone=zone) if found is None else found

    def due(since_ms: int, until_ms: int) -> BitMap:
        assert isinstance(question, Then)
        span = question.within_seconds * 1000
        ending = actions.events_of(work, question.first.event, since_ms - span - 1, until_ms - span + 1)
        return bitmaps.pack(ending.contact)

    parts = (question,) if isinstance(question, Did) else (question.first, question.second)
    feeds = {key: None for part in parts for key in _keys(work, part.event, part.window)}
    waits = isinstance(question, Then) and question.absent
    return Asked(("behaviour", question, zone), ask, tuple(feeds), due=due if waits else None)
