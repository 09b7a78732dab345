"""What broadcasts tell the rest of the house."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class BroadcastStarted(Event):
    """The audience is frozen and the chunks are due."""

    name: ClassVar[str] = "broadcasts.started"
    broadcast: int
    assigned: int
    holdout: int


@dataclass(frozen=True)
class BroadcastFinished(Event):
    """Every recipient has a final status."""

    name: ClassVar[str] = "broadcasts.finished"
    broadcast: int
