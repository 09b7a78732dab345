"""Facts that contacts publishes."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class Erased(Event):
    """A contact is no more; whoever knows anything of the number lets go of it."""

    name: ClassVar[str] = "contacts.erased"

    number: int
