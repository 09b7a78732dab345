"""Facts that tags publish."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class TagAssigned(Event):
    """Contacts got a tag; who they are stands in the change `seq`."""

    name: ClassVar[str] = "tags.assigned"
    tag: int
    seq: int


@dataclass(frozen=True)
class TagRemoved(Event):
    """Contacts lost a tag; who they are stands in the change `seq`."""

    name: ClassVar[str] = "tags.removed"
    tag: int
    seq: int
