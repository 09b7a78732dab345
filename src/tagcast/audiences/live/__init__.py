"""Sets that are kept true by what changes: whoever owns some says what they are to be, a turn makes them so.

Owns: kept_set. All that can be selected is a set with a change log; so a turn reads the log from where a set stands,
looks only at the contacts that those changes concern, and settles them together with the mark it has reached.
"""

from tagcast.audiences.live.keeper import Lag, lag, turn
from tagcast.audiences.live.memory import Kept, Lowered, Memory, Owner, Pace, lower, pace
from tagcast.audiences.live.segments import Segments
from tagcast.audiences.live.standing import drop
from tagcast.audiences.live.written import prove, today

__all__ = [
    "Kept",
    "Lag",
    "Lowered",
    "Memory",
    "Owner",
    "Pace",
    "Segments",
    "drop",
    "lag",
    "lower",
    "pace",
    "prove",
    "today",
    "turn",
]
