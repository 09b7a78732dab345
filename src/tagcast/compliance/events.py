"""Facts that compliance publishes."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class ConsentChanged(Event):
    """Consents to a purpose changed: how many were granted and withdrawn that stood otherwise before.

    Who they are stands in the change `seq`; granted and withdrawn are changes, and events, of their own.
    """

    name: ClassVar[str] = "compliance.consent_changed"
    purpose: str
    seq: int
    granted: int = 0
    withdrawn: int = 0
