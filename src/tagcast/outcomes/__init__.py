"""What became of recipients, as sets that segments can name. Owns: sending; its sets are those of whoever sends.

A sending is one launch of a message: it has a reference that its sets begin with, a name, an account and a time.
"""

from tagcast.outcomes.actions import names, node, register, rename, sendings
from tagcast.outcomes.rules import OUTCOMES, Outcome
from tagcast.outcomes.store import Sending

__all__ = [
    "OUTCOMES",
    "Outcome",
    "Sending",
    "names",
    "node",
    "register",
    "rename",
    "sendings",
]
