"""Previews of a broadcast, as data and as pictures, and test sends to people who agreed.

Owns: broadcast_tester, broadcast_test; the workspace's setting `test`.
"""

from tagcast.broadcasts.previews import picture
from tagcast.broadcasts.previews.looking import Part, Preview, named, sampled, worst
from tagcast.broadcasts.previews.store import Tester, listed
from tagcast.broadcasts.previews.testers import above, add, check, done, remove, required, set_above, untested
from tagcast.broadcasts.previews.testing import Asked, Shown, send, tested

__all__ = [
    "Asked",
    "Part",
    "Preview",
    "Shown",
    "Tester",
    "above",
    "add",
    "check",
    "done",
    "listed",
    "named",
    "picture",
    "remove",
    "required",
    "sampled",
    "send",
    "set_above",
    "tested",
    "untested",
    "worst",
]
