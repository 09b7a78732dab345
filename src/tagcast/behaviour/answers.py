"""How a question about behaviour is answered: from the sets derived at intake where they can tell, else from events."""

from datetime import timedelta

from tagcast.behaviour import actions
from tagcast.behaviour.questions import Did, Question
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Node
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work


def node(work: Work, question: Question, *, zone: str) -> Node:
    """The contacts that a question is about. Raises NotFound for the type, Invalid for a property or a value."""
    match question:
        case Did(event, window, "times", ">=", 1, ()) if window.first is not None:
            actions.find_type(work, event)
            last = window.last or work.now.date()
            days = [window.first + timedelta(days=n) for n in range((last - window.first).days + 1)]
            return algebra.AnyOf(tuple(algebra.Key(actions.day_key(event, day)) for day in days))
        case _:
            raise Invalid("behaviour.cannot_answer")
