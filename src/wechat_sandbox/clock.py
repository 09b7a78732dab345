"""The sandbox's clock: real (the machine's time and an offset) or virtual (stands still until it is moved)."""

import time

from wechat_sandbox.errors import ControlError
from wechat_sandbox.state import State

MODES = ("real", "virtual")


class Clock:
    """Milliseconds since 1970; never goes back."""

    def __init__(self, state: State) -> None:
        self._state = state
        stored = state.get("config", "clock") or {}
        self.offset_ms = int(stored.get("offset_ms", 0))
        self._still: int | None = stored.get("still")
        self._pinned: int | None = None

    @property
    def virtual(self) -> bool:
        """Whether it stands still."""
        return self._still is not None

    def now(self) -> int:
        """The present moment."""
        if self._pinned is not None:
            return self._pinned
        if self._still is not None:
            return self._still
        return time.time_ns() // 1_000_000 + self.offset_ms

    def pin(self, moment: int | None) -> None:
        """Hold the clock at a moment while something of that moment is done; None lets it go."""
        self._pinned = moment

    def move(self, moment: int) -> None:
        """Go on to a moment; ControlError 400 for one that has passed."""
        now = self.now()
        if moment < now:
            raise ControlError(400, f"the clock does not go back: it is {now}")
        if self._still is not None:
            self._still = moment
        else:
            self.offset_ms += moment - now
        self._keep()

    def set_mode(self, mode: str) -> None:
        """`real` or `virtual`, from the present moment on."""
        if mode not in MODES:
            raise ControlError(400, f"mode must be one of {', '.join(MODES)}")
        now = self.now()
        self._still = now if mode == "virtual" else None
        self.offset_ms = now - time.time_ns() // 1_000_000
        self._keep()

    def _keep(self) -> None:
        self._state.put("config", "clock", {"offset_ms": self.offset_ms, "still": self._still})

    def shown(self) -> dict[str, object]:
        """As the control API tells it."""
        mode = "virtual" if self.virtual else "real"
        offset = self.now() - time.time_ns() // 1_000_000
        return {"now": self.now(), "mode": mode, "offset_seconds": offset / 1000}
