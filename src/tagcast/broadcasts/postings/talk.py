"""What the calls of a posting are given, and what they bring."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tagcast import accounts, channels
from tagcast.broadcasts.postings.shapes import Post, Posting
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime

# Clocks of ours and the platform's may differ. A call outside this span would count as absent, and be made again.
SKEW_SECONDS = 15 * 60


@dataclass(slots=True)
class Talk:
    """One post with its connection: `message` is what is said, `recipients` those who are open."""

    runtime: Runtime
    lease: Lease
    connected: accounts.Connected
    posting: Posting
    post: Post
    message: Sequence[channels.Message]
    recipients: list[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A call that the platform took: `msgid`, or a Moment's job, or the `moment` itself. `certain`: the record was read
    whole, so that a call which is not in it was never made.
    """

    msgid: str | None
    failed: tuple[str, ...] = ()
    moment: str | None = None
    certain: bool = True


@dataclass(slots=True)
class Heard:
    """Results: (status, reason) → recipients. `proven`: what was read after a cancellation is final."""

    outcomes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    proven: bool = False

    def add(self, recipient: str, status: str, reason: str = "") -> None:
        """One more result."""
        self.outcomes.setdefault((status, reason), []).append(recipient)
