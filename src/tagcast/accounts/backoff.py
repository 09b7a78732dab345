"""When a call is made again: the only place where a call that failed is repeated.

Exponential with full jitter: each wait is anywhere between nothing and its base, so that many callers that failed
together do not return together (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015-03-04). The
platform asks for one, three and nine seconds when it is busy.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tagcast.channels import ChannelError, Reaction
from tagcast.kit.errors import TagcastError, Unavailable

_TRANSIENT = frozenset({"accounts.unreachable", "accounts.platform_refused"})


@dataclass(frozen=True, slots=True)
class Backoff:
    """`bases`: the longest wait before each repetition, in seconds; `longest`: the longest wait a platform may ask for.

    `sleep` and `draw` (0 ≤ x < 1) are time and chance.
    """

    bases: tuple[float, ...] = (1.0, 3.0, 9.0)
    longest: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random

    def wait(self, error: ChannelError | TagcastError, repeated: int) -> float | None:
        """Seconds before the next try after `repeated` repetitions, or None: raise the error.

        A call that may have been carried out is never repeated: its error says so (`IN_DOUBT`), because the client
        knows whether it reads, carries a key, or sends.
        """
        if repeated >= len(self.bases):
            return None
        least = _least(error)
        if least is None or least > self.longest:
            return None
        return least + self.bases[repeated] * self.draw()


def _least(error: ChannelError | TagcastError) -> float | None:
    """The least wait that may help, or None when no wait of ours does."""
    if isinstance(error, TagcastError):
        if not isinstance(error, Unavailable):
            return None
        if error.code == "accounts.api_closed":
            return float(str(error.params["seconds"]))
        return 0.0 if error.code in _TRANSIENT else None
    if error.reaction is Reaction.RETRY or (error.reaction is Reaction.WAIT_UNTIL and not error.until):
        return float(error.wait_seconds)
    return None


INTERACTIVE = Backoff()
"""Somebody waits for the answer and can wait a minute."""
QUICK = Backoff(bases=(1.0,), longest=2.0)
"""Somebody waits for an HTTP answer or a check."""
DURABLE = Backoff(bases=(), longest=0.0)
"""The caller keeps what it wants to do, and when to try again, in the database: it gets every error at once."""
