"""Facts that audiences publish."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class Entered(Event):
    """Contacts came into a live segment; who they are stands in the change `seq`. `first`: the set was filled."""

    name: ClassVar[str] = "audiences.entered"
    segment: int
    seq: int
    first: bool = False


@dataclass(frozen=True)
class Left(Event):
    """Contacts left a live segment; who they are stands in the change `seq`."""

    name: ClassVar[str] = "audiences.left"
    segment: int
    seq: int
    first: bool = False
