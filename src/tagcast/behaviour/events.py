"""Facts that behaviour publishes."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class Recorded(Event):
    """Events of one type came in; `seq` names their batch, from which `batch` reads them."""

    name: ClassVar[str] = "behaviour.recorded"

    type: str
    seq: int
    rows: int
